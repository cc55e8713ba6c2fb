"""Anomaly types of report rows, with the properties that the generator uses to plan anomalies."""

from __future__ import annotations

from typing import NamedTuple

from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    ENTITY_TYPES,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
)

MIXED = "mixed"
"""Scenario family of episodes with anomalies of several types."""
RATE_DROP = "rate_drop_from_median"
RATE_SPIKE = "rate_spike_from_median"
COUNT_DROP = "absolute_drop_in_event_count"
COUNT_SPIKE = "absolute_spike_in_event_count"
FUNNEL_BREAK = "funnel_break"
MIX_SHIFT = "hourly_traffic_mix_shift"
QUALITY_ISSUE = "instrumentation_data_quality_issue"


class Directions(NamedTuple):
    """Whether an anomaly type covers deviations below the baseline, above it, or both."""

    is_below: bool
    is_above: bool


DOWN = Directions(is_below=True, is_above=False)
UP = Directions(is_below=False, is_above=True)
UP_OR_DOWN = Directions(is_below=True, is_above=True)


class AnomalyType(NamedTuple):
    """A type of anomaly, such as a drop of a conversion rate.

    Attributes:
        name: name in requests and replies, which is also the name of a scenario family.
        entity_type: entity type of its report rows.
        directions: directions of the deviations that it covers.
        description: noun phrase for the rows that its row generator returns. A row generator is an
            analysis method that lists candidate rows for a report.
        may_share_day: whether the episode generator may plan a traffic-mix shift on the same day.
        generator_returns_consequences: whether its row generator also returns rows that are only
            consequences of another anomaly and must not be reported.
    """

    name: str
    entity_type: str
    directions: Directions
    description: str
    may_share_day: bool = True
    generator_returns_consequences: bool = True


# The generator chooses anomaly types by position, so new ones must be appended.
ANOMALY_TYPES: dict[str, AnomalyType] = {
    anomaly_type.name: anomaly_type
    for anomaly_type in (
        AnomalyType(RATE_DROP, CONVERSION_RATE, DOWN, "conversion rates far below their median"),
        AnomalyType(RATE_SPIKE, CONVERSION_RATE, UP, "conversion rates far above their median"),
        AnomalyType(COUNT_DROP, EVENT_COUNT, DOWN, "event counts far below their median"),
        AnomalyType(COUNT_SPIKE, EVENT_COUNT, UP, "event counts far above their median"),
        AnomalyType(
            FUNNEL_BREAK,
            FUNNEL_STEP,
            DOWN,
            "funnel steps whose rate fell by at least the break threshold",
            generator_returns_consequences=False,
        ),
        AnomalyType(
            MIX_SHIFT,
            HOURLY_MIX,
            UP_OR_DOWN,
            "dates whose daytime share is far from its median",
            may_share_day=False,
            generator_returns_consequences=False,
        ),
        AnomalyType(
            QUALITY_ISSUE,
            DATA_QUALITY,
            UP,
            "adjacent stages with impossible counts in some hour",
            may_share_day=False,
            generator_returns_consequences=False,
        ),
    )
}
"""Anomaly types by name."""

MEDIAN_FILTER = "median_filter"
ROW_GENERATOR_NAMES = (MEDIAN_FILTER, *ANOMALY_TYPES)
"""Names of the row generators; the analysis method of each is `get_<name>_rows`."""


class AnomalyTypesByDirection(NamedTuple):
    """Names of an entity type's anomaly types below and above the baseline.

    A name is None if deviations in its direction are never reported.
    """

    below: str | None
    above: str | None


def _find_anomaly_types_by_direction(entity_type: str) -> AnomalyTypesByDirection:
    types = [each for each in ANOMALY_TYPES.values() if each.entity_type == entity_type]
    return AnomalyTypesByDirection(
        below=next((each.name for each in types if each.directions.is_below), None),
        above=next((each.name for each in types if each.directions.is_above), None),
    )


_BY_ENTITY_TYPE = {name: _find_anomaly_types_by_direction(name) for name in ENTITY_TYPES}


def list_anomaly_types_of_entity_type(entity_type: str) -> tuple[str, ...]:
    """Return the names of the anomaly types whose report rows have the given entity type."""
    return tuple(each.name for each in ANOMALY_TYPES.values() if each.entity_type == entity_type)


def find_anomaly_type_of_deviation(entity_type: str, deviation: float) -> str | None:
    """Return the name of the anomaly type that covers a deviation from the baseline.

    Return None if deviations in this direction are never reported, such as a rise of a funnel
    step's rate.
    """
    types = _BY_ENTITY_TYPE[entity_type]
    return types.above if deviation > 0 else types.below
