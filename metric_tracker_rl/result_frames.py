"""Tool results as pandas frames, for notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metric_tracker_rl.engine.definitions.report_row import ROW_FIELDS
from openenv_kit.errors import InvalidValueError, require_name

if TYPE_CHECKING:
    import pandas as pd

TABLE_FIELDS = (
    *("generated_rows", "normalized_rows", "rows", "results", "events", "candidates", "issues"),
    *("entities", "dates"),
)
"""Parts of results that are tables, the one that matters most first."""
EMPTY_TABLE_COLUMNS = {
    **dict.fromkeys(("generated_rows", "normalized_rows"), ROW_FIELDS),
    "events": ("date", "kind", "title", "explains"),
}
"""Columns of tables that may well be empty."""


def result_frame(result: Mapping[str, Any], table: str | None = None) -> pd.DataFrame:
    """The result of an analysis method as a frame, one row for each entry.

    A list within an entry is unfolded: `get_rows_with_abs_diff_from_median_gt` gives one row for
    each match, beside the name of its metric. A result without a table, such as that of
    `compare_rate_to_median` or `rows_for_date`, is one row.

    Args:
        result: `analysis_result` of an observation, or its `result` alone.
        table: which part of the result; None for its main table. `details` of the row
            generators, for example, tells how many rows each metric gave.

    Returns:
        A frame with a fresh index 0, 1, …; columns and units are those of the tool reference.
        Dates are ISO text, as everywhere in this environment.

    Raises:
        InvalidValueError: `result` is not a mapping, so not a result.
        UnknownNameError: the result has no table of that name; names the nearest.
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
    rows = [row for entry in entries for row in _unfold_entry(entry)]
    return pd.DataFrame(rows, columns=None if rows else EMPTY_TABLE_COLUMNS.get(table))


def _unfold_entry(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An entry, or one for each element of the list of mappings within it."""
    for name, value in entry.items():
        if isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
            if not value and name not in ("rows", "details"):
                continue
            rest = {key: held for key, held in entry.items() if key != name}
            return [{**rest, **each} for each in value]
    return [dict(entry)]
