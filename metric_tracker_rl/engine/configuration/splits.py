"""Task splits of the funnel. Each block of consecutive tasks contains every `Stratum` once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES, EpisodeConfig
from metric_tracker_rl.engine.configuration.reset_arguments import (
    ALLOWED_WITH_SPLIT_TEXT,
    EPISODE_ARGUMENTS,
)
from metric_tracker_rl.engine.configuration.tasks import TaskConfig, resolve_named_or_custom_task
from metric_tracker_rl.engine.definitions.levels import ANOMALY_COUNT_BY_DENSITY, LEVELS
from metric_tracker_rl.engine.definitions.rungs import DEFAULT_ANOMALY_COUNTS
from openenv_kit.errors import InvalidValueError
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES
from openenv_kit.splits import SEALED_SPLIT as SEALED_SPLIT  # part of this module's interface
from openenv_kit.splits import SESSIONS_SPLIT, HashedSplits, PerLevelSplits

STRATUM_ANOMALY_COUNTS = (0, 1, 2, 3, 4, 5)
"""Numbers of planned anomalies in the strata. With 0 anomalies, the expected report is empty."""


class Stratum(NamedTuple):
    """Family, level and number of planned anomalies of a task in a split."""

    family: str
    difficulty: str
    anomaly_count: int


STRATA = tuple(
    Stratum(*combination)
    for combination in product(SCENARIO_FAMILIES, LEVELS, STRATUM_ANOMALY_COUNTS)
)
"""All combinations of family, named level and anomaly count."""


def _build_config_of_stratum(seed: int, stratum: Stratum) -> EpisodeConfig:
    return EpisodeConfig(
        seed=seed,
        scenario_family=stratum.family,
        difficulty=stratum.difficulty,
        anomaly_density=_find_lowest_density_with_anomaly_count(stratum.anomaly_count),
        anomaly_count=stratum.anomaly_count,
    )


def _find_lowest_density_with_anomaly_count(anomaly_count: int) -> str:
    """Return the lowest density that allows an anomaly count, or else the highest density."""
    for density, density_count in ANOMALY_COUNT_BY_DENSITY.items():
        if anomaly_count <= density_count:
            return density
    return next(reversed(ANOMALY_COUNT_BY_DENSITY))


def _build_strata_around_default_count(rung: str) -> tuple[Stratum, ...]:
    """Return the strata of a rung: each family with anomaly counts close to the rung's default."""
    default_count = DEFAULT_ANOMALY_COUNTS[rung]
    counts = (default_count - 1, default_count, default_count + 1)
    return tuple(
        Stratum(family, rung, count) for family, count in product(SCENARIO_FAMILIES, counts)
    )


SPLITS: PerLevelSplits[EpisodeConfig, Stratum] = PerLevelSplits(
    domain="metric-tracker-split/1",
    blocks={"train": 100, "validation": 12, "test": 12, SEALED_SPLIT: 12, SESSIONS_SPLIT: 20},
    strata=STRATA,
    make_config=_build_config_of_stratum,
    level_of=lambda config: config.difficulty,
    identity_of=lambda config: config.random_stream_key_json,
    splits_by_level={
        rung: HashedSplits(
            domain=f"metric-tracker-rungs/1|{rung}",
            blocks={"train": 100, "validation": 6, "test": 12},
            strata=_build_strata_around_default_count(rung),
            make_config=_build_config_of_stratum,
            level_of=lambda config: config.difficulty,
        )
        for rung in RUNG_LEVEL_NAMES
    },
)

DEFAULT_SPLIT = "train"
"""Split that is used if a reset gives an `index` but no `split`."""


def resolve_task_of_reset_arguments(reset_arguments: Mapping[str, Any]) -> TaskConfig:
    """Return the task id and configuration of the episode that the reset arguments select.

    Args:
        reset_arguments: either `split` and `index`, optionally with `policy`, or the arguments of
            `resolve_named_or_custom_task`. Play rules are ignored, and None is treated as missing.

    Raises:
        UnknownNameError, InvalidValueError: a value violates the limits of `EpisodeConfig`, or an
            argument is given together with a split although the split's task determines it.
    """
    split, index = reset_arguments.get("split"), reset_arguments.get("index")
    episode_arguments = {name: reset_arguments.get(name) for name in EPISODE_ARGUMENTS}
    if split is None and index is None:
        return resolve_named_or_custom_task(**episode_arguments)
    for name, value in episode_arguments.items():
        if value is not None and name != "policy":
            raise InvalidValueError(name, value, ALLOWED_WITH_SPLIT_TEXT)
    task = SPLITS.task(DEFAULT_SPLIT if split is None else split, 0 if index is None else index)
    policy = episode_arguments["policy"]
    return TaskConfig(task.task_id, replace(task.config, policy=policy) if policy else task.config)
