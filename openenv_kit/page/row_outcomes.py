"""Outcome of an expected or reported row of a rollout, which the environment's view determines."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RowOutcome:
    """What became of a row that was expected or reported.

    Attributes:
        title: the row in a few words, such as "23 Nov, menu opens".
        outcome: what became of it, such as "found" or "never read".
        is_good: whether the player earned the row.
        step: step that shows it; None if no step does, for example because the row was never read.
        sentence: explanation in one sentence; may be empty.
    """

    title: str
    outcome: str
    is_good: bool
    step: int | None = None
    sentence: str = ""
