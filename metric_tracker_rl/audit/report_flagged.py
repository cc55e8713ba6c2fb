"""Report everything flagged: roots and echoes alike, in one message."""

from __future__ import annotations

from metric_tracker_rl.audit.registry import FLAGGED, exploit
from metric_tracker_rl.policies.flagged import flagged_rows, unexplained_rows
from metric_tracker_rl.policies.registry import Observed, Play, submit


@exploit("report_flagged", FLAGGED)
def report_flagged(_: Observed) -> Play:
    """Submits every row that any generator flags."""
    yield submit((yield from flagged_rows()))


@exploit("report_unexplained", FLAGGED)
def report_unexplained(_: Observed) -> Play:
    """Submits every flagged row that the public calendar does not explain."""
    yield submit((yield from unexplained_rows()))
