"""Converts tool results into pandas frames, for notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metric_tracker_rl.engine.definitions.report_row import ROW_FIELDS
from openenv_kit.errors import InvalidValueError, require_name

if TYPE_CHECKING:
    import pandas as pd

TABLE_FIELDS = (
    "generated_rows",
    "normalized_rows",
    "rows",
    "results",
    "events",
    "candidates",
    "issues",
    "entities",
    "dates",
)
"""Names of result fields that contain tables. The first one in a result is its main table."""
EMPTY_TABLE_COLUMNS = {
    **dict.fromkeys(("generated_rows", "normalized_rows"), ROW_FIELDS),
    "events": ("date", "kind", "title", "explains"),
}
"""Columns of tables that are often empty, so that the frame of an empty table has columns too."""


def result_frame(result: Mapping[str, Any], table: str | None = None) -> pd.DataFrame:
    """Convert the result of an analysis method into a frame with one row for each entry.

    An entry with a nested list becomes several rows. For example, a result of
    `get_rows_with_abs_diff_from_median_gt` becomes a frame with one row per match, each with its
    metric name. A result without a table, such as that of `compare_rate_to_median` or
    `rows_for_date`, becomes a single row.

    Args:
        result: `analysis_result` of an observation, or only its `result` field.
        table: name of the result field to convert, or None for the main table. For example, the
            `details` field of a row generator's result contains the number of rows of each metric.

    Returns:
        A frame with the index 0, 1, …. The tool reference describes columns and units. Dates are
        ISO strings.

    Raises:
        InvalidValueError: `result` is not a mapping.
        UnknownNameError: the result has no table of this name. The message contains the nearest
            name.
    """
    import pandas as pd

    if not isinstance(result, Mapping):
        raise InvalidValueError("result", result, "analysis_result, or the result within it")
    fields = result["result"] if "method" in result and "result" in result else result
    lists = {name: value for name, value in fields.items() if isinstance(value, list)}
    if table is None:
        table = next((name for name in TABLE_FIELDS if name in lists), None)
        if table is None:
            flat: dict[str, Any] = {}
            for name, value in fields.items():
                flat |= value if isinstance(value, Mapping) else {name: value}
            return pd.DataFrame([flat])
    entries = lists[require_name("table", table, lists)]
    if entries and not isinstance(entries[0], Mapping):
        return pd.DataFrame({table.removesuffix("s"): entries})
    rows = [row for entry in entries for row in _unfold_first_nested_list_to_rows(entry)]
    return pd.DataFrame(rows, columns=None if rows else EMPTY_TABLE_COLUMNS.get(table))


def _unfold_first_nested_list_to_rows(result_entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Convert an entry of a table to rows.

    If the entry has a list of mappings, the result has a row for each mapping, which also contains
    the other fields of the entry. Otherwise, the entry is the only row. An empty list is ignored
    unless its name is `rows` or `details`; with these names, the entry has no rows.
    """
    for name, value in result_entry.items():
        if isinstance(value, list) and all(isinstance(element, Mapping) for element in value):
            if not value and name not in ("rows", "details"):
                continue
            other_fields = {key: field for key, field in result_entry.items() if key != name}
            return [{**other_fields, **element} for element in value]
    return [dict(result_entry)]
