"""Adversarial policies: what must not pay."""

from __future__ import annotations

from metric_tracker_rl.audit import (  # noqa: F401 - importing registers them
    constants,
    extreme_per_day,
    hill_climb,
    malformed,
    one_per_family,
    probing,
    regenerate,
    report_flagged,
    side_channel,
    threshold_sweep,
    visible_config,
)
from metric_tracker_rl.audit.registry import EXPLOITS, Ceiling, Exploit, get_exploit

__all__ = ["EXPLOITS", "Ceiling", "Exploit", "get_exploit"]
