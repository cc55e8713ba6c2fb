"""Null: the floor of every scale."""

from __future__ import annotations

from metric_tracker_rl.policies.base import Observed, Play, policy, submit


@policy("null")
def null(_: Observed) -> Play:
    """Submits the empty report at once."""
    yield submit([])
