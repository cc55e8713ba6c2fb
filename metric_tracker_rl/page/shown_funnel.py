"""The funnel and the thresholds of an episode, read from the configuration of its reset reply.

For an episode that was generated from a user's own data (a product), the configuration contains the
names of the series and a threshold for each of them. For an episode of the built-in funnel, it
contains only one threshold for each kind of series, such as event counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from metric_tracker_rl.engine.configuration.episode_config import FUNNELS
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
    PUBLIC_THRESHOLD_NAMES,
)
from metric_tracker_rl.engine.definitions.funnel import Funnel, FunnelStage, HourRange


def read_funnel(config: Mapping[str, Any]) -> Funnel:
    """Build the funnel of an episode from the configuration in its reset observation.

    Args:
        config: configuration in the reset observation.
    """
    if "stages" not in config:
        return FUNNELS[config["funnel"]]
    daytime = config.get("daytime_hours") if config.get("daytime_share") else None
    return Funnel(
        name=config["funnel"],
        stages=tuple(FunnelStage(name, name) for name in config["stages"]),
        composite_ends=tuple(config["composite_rates"].values()),
        # The configuration contains the last daytime hour, but a range ends with the hour after it.
        daytime=HourRange(daytime[0], daytime[1] + 1) if daytime else None,
        hours_per_day=config["hours_per_day"],
        compares_daily_totals=config["compares_daily_totals"],
    )


def list_thresholds_by_column(config: Mapping[str, Any], funnel: Funnel) -> list[float]:
    """Return the threshold for reporting each daily series, in column order.

    The columns are the event counts, the conversion rates and the daytime share. The thresholds are
    infinite if only a tool states them.
    """
    thresholds = config.get("thresholds")
    if thresholds is None:
        return [math.inf] * len(funnel.daily_series_names)
    if "stages" in config:
        return [thresholds[name] for name in funnel.daily_series_names]
    counts, rates = len(funnel.event_count_names), len(funnel.conversion_rate_names)
    kinds = [EVENT_COUNT] * counts + [CONVERSION_RATE] * rates + [HOURLY_MIX]
    return [thresholds[PUBLIC_THRESHOLD_NAMES[kind]] for kind in kinds]


def list_break_drops(config: Mapping[str, Any], funnel: Funnel) -> Sequence[float]:
    """Return, for each step of the funnel, the smallest relative drop that is a funnel break.

    It is infinite if only a tool states the thresholds.
    """
    names = funnel.funnel_step_names
    if "stages" in config:
        return [config["break_thresholds"][name] for name in names]
    if "thresholds" not in config:
        return [math.inf] * len(names)
    return [config["thresholds"][PUBLIC_THRESHOLD_NAMES[FUNNEL_STEP]]] * len(names)
