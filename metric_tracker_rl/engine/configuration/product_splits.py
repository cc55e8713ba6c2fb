"""Splits of a product, whose tasks differ from those of every other product."""

from __future__ import annotations

from functools import lru_cache

from metric_tracker_rl.engine.configuration.episode_config import (
    EpisodeConfig,
)
from metric_tracker_rl.engine.configuration.product_policy import (
    build_product_level,
    list_product_families,
    list_product_levels,
)
from metric_tracker_rl.engine.configuration.splits import (
    SPLIT_BLOCKS,
    STRATUM_ANOMALY_COUNTS,
    Stratum,
    build_config_of_stratum,
)
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.products.product import Product
from openenv_kit.splits import HashedSplits

CACHED_PRODUCTS = 16


@lru_cache(maxsize=CACHED_PRODUCTS)
def build_product_splits(product: Product) -> HashedSplits[EpisodeConfig, Stratum]:
    """Return the splits of a product: its families and levels that are on, with 0 to 5 anomalies.

    Raises:
        InvalidValueError: every level of the product is off.
    """
    levels = [name for name in list_product_levels(product) if name in LEVELS]
    return HashedSplits(
        domain=f"metric-tracker-split/1|product|{product.digest}",
        blocks=SPLIT_BLOCKS,
        strata=[
            Stratum(family, level, count)
            for level in levels
            for family in (*list_product_families(product, level), MIXED)
            for count in STRATUM_ANOMALY_COUNTS
            if count <= build_product_level(product, level).max_anomalies
        ],
        make_config=lambda seed, stratum: build_config_of_stratum(seed, stratum, product),
        level_of=lambda config: config.difficulty,
        identity_of=lambda config: config.random_stream_key_json,
    )
