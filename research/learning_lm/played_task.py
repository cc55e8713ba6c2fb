"""Result of one episode of the experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

SCORE_DECIMALS = 4


class PlayedTask(NamedTuple):
    """One episode of a player.

    Attributes:
        task: name of the task.
        ids: submitted ids; None if nothing was submitted.
        graded: score of the report in [0, 1].
        exact: 1.0 if the report was exactly right, else 0.0.
        key_f1: F1 of the reported rows, in [0, 1].
        tokens: number of generated tokens.
    """

    task: str
    ids: list[Any] | None
    graded: float
    exact: float
    key_f1: float
    tokens: int

    @classmethod
    def from_components(
        cls, task: str, ids: list[Any] | None, components: Mapping[str, float], *, tokens: int
    ) -> PlayedTask:
        """Return the result of an episode; all scores are 0 if nothing was submitted.

        Args:
            task: name of the task.
            ids: submitted ids; None if nothing was submitted.
            components: components of the episode's reward.
            tokens: number of generated tokens.
        """
        graded, exact, key_f1 = (
            round(components.get(name, 0.0), SCORE_DECIMALS)
            for name in ("graded", "exact", "key_f1")
        )
        return cls(task, ids, graded, exact, key_f1, tokens)
