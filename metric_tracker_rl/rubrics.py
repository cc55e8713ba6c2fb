"""Rubrics of the framework that represent a report's score as a tree.

The engine computes the score, and the rubrics read it from the breakdown. `named_rubrics()` then
shows the last value of each score component.
"""

from __future__ import annotations

from typing import Any

from openenv.core.rubrics import Rubric

from metric_tracker_rl.wire_models import SCORE_PENALTIES, SCORE_SHARES, RewardBreakdown
from openenv_kit.float_sum import sum_left_to_right


class ComponentRubric(Rubric):
    """Rubric whose score is the sum of one or more fields of the score breakdown.

    The score is 0.0 if the observation has no breakdown because no report was graded.

    Args:
        fields: names of the breakdown fields to add up.
        children: child rubrics by name, which are evaluated together with this rubric.
    """

    def __init__(self, *fields: str, **children: Rubric) -> None:
        super().__init__()
        self.fields = fields
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, action: Any, observation: Any) -> float:
        for child in self.children():
            child(action, observation)
        breakdown: RewardBreakdown | None = observation.reward_breakdown
        return (
            float(sum_left_to_right(breakdown[name] for name in self.fields)) if breakdown else 0.0
        )

    def reset(self) -> None:
        """Clear the last scores of this rubric and of all its descendants."""
        self.last_score = None
        for rubric in self.rubrics():
            rubric.last_score = None


class ReportRubric(ComponentRubric):
    """Rubric of a report's total score, with child rubrics for the components of the score."""

    def __init__(self) -> None:
        shares = {name: ComponentRubric(name) for name in SCORE_SHARES}
        penalties_by_name = {name: ComponentRubric(name) for name in SCORE_PENALTIES}
        penalties = ComponentRubric(*SCORE_PENALTIES, **penalties_by_name)
        super().__init__("total_score", **shares, penalties=penalties)
