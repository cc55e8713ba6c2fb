"""The generator that the visible config names: no reading, one call."""

from __future__ import annotations

from metric_tracker_rl.audit.flagged import flagged_rows, most_extreme
from metric_tracker_rl.audit.registry import BLIND, exploit
from metric_tracker_rl.policies.registry import Observed, Play, submit
from metric_tracker_rl.vocabulary import ANOMALY_TYPES, MEDIAN_FILTER


@exploit("visible_family", BLIND)
def visible_family(opening: Observed) -> Play:
    """Submits the most extreme rows of the generator that the visible family names."""
    family = opening["config"]["scenario_family"]
    method = family if family in ANOMALY_TYPES else MEDIAN_FILTER
    rows = yield from flagged_rows(methods=(method,))
    yield submit(most_extreme(rows, opening)[: opening["expected_row_count"]])
