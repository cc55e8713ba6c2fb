"""Baselines of the daily series, which are medians over all days or one median for each weekday."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.definitions.display import round_daily_values_for_display
from metric_tracker_rl.engine.definitions.names import WEEKDAYS, BaselineKind

DAYS_PER_WEEK = 7

FloatArray = NDArray[np.float64]


def compute_rounded_medians(
    daily_values: FloatArray, *, has_daytime_share: bool = True
) -> FloatArray:
    """Compute the medians of an array along its first axis and round them for display.

    The first axis of `daily_values` is the day (or the week, to compute one median for each
    weekday), and the last axis is the column.
    """
    half, odd = divmod(len(daily_values), 2)
    ordered = np.sort(daily_values, axis=0)
    return round_daily_values_for_display(
        ordered[half] if odd else (ordered[half - 1] + ordered[half]) / 2.0,
        has_daytime_share=has_daytime_share,
    )


def compute_rounded_baselines(
    daily_values: FloatArray, baseline_kind: BaselineKind, *, has_daytime_share: bool = True
) -> FloatArray:
    """Compute the baselines with which daily values are compared, rounded for display.

    Args:
        daily_values: shape (days, columns). For weekday baselines, the number of days must be a
            multiple of seven.
        baseline_kind: whether to compute medians over all days or for each weekday.
        has_daytime_share: whether the last column is a daytime share.

    Returns:
        Shape (1, columns) for medians over all days; shape (days, columns) for weekday medians.
    """
    if baseline_kind == BaselineKind.ALL_DAYS:
        medians = compute_rounded_medians(daily_values, has_daytime_share=has_daytime_share)
        return medians[np.newaxis]
    weeks = len(daily_values) // DAYS_PER_WEEK
    by_weekday = compute_rounded_medians(
        daily_values.reshape(weeks, DAYS_PER_WEEK, -1), has_daytime_share=has_daytime_share
    )
    return np.tile(by_weekday, (weeks, 1))


def get_weekday_name_of_date(iso_date: str) -> str:
    """Return the English name of a date's weekday."""
    return WEEKDAYS[date.fromisoformat(iso_date).weekday()]


def list_weekday_names_of_first_week(first_date: str) -> list[str]:
    """Return the names of seven consecutive weekdays, starting with that of the given date."""
    first = date.fromisoformat(first_date).weekday()
    return [WEEKDAYS[(first + day) % DAYS_PER_WEEK] for day in range(DAYS_PER_WEEK)]


def reorder_so_last_days_differ_in_weekday(
    days: Sequence[int], baseline_kind: BaselineKind
) -> list[int]:
    """Reorder day indices so that the last days of the list fall on different weekdays.

    The generator assigns anomalies to days from the end of the list. A weekday's median is computed
    from few days, so two similar anomalies on the same weekday would change it. If the baseline is
    the median over all days, the order is not changed.
    """
    if baseline_kind != BaselineKind.SAME_WEEKDAY:
        return list(days)
    seen: Counter[int] = Counter()
    occurrences = []
    for day in days:
        seen[day % DAYS_PER_WEEK] += 1
        occurrences.append(seen[day % DAYS_PER_WEEK])
    order = sorted(range(len(days)), key=lambda position: -occurrences[position])
    return [days[position] for position in order]
