"""A simulated table and its product with levels that are on, without certifying them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from metric_tracker_rl.products.fit import fit_product
from metric_tracker_rl.products.product import Product, ProductLevel
from metric_tracker_rl.products.room import list_possible_families_by_level
from openenv_kit.own_data.stage_counts import StageCounts
from support.stage_tables import Simulation, simulate_table

SIMULATION = Simulation(days=196, first_level=5_000.0)


@cache
def simulate_small_table() -> StageCounts:
    """Return 196 days of hourly counts of three stages, from a Monday on."""
    return simulate_table(SIMULATION)


@cache
def fit_small_product() -> Product:
    """Return the product of the small table, without levels."""
    return fit_product(simulate_small_table(), "shop")


@cache
def build_small_product() -> Product:
    """Return the product of the small table, on which every level is on."""
    product = fit_small_product()
    families = list_possible_families_by_level(product)
    return replace(
        product,
        levels={
            name: ProductLevel(is_on=True, families=each, certified=100, reason="")
            for name, each in families.items()
        },
    )
