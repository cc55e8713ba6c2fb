"""Task splits of the built-in funnel, such as train and test.

Each split consists of blocks of consecutive tasks. A block contains one task for every `Stratum`, a
combination of scenario family, level and number of anomalies.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES, EpisodeConfig
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.definitions.levels import ANOMALY_COUNT_BY_DENSITY, LEVELS
from metric_tracker_rl.engine.definitions.rungs import (
    DEFAULT_ANOMALY_COUNTS,
    RUNG_LEVELS,
    RUNGS_VERSION,
)
from metric_tracker_rl.products.product import Product
from openenv_kit.splits import SEALED_SPLIT as SEALED_SPLIT  # part of this module's interface
from openenv_kit.splits import SESSIONS_SPLIT, HashedSplits, PerLevelSplits

STRATUM_ANOMALY_COUNTS = (0, 1, 2, 3, 4, 5)
"""Numbers of planned anomalies in the strata. With 0 anomalies, the expected report is empty."""


class Stratum(NamedTuple):
    """Scenario family, level and number of planned anomalies of a task in a split."""

    family: str
    difficulty: str
    anomaly_count: int


STRATA = tuple(
    Stratum(*combination)
    for combination in product(SCENARIO_FAMILIES, LEVELS, STRATUM_ANOMALY_COUNTS)
)
"""All combinations of family, named level and anomaly count."""


def build_config_of_stratum(
    seed: int, stratum: Stratum, product: Product | None = None
) -> EpisodeConfig:
    """Return the episode configuration of a task in a split.

    Args:
        seed: seed of the task.
        stratum: scenario family, level and number of anomalies of the task.
        product: product of the task; None for the built-in funnel.
    """
    return EpisodeConfig(
        seed=seed,
        scenario_family=stratum.family,
        difficulty=stratum.difficulty,
        anomaly_density=_find_lowest_density_with_anomaly_count(stratum.anomaly_count),
        anomaly_count=stratum.anomaly_count,
        product=product,
    )


def _find_lowest_density_with_anomaly_count(anomaly_count: int) -> str:
    """Return the lowest density whose anomaly count is at least the given one.

    Return the highest density if none has such a count.
    """
    for density, density_count in ANOMALY_COUNT_BY_DENSITY.items():
        if anomaly_count <= density_count:
            return density
    return next(reversed(ANOMALY_COUNT_BY_DENSITY))


def _build_strata_around_default_count(rung: str) -> tuple[Stratum, ...]:
    """Return strata for each scenario family and each anomaly count of a curriculum level.

    The anomaly counts are the level's default count, one less and one more. A level with drawn
    terms has only mixed episodes; its strata are repeated, so that all splits have the same size.
    """
    families = SCENARIO_FAMILIES
    if RUNG_LEVELS[rung].has_drawn_terms:
        families = (MIXED,) * len(SCENARIO_FAMILIES)
    return tuple(
        Stratum(family, rung, count)
        for family, count in product(families, list_counts_around_default(rung))
    )


def list_counts_around_default(rung: str) -> tuple[int, ...]:
    """Return three consecutive anomaly counts, with a curriculum level's default in the middle."""
    default_count = DEFAULT_ANOMALY_COUNTS[rung]
    return (default_count - 1, default_count, default_count + 1)


SPLIT_BLOCKS = {"train": 100, "validation": 12, "test": 12, SEALED_SPLIT: 12, SESSIONS_SPLIT: 20}
"""Number of blocks of each split."""
RUNG_SPLIT_BLOCKS = {"train": 100, "validation": 6, "test": 12}
"""Number of blocks of each split of a curriculum level."""
RUNG_SPLITS_DOMAIN = f"metric-tracker-rungs/{RUNGS_VERSION}"
"""Prefix of the domain of every curriculum level's splits."""

SPLITS: PerLevelSplits[EpisodeConfig, Stratum] = PerLevelSplits(
    domain="metric-tracker-split/1",
    blocks=SPLIT_BLOCKS,
    strata=STRATA,
    make_config=build_config_of_stratum,
    level_of=lambda config: config.difficulty,
    identity_of=lambda config: config.random_stream_key_json,
    splits_by_level={
        rung: HashedSplits(
            domain=f"{RUNG_SPLITS_DOMAIN}|{rung}",
            blocks=RUNG_SPLIT_BLOCKS,
            strata=_build_strata_around_default_count(rung),
            make_config=build_config_of_stratum,
            level_of=lambda config: config.difficulty,
        )
        for rung in RUNG_LEVELS
    },
)
