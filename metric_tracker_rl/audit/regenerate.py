"""Seed regeneration: the code is public, so make the episode again and read its answer."""

from __future__ import annotations

from typing import Any

from metric_tracker_rl.audit.registry import NOTHING, exploit
from metric_tracker_rl.config import EpisodeConfig
from metric_tracker_rl.episode import build_episode
from metric_tracker_rl.play import HIDDEN
from metric_tracker_rl.policies.registry import Observed, Play, submit
from metric_tracker_rl.tasks import TASKS

GUESSES = (*range(16), *(task.seed for task in TASKS.values()))


@exploit("regenerate_seed", NOTHING)
def regenerate_seed(opening: Observed) -> Play:
    """Generates episodes from the visible config and guessed seeds; submits a match's labels."""
    config = opening["config"]
    rows: list[dict[str, Any]] = []
    if config["scenario_family"] == HIDDEN:
        yield submit(rows)  # there is no configuration to begin with
        return
    for seed in GUESSES:
        guess = build_episode(
            EpisodeConfig(
                seed,
                config["scenario_family"],
                config["difficulty"],
                config["anomaly_density"],
                config["anomaly_count"],
            )
        )
        if (guess.dates[0], guess.dates[-1]) == (config["start_date"], config["end_date"]):
            rows = [row.as_dict() for row in guess.expected_rows]
            break
    yield submit(rows)
