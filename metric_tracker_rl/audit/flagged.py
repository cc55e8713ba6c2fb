"""What the label-blind exploits share: how extreme a flagged row is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metric_tracker_rl.policies.flagged import Asking, Row, flagged_rows
from metric_tracker_rl.policies.registry import Observed
from metric_tracker_rl.vocabulary import CONVERSION_RATE, DATA_QUALITY, EVENT_COUNT, HOURLY_MIX

__all__ = ["Asking", "Row", "extremity", "flagged_rows", "most_extreme"]

IMPOSSIBLE = 100.0
"""How extreme impossible counts are: nothing else is as surely wrong."""


def extremity(row: Mapping[str, Any], thresholds: Mapping[str, float]) -> float:
    """A row's deviation as a multiple of its reporting threshold."""
    kind = row["entity_type"]
    if kind == DATA_QUALITY:
        return IMPOSSIBLE + float(row["delta_value"])
    size = abs(row["delta_value"])
    if kind == HOURLY_MIX:
        return float(size / thresholds["daytime_share_absolute"])
    relative = size / row["baseline_value"] if row["baseline_value"] else size
    limits = {
        EVENT_COUNT: thresholds["count_relative"],
        CONVERSION_RATE: thresholds["rate_relative"],
    }
    return float(relative / limits.get(kind, thresholds["funnel_break_relative_drop"]))


def most_extreme(rows: Sequence[Row], opening: Observed) -> list[Row]:
    """Rows from the most to the least extreme; ties keep their order."""
    thresholds = opening["config"]["thresholds"]
    return sorted(rows, key=lambda row: -extremity(row, thresholds))
