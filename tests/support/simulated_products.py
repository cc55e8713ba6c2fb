"""Products that are fitted to simulated tables, for tests of episodes of products."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from metric_tracker_rl.engine.certification.plannable_families import list_plannable_families
from metric_tracker_rl.products.fit import fit_product
from metric_tracker_rl.products.product import Product, ProductLevel
from metric_tracker_rl.products.room import list_possible_families_by_level
from openenv_kit.own_data.stage_counts import DayStatus, Grain, StageCounts

STAGE_NAMES = (
    *("visit", "search", "view_item", "add_to_cart"),
    *("checkout", "enter_address", "pay", "receive"),
)
STEP_RATES = (0.62, 0.55, 0.48, 0.7, 0.8, 0.85, 0.93)
WEEKDAY_FACTORS = (1.0, 1.02, 1.0, 0.98, 1.05, 0.85, 0.8)
HOUR_WEIGHTS = np.array([2, 1, 1, 1, 1, 2, 3, 5, 7, 8, 8, 9, 9, 8, 8, 8, 7, 7, 7, 6, 6, 5, 4, 3.0])


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
    """Return a product with the families of each level that can be planned."""
    fitted = fit_product(simulate_table(shape), f"product_{shape.stages}_{shape.grain.value}")
    with_room = _with_levels(fitted, list_possible_families_by_level(fitted))
    plannable = {
        name: list_plannable_families(with_room, name) if level.is_on else ()
        for name, level in with_room.levels.items()
    }
    return _with_levels(fitted, plannable)


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
