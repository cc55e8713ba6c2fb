"""Builds the funnel and the levels of a product, with the thresholds of its reporting policy."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY, Funnel, FunnelStage
from metric_tracker_rl.engine.definitions.levels import LEVELS, FunnelLevel, SeriesThresholds
from metric_tracker_rl.engine.definitions.names import BaselineKind
from metric_tracker_rl.engine.definitions.rungs import EVERY_LEVEL, NAMED_LEVEL_OF_RUNG
from metric_tracker_rl.engine.definitions.severity import DEFAULT_SEVERITY_BOUNDS
from metric_tracker_rl.products.product import DAYS_PER_WEEK, Product
from metric_tracker_rl.products.thresholds import (
    build_excess_severity_bounds,
    compute_break_threshold,
    compute_level_thresholds,
)
from openenv_kit.errors import InvalidValueError
from openenv_kit.own_data.stage_counts import Grain

WEEKS_PER_ANOMALY = 4
"""Number of weeks that must be available for each anomaly on the same weekday, so that the median
of the weekday stays a usable baseline."""
CACHE_SIZE = 64


@lru_cache(maxsize=CACHE_SIZE)
def build_product_funnel(product: Product) -> Funnel:
    """Return the funnel described by a product, in which each event is named like its stage."""
    return Funnel(
        name=product.name,
        stages=tuple(FunnelStage(name, name) for name in product.stages),
        composite_ends=product.composite_ends,
        daytime=product.daytime,
        hours_per_day=HOURS_PER_DAY if product.is_hourly else 1,
        compares_daily_totals=product.impossible_counts == Grain.DAY,
    )


@lru_cache(maxsize=CACHE_SIZE)
def build_product_level(product: Product, level_name: str) -> FunnelLevel:
    """Return a difficulty level, adapted to a product.

    Its baselines are always medians of the same weekday.

    Args:
        product: product that determines the thresholds, the severity bounds of impossible counts
            and the maximum number of anomalies.
        level_name: name of the level that provides all other parameters.
    """
    level = EVERY_LEVEL[level_name]
    return replace(
        level,
        series_thresholds=compute_series_thresholds(product, level.product_threshold_factor),
        bounds_by_kind=DEFAULT_SEVERITY_BOUNDS._replace(
            excess=build_excess_severity_bounds(product)
        ),
        baseline=BaselineKind.SAME_WEEKDAY,
        max_anomalies=min(level.max_anomalies, _compute_max_anomalies(product, level)),
    )


def compute_series_thresholds(product: Product, factor: float) -> SeriesThresholds:
    """Return the reporting thresholds of each series of a product on a difficulty level.

    Args:
        product: product that provides the unscaled threshold of each series.
        factor: factor of the level, by which these thresholds are multiplied before they are
            rounded up. The break thresholds are derived from the results.
    """
    columns = tuple(compute_level_thresholds(product, factor).values())
    first_step = len(product.stages)
    steps = columns[first_step : first_step + len(product.step_rate_names)]
    return SeriesThresholds(columns, tuple(compute_break_threshold(step) for step in steps))


def list_product_levels(product: Product) -> tuple[str, ...]:
    """Return the names of the levels that are enabled for a product.

    A curriculum level that products have is enabled if the named level is, such as easy, from which
    it takes its thresholds.
    """
    named = [name for name, level in product.levels.items() if level.is_on]
    rungs = [rung for rung, level in NAMED_LEVEL_OF_RUNG.items() if level in named]
    return (*named, *rungs)


def list_product_families(product: Product, level_name: str) -> tuple[str, ...]:
    """Return the anomaly types that can be the scenario family of a product's episodes.

    A curriculum level has the families of the named level from which it takes its thresholds.

    Args:
        product: product of the episodes.
        level_name: name of an enabled level.
    """
    named_level = NAMED_LEVEL_OF_RUNG.get(level_name, level_name)
    return product.levels[named_level].families


def has_product_episode(product: Product, level_name: str, family: str, anomaly_count: int) -> bool:
    """Return whether a product has episodes with this level, family and number of anomalies.

    The family `mixed` is available at every enabled level.
    """
    return (
        level_name in list_product_levels(product)
        and family in (*list_product_families(product, level_name), MIXED)
        and anomaly_count <= build_product_level(product, level_name).max_anomalies
    )


def require_product_level(product: Product, level_name: str) -> None:
    """Raise an error if a level is not enabled for a product.

    Raises:
        InvalidValueError: the level is not enabled. The message contains the reason and the enabled
            levels.
    """
    is_on = list_product_levels(product)
    if level_name in is_on:
        return
    named_level = NAMED_LEVEL_OF_RUNG.get(level_name, level_name)
    level = product.levels.get(named_level)
    reason = f" ({level.reason})" if level and level.reason else ""
    named = ", ".join(name for name in LEVELS if name in is_on) or "none"
    allowed = f"a level that the product {product.name!r} has{reason}: {named}"
    raise InvalidValueError("difficulty", level_name, allowed)


def _compute_max_anomalies(product: Product, level: FunnelLevel) -> int:
    """Return the largest number of anomalies for which weekday medians stay usable as baselines.

    Each weekday on which the product has events allows one anomaly per four weeks of the episode.
    """
    open_weekdays = DAYS_PER_WEEK - len(product.closed_weekdays)
    return open_weekdays * (level.days // DAYS_PER_WEEK // WEEKS_PER_ANOMALY)
