"""Reads reports: each row is checked against the names and dates of the episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field as ArgumentField
from pydantic import create_model

from drilldown_next.change_log import UNATTRIBUTED
from drilldown_next.episode import Episode, ReportRow
from drilldown_next.levels import ALL_LEVELS, Field, Level
from drilldown_next.segments import DimensionValue, Segment
from openenv_kit.errors import (
    InvalidValueError,
    ReportError,
    UnknownNameError,
    require_name,
)
from openenv_kit.tool import ToolArguments

MAX_ROWS = 10
"""Largest number of rows in a report; a correct one has at most three."""
_ROW_FIELDS: dict[Field, dict[str, tuple[type, str]]] = {
    Field.STEP: {"step": (str, "later stage of the step")},
    Field.SEGMENT: {"segment": (dict[str, str], "dimension: value, 1 or 2 of them")},
    Field.DATES: {
        "date_from": (str, "YYYY-MM-DD, first day"),
        "date_to": (str, "YYYY-MM-DD, last day"),
    },
    Field.CHANGE: {"change": (str, "id in the change log, or unattributed")},
}
"""Type and description of the fields of a report row."""


def _build_row_model(asked: Sequence[Field]) -> type[ToolArguments]:
    fields: dict[str, Any] = {
        name: (type_, ArgumentField(description=description))
        for field in asked
        for name, (type_, description) in _ROW_FIELDS[field].items()
    }
    if Field.SEGMENT in asked and Field.STEP not in asked:  # all roots have one value
        fields["segment"] = (dict[str, str], ArgumentField(description="dimension: value, one"))
    return create_model("Row", __base__=ToolArguments, **fields)


ROW_MODELS: dict[tuple[Field, ...], type[ToolArguments]] = {
    level.asked: _build_row_model(level.asked) for level in ALL_LEVELS.values()
}
"""Model of a report row for each set of fields that a level asks for."""


def read_report(rows: Sequence[ToolArguments], episode: Episode) -> tuple[ReportRow, ...]:
    """Return the rows of a report with the indices of their names and dates.

    Args:
        rows: the rows, as instances of the level's row model.
        episode: the episode.

    Raises:
        ReportError: a row is invalid, or two have the same step, segment and days. Nothing was
            graded.
    """
    read: list[ReportRow] = []
    for number, row in enumerate(rows, start=1):
        try:
            found = read_row({**row.model_dump(), **episode.alert.given}, episode)
        except (UnknownNameError, InvalidValueError) as problem:
            raise ReportError(f"Row {number}: {problem} Nothing was submitted.") from None
        for earlier, other in enumerate(read, start=1):
            if found.place == other.place:
                raise ReportError(
                    f"Rows {earlier} and {number} have the same step, segment and days; allowed: "
                    "rows that differ in them. Nothing was submitted."
                )
        read.append(found)
    return tuple(read)


def read_row(row: Mapping[str, Any], episode: Episode) -> ReportRow:
    """Return one row with the indices of its names and dates.

    Raises:
        UnknownNameError, InvalidValueError: a field has a wrong value.
    """
    first = read_date("date_from", row["date_from"], episode)
    last = read_date("date_to", row["date_to"], episode)
    if last < first:
        raise InvalidValueError("date_to", row["date_to"], f"{row['date_from']} or later")
    ids = [entry.id for entry in episode.log]
    if row["change"] not in (UNATTRIBUTED, *ids):
        allowed = f"{UNATTRIBUTED}, or an id from {ids[0]} to {ids[-1]}"
        raise InvalidValueError("change", row["change"], allowed)
    segment = read_segment(row["segment"], episode, episode.level.max_segment_values)
    return ReportRow(read_step(row["step"], episode), segment, first, last, row["change"])


def read_step(name: str, episode: Episode) -> int:
    """Return the index of a step.

    Raises:
        UnknownNameError: the product has no such step.
    """
    names = episode.product.step_names
    return names.index(require_name("step", name, names))


def read_segment(values: Mapping[str, str], episode: Episode, max_values: int = 2) -> Segment:
    """Return the segment of values by the names of their dimensions.

    Raises:
        UnknownNameError, InvalidValueError: an unknown name, or too many or too few values.
    """
    if not 1 <= len(values) <= max_values:
        allowed = "1" if max_values == 1 else f"1 to {max_values}"
        raise InvalidValueError("number of values in segment", len(values), allowed)
    return tuple(sorted(read_value(name, value, episode) for name, value in values.items()))


def read_value(dimension_name: str, value_name: str, episode: Episode) -> DimensionValue:
    """Return the indices of a dimension and a value.

    Raises:
        UnknownNameError: the product has no such dimension or value.
    """
    dimension = read_dimension(dimension_name, episode)
    values = episode.product.dimensions[dimension].values
    name = require_name(f"value of {dimension_name}", value_name, values)
    return DimensionValue(dimension, values.index(name))


def read_dimension(name: str, episode: Episode) -> int:
    """Return the index of a dimension.

    Raises:
        UnknownNameError: the product has no such dimension.
    """
    names = episode.product.dimension_names
    return names.index(require_name("dimension", name, names))


def read_date(name: str, date: str, episode: Episode) -> int:
    """Return the index of a date.

    Args:
        name: name of the argument, for the error message.
        date: the date, YYYY-MM-DD.
        episode: the episode.

    Raises:
        InvalidValueError: it is no date of the episode.
    """
    if date not in episode.day_by_date:
        allowed = f"YYYY-MM-DD from {episode.dates[0]} to {episode.dates[-1]}"
        raise InvalidValueError(name, date, allowed)
    return episode.day_by_date[date]


def list_schema_fields(level: Level) -> list[str]:
    """Return the names of the fields in a report row of a level."""
    return list(ROW_MODELS[level.asked].model_fields)


def name_row(row: ReportRow, episode: Episode) -> dict[str, Any]:
    """Return a row with the names and dates that a player submits, without given fields."""
    fields = {
        "step": episode.product.step_names[row.step],
        "segment": episode.product.name_segment(row.segment),
        "date_from": episode.dates[row.first],
        "date_to": episode.dates[row.last],
        "change": row.change,
    }
    return {name: fields[name] for name in list_schema_fields(episode.level)}
