"""Rounds displayed values: rates in percent to four decimals, and the daytime share to six.

The tools show rounded values, and the reporting policy is applied to the same rounded values, so no
label depends on digits that a player cannot see.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    ENTITY_TYPES,
    HOURLY_MIX,
)

RATE_DECIMALS = ENTITY_TYPES[CONVERSION_RATE].decimals
SHARE_DECIMALS = ENTITY_TYPES[HOURLY_MIX].decimals
DEVIATION_DECIMALS = 6
"""Decimals of deviations from the baseline."""
STATISTIC_DECIMALS = RATE_DECIMALS + 2
"""Decimals of standard deviations and their multiples in the results of row generators."""

_RATE_SCALE = float(10**RATE_DECIMALS)
_SHARE_SCALE = float(10**SHARE_DECIMALS)


def round_daily_values_for_display(
    values: NDArray[np.float64], *, has_daytime_share: bool = True
) -> NDArray[np.float64]:
    """Round daily values, shape (…, columns), half to even.

    If there is a daytime share, it is the last column. Counts are whole numbers and stay
    unchanged. Unlike `numpy.round`, these operations give the same bits on every machine.
    """
    scales = _build_rounding_scale_of_each_column(values.shape[-1], has_daytime_share)
    return np.asarray(np.rint(values * scales) / scales)


@cache
def _build_rounding_scale_of_each_column(
    column_count: int, has_daytime_share: bool
) -> NDArray[np.float64]:
    scales = np.full(column_count, _RATE_SCALE)
    if has_daytime_share:
        scales[-1] = _SHARE_SCALE
    scales.setflags(write=False)
    return scales


def round_daytime_shares_for_display(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round differences of daytime shares to the displayed number of decimals."""
    return np.asarray(np.rint(shares * _SHARE_SCALE) / _SHARE_SCALE)


def subtract_baseline_and_round_for_display(
    observed: float, baseline: float, entity_type: str
) -> float:
    """Return observed − baseline, rounded to the displayed decimals of the entity type."""
    return round(observed - baseline, ENTITY_TYPES[entity_type].decimals)
