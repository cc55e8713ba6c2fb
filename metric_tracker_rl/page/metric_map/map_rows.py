"""The lines of the map: one for each daily series, and one for all impossible counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.page.format_values import EVENTS, PERCENT, SHARE
from metric_tracker_rl.page.metric_map.known_values import KnownValues
from openenv_kit.page.components.elements import format_value, humanize

IMPOSSIBLE = "impossible counts"
SHARE_NAME = "daytime share"
BIG, HUGE = 10.0, 1000.0
"""Sizes from which decimals, and then thousands, are left out."""


@dataclass(frozen=True)
class MapRow:
    """One line of the map.

    Attributes:
        label: what it shows, as people read it.
        unit: of its values.
        columns: of the daily series; several where their sum is shown.
    """

    label: str
    unit: str
    columns: tuple[int, ...]

    def value(self, seen: KnownValues, day: int) -> float | None:
        """What was told of a day."""
        known = [seen.values.get((day, column)) for column in self.columns]
        parts = [each for each in known if each is not None]
        return sum(parts) if parts else None

    def baseline(self, seen: KnownValues, day: int) -> float | None:
        """What a day is held against, if it was told; None for impossible counts."""
        return None if self.is_impossible_counts(seen) else seen.baseline(day, self.columns[0])

    def is_impossible_counts(self, seen: KnownValues) -> bool:
        """Whether its values are impossible events, of which any is one too many."""
        return seen.funnel.columns.is_excess(self.columns[0])

    def format_with_unit(self, value: float) -> str:
        """A value with its unit, as tools show it."""
        return f"{format_value(round(value, 4))}{self.unit}"

    def format_short(self, value: float) -> str:
        """A value without its unit, as short as can be."""
        return f"{value:,.{0 if self.unit == EVENTS else 2}f}"


def build_map_rows(funnel: Funnel) -> list[MapRow]:
    """Every line, in the order of the funnel."""
    columns, pairs = funnel.columns, len(funnel.quality_check_names)
    events = [humanize(stage.event) for stage in funnel.stages]
    rates = [f"{events[below]} → {events[above]}" for above, below in funnel.rate_stage_indices]
    named = [
        *((humanize(name), EVENTS) for name in funnel.count_names),
        *((r, PERCENT) for r in rates),
    ]
    return [
        *(MapRow(label, unit, (column,)) for column, (label, unit) in enumerate(named)),
        MapRow(SHARE_NAME, SHARE, (columns.daytime_share,)),
        MapRow(IMPOSSIBLE, EVENTS, tuple(map(columns.excess_of_pair, range(pairs)))),
    ]


def map_row_index(lines: Sequence[MapRow], column: int) -> int:
    """Place of the line that shows a column."""
    return next(at for at, line in enumerate(lines) if column in line.columns)


def format_signed(value: float, digits: int = 1) -> str:
    """A number with its sign; the larger, the fewer decimals. What is rounded to 0 has no sign."""
    size = abs(value)
    shown = f"{size / HUGE:.0f}k" if size >= HUGE else f"{size:,.{0 if size >= BIG else digits}f}"
    if not shown.strip("0."):
        return shown
    return f"{'−' if value < 0 else '+'}{shown}"
