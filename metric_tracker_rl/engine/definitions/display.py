"""Rounds rates in percent to four decimals and the daytime share to six decimals.

The tools show rounded values, and the reporting policy is applied to the same rounded values. The
expected report therefore does not depend on digits that a player cannot see.
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
    """Round daily values to the decimals that the tools display.

    Halves are rounded to even. Unlike `numpy.round`, this function returns the same bits on every
    machine.

    Args:
        values: shape (…, columns). Counts are whole numbers and stay unchanged.
        has_daytime_share: whether the last column contains the daytime share, which is displayed
            with more decimals than the other columns.
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
    """Round daytime shares, or differences between them, to the displayed number of decimals."""
    return np.asarray(np.rint(shares * _SHARE_SCALE) / _SHARE_SCALE)


def subtract_baseline_and_round_for_display(
    observed: float, baseline: float, entity_type: str
) -> float:
    """Return `observed` minus `baseline`, rounded to the decimals displayed for an entity type."""
    return round(observed - baseline, ENTITY_TYPES[entity_type].decimals)
