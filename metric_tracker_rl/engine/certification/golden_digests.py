"""Golden digests of the funnel's episodes.

Each digest stands for one configuration: SHA-256 over its hourly counts and dates, and over
its expected rows. The module needs the generator and NumPy alone:

    python -m metric_tracker_rl.engine.certification.golden_digests FILE [--write]
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from metric_tracker_rl.engine.certification.golden_file import GoldenDigests
from metric_tracker_rl.engine.configuration.episode_config import (
    MAX_SEED,
    MIXED,
    SCENARIO_FAMILIES,
    CustomAnomaly,
    EpisodeConfig,
)
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import PolicySource
from metric_tracker_rl.engine.definitions.rungs import DEFAULT_ANOMALY_COUNTS
from metric_tracker_rl.engine.definitions.versions import GENERATOR_VERSION, POLICY_VERSION
from metric_tracker_rl.engine.generation.generate import generate_episode

ANOMALY_COUNTS = (0, 1, 3, 5, 7)
"""Anomaly counts that are walked through; none and the most that a level allows among them."""

BASIC_LEVELS = ("easy", "medium", "hard")
"""Levels that are walked through first; later ones follow, so that no seed moves."""

EDGE_SEEDS = (0, 2**31, 2**63, MAX_SEED)
DIGEST_VERSIONS = {"generator_version": GENERATOR_VERSION, "policy_version": POLICY_VERSION}


def iter_golden_configurations() -> Iterator[EpisodeConfig]:
    """The configurations that stand for all: every family, level and count, and the corners."""
    turn = 0
    for family in SCENARIO_FAMILIES:
        for difficulty in BASIC_LEVELS:
            for count in (ANOMALY_COUNTS[turn % 5], ANOMALY_COUNTS[(turn + 2) % 5]):
                yield EpisodeConfig(100 + turn, family, difficulty, "low", count)
            turn += 1
    for seed in EDGE_SEEDS:
        yield EpisodeConfig(seed, MIXED, "hard", "high", 4)
    for difficulty in BASIC_LEVELS:
        yield _add_custom_anomalies(EpisodeConfig(7, MIXED, difficulty, "medium", 2))
        yield _add_custom_anomalies(
            EpisodeConfig(8, MIXED, difficulty, "medium", 2, only_custom=True)
        )
    for difficulty in (name for name in LEVELS if name not in BASIC_LEVELS):
        for turn, family in enumerate(SCENARIO_FAMILIES):
            yield EpisodeConfig(200 + turn, family, difficulty, "high", ANOMALY_COUNTS[turn % 5])
    for turn, family in enumerate(SCENARIO_FAMILIES):
        difficulty = [*LEVELS][turn % len(LEVELS)]
        count = ANOMALY_COUNTS[1:][turn % 4]
        yield EpisodeConfig(
            300 + turn, family, difficulty, "high", count, policy=PolicySource.VARIED
        )
    for turn, (rung, count) in enumerate(DEFAULT_ANOMALY_COUNTS.items()):
        yield EpisodeConfig(400 + turn, MIXED, rung, "low", count)


def compute_digests(config: EpisodeConfig) -> dict[str, str]:
    """SHA-256 of an episode's dates and hourly counts, and of its expected rows.

    Counts are hashed as little-endian 64-bit integers in the order day, hour, stage; rows as
    compact JSON, whose floats are Python's shortest exact text.
    """
    draw = generate_episode(config)
    counts = np.ascontiguousarray(draw.hourly).astype("<i8").tobytes()
    rows = [row.as_dict() for row in draw.labels]
    labels = json.dumps(rows, sort_keys=True, separators=(",", ":"))
    return {
        "data": hashlib.sha256(",".join(draw.dates).encode() + counts).hexdigest(),
        "labels": hashlib.sha256(labels.encode()).hexdigest(),
    }


def _add_custom_anomalies(config: EpisodeConfig) -> EpisodeConfig:
    """The configuration with a count set to the right of its median and a rate to the left."""
    dates = generate_episode(config).dates
    count = CustomAnomaly(("menu_opens",), (dates[3],), 4.0, "up")
    rate = CustomAnomaly(("app_open_to_menu_open",), (dates[9], dates[27]), 6.5, "down")
    return replace(config, anomalies=(count, rate))


def _config_to_fields(config: EpisodeConfig) -> dict[str, Any]:
    """The fields of a configuration; the policy only where it is drawn."""
    fields = asdict(config)
    if config.policy == PolicySource.STANDARD:
        del fields["policy"]
    return fields


def _config_from_fields(fields: dict[str, Any]) -> EpisodeConfig:
    anomalies = tuple(
        CustomAnomaly(**{**each, "metrics": tuple(each["metrics"]), "dates": tuple(each["dates"])})
        for each in fields["anomalies"]
    )
    return EpisodeConfig(**{**fields, "anomalies": anomalies})


GOLDEN_DIGESTS = GoldenDigests(
    DIGEST_VERSIONS,
    iter_golden_configurations,
    compute_digests,
    _config_to_fields,
    _config_from_fields,
)
list_differences = GOLDEN_DIGESTS.list_differences


if __name__ == "__main__":
    golden_file = Path(sys.argv[1])
    if "--write" in sys.argv[2:]:
        golden_file.write_text(
            json.dumps(GOLDEN_DIGESTS.compute_file_content(), indent=1) + "\n", encoding="utf-8"
        )
    sys.exit(GOLDEN_DIGESTS.print_file_differences(golden_file))
