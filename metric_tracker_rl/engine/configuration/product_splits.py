"""Builds the splits of a product, such as train and test, whose tasks are its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import product as combine

from metric_tracker_rl.engine.configuration.episode_config import (
    EpisodeConfig,
)
from metric_tracker_rl.engine.configuration.product_policy import (
    build_product_level,
    list_product_families,
    list_product_levels,
)
from metric_tracker_rl.engine.configuration.splits import (
    RUNG_SPLIT_BLOCKS,
    RUNG_SPLITS_DOMAIN,
    SPLIT_BLOCKS,
    STRATUM_ANOMALY_COUNTS,
    Stratum,
    build_config_of_stratum,
    list_counts_around_default,
)
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS
from metric_tracker_rl.products.product import Product
from openenv_kit.errors import InvalidValueError
from openenv_kit.splits import HashedSplits, PerLevelSplits

CACHED_PRODUCTS = 16


@lru_cache(maxsize=CACHED_PRODUCTS)
def build_product_splits(product: Product) -> PerLevelSplits[EpisodeConfig, Stratum]:
    """Return the task splits of a product.

    The tasks cover every enabled named level with all its scenario families and 0 to 5 anomalies,
    or fewer if the product allows fewer. Each enabled curriculum level has splits of its own, as
    for the built-in funnel.

    Raises:
        InvalidValueError: no level is enabled for the product.
    """
    levels_on = list_product_levels(product)
    named_levels = [name for name in levels_on if name in LEVELS]
    if not named_levels:
        raise InvalidValueError("product", product.name, "a product with a level that is on")
    make_config = partial(build_config_of_stratum, product=product)
    return PerLevelSplits(
        domain=f"metric-tracker-split/1|product|{product.digest}",
        blocks=SPLIT_BLOCKS,
        strata=[
            stratum
            for level in named_levels
            for stratum in _list_strata(product, level, STRATUM_ANOMALY_COUNTS)
        ],
        make_config=make_config,
        level_of=lambda config: config.difficulty,
        identity_of=lambda config: config.random_stream_key_json,
        splits_by_level={
            rung: HashedSplits(
                domain=f"{RUNG_SPLITS_DOMAIN}|product|{product.digest}|{rung}",
                blocks=RUNG_SPLIT_BLOCKS,
                strata=_list_strata(product, rung, list_counts_around_default(rung)),
                make_config=make_config,
                level_of=lambda config: config.difficulty,
            )
            for rung in levels_on
            if rung in RUNG_LEVELS
        },
    )


def _list_strata(product: Product, level: str, anomaly_counts: Sequence[int]) -> list[Stratum]:
    """Return all combinations of scenario family and anomaly count of a product at a level.

    Args:
        product: product of the tasks.
        level: name of an enabled level.
        anomaly_counts: numbers of anomalies to combine with the families. Numbers above the
            product's maximum at this level are omitted.
    """
    max_anomalies = build_product_level(product, level).max_anomalies
    counts = [count for count in anomaly_counts if count <= max_anomalies]
    families = (*list_product_families(product, level), MIXED)
    return [Stratum(family, level, count) for family, count in combine(families, counts)]
