"""What the label-blind exploits share: flagged rows, and how extreme each one is."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from metric_tracker_rl.policies.registry import Action, Observed, analyse, result_of
from metric_tracker_rl.vocabulary import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    HOURLY_MIX,
    ROW_GENERATORS,
)

Row = dict[str, Any]
Asking = Generator[Action, Observed, list[Row]]

IMPOSSIBLE = 100.0
"""How extreme impossible counts are: nothing else is as surely wrong."""


def flagged_rows(multiplier: float = 0.0, methods: Sequence[str] = ROW_GENERATORS) -> Asking:
    """Rows of several generators at one multiplier, by one analysis step."""
    wanted = [{"method_name": name, "threshold_multiplier": multiplier} for name in methods]
    found = result_of((yield analyse("payload_generator", generator_methods=wanted)))
    return list(found["generated_rows"])


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
