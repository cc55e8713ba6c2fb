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
"""Fields of results that are tables. The first one in a result is its main table."""
EMPTY_TABLE_COLUMNS = {
    **dict.fromkeys(("generated_rows", "normalized_rows"), ROW_FIELDS),
    "events": ("date", "kind", "title", "explains"),
}
"""Columns of tables that are often empty, so that an empty frame has columns too."""


def result_frame(result: Mapping[str, Any], table: str | None = None) -> pd.DataFrame:
    """Convert the result of an analysis method into a frame with one row for each entry.

    A list within an entry becomes several rows: `get_rows_with_abs_diff_from_median_gt` gives a row
    for each match, with the name of its metric. A result without a table, such as that of
    `compare_rate_to_median` or `rows_for_date`, gives one row.

    Args:
        result: `analysis_result` of an observation, or its `result` alone.
        table: field of the result to convert; None for its main table. `details` of the row
            generators, for example, contains the number of rows of each metric.

    Returns:
        A frame with the index 0, 1, …. The tool reference describes columns and units. Dates are
        ISO text.

    Raises:
        InvalidValueError: `result` is not a mapping.
        UnknownNameError: the result has no table of that name. The message contains the nearest.
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
    rows = [row for entry in entries for row in _unfold_nested_rows(entry)]
    return pd.DataFrame(rows, columns=None if rows else EMPTY_TABLE_COLUMNS.get(table))


def _unfold_nested_rows(result_entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each mapping in the first nested list of an entry, or the entry itself."""
    for name, value in result_entry.items():
        if isinstance(value, list) and all(isinstance(element, Mapping) for element in value):
            if not value and name not in ("rows", "details"):
                continue
            other_fields = {key: field for key, field in result_entry.items() if key != name}
            return [{**other_fields, **element} for element in value]
    return [dict(result_entry)]
