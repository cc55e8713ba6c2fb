"""Result of one episode of the experiment."""

from __future__ import annotations

from typing import Any, NamedTuple


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
