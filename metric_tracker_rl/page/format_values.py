"""Formats the funnel's values with their units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_tracker_rl.engine.definitions.entity_types import ENTITY_TYPES, Unit
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from openenv_kit.page.components.elements import value_html

EVENTS = f" {Unit.EVENTS}"
PERCENT = f" {Unit.PERCENT}"
SHARE = f" {Unit.SHARE}"
POINTS = " points"
UNIT_BY_ENTITY_TYPE = {name: f" {entity_type.unit}" for name, entity_type in ENTITY_TYPES.items()}
"""Units of values and medians by entity type."""
VALUES = ("observed_value", "baseline_value", "median_value", "value", "std_dev_from_median")
DIFFERENCES = ("delta_value", "difference")
UNIT_BY_COLUMN = {
    "relative_deviation": " of the median",
    "max_rate_delta": PERCENT,
    "max_count_delta_pct": PERCENT,
    "hourly_mix_delta_pct": PERCENT,
    "suspicion_score": " times its threshold",
    "daytime_share": SHARE,
    "baseline_daytime_share": SHARE,
    **dict.fromkeys(ORDERING_APP.event_count_names, EVENTS),
    **dict.fromkeys(ORDERING_APP.conversion_rate_names, PERCENT),
}
"""Units of columns that always have the same unit."""


def format_field_with_unit(field_name: str, value: Any, other_fields: Mapping[str, Any]) -> str:
    """Format the value of a field as HTML. If it is a number with a known unit, append the unit.

    Args:
        field_name: name of the field.
        value: value of the field.
        other_fields: the other fields of the same row, whose entity type or metric determines the
            unit.
    """
    text = value_html(value)
    if field_name == "suspicion_score" and isinstance(value, float):
        text = f"{value:.1f}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return text
    if field_name in UNIT_BY_COLUMN:
        return text + UNIT_BY_COLUMN[field_name]
    unit = UNIT_BY_ENTITY_TYPE.get(
        str(other_fields.get("entity_type") or other_fields.get("metric_type")), ""
    )
    if not unit and "metric_name" in other_fields:
        # Names of a product's series do not say what they measure, so its values have no unit.
        unit = UNIT_BY_COLUMN.get(str(other_fields["metric_name"]), "")
    if field_name in DIFFERENCES and unit == PERCENT:
        return text + POINTS
    return text + unit if field_name in (*VALUES, *DIFFERENCES) else text
