"""The splits of this environment: every block holds each family, difficulty and count once."""

from __future__ import annotations

from itertools import product

from metric_tracker_rl.engine.config import SCENARIO_FAMILIES, EpisodeConfig
from metric_tracker_rl.engine.levels import LEVELS
from openenv_kit.trust.splits import SEALED as SEALED  # part of this module's interface
from openenv_kit.trust.splits import HashedSplits

COUNTS = (0, 1, 2, 3, 4, 5)
"""Planned anomalies of the strata; the zero-anomaly episodes' right report is empty."""

Stratum = tuple[str, str, int]
STRATA: tuple[Stratum, ...] = tuple(product(SCENARIO_FAMILIES, LEVELS, COUNTS))
"""(family, difficulty, count) of every stratum."""


def _config(seed: int, stratum: Stratum) -> EpisodeConfig:
    family, difficulty, count = stratum
    return EpisodeConfig(
        seed=seed,
        scenario_family=family,
        difficulty=difficulty,
        anomaly_density="low" if count <= 2 else "medium" if count == 3 else "high",
        anomaly_count=count,
    )


SPLITS: HashedSplits[EpisodeConfig, Stratum] = HashedSplits(
    domain="metric-tracker-split/1",
    blocks={"train": 100, "validation": 12, "test": 12, SEALED: 12},
    strata=STRATA,
    make=_config,
    shown=lambda config: {"difficulty": config.difficulty},
    identity=lambda config: config.identity,
)
