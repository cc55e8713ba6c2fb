"""Rows of the metric map: one for each daily series, and one for all impossible counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.page.format_values import EVENTS, PERCENT, SHARE
from metric_tracker_rl.page.metric_map.known_values import KnownValues
from openenv_kit.page.components.elements import humanize, value_html


class RowLabel(StrEnum):
    """Labels of the map rows that do not show a count or a rate."""

    DAYTIME_SHARE = "daytime share"
    IMPOSSIBLE_COUNTS = "impossible counts"
    LARGEST_DEVIATION = "largest of the day"


MIN_WITHOUT_DECIMALS = 10.0
"""Numbers of at least this size are shown without decimals."""
MIN_IN_THOUSANDS = 1000.0
"""Numbers of at least this size are shown in thousands."""


@dataclass(frozen=True)
class MapRow:
    """One row of the metric map.

    Attributes:
        label: readable name of the row.
        unit: unit of the values.
        columns: columns of the daily series whose sum the row shows.
    """

    label: str
    unit: str
    columns: tuple[int, ...]

    def sum_known_values(self, known_values: KnownValues, day: int) -> float | None:
        """Return the sum of the row's known values on a day, or None if no value is known."""
        values = [known_values.values.get((day, column)) for column in self.columns]
        known = [value for value in values if value is not None]
        return sum(known) if known else None

    def find_baseline(self, known_values: KnownValues, day: int) -> float | None:
        """Return the baseline of a day, or None if it is unknown or the row has no baseline."""
        return (
            None
            if self.is_impossible_counts_row
            else known_values.find_baseline(day, self.columns[0])
        )

    @property
    def is_impossible_counts_row(self) -> bool:
        """Whether the row shows the excess events of impossible counts."""
        return self.label == RowLabel.IMPOSSIBLE_COUNTS

    def format_value_with_unit(self, value: float) -> str:
        """Return a value with its unit, rounded as in tool results."""
        return f"{value_html(round(value, 4))}{self.unit}"

    def format_value_without_unit(self, value: float) -> str:
        """Return a value without its unit, with few decimals."""
        return f"{value:,.0f}" if self.unit == EVENTS else f"{value:,.2f}"


def build_map_rows(funnel: Funnel) -> list[MapRow]:
    """Return all rows of the metric map in funnel order."""
    columns = funnel.columns
    stage_names = [humanize(stage.event) for stage in funnel.stages]
    count_rows = [
        MapRow(humanize(name), EVENTS, (column,))
        for column, name in enumerate(funnel.event_count_names)
    ]
    rate_rows = [
        MapRow(f"{stage_names[below]} → {stage_names[above]}", PERCENT, (column,))
        for column, (above, below) in enumerate(
            funnel.rate_stage_indices, start=columns.rates.start
        )
    ]
    return [
        *count_rows,
        *rate_rows,
        MapRow(RowLabel.DAYTIME_SHARE, SHARE, (columns.daytime_share,)),
        MapRow(RowLabel.IMPOSSIBLE_COUNTS, EVENTS, tuple(columns.excess_columns)),
    ]


def find_map_row_index_of_column(map_rows: Sequence[MapRow], series_column: int) -> int:
    """Return the index of the map row that shows a column of the daily series."""
    return next(index for index, row in enumerate(map_rows) if series_column in row.columns)


def format_signed_and_abbreviated_number(value: float, max_decimals: int = 1) -> str:
    """Return a number with its sign, abbreviated to thousands (`+12k`) if it is large.

    A number that rounds to 0 has no sign.

    Args:
        value: the number to format.
        max_decimals: number of decimals of numbers below `MIN_WITHOUT_DECIMALS`.
    """
    size = abs(value)
    if size >= MIN_IN_THOUSANDS:
        text = f"{size / 1000:.0f}k"
    elif size >= MIN_WITHOUT_DECIMALS:
        text = f"{size:,.0f}"
    else:
        text = f"{size:,.{max_decimals}f}"
    if not text.strip("0."):
        return text
    return f"{'−' if value < 0 else '+'}{text}"
