"""The lines of the map: one for each daily series, and one for all impossible counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.page.format_values import EVENTS, PERCENT, SHARE
from metric_tracker_rl.page.metric_map.known_values import Seen
from openenv_kit.page.components.elements import text, words

IMPOSSIBLE = "impossible counts"
SHARE_NAME = "daytime share"
BIG, HUGE = 10.0, 1000.0
"""Sizes from which decimals, and then thousands, are left out."""


@dataclass(frozen=True)
class Line:
    """One line of the map.

    Attributes:
        label: what it shows, as people read it.
        unit: of its values.
        columns: of the daily series; several where their sum is shown.
    """

    label: str
    unit: str
    columns: tuple[int, ...]

    def value(self, seen: Seen, day: int) -> float | None:
        """What was told of a day."""
        known = [seen.values.get((day, column)) for column in self.columns]
        parts = [each for each in known if each is not None]
        return sum(parts) if parts else None

    def usual(self, seen: Seen, day: int) -> float | None:
        """What a day is held against, if it was told; None for impossible counts."""
        return None if self.counts_events(seen) else seen.usual(day, self.columns[0])

    def counts_events(self, seen: Seen) -> bool:
        """Whether its values are impossible events, of which any is one too many."""
        return self.columns[0] > seen.share

    def shown(self, value: float) -> str:
        """A value with its unit, as tools show it."""
        return f"{text(round(value, 4))}{self.unit}"

    def about(self, value: float) -> str:
        """A value without its unit, as short as can be."""
        return f"{value:,.{0 if self.unit == EVENTS else 2}f}"


def lines_of(funnel: Funnel) -> list[Line]:
    """Every line, in the order of the funnel."""
    share, pairs = len(funnel.metrics), len(funnel.quality_checks)
    events = [words(stage.event) for stage in funnel.stages]
    rates = [f"{events[below]} → {events[above]}" for above, below in funnel.rate_stages]
    named = [*((words(name), EVENTS) for name in funnel.counts), *((r, PERCENT) for r in rates)]
    return [
        *(Line(label, unit, (column,)) for column, (label, unit) in enumerate(named)),
        Line(SHARE_NAME, SHARE, (share,)),
        Line(IMPOSSIBLE, EVENTS, tuple(range(share + 1, share + 1 + pairs))),
    ]


def line_at(lines: Sequence[Line], column: int) -> int:
    """Place of the line that shows a column."""
    return next(at for at, line in enumerate(lines) if column in line.columns)


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign; the larger, the fewer decimals. What is rounded to 0 has no sign."""
    size = abs(value)
    shown = f"{size / HUGE:.0f}k" if size >= HUGE else f"{size:,.{0 if size >= BIG else digits}f}"
    if not shown.strip("0."):
        return shown
    return f"{'−' if value < 0 else '+'}{shown}"
