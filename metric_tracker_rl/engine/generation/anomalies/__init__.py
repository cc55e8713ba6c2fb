"""The seven anomaly families, one file each, in one registry."""

from __future__ import annotations

from metric_tracker_rl.engine.generation.anomalies.base import Cause, CleanDay, Family, Root
from metric_tracker_rl.engine.generation.anomalies.count_drop import CountDrop
from metric_tracker_rl.engine.generation.anomalies.count_spike import CountSpike
from metric_tracker_rl.engine.generation.anomalies.funnel_break import FunnelBreak
from metric_tracker_rl.engine.generation.anomalies.quality_issue import QualityIssue
from metric_tracker_rl.engine.generation.anomalies.rate_drop import RateDrop
from metric_tracker_rl.engine.generation.anomalies.rate_spike import RateSpike
from metric_tracker_rl.engine.generation.anomalies.traffic_mix import TrafficMix
from metric_tracker_rl.engine.vocabulary import ANOMALY_TYPES

__all__ = ["FAMILIES", "Cause", "CleanDay", "Family", "Root"]


def _registry(*families: Family) -> dict[str, Family]:
    """Families by anomaly type, checked to be complete and without repeats."""
    found = {family.anomaly_type: family for family in families}
    if len(found) != len(families) or set(found) != set(ANOMALY_TYPES):
        raise TypeError(f"one family per anomaly type is needed, got {sorted(found)}")
    return {name: found[name] for name in ANOMALY_TYPES}


FAMILIES: dict[str, Family] = _registry(
    RateDrop(), RateSpike(), CountDrop(), CountSpike(), FunnelBreak(), TrafficMix(), QualityIssue()
)
