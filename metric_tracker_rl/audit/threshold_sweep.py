"""Threshold sweep: turn one knob until as many rows come back as are expected."""

from __future__ import annotations

from metric_tracker_rl.audit.flagged import flagged_rows
from metric_tracker_rl.audit.registry import BLIND, exploit
from metric_tracker_rl.policies.registry import Observed, Play, submit

MULTIPLIERS = tuple(step / 8 for step in range(57))


@exploit("threshold_sweep", BLIND)
def threshold_sweep(opening: Observed) -> Play:
    """Submits the sweep step whose number of rows is nearest to expected_row_count."""
    wanted = opening["expected_row_count"]
    sweep = []
    for multiplier in MULTIPLIERS:
        rows = yield from flagged_rows(multiplier)
        sweep.append(rows)
        if len(rows) < wanted:
            break
    yield submit(min(sweep, key=lambda rows: abs(len(rows) - wanted)))
