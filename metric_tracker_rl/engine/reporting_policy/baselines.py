"""Baselines: the median of all days, or a median for each weekday."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.definitions.display import round_daily_values
from metric_tracker_rl.engine.definitions.names import WEEKDAYS, BaselineKind

DAYS_PER_WEEK = 7

FloatArray = NDArray[np.float64]


def compute_rounded_medians(daily_values: FloatArray) -> FloatArray:
    """Return medians over the days, rounded for display.

    The first axis of the values is the days, the last one is the columns.
    """
    half, odd = divmod(len(daily_values), 2)
    ordered = np.sort(daily_values, axis=0)
    return round_daily_values(ordered[half] if odd else (ordered[half - 1] + ordered[half]) / 2.0)


def compute_rounded_baselines(daily_values: FloatArray, baseline_kind: BaselineKind) -> FloatArray:
    """Return the baselines of daily values, rounded for display.

    Args:
        daily_values: shape (days, columns); the number of days is a multiple of seven for baselines
            by weekday.
        baseline_kind: median of all days, or of each weekday.

    Returns:
        Shape (1, columns) for medians over all days; shape (days, columns) for those of a weekday.
    """
    if baseline_kind == BaselineKind.ALL_DAYS:
        return compute_rounded_medians(daily_values)[np.newaxis]
    weeks = len(daily_values) // DAYS_PER_WEEK
    by_weekday = compute_rounded_medians(daily_values.reshape(weeks, DAYS_PER_WEEK, -1))
    return np.tile(by_weekday, (weeks, 1))


def find_weekday_name(iso_date: str) -> str:
    """Return the English name of a date's weekday."""
    return WEEKDAYS[date.fromisoformat(iso_date).weekday()]


def list_weekday_names_of_first_week(first_date: str) -> list[str]:
    """Return the weekdays of an episode's first seven days, in order."""
    first = date.fromisoformat(first_date).weekday()
    return [WEEKDAYS[(first + day) % DAYS_PER_WEEK] for day in range(DAYS_PER_WEEK)]


def reorder_so_last_days_differ_in_weekday(
    days: Sequence[int], baseline_kind: BaselineKind
) -> list[int]:
    """Return day indices in an order in which the last ones fall on different weekdays.

    Days are taken from the end. A weekday's median is computed from few days, so two anomalies of
    one kind on the same weekday would move it. With medians over all days, the order is kept.
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
