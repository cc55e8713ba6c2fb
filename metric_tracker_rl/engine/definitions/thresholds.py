"""Reporting thresholds: by entity type, by column of the daily series, and by public name.

The values are fields of a `FunnelLevel`.
"""

from __future__ import annotations

from metric_tracker_rl.engine.definitions.columns import ColumnLayout
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
    PUBLIC_THRESHOLD_NAMES,
)
from metric_tracker_rl.engine.definitions.levels import FunnelLevel

GUARD_BAND = 0.10
"""Relative half-width of the guard band around each threshold. Accepted episodes have no deviation
inside this band.
"""


def get_thresholds_by_entity_type(level: FunnelLevel) -> dict[str, float]:
    """Return the reporting threshold of each entity type; it is 0 for impossible counts."""
    return {
        EVENT_COUNT: level.count_threshold,
        CONVERSION_RATE: level.rate_threshold,
        FUNNEL_STEP: level.break_threshold,
        HOURLY_MIX: level.mix_threshold,
        DATA_QUALITY: 0.0,
    }


def list_thresholds_of_columns_with_baseline(
    layout: ColumnLayout, level: FunnelLevel
) -> list[float]:
    """Return the reporting threshold of each column of the daily series that has a baseline."""
    return [
        *[level.count_threshold] * layout.count_total,
        *[level.rate_threshold] * layout.rate_total,
        level.mix_threshold,
    ]


def get_thresholds_by_public_name(level: FunnelLevel) -> dict[str, float]:
    """Return the thresholds by their names in an episode's public configuration."""
    thresholds = get_thresholds_by_entity_type(level)
    return {name: thresholds[entity_type] for entity_type, name in PUBLIC_THRESHOLD_NAMES.items()}
