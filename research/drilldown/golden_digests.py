"""`python -m research.drilldown.golden_digests FILE`: writes the drill-down's golden digests.

Each entry has the configuration of an episode, and SHA-256 digests of its counts, of its labels, of
its change log, and of its alert with the calendar.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drilldown_next.calendar import format_calendar
from drilldown_next.change_log import format_log
from drilldown_next.config import VERSIONS, EpisodeConfig
from drilldown_next.episode import build_episode
from drilldown_next.generator import generate_counts
from drilldown_next.levels import LEVELS, RUNGS
from drilldown_next.products import PRODUCTS
from openenv_kit.json_text import compact_json

FIRST_SEED = 1000
EPISODES_OF_LEVEL_AND_PRODUCT = 2


def iter_golden_configs() -> Iterator[EpisodeConfig]:
    """Yield 48 episodes: two of each level and product, and four of each rung.

    Of the two, one has no root if the product's number is even, and the other has most roots.
    """
    for level in LEVELS.values():
        for number, product in enumerate(PRODUCTS):
            counts = sorted(set(level.root_counts))
            for seed in range(EPISODES_OF_LEVEL_AND_PRODUCT):
                root_count = counts[-1] if seed else counts[number % 2]
                yield EpisodeConfig(FIRST_SEED + seed, level.name, product, root_count)
    for rung in RUNGS:
        for seed, product in enumerate(PRODUCTS):
            yield EpisodeConfig(FIRST_SEED + seed, rung, product, 1)


def compute_digests(config: EpisodeConfig) -> dict[str, Any]:
    """Generate an episode and return its configuration and digests."""
    episode = build_episode(config, generate_counts(config))
    product, dates = episode.product, episode.dates
    announced = format_calendar(product, dates, episode.calendar)
    return {
        "config": asdict(config),
        "counts": hashlib.sha256(episode.counts.astype("<u2").tobytes()).hexdigest(),
        "labels": _digest([asdict(row) for row in episode.expected_rows]),
        "log": _digest(format_log(product, dates, episode.log)),
        "alert": _digest([episode.alert.text, episode.alert.given, announced]),
    }


def build_golden_digests() -> dict[str, Any]:
    """Return the digests of all episodes, and the versions that generated them."""
    return {
        "versions": VERSIONS,
        "episodes": [compute_digests(config) for config in iter_golden_configs()],
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(compact_json(value).encode()).hexdigest()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(
        json.dumps(build_golden_digests(), indent=1) + "\n", encoding="utf-8"
    )
