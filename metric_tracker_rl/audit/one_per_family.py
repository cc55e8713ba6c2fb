"""One row per family: the most extreme row that each family's generator finds."""

from __future__ import annotations

from metric_tracker_rl.audit.flagged import Asking, Row, flagged_rows, most_extreme
from metric_tracker_rl.audit.registry import BLIND, exploit
from metric_tracker_rl.policies.registry import Observed, Play, submit
from metric_tracker_rl.vocabulary import ANOMALY_TYPES


@exploit("one_per_family", BLIND)
def one_per_family(opening: Observed) -> Play:
    """Submits one row for each family that flags anything."""
    yield submit((yield from _best_of_each(opening)))


@exploit("one_per_family_matched", BLIND)
def one_per_family_matched(opening: Observed) -> Play:
    """Submits the most extreme of those rows, at most as many as are expected."""
    rows = yield from _best_of_each(opening)
    yield submit(most_extreme(rows, opening)[: opening["expected_row_count"]])


def _best_of_each(opening: Observed) -> Asking:
    best: list[Row] = []
    for family in ANOMALY_TYPES:
        rows = yield from flagged_rows(methods=(family,))
        best.extend(most_extreme(rows, opening)[:1])
    return list({(r["date"], r["entity_type"], r["entity_name"]): r for r in best}.values())
