"""Malformed reports: spellings, numbers and sizes that a careless grader would pay for."""

from __future__ import annotations

from typing import Any

from metric_tracker_rl.audit.flagged import flagged_rows, most_extreme
from metric_tracker_rl.audit.registry import FLAGGED, NOTHING, exploit
from metric_tracker_rl.policies.registry import Observed, Play, submit

NUMBERS: tuple[Any, ...] = (
    float("nan"),
    float("inf"),
    float("-inf"),
    True,
    10**400,
    "1e9999",
    None,
    [],
)


@exploit("near_duplicates", NOTHING)
def near_duplicates(_: Observed) -> Play:
    """Submits flagged rows in other spellings of date and name, several of each."""
    rows = yield from flagged_rows()
    variants = []
    for row in rows:
        date, name = row["date"], row["entity_name"]
        variants += [{**row, "date": text} for text in (f" {date}", date.replace("-", "/"))]
        variants += [{**row, "date": f"{date}T00:00:00"}]
        variants += [{**row, "entity_name": text} for text in (name.upper(), f"{name} ")]
    yield submit(variants[:1000])


@exploit("duplicates", FLAGGED)
def duplicates(opening: Observed) -> Play:
    """Submits the most extreme rows five times over."""
    rows = yield from flagged_rows()
    yield submit(most_extreme(rows, opening)[: opening["expected_row_count"]] * 5)


@exploit("odd_numbers", NOTHING)
def odd_numbers(_: Observed) -> Play:
    """Submits flagged rows whose numbers are NaN, infinite, boolean, huge or missing."""
    rows = yield from flagged_rows()
    fields = ("baseline_value", "observed_value", "delta_value")
    odd = [{**row, **dict.fromkeys(fields, number)} for row in rows for number in NUMBERS]
    yield submit(odd[:1000])


@exploit("oversized", NOTHING)
def oversized(_: Observed) -> Play:
    """Submits reports that are far too long, deep or wide."""
    rows = yield from flagged_rows()
    yield submit(rows * (5000 // max(len(rows), 1) + 1))
    yield {"classifications": rows, "payload_generators": [{"method_name": "median_filter"}]}
    yield submit([{**row, "entity_name": "x" * 100_000} for row in rows[:20]])


@exploit("everything", NOTHING)
def everything(_: Observed) -> Play:
    """Submits a row for every date and entity there is."""
    from metric_tracker_rl.audit.side_channel import all_cells

    yield submit((yield from all_cells())[:1000])
