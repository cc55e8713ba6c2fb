"""Golden digests of the funnel's episodes.

Each episode has two SHA-256 digests: one of its dates and hourly counts, one of its expected rows.
The module depends only on the generator and NumPy. The following command compares a golden file
with newly computed digests. With `--write`, it replaces the file instead:

    python -m metric_tracker_rl.engine.certification.golden_digests FILE [--write]
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from metric_tracker_rl.engine.certification.golden_file import GoldenDigests
from metric_tracker_rl.engine.configuration.episode_config import (
    MAX_SEED,
    SCENARIO_FAMILIES,
    CustomAnomaly,
    EpisodeConfig,
)
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import PolicySource
from metric_tracker_rl.engine.definitions.rungs import DEFAULT_ANOMALY_COUNTS
from metric_tracker_rl.engine.definitions.versions import GENERATOR_VERSION, POLICY_VERSION
from metric_tracker_rl.engine.generation.generate import generate_episode
from openenv_kit.json_text import canonical_json

ANOMALY_COUNTS = (0, 1, 3, 5, 7)
"""Anomaly counts that the configurations use in turn."""

BASIC_LEVELS = ("easy", "medium", "hard")
"""Levels of the first configurations. Levels that were added later follow at the end."""

EDGE_SEEDS = (0, 2**31, 2**63, MAX_SEED)
DIGEST_VERSIONS = {"generator_version": GENERATOR_VERSION, "policy_version": POLICY_VERSION}


def iter_golden_configurations() -> Iterator[EpisodeConfig]:
    """Yield the configurations whose digests the golden file contains.

    They cover all scenario families and levels, several anomaly counts, and edge cases such as the
    largest seed. The seeds of most configurations depend on their positions, so new configurations
    must be added at the end.
    """
    number = 0
    for family in SCENARIO_FAMILIES:
        for difficulty in BASIC_LEVELS:
            for offset in (0, 2):
                count = ANOMALY_COUNTS[(number + offset) % len(ANOMALY_COUNTS)]
                yield EpisodeConfig(100 + number, family, difficulty, "low", count)
            number += 1
    for seed in EDGE_SEEDS:
        yield EpisodeConfig(seed, MIXED, "hard", "high", 4)
    for difficulty in BASIC_LEVELS:
        yield _copy_config_with_custom_count_and_rate_anomaly(
            EpisodeConfig(7, MIXED, difficulty, "medium", 2)
        )
        yield _copy_config_with_custom_count_and_rate_anomaly(
            EpisodeConfig(8, MIXED, difficulty, "medium", 2, only_custom=True)
        )
    for difficulty in LEVELS:
        if difficulty not in BASIC_LEVELS:
            for number, family in enumerate(SCENARIO_FAMILIES):
                count = ANOMALY_COUNTS[number % len(ANOMALY_COUNTS)]
                yield EpisodeConfig(200 + number, family, difficulty, "high", count)
    level_names, counts = list(LEVELS), ANOMALY_COUNTS[1:]
    for number, family in enumerate(SCENARIO_FAMILIES):
        difficulty = level_names[number % len(level_names)]
        count = counts[number % len(counts)]
        yield EpisodeConfig(
            300 + number, family, difficulty, "high", count, policy=PolicySource.VARIED
        )
    for number, (rung, count) in enumerate(DEFAULT_ANOMALY_COUNTS.items()):
        yield EpisodeConfig(400 + number, MIXED, rung, "low", count)


def compute_data_and_label_digests(config: EpisodeConfig) -> dict[str, str]:
    """Return the SHA-256 digests of an episode's data and of its expected rows.

    The data digest covers the dates, followed by the hourly counts as little-endian 64-bit integers
    in the order day, hour, stage. The row digest covers the rows as canonical JSON, with every
    float in its shortest exact form.
    """
    generated = generate_episode(config)
    counts = np.ascontiguousarray(generated.hourly).astype("<i8").tobytes()
    labels = canonical_json([row.as_dict() for row in generated.labels])
    return {
        "data": hashlib.sha256(",".join(generated.dates).encode() + counts).hexdigest(),
        "labels": hashlib.sha256(labels.encode()).hexdigest(),
    }


def _copy_config_with_custom_count_and_rate_anomaly(config: EpisodeConfig) -> EpisodeConfig:
    """Return a copy of a configuration with two custom anomalies.

    One raises an event count on one date, and the other lowers a conversion rate on two dates.
    """
    dates = generate_episode(config).dates
    count = CustomAnomaly(("menu_opens",), (dates[3],), 4.0, "up")
    rate = CustomAnomaly(("app_open_to_menu_open",), (dates[9], dates[27]), 6.5, "down")
    return replace(config, anomalies=(count, rate))


def _config_to_golden_json(config: EpisodeConfig) -> dict[str, Any]:
    """Convert the configuration of an episode without a product to fields for the golden file.

    The `policy` field is omitted if its value is "standard".
    """
    fields = asdict(config)
    del fields["product"]
    if config.policy == PolicySource.STANDARD:
        del fields["policy"]
    return fields


def _config_from_golden_json(golden_json: dict[str, Any]) -> EpisodeConfig:
    """Rebuild a configuration from the fields that `_config_to_golden_json` returns."""
    anomalies = tuple(
        CustomAnomaly(
            metrics=tuple(anomaly["metrics"]),
            dates=tuple(anomaly["dates"]),
            stddev_factor=anomaly["stddev_factor"],
            direction=anomaly["direction"],
        )
        for anomaly in golden_json["anomalies"]
    )
    return EpisodeConfig(**{**golden_json, "anomalies": anomalies})


GOLDEN_DIGESTS = GoldenDigests(
    DIGEST_VERSIONS,
    iter_golden_configurations,
    compute_data_and_label_digests,
    _config_to_golden_json,
    _config_from_golden_json,
)
list_differences = GOLDEN_DIGESTS.list_differences


if __name__ == "__main__":
    golden_path = Path(sys.argv[1])
    if "--write" in sys.argv[2:]:
        GOLDEN_DIGESTS.write_recomputed_file(golden_path)
    sys.exit(GOLDEN_DIGESTS.check_file_and_print_differences(golden_path))
