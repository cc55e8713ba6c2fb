"""The grader as a tree of the framework's rubrics.

The score is computed once, by the engine; the tree reads the breakdown, so that
`named_rubrics()` shows each component's last score to anyone who inspects the environment.
"""

from __future__ import annotations

from typing import Any

from openenv.core.rubrics import Rubric

from metric_tracker_rl.wire_models import SCORE_PENALTIES, SCORE_SHARES, RewardBreakdown
from openenv_kit.float_sum import add_up


class ComponentRubric(Rubric):
    """Sum of some fields of the breakdown, 0.0 where nothing was graded.

    Args:
        fields: their names.
        children: rubrics that are scored beside it, by name.
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
        return float(add_up(breakdown[name] for name in self.fields)) if breakdown else 0.0

    def reset(self) -> None:
        """Forget the last episode's scores, in the whole tree."""
        self.last_score = None
        for rubric in self.rubrics():
            rubric.last_score = None


class ReportRubric(ComponentRubric):
    """Total score of a report; its children are the components it is made of."""

    def __init__(self) -> None:
        shares, each = (
            {name: ComponentRubric(name) for name in names}
            for names in (SCORE_SHARES, SCORE_PENALTIES)
        )
        penalties = ComponentRubric(*SCORE_PENALTIES, **each)
        super().__init__("total_score", **shares, penalties=penalties)
