"""Score of a report as a tree of the framework's rubrics.

The engine computes the score. The rubrics read it from the breakdown, so that `named_rubrics()`
shows the last value of each score component.
"""

from __future__ import annotations

from typing import Any

from openenv.core.rubrics import Rubric

from metric_tracker_rl.wire_models import SCORE_PENALTIES, SCORE_SHARES, RewardBreakdown
from openenv_kit.float_sum import sum_left_to_right


class ComponentRubric(Rubric):
    """Rubric whose score is the sum of some breakdown fields, or 0.0 if nothing was graded.

    Args:
        fields: names of the breakdown fields.
        children: rubrics that are computed with this one, by name.
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
        """Clear the last scores of this rubric and of all rubrics below it."""
        self.last_score = None
        for rubric in self.rubrics():
            rubric.last_score = None


class ReportRubric(ComponentRubric):
    """Rubric of a report's total score; its children are the score components."""

    def __init__(self) -> None:
        shares = {name: ComponentRubric(name) for name in SCORE_SHARES}
        penalties_by_name = {name: ComponentRubric(name) for name in SCORE_PENALTIES}
        penalties = ComponentRubric(*SCORE_PENALTIES, **penalties_by_name)
        super().__init__("total_score", **shares, penalties=penalties)
