"""Parses the reset argument `anomalies`, with which a client requests anomalies of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_tracker_rl.engine.configuration.episode_config import CustomAnomaly
from metric_tracker_rl.engine.definitions.names import (
    CUSTOM_ANOMALY_METHODS,
    DIRECTIONS,
    STDDEV_SHIFT,
)
from openenv_kit.errors import InvalidValueError, require_name

MAX_CUSTOM_ANOMALIES = 50

CUSTOM_ANOMALY_FIELDS = (
    "method_name",
    "metric_name",
    "metric_names",
    "date",
    "dates",
    "stddev_factor",
    "direction",
)
"""Fields of a custom anomaly on the wire."""


def parse_custom_anomalies(raw_anomalies: object) -> tuple[CustomAnomaly, ...]:
    """Parse the value of the reset argument `anomalies` and return the custom anomalies.

    Args:
        raw_anomalies: list of mappings or pydantic models with the fields of
            `CUSTOM_ANOMALY_FIELDS`, or None for no custom anomalies.

    Raises:
        UnknownNameError: a method, direction or field name is unknown.
        InvalidValueError: a value is missing or not allowed, or the list is too long.
    """
    if raw_anomalies is None:
        return ()
    if not isinstance(raw_anomalies, list | tuple):
        raise InvalidValueError(
            "anomalies", raw_anomalies, "a list of synthetic anomaly generators"
        )
    if len(raw_anomalies) > MAX_CUSTOM_ANOMALIES:
        allowed = f"at most {MAX_CUSTOM_ANOMALIES}"
        raise InvalidValueError("number of anomalies", len(raw_anomalies), allowed)
    return tuple(_parse_custom_anomaly(item) for item in raw_anomalies)


def _parse_custom_anomaly(raw_anomaly: object) -> CustomAnomaly:
    if hasattr(raw_anomaly, "model_dump"):
        raw_anomaly = raw_anomaly.model_dump()
    if not isinstance(raw_anomaly, Mapping):
        raise InvalidValueError("anomaly", raw_anomaly, "an object")
    for field in raw_anomaly:
        require_name("anomaly field", field, CUSTOM_ANOMALY_FIELDS)
    require_name(
        "method_name", raw_anomaly.get("method_name", STDDEV_SHIFT), CUSTOM_ANOMALY_METHODS
    )
    metrics = _merge_distinct_names_of_single_and_list_field(
        raw_anomaly, "metric_name", "metric_names"
    )
    dates = _merge_distinct_names_of_single_and_list_field(raw_anomaly, "date", "dates")
    factor = raw_anomaly.get("stddev_factor", 3.0)
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor <= 1000:
        raise InvalidValueError("stddev_factor", factor, "a number from 0 to 1000")
    direction = require_name("direction", raw_anomaly.get("direction", "auto"), DIRECTIONS)
    return CustomAnomaly(metrics, dates, float(factor), direction)


def _merge_distinct_names_of_single_and_list_field(
    raw_anomaly: Mapping[str, Any], single_field: str, list_field: str
) -> tuple[str, ...]:
    """Return the names given in two fields of an anomaly, in order and without duplicates.

    Args:
        raw_anomaly: custom anomaly as the client sent it.
        single_field: field that contains one name or None.
        list_field: field that contains a list of names or None.

    Raises:
        InvalidValueError: both fields are empty, a name is not a string, or `list_field` does not
            contain a list.
    """
    single_name, names = raw_anomaly.get(single_field), raw_anomaly.get(list_field)
    if names is not None and not isinstance(names, list | tuple):
        raise InvalidValueError(list_field, names, "a list of names")
    values = [] if single_name is None else [single_name]
    values += names or []
    if not values or not all(isinstance(value, str) for value in values):
        raise InvalidValueError(
            f"{single_field} / {list_field}", values, "at least one name as text"
        )
    return tuple(dict.fromkeys(values))
