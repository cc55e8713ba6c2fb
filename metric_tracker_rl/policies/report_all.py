"""Report all: every flagged value, roots and echoes alike."""

from __future__ import annotations

from metric_tracker_rl.policies.base import Observed, Play, policy, submit
from metric_tracker_rl.policies.flagged import flagged_rows


@policy("report_all")
def report_all(_: Observed) -> Play:
    """Submits every row that any generator flags."""
    yield submit((yield from flagged_rows()))
