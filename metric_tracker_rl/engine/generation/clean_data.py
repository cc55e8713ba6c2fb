"""Draws the dates, counts and calendar of an episode before anomalies are added.

The counts contain decoys, which are deviations that a calendar entry explains.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.generation.calendar import (
    CalendarEntry,
    CalendarPlan,
    build_mask_of_explained_values,
    draw_calendar,
)
from metric_tracker_rl.engine.generation.clean_counts import generate_clean_counts
from metric_tracker_rl.engine.generation.explained_anomalies import (
    draw_calendar_of_explained_anomalies,
    plant_suspended_anomalies,
)
from metric_tracker_rl.engine.generation.near_misses import plant_near_misses
from metric_tracker_rl.engine.generation.product_calendar import (
    draw_product_calendar,
    list_open_days,
)
from metric_tracker_rl.engine.reporting_policy.baselines import (
    DAYS_PER_WEEK,
    reorder_so_last_days_differ_in_weekday,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import IntArray
from metric_tracker_rl.products.twin import generate_twin_counts
from openenv_kit.bitstream import BitStream

FIRST_DATE = dt.date(2022, 1, 1)
START_DATE_SPAN_DAYS = 1400
"""Range of an episode's start date in days from `FIRST_DATE`, independent of the current date."""
MAX_EPISODE_DAYS = 366


class CleanData(NamedTuple):
    """Data of an episode without anomalies.

    Attributes:
        dates: ISO date of each day.
        clean: hourly counts with the effects of the calendar entries, shape (days, hours, stages).
        calendar: calendar entries; empty on levels without a calendar.
        explained: whether the calendar explains a deviation of a series on a day, shape (days,
            columns with a baseline); None on levels without a calendar.
        free_days: indices of the days on which an anomaly may be planned, in random order.
    """

    dates: tuple[str, ...]
    clean: IntArray
    calendar: tuple[CalendarEntry, ...]
    explained: NDArray[np.bool_] | None
    free_days: list[int]


def draw_clean_data(stream: BitStream, config: EpisodeConfig) -> CleanData:
    """Draw the dates, counts and calendar of an episode before anomalies are added.

    The order of the draws from the random stream determines the data.
    """
    level, funnel = config.level_with_policy_parameters, config.funnel_with_policy_daytime
    start_day = stream.integer_below(START_DATE_SPAN_DAYS)
    dates = list_all_possible_iso_dates()[start_day : start_day + level.days]
    first_weekday = (FIRST_DATE.weekday() + start_day) % DAYS_PER_WEEK
    if config.product is None:
        clean = generate_clean_counts(stream, funnel, level, first_weekday)
    else:
        clean = generate_twin_counts(stream, config.product, level.days, first_weekday)
    if not level.decoys:
        days = range(level.days) if config.product is None else list_open_days(clean)
        free_days = reorder_so_last_days_differ_in_weekday(
            stream.shuffled_copy(days), level.baseline
        )
        return CleanData(dates, clean, (), None, free_days)
    calendar, free_days = _draw_calendar(stream, config, clean)
    for entry in calendar:
        for effect in entry.effects:
            clean[entry.day] = effect.apply_to_copy(clean[entry.day])
    if level.has_decoys_like_anomalies:
        plant_suspended_anomalies(stream, config, clean, free_days)
        plant_near_misses(stream, config, clean, free_days)
    explained = build_mask_of_explained_values(calendar, funnel, level.days)
    return CleanData(dates, clean, calendar, explained, free_days)


def _draw_calendar(stream: BitStream, config: EpisodeConfig, clean: IntArray) -> CalendarPlan:
    level, funnel = config.level_with_policy_parameters, config.funnel_with_policy_daytime
    if level.has_decoys_like_anomalies:
        return draw_calendar_of_explained_anomalies(stream, config, clean)
    if config.product is None:
        return draw_calendar(stream, funnel, level)
    return draw_product_calendar(stream, funnel, level, clean)


@cache
def list_all_possible_iso_dates() -> tuple[str, ...]:
    """Return the ISO dates of all days that an episode can contain, starting with `FIRST_DATE`."""
    days = range(START_DATE_SPAN_DAYS + MAX_EPISODE_DAYS)
    return tuple((FIRST_DATE + dt.timedelta(days=day)).isoformat() for day in days)
