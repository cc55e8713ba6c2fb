"""The grader as a tree of the framework's rubrics.

The score is computed once, by the engine; the tree reads the breakdown, so that
`named_rubrics()` shows each component's last score to anyone who inspects the environment.
"""

from __future__ import annotations

from typing import Any

from openenv.core.rubrics import Rubric

from metric_tracker_rl.rows import SCORE_PENALTIES, SCORE_SHARES, RewardBreakdown


class ComponentRubric(Rubric):
    """One component of the breakdown."""

    def __init__(self, component: str) -> None:
        super().__init__()
        self.component = component

    def forward(self, action: Any, observation: Any) -> float:
        """The component's value, 0.0 where nothing was graded."""
        breakdown: RewardBreakdown | None = observation.reward_breakdown
        return float(breakdown[self.component]) if breakdown else 0.0

    def reset(self) -> None:
        """Forget the last episode's score."""
        self.last_score = None


class PenaltiesRubric(ComponentRubric):
    """Sum of all penalties; its children are the single ones."""

    def __init__(self) -> None:
        super().__init__("penalties")
        for name in SCORE_PENALTIES:
            setattr(self, name, ComponentRubric(name))

    def forward(self, action: Any, observation: Any) -> float:
        """Sum of the children's scores."""
        return float(sum(child(action, observation) for child in self.children()))


class ReportRubric(ComponentRubric):
    """Total score of a report; its children are the components it is made of."""

    def __init__(self) -> None:
        super().__init__("total_score")
        for name in SCORE_SHARES:
            setattr(self, name, ComponentRubric(name))
        self.penalties = PenaltiesRubric()

    def forward(self, action: Any, observation: Any) -> float:
        """The engine's total, after every child has read its own component."""
        for child in self.children():
            child(action, observation)
        return super().forward(action, observation)

    def reset(self) -> None:
        """Forget the last episode's scores, in the whole tree."""
        self.last_score = None
        for rubric in self.rubrics():
            rubric.last_score = None
