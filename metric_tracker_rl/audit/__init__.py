"""Adversarial policies: what must not pay."""

from __future__ import annotations

from metric_tracker_rl.audit import (  # noqa: F401 - importing registers them
    extreme_per_day,
    one_per_family,
    report_flagged,
    threshold_sweep,
)
from metric_tracker_rl.audit.registry import EXPLOITS, Ceiling, Exploit, get_exploit

__all__ = ["EXPLOITS", "Ceiling", "Exploit", "get_exploit"]
