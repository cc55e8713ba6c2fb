"""Converts a table of counts to the daily series that a product is fitted to."""

from __future__ import annotations

from datetime import date

import numpy as np
import numpy.typing as npt

from metric_tracker_rl.engine.definitions.funnel import HourRange
from metric_tracker_rl.products.product import DAYS_PER_WEEK
from openenv_kit.own_data.stage_counts import Grain

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def compute_series_values(counts: IntArray, grain: Grain, daytime: HourRange) -> FloatArray:
    """Return the daily values of the series that a product is fitted to.

    These are the first stage's count, the step rates and, for hourly counts, the daytime share.

    Args:
        counts: counts, shape (days, hours, stages).
        grain: time span of a count.
        daytime: hours that count as daytime.

    Returns:
        Values, shape (days, series). A ratio with a denominator of 0 is NaN.
    """
    totals = counts.sum(axis=1)
    columns = [totals[:, 0].astype(np.float64), *compute_step_rates(totals).T]
    if grain == Grain.HOUR:
        in_daytime = counts[:, slice(*daytime), 0].sum(axis=1)
        columns.append(_divide(in_daytime, totals[:, 0]))
    return np.stack(columns, axis=-1)


def compute_step_rates(totals: IntArray) -> FloatArray:
    """Return each stage's total divided by the total of the stage before it.

    Args:
        totals: daily totals, shape (…, stages).

    Returns:
        Step rates, shape (…, stages - 1). A rate with a denominator of 0 is NaN.
    """
    return _divide(totals[..., 1:], totals[..., :-1])


def list_weekdays(start: date, days: int) -> npt.NDArray[np.int64]:
    """Return the weekday of each of `days` consecutive days from `start`, where 0 is Monday."""
    return (start.weekday() + np.arange(days)) % DAYS_PER_WEEK


def _divide(numerators: IntArray, denominators: IntArray) -> FloatArray:
    is_defined = denominators > 0
    return np.divide(
        numerators, denominators, out=np.full(numerators.shape, np.nan), where=is_defined
    )
