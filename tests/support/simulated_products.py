"""Products that are fitted to simulated tables, for tests of episodes of products."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.anomaly_types import ANOMALY_TYPES, MIX_SHIFT
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.generation.generate import generate_episode
from metric_tracker_rl.products.fit import fit_product
from metric_tracker_rl.products.product import Product, ProductLevel
from openenv_kit.errors import GenerationError
from openenv_kit.own_data.stage_counts import DayStatus, Grain, StageCounts

STAGE_NAMES = (
    *("visit", "search", "view_item", "add_to_cart"),
    *("checkout", "enter_address", "pay", "receive"),
)
STEP_RATES = (0.62, 0.55, 0.48, 0.7, 0.8, 0.85, 0.93)
WEEKDAY_FACTORS = (1.0, 1.02, 1.0, 0.98, 1.05, 0.85, 0.8)
HOUR_WEIGHTS = np.array([2, 1, 1, 1, 1, 2, 3, 5, 7, 8, 8, 9, 9, 8, 8, 8, 7, 7, 7, 6, 6, 5, 4, 3.0])
TRIAL_SEEDS = range(3)


@dataclass(frozen=True)
class TableShape:
    """Shape of a simulated table.

    Attributes:
        stages: number of stages.
        grain: whether the table has counts by hour or by day.
        volume: mean daily count of the first stage.
        closed_weekdays: weekdays without events, 0 for Monday.
    """

    stages: int
    grain: Grain = Grain.HOUR
    volume: float = 4000.0
    closed_weekdays: tuple[int, ...] = ()


def simulate_table(shape: TableShape, days: int = 196) -> StageCounts:
    """Return a table of Poisson and binomial counts with noise from day to day."""
    rng = np.random.default_rng(shape.stages)
    start = date(2024, 1, 1)
    weekdays = np.arange(days) % 7
    is_open = ~np.isin(weekdays, shape.closed_weekdays)
    expected = shape.volume * np.array(WEEKDAY_FACTORS)[weekdays] * is_open
    expected *= 1.0 + 0.03 * rng.standard_normal(days)
    weights = HOUR_WEIGHTS / HOUR_WEIGHTS.sum()
    counts = np.empty((days, 24, shape.stages), dtype=np.int64)
    counts[..., 0] = rng.poisson(expected[:, np.newaxis] * weights)
    for stage in range(1, shape.stages):
        rates = STEP_RATES[stage - 1] * (1.0 + 0.01 * rng.standard_normal(days))
        counts[..., stage] = rng.binomial(counts[..., stage - 1], rates[:, np.newaxis])
    if shape.grain == Grain.DAY:
        counts = counts.sum(axis=1, keepdims=True)
    status = tuple(DayStatus.COUNTED if each else DayStatus.CLOSED for each in is_open.tolist())
    return StageCounts(
        stages=STAGE_NAMES[: shape.stages],
        grain=shape.grain,
        start=start,
        counts=counts,
        day_status=status,
    )


@functools.cache
def build_product(shape: TableShape) -> Product:
    """Return a product with the families of each level that can be generated."""
    fitted = fit_product(simulate_table(shape), f"product_{shape.stages}_{shape.grain.value}")
    families = tuple(
        name for name in ANOMALY_TYPES if name != MIX_SHIFT or shape.grain == Grain.HOUR
    )
    trial = _with_levels(fitted, dict.fromkeys(LEVELS, families))
    possible = {
        level: tuple(name for name in families if _can_be_generated(trial, level, name))
        for level in LEVELS
    }
    return _with_levels(fitted, possible)


def _with_levels(product: Product, families: dict[str, tuple[str, ...]]) -> Product:
    return replace(
        product,
        levels={
            name: ProductLevel(
                is_on=len(each) >= 2,
                families=each,
                certified=100,
                reason="" if len(each) >= 2 else "too little room",
            )
            for name, each in families.items()
        },
    )


def _can_be_generated(product: Product, level: str, family: str) -> bool:
    try:
        for seed in TRIAL_SEEDS:
            generate_episode(EpisodeConfig(seed, family, level, anomaly_count=1, product=product))
    except GenerationError:
        return False
    return True
