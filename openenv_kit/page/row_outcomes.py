"""Defines the outcome of a report row. Each environment's view determines the outcomes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RowOutcome:
    """Outcome of a row that was expected or reported.

    Attributes:
        title: short name of the row, such as "23 Nov, menu opens".
        outcome: the outcome, such as "found" or "never read".
        is_good: whether the outcome raises the score.
        step: number of the step that shows the outcome; None if no step shows it, for example
            because no reply named its day.
        sentence: explanation in one sentence; may be empty.
        sign: character that marks the outcome, as in the charts; empty for a tick or a cross.
    """

    title: str
    outcome: str
    is_good: bool
    step: int | None = None
    sentence: str = ""
    sign: str = ""
