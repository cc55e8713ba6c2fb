"""Most extreme row per day: one row for each of the most suspicious days."""

from __future__ import annotations

from metric_tracker_rl.audit.flagged import Row, flagged_rows, most_extreme
from metric_tracker_rl.audit.registry import BLIND, exploit
from metric_tracker_rl.policies.registry import Observed, Play, submit


@exploit("extreme_per_day", BLIND)
def extreme_per_day(opening: Observed) -> Play:
    """Submits the most extreme flagged row of as many days as rows are expected."""
    rows = yield from flagged_rows()
    days: dict[str, Row] = {}
    for row in most_extreme(rows, opening):
        days.setdefault(row["date"], row)
    yield submit(list(days.values())[: opening["expected_row_count"]])


@exploit("extreme_rows", BLIND)
def extreme_rows(opening: Observed) -> Play:
    """Submits the most extreme flagged rows of all, as many as are expected."""
    rows = yield from flagged_rows()
    yield submit(most_extreme(rows, opening)[: opening["expected_row_count"]])
