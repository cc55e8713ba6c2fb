"""Golden digests of the drill-down tier: the same bytes for ever, in a form to check.

Each digest stands for one configuration: SHA-256 over its dates and counts, over its expected
rows, over its change log, and over the floats of its explanations in hexadecimal. The module needs
the generator, NumPy and pydantic alone:

    python -m metric_tracker_rl.drilldown.digests tests/drilldown/golden_digests.json
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from metric_tracker_rl.drilldown.building import generate
from metric_tracker_rl.drilldown.config import MAX_SEED, DrillConfig
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.generator import Draw
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.versions import DEFINITION_VERSION, GENERATOR_VERSION
from metric_tracker_rl.engine.generation.digests import check_file

PARTS = ("data", "labels", "log", "floats")
BIG_SEEDS = (0, 2**31, 2**63, MAX_SEED)


def golden_configurations() -> Iterator[DrillConfig]:
    """Every level and product with up to the level's most causes, and big seeds."""
    turn = 0
    for level, product in ((level, product) for level in LEVELS for product in DOMAINS):
        for causes in range(max(LEVELS[level].causes) + 1):
            yield DrillConfig(300 + turn, level, product, causes)
            turn += 1
    for seed in BIG_SEEDS:
        yield DrillConfig(seed, "drill", "saas_trial", 2)


def digests_of(config: DrillConfig) -> dict[str, str]:
    """SHA-256 of an episode's parts; see the module."""
    draw, episode = generate(config)
    counts = np.ascontiguousarray(draw.counts).astype("<i4").tobytes()
    rows = json.dumps([row.as_dict() for row in episode.expected_rows], sort_keys=True)
    log = json.dumps([asdict(entry) for entry in draw.log], sort_keys=True)
    return {
        "data": hashlib.sha256(",".join(draw.dates).encode() + counts).hexdigest(),
        "labels": hashlib.sha256(rows.encode()).hexdigest(),
        "log": hashlib.sha256(log.encode()).hexdigest(),
        "floats": hashlib.sha256(_floats(draw).encode()).hexdigest(),
    }


def golden_table() -> dict[str, Any]:
    """What the golden file holds, computed afresh."""
    return {
        "generator_version": GENERATOR_VERSION,
        "definition_version": DEFINITION_VERSION,
        "episodes": [
            {"config": asdict(config), **digests_of(config)} for config in golden_configurations()
        ],
    }


def differences(golden: dict[str, Any]) -> list[str]:
    """What the golden file tells otherwise than this machine; empty where all is well."""
    versions = {"generator_version": GENERATOR_VERSION, "definition_version": DEFINITION_VERSION}
    found = [
        f"{name} is {golden.get(name)!r} in the file and {value!r} here"
        for name, value in versions.items()
        if golden.get(name) != value
    ]
    for entry in golden["episodes"]:
        config = DrillConfig(**entry["config"])
        made = digests_of(config)
        found += [f"{part} differ: {config}" for part in PARTS if made[part] != entry[part]]
    return found


def _floats(draw: Draw) -> str:
    numbers = [
        number
        for run in draw.runs
        for number in (*run.factors, run.margin, run.left, *run.weakest, run.shown)
    ]
    return ",".join(number.hex() for number in numbers)


if __name__ == "__main__":
    sys.exit(check_file(differences))
