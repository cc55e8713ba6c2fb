"""The splits of this environment: every block holds each family, difficulty and count once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES, EpisodeConfig
from metric_tracker_rl.engine.configuration.play_rules import ALLOWED_WITH_SPLIT_TEXT
from metric_tracker_rl.engine.configuration.reset_arguments import EPISODE_ARGUMENTS
from metric_tracker_rl.engine.configuration.tasks import resolve_named_task
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.rungs import DEFAULT_ANOMALY_COUNTS
from openenv_kit.errors import InvalidValueError
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES
from openenv_kit.splits import SEALED_SPLIT as SEALED_SPLIT  # part of this module's interface
from openenv_kit.splits import SESSIONS_SPLIT, HashedSplits, PerLevelSplits

STRATUM_ANOMALY_COUNTS = (0, 1, 2, 3, 4, 5)
"""Planned anomalies of the strata; the zero-anomaly episodes' right report is empty."""

Stratum = tuple[str, str, int]
STRATA: tuple[Stratum, ...] = tuple(product(SCENARIO_FAMILIES, LEVELS, STRATUM_ANOMALY_COUNTS))
"""(family, difficulty, count) of every stratum."""


def _config_of_stratum(seed: int, stratum: Stratum) -> EpisodeConfig:
    family, difficulty, count = stratum
    return EpisodeConfig(
        seed=seed,
        scenario_family=family,
        difficulty=difficulty,
        anomaly_density="low" if count <= 2 else "medium" if count == 3 else "high",
        anomaly_count=count,
    )


def _build_rung_strata(rung: str) -> tuple[Stratum, ...]:
    """Return each family with one anomaly fewer than usual, the usual number, and one more."""
    usual = DEFAULT_ANOMALY_COUNTS[rung]
    return tuple(product(SCENARIO_FAMILIES, (rung,), (usual - 1, usual, usual + 1)))


SPLITS: PerLevelSplits[EpisodeConfig, Stratum] = PerLevelSplits(
    domain="metric-tracker-split/1",
    blocks={"train": 100, "validation": 12, "test": 12, SEALED_SPLIT: 12, SESSIONS_SPLIT: 20},
    strata=STRATA,
    make_config=_config_of_stratum,
    level_of=lambda config: config.difficulty,
    identity_of=lambda config: config.identity,
    splits_by_level={
        rung: HashedSplits(
            domain=f"metric-tracker-rungs/1|{rung}",
            blocks={"train": 100, "validation": 6, "test": 12},
            strata=_build_rung_strata(rung),
            make_config=_config_of_stratum,
            level_of=lambda config: config.difficulty,
        )
        for rung in RUNG_LEVEL_NAMES
    },
)

DEFAULT_SPLIT = "train"
"""Split of a reset that names an index alone."""


def resolve_reset(reset_arguments: Mapping[str, Any]) -> tuple[str, EpisodeConfig]:
    """Return the task id and configuration of the episode that a reset asks for.

    Args:
        reset_arguments: either `split` and `index` of a task, with which only the reporting
            policy can be chosen, or the arguments of `resolve_named_task`; None for an argument
            that is not given. Rules of play may be included.

    Raises:
        UnknownNameError, InvalidValueError: see `EpisodeConfig`; or something is chosen beside a
            split's task.
    """
    split, index = reset_arguments.get("split"), reset_arguments.get("index")
    chosen = {name: reset_arguments.get(name) for name in EPISODE_ARGUMENTS}
    if split is None and index is None:
        return resolve_named_task(**chosen)
    for name, value in chosen.items():
        if value is not None and name != "policy":
            raise InvalidValueError(name, value, ALLOWED_WITH_SPLIT_TEXT)
    task = SPLITS.task(DEFAULT_SPLIT if split is None else split, 0 if index is None else index)
    policy = chosen["policy"]
    return task.task_id, replace(task.config, policy=policy) if policy else task.config
