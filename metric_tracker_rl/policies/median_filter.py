"""Median filter: one statistical generator, no reading."""

from __future__ import annotations

from metric_tracker_rl.engine.vocabulary import MEDIAN_FILTER
from metric_tracker_rl.policies.base import Observed, Play, policy, submit
from metric_tracker_rl.policies.flagged import flagged_rows

MULTIPLIER = 2.0


@policy("median_filter")
def median_filter(_: Observed) -> Play:
    """Submits what one median filter at two standard deviations generates."""
    yield submit((yield from flagged_rows(MULTIPLIER, (MEDIAN_FILTER,))))
