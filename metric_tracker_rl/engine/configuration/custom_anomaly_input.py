"""Reads custom anomalies from a reset's argument `anomalies`."""

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


def parse_custom_anomalies(raw: object) -> tuple[CustomAnomaly, ...]:
    """Return the custom anomalies of a reset.

    Args:
        raw: None, or a list of mappings or models with the fields of `CUSTOM_ANOMALY_FIELDS`.

    Raises:
        UnknownNameError: an unknown method, direction or field.
        InvalidValueError: a missing or wrong value.
    """
    if raw is None:
        return ()
    if not isinstance(raw, list | tuple):
        raise InvalidValueError("anomalies", raw, "a list of synthetic anomaly generators")
    if len(raw) > MAX_CUSTOM_ANOMALIES:
        allowed = f"at most {MAX_CUSTOM_ANOMALIES}"
        raise InvalidValueError("number of anomalies", len(raw), allowed)
    return tuple(_parse_custom_anomaly(item) for item in raw)


def _parse_custom_anomaly(item: object) -> CustomAnomaly:
    if hasattr(item, "model_dump"):
        item = item.model_dump()
    if not isinstance(item, Mapping):
        raise InvalidValueError("anomaly", item, "an object")
    for field in item:
        require_name("anomaly field", field, CUSTOM_ANOMALY_FIELDS)
    require_name("method_name", item.get("method_name", STDDEV_SHIFT), CUSTOM_ANOMALY_METHODS)
    metrics = _read_names(item, "metric_name", "metric_names")
    dates = _read_names(item, "date", "dates")
    factor = item.get("stddev_factor", 3.0)
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor <= 1000:
        raise InvalidValueError("stddev_factor", factor, "a number from 0 to 1000")
    direction = require_name("direction", item.get("direction", "auto"), DIRECTIONS)
    return CustomAnomaly(metrics, dates, float(factor), direction)


def _read_names(item: Mapping[str, Any], single_field: str, list_field: str) -> tuple[str, ...]:
    """Return the distinct names of two fields, of which one holds a name and one a list.

    Raises:
        InvalidValueError: no name, a name that is no text, or no list.
    """
    single_name, names = item.get(single_field), item.get(list_field)
    if names is not None and not isinstance(names, list | tuple):
        raise InvalidValueError(list_field, names, "a list of names")
    values = [] if single_name is None else [single_name]
    values += names or []
    if not values or not all(isinstance(value, str) for value in values):
        raise InvalidValueError(
            f"{single_field} / {list_field}", values, "at least one name as text"
        )
    return tuple(dict.fromkeys(values))
