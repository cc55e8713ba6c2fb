"""Units of the funnel's numbers: a number without one is a riddle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
)
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from openenv_kit.page.components.elements import format_value

EVENTS, PERCENT, SHARE, POINTS = " events", " %", " of events", " points"
UNIT_BY_ENTITY_TYPE = {
    EVENT_COUNT: EVENTS,
    CONVERSION_RATE: PERCENT,
    FUNNEL_STEP: PERCENT,
    HOURLY_MIX: SHARE,
    DATA_QUALITY: EVENTS,
}
"""Of values and medians, by entity type."""
VALUES = ("observed_value", "baseline_value", "median_value", "value", "std_dev_from_median")
DIFFERENCES = ("delta_value", "difference")
UNIT_BY_COLUMN = {
    "relative_deviation": " of the median",
    "max_rate_delta": PERCENT,
    "max_count_delta_pct": PERCENT,
    "hourly_mix_delta_pct": PERCENT,
    "suspicion_score": " × threshold",
    "daytime_share": SHARE,
    "baseline_daytime_share": SHARE,
    **dict.fromkeys(ORDERING_APP.count_names, EVENTS),
    **dict.fromkeys(ORDERING_APP.rate_names, PERCENT),
}
"""Of columns that always have the same unit."""


def format_with_unit(name: str, value: Any, row: Mapping[str, Any]) -> str:
    """A number of a row or a result as people read it; what is no number is written as it is.

    Args:
        name: of the field.
        value: of the field.
        row: its other fields, of which the entity type or the metric decides the unit.
    """
    shown = format_value(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return shown
    if name in UNIT_BY_COLUMN:
        return shown + UNIT_BY_COLUMN[name]
    unit = UNIT_BY_ENTITY_TYPE.get(str(row.get("entity_type") or row.get("metric_type")), "")
    if not unit and "metric_name" in row:
        unit = EVENTS if row["metric_name"] in ORDERING_APP.count_names else PERCENT
    if name in DIFFERENCES and unit == PERCENT:
        return shown + POINTS
    return shown + unit if name in (*VALUES, *DIFFERENCES) else shown
