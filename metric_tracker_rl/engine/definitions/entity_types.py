"""Types of the entities that a report row can describe, such as counts and rates."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

EVENT_COUNT = "event_count"
CONVERSION_RATE = "conversion_rate"
FUNNEL_STEP = "funnel_step"
HOURLY_MIX = "hourly_mix"
DATA_QUALITY = "data_quality"


class Unit(StrEnum):
    """Unit that is displayed after a value."""

    EVENTS = "events"
    PERCENT = "%"
    SHARE = "of events"


class Entity(NamedTuple):
    """A metric, funnel step or pair of stages that a report row can describe."""

    entity_type: str
    entity_name: str


class EntityType(NamedTuple):
    """Properties that all entities of one type share.

    Attributes:
        name: value of `entity_type` in report rows.
        detection_method: name of the analysis method that shows the entity. Report rows must
            contain this name.
        threshold_name: name of the reporting threshold in an episode's public configuration; None
            if every deviation is reported.
        unit: unit of the displayed values.
        decimals: number of decimals of the displayed values.
        is_relative: whether thresholds and severity bounds apply to the deviation divided by the
            baseline; otherwise they apply to the absolute difference.
    """

    name: str
    detection_method: str
    threshold_name: str | None
    unit: Unit
    decimals: int
    is_relative: bool


ENTITY_TYPES: dict[str, EntityType] = {
    entity_type.name: entity_type
    for entity_type in (
        EntityType(
            name=EVENT_COUNT,
            detection_method="compare_count_to_median",
            threshold_name="count_relative",
            unit=Unit.EVENTS,
            decimals=4,
            is_relative=True,
        ),
        EntityType(
            name=CONVERSION_RATE,
            detection_method="compare_rate_to_median",
            threshold_name="rate_relative",
            unit=Unit.PERCENT,
            decimals=4,
            is_relative=True,
        ),
        EntityType(
            name=FUNNEL_STEP,
            detection_method="detect_funnel_break",
            threshold_name="funnel_break_relative_drop",
            unit=Unit.PERCENT,
            decimals=4,
            is_relative=True,
        ),
        EntityType(
            name=HOURLY_MIX,
            detection_method="hourly_rows_for_date",
            threshold_name="daytime_share_absolute",
            unit=Unit.SHARE,
            decimals=6,
            is_relative=False,
        ),
        EntityType(
            name=DATA_QUALITY,
            detection_method="check_impossible_counts",
            threshold_name=None,
            unit=Unit.EVENTS,
            decimals=4,
            is_relative=False,
        ),
    )
}
"""Entity types by name."""

# JSON schemas list the methods in this order, so reordering them would change every catalogue.
DETECTION_METHODS: dict[str, str] = {
    name: ENTITY_TYPES[name].detection_method
    for name in (CONVERSION_RATE, EVENT_COUNT, FUNNEL_STEP, HOURLY_MIX, DATA_QUALITY)
}
"""Detection methods by entity type."""

PUBLIC_THRESHOLD_NAMES: dict[str, str] = {
    name: entity_type.threshold_name
    for name, entity_type in ENTITY_TYPES.items()
    if entity_type.threshold_name is not None
}
"""Names of the reporting thresholds in a public configuration, by entity type."""
