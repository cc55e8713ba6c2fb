"""`python -m research.drilldown.digests FILE`: writes the golden digests of drill-down episodes.

Each entry has the configuration of an episode, and SHA-256 digests of its counts, of its labels,
and of its alert, calendar and change log.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drilldown_env.building import build_episode
from drilldown_env.change_log import calendar_entries, log_entries
from drilldown_env.config import VERSIONS, DrillConfig
from drilldown_env.domains import DOMAINS
from drilldown_env.levels import EVERY_LEVEL, LEVELS
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES


def iter_golden_configs() -> Iterator[DrillConfig]:
    """Yield up to three episodes of each level and product, and one of each rung."""
    for level in LEVELS.values():
        for product_number, product in enumerate(DOMAINS):
            for number, roots in enumerate(sorted(set(level.roots))[:3]):
                yield DrillConfig(1000 + 10 * product_number + number, level.name, product, roots)
    for name in RUNG_LEVEL_NAMES:
        yield DrillConfig(1000, name, next(iter(DOMAINS)), *EVERY_LEVEL[name].roots)


def compute_digests(config: DrillConfig) -> dict[str, Any]:
    """Generate an episode and return its configuration and digests."""
    episode = build_episode(config)
    domain, dates = episode.domain, episode.dates
    texts = {
        "alert": episode.alert,
        "calendar": calendar_entries(domain, dates, episode.events),
        "log": log_entries(domain, dates, episode.log),
    }
    counts = episode.counts.astype("<i4").tobytes()
    labels = [row.as_dict() for row in episode.expected_rows]
    return {
        "config": asdict(config),
        "counts": hashlib.sha256(counts).hexdigest(),
        "labels": hashlib.sha256(json.dumps(labels).encode()).hexdigest(),
        "texts": hashlib.sha256(json.dumps(texts).encode()).hexdigest(),
    }


def build_golden_digests() -> dict[str, Any]:
    """Return the digests of all episodes, and the versions that generated them."""
    return {
        "versions": VERSIONS,
        "episodes": [compute_digests(config) for config in iter_golden_configs()],
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(
        json.dumps(build_golden_digests(), indent=1) + "\n", encoding="utf-8"
    )
