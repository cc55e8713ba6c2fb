"""Labels equal those of a second implementation of the policy, written from its text alone.

`uv run pytest tests/guarantees/test_second_policy.py` compares 780 episodes; with
METRIC_TRACKER_FULL=1 more than four thousand.
"""

from __future__ import annotations

import ast
import os
import random
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.episode.episode import (
    FunnelEpisode,
    create_episode_and_freeze_hourly_counts,
)
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies import get_policy
from openenv_kit.rollouts.run_policy import run_policy
from support import second_policy
from support.funnel_episodes import sample

FULL = bool(os.environ.get("METRIC_TRACKER_FULL"))
LAST_DIGITS = 2.5e-4
"""A median of two days often ends in a 5, which one rounds up and the other down; a difference
of two such values can be off twice."""
VALUES = ("baseline_value", "observed_value", "delta_value")


def differences(episode: FunnelEpisode) -> list[str]:
    """What the two implementations say differently of an episode; empty where they agree."""
    hourly = [episode.hourly_counts_of_day(day).tolist() for day in range(len(episode.dates))]
    known: dict[str, set[str]] = {}
    for entry in episode.generated.calendar:
        known.setdefault(episode.dates[entry.day], set()).update(entry.explains)
    days = dict(zip(episode.dates, hourly, strict=True))
    first = [row.as_dict() for row in episode.expected_rows]
    policy = second_policy.POLICIES[episode.config.difficulty]
    if episode.config.policy == "varied":
        policy = second_policy.policy_of(EpisodeView(episode).public_config)
    second = second_policy.report(days, policy, known)
    if len(first) != len(second):
        return [f"{len(first)} rows and {len(second)}: {first} and {second}"]
    return [
        f"{name}: {one[name]} and {two[name]} in {one}"
        for one, two in zip(first, second, strict=True)
        for name in one
        if (
            one[name] != pytest.approx(two[name], abs=LAST_DIGITS)
            if name in VALUES
            else one[name] != two[name]
        )
    ]


def compare(resets: list[dict[str, Any]]) -> None:
    session, found = EpisodeSession(), []
    for reset in resets:
        assert session.reset(**reset).status == "ready", reset
        assert session.episode is not None
        found += [(reset, each) for each in differences(session.episode)]
    assert found == []


def natural(seeds: range) -> list[dict[str, Any]]:
    """Episodes of every family and level; the number of anomalies goes round."""
    return [
        {"seed": seed, "scenario_family": family, "difficulty": level, "anomaly_count": seed % 8}
        for seed, family, level in product(seeds, SCENARIO_FAMILIES, LEVELS)
    ]


def custom(seeds: range) -> list[dict[str, Any]]:
    """Episodes with custom anomalies of every kind, on few days or on most."""
    session, resets = EpisodeSession(), []
    for seed in seeds:
        chance = random.Random(seed)
        level = chance.choice(list(LEVELS))
        count = chance.choice([None, 0, 2])
        # Dates are those of the same reset without the custom anomalies.
        base = {"seed": seed, "difficulty": level, "anomaly_count": count}
        assert session.reset(**base).status == "ready"
        dates = session.episode.dates  # type: ignore[union-attr]
        anomalies = [
            {
                "metric_names": chance.sample(
                    ORDERING_APP.count_and_rate_names, chance.randint(1, 3)
                ),
                "dates": chance.sample(dates, chance.choice([1, 2, 5, len(dates) // 2 + 1])),
                "stddev_factor": chance.choice([0.5, 2.0, 5.0, 20.0, 90.0]),
                "direction": chance.choice(["up", "down", "auto"]),
            }
            for _ in range(chance.randint(1, 3))
        ]
        resets.append({**base, "anomalies": anomalies})
    return resets


def without(events: list[str], on: int | None = None) -> dict[str, Any]:
    """A reset whose metrics are 0 on its first days; None for all days but one."""
    session = EpisodeSession()
    session.reset(seed=5, difficulty="easy")
    dates = session.episode.dates  # type: ignore[union-attr]
    low = {"metric_names": events, "dates": dates[: on or -1], "direction": "down"}
    return {"seed": 5, "difficulty": "easy", "anomalies": [{**low, "stddev_factor": 1000.0}]}


ZEROS = [
    without(events, on)
    for on in (1, 3, None)
    for events in (
        ["app_open_to_menu_open"],
        ["order_placed_to_payment_successful"],
        ["payment_successful"],
        ["app_open_to_menu_open", "app_opens"],
        ["app_open_to_payment_successful"],
        list(ORDERING_APP.event_count_names),
    )
]


@pytest.mark.slow
def test_second_policy_agrees_on_generated_episodes() -> None:
    compare(natural(range(48 if FULL else 12)))


@pytest.mark.slow
def test_second_policy_agrees_on_drawn_policies() -> None:
    resets = natural(range(40, 80) if FULL else range(5, 8))
    compare([{**reset, "policy": "varied"} for reset in resets])


@pytest.mark.slow
def test_second_policy_agrees_on_custom_anomalies() -> None:
    compare(custom(range(1200 if FULL else 300)))


def test_second_policy_agrees_on_zero_denominators_and_baselines() -> None:
    compare(ZEROS)


def test_zero_denominators_and_zero_baselines_are_met() -> None:
    session, denominators, baselines = EpisodeSession(), 0, 0
    for reset in ZEROS:
        session.reset(**reset)
        assert session.episode is not None
        series = session.episode.series
        denominators += int((series.values[:, :4] == 0).any())
        baselines += int((series.baselines == 0).any())
    assert denominators >= 8
    assert baselines >= 5


def test_the_reference_policy_reads_zeros_as_the_text_says() -> None:
    for reset in ZEROS:
        session = EpisodeSession()
        assert run_policy(session, get_policy("reference"), session.reset(**reset)).score == 1.0, (
            reset
        )


@pytest.mark.slow
def test_a_wrong_label_is_noticed() -> None:
    config, draw = next(each for each in sample() if len(each[1].labels) > 1)
    episode = create_episode_and_freeze_hourly_counts(config, draw)
    assert differences(episode) == []
    object.__setattr__(episode, "expected_rows", episode.expected_rows[1:])
    assert differences(episode) != []


def test_the_second_implementation_shares_no_code_with_the_product() -> None:
    tree = ast.parse(Path(second_policy.__file__).read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert imported <= sys.stdlib_module_names
