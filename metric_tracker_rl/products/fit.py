"""Fits a product to a user's table of stage counts.

The fit runs once, on the user's machine, so it may use all of NumPy. The results are rounded to six
significant digits, and episodes of a product use only exactly rounded arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY, HourRange
from metric_tracker_rl.products.daily_values import (
    BoolArray,
    FloatArray,
    compute_series_values,
    list_weekdays,
)
from metric_tracker_rl.products.field_reader import ProductRefused
from metric_tracker_rl.products.fit_dependence import Dependence, fit_dependence
from metric_tracker_rl.products.fit_levels import (
    FittedLevel,
    compute_fitted_values,
    find_unusual_days,
    fit_level,
    fit_residual_points,
)
from metric_tracker_rl.products.parse_product import (
    MAX_RESIDUAL,
    MIN_RELATIVE_THRESHOLD,
    parse_product,
)
from metric_tracker_rl.products.product import (
    ENVIRONMENT_NAME,
    PRODUCT_FORMAT,
    JsonObject,
    Product,
    list_composite_rate_names,
    list_fitted_series_names,
)
from metric_tracker_rl.products.thresholds import add_computed_thresholds
from openenv_kit.own_data.stage_counts import DayStatus, Grain, StageCounts

DAYTIME = HourRange(8, 20)
"""Hours that count as daytime."""
MIN_ORDINARY_DAYS = 56
"""Smallest number of ordinary days from which the noise can be fitted."""
_NOT_COUNTED = (DayStatus.MISSING, DayStatus.OUTAGE, DayStatus.IMPOSSIBLE)


@dataclass(frozen=True)
class DayMasks:
    """Masks that select which days of a table are used in the fit, each of shape (days,).

    Attributes:
        is_usable: days with complete counts that are not holidays. Levels are fitted to them.
        is_unusual: usable days with a value far from the fitted level.
        is_ordinary: usable days that are not unusual. The noise is fitted to them.
    """

    is_usable: BoolArray
    is_unusual: BoolArray
    is_ordinary: BoolArray


@dataclass(frozen=True)
class TableFit:
    """Fitted levels and residuals of a table's series.

    Attributes:
        levels: fitted levels of each series.
        residuals: relative residuals, shape (days, series); NaN on unusable days and for undefined
            values.
        masks: masks of the days that were used.
    """

    levels: tuple[FittedLevel, ...]
    residuals: FloatArray
    masks: DayMasks


def fit_product(table: StageCounts, name: str) -> Product:
    """Fit a product to a table of counts.

    The product has thresholds, but it is not yet certified for any difficulty level.

    Args:
        table: cleaned counts.
        name: name of the product.

    Raises:
        ProductRefused: the name contains characters other than a to z, 0 to 9 and _, or the table
            has too few ordinary days.
    """
    fit = fit_table(table)
    ordinary_residuals = np.where(fit.masks.is_ordinary[:, np.newaxis], fit.residuals, np.nan)
    points = [fit_residual_points(column) for column in ordinary_residuals.T]
    dependence = fit_dependence(ordinary_residuals, points)
    content = _build_mapping(table, name, fit, points, dependence)
    return add_computed_thresholds(parse_product(content))


def fit_table(table: StageCounts) -> TableFit:
    """Fit the levels and weekday factors of each series of a table, and find the unusual days.

    Raises:
        ProductRefused: the table has too few ordinary days.
    """
    values = compute_series_values(table.counts, table.grain, DAYTIME)
    weekdays = list_weekdays(table.start, table.days)
    is_usable = find_usable_days(table)
    if not is_usable.any():
        raise ProductRefused("The table has no complete day that is not a holiday.")
    levels = tuple(fit_level(np.where(is_usable, column, np.nan), weekdays) for column in values.T)
    expected = np.stack([compute_fitted_values(level, weekdays) for level in levels], axis=-1)
    is_defined = is_usable[:, np.newaxis] & (expected > 0.0)
    ratios = np.divide(values, expected, out=np.full_like(values, np.nan), where=is_defined)
    residuals = np.minimum(ratios - 1.0, MAX_RESIDUAL)
    is_unusual = find_unusual_days(residuals)
    is_ordinary = is_usable & ~is_unusual
    ordinary_days = int(is_ordinary.sum())
    if ordinary_days < MIN_ORDINARY_DAYS:
        raise ProductRefused(
            f"The table has {ordinary_days} ordinary days; at least {MIN_ORDINARY_DAYS} are "
            "required."
        )
    return TableFit(levels, residuals, DayMasks(is_usable, is_unusual, is_ordinary))


def find_usable_days(table: StageCounts) -> BoolArray:
    """Return for each day of a table whether its counts are complete and it is not a holiday."""
    return np.array(
        [
            status == DayStatus.COUNTED and table.get_date(day) not in table.holidays
            for day, status in enumerate(table.day_status)
        ]
    )


def _build_mapping(
    table: StageCounts,
    name: str,
    fit: TableFit,
    points: list[FloatArray],
    dependence: Dependence,
) -> JsonObject:
    names = list_fitted_series_names(table.stages, table.grain)
    is_by_day = table.grain == Grain.DAY or table.has_impossible_hours
    content: JsonObject = {
        "format": PRODUCT_FORMAT,
        "environment": ENVIRONMENT_NAME,
        "name": name,
        "grain": table.grain.value,
        "stages": list(table.stages),
        "days": table.days,
        "set_aside": _count_days_set_aside(table, fit.masks),
        "impossible_counts": (Grain.DAY if is_by_day else Grain.HOUR).value,
        "series": [
            {
                "name": series_name,
                "levels": fit.levels[column].block_levels.tolist(),
                "weekday": fit.levels[column].weekday_factors.tolist(),
                "residual": points[column].tolist(),
                "lag1": float(dependence.lag1[column]),
                "threshold": MIN_RELATIVE_THRESHOLD,
            }
            for column, series_name in enumerate(names)
        ],
        "noise": {
            "factor": [
                row[: number + 1].tolist() for number, row in enumerate(dependence.noise_factor)
            ]
        },
        "thresholds": dict.fromkeys(
            (*table.stages[1:], *list_composite_rate_names(table.stages)), MIN_RELATIVE_THRESHOLD
        ),
    }
    if table.grain == Grain.HOUR:
        content["daytime"] = list(DAYTIME)
        content["hour_weights"] = _compute_hour_weights(table, fit.masks).tolist()
    return content


def _count_days_set_aside(table: StageCounts, masks: DayMasks) -> dict[str, int]:
    days = [table.start + timedelta(days=day) for day in range(table.days)]
    return {
        "holidays": sum(
            status == DayStatus.COUNTED and day in table.holidays
            for day, status in zip(days, table.day_status, strict=True)
        ),
        "unusual": int(masks.is_unusual.sum()),
        "missing": sum(status in _NOT_COUNTED for status in table.day_status),
    }


def _compute_hour_weights(table: StageCounts, masks: DayMasks) -> FloatArray:
    """Return each hour's share of the first stage's events on ordinary days.

    If there are no such events, every hour has the same share.
    """
    totals = table.counts[masks.is_ordinary, :, 0].sum(axis=0).astype(np.float64)
    if not totals.any():
        return np.full(HOURS_PER_DAY, 1.0 / HOURS_PER_DAY)
    return totals / totals.sum()
