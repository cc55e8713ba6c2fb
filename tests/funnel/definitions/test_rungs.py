"""Rungs lie between the named levels."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.rungs import (
    CURRICULUM_RESETS,
    DEFAULT_ANOMALY_COUNTS,
    DIFFICULTY_BY_LEVEL,
    EVERY_LEVEL,
    RUNG_LEVELS,
)
from metric_tracker_rl.engine.reporting_policy.policy_text import format_policy_text
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit.datasets.split_rows import (
    list_task_rows,
)
from openenv_kit.environment import get_environment
from openenv_kit.rewards import Reward
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES
from research.measure_levels import measure_rung


def test_every_third_rung_from_the_first_on_has_the_noise_of_a_named_level() -> None:
    for number, level in zip((1, 4, 7, 10), LEVELS.values(), strict=True):
        rung = replace(RUNG_LEVELS[f"rung_{number}"], name=level.name)
        if number in (4, 7):  # in between, they have decoys and more days
            length = {name: getattr(level, name) for name in ("days", "max_anomalies")}
            rung = replace(rung, **length, weekday_factors=level.weekday_factors, decoys=0)
        assert rung == level
        assert DIFFICULTY_BY_LEVEL[f"rung_{number}"] == pytest.approx(
            DIFFICULTY_BY_LEVEL[level.name]
        )


def test_each_rung_is_harder_than_the_one_before() -> None:
    rungs = list(RUNG_LEVELS.values())
    for lower, higher in pairwise(rungs):
        assert DIFFICULTY_BY_LEVEL[lower.name] < DIFFICULTY_BY_LEVEL[higher.name]
        assert lower.sampling_noise < higher.sampling_noise
        assert lower.separation[1] > higher.separation[1]
        assert lower.rate_threshold >= higher.rate_threshold
        assert (lower.decoys, lower.days) <= (higher.decoys, higher.days)
        assert DEFAULT_ANOMALY_COUNTS[lower.name] <= DEFAULT_ANOMALY_COUNTS[higher.name]
    assert (DIFFICULTY_BY_LEVEL["rung_1"], DIFFICULTY_BY_LEVEL["rung_10"]) == (0.0, 1.0)


def test_policy_text_of_each_rung_states_its_thresholds() -> None:
    for level in EVERY_LEVEL.values():
        text = format_policy_text(EpisodeConfig(1).funnel_with_policy_daytime, level)
        for limit in (level.count_threshold, level.rate_threshold, level.break_threshold):
            assert f"{limit:.0%}" == f"{limit * 100:g}%"
            assert f"{limit:.0%}" in text
        assert f"daytime share {level.mix_threshold:g};" in text


@pytest.mark.parametrize(
    ("difficulty", "rung"), [(0, "rung_1"), (0.34, "rung_4"), (1.0, "rung_10")]
)
def test_a_reset_by_number_plays_the_nearest_rung_with_its_anomalies(
    difficulty: float, rung: str
) -> None:
    session = EpisodeSession()
    opening = session.reset(difficulty=difficulty, seed=5, scenario_family="mixed")
    assert opening.observation_fields["config"]["difficulty"] == rung
    assert opening.observation_fields["expected_row_count"] == DEFAULT_ANOMALY_COUNTS[rung]
    session.reset(difficulty=rung, seed=5, anomaly_count=1)
    assert session.episode is not None
    assert len(session.episode.expected_rows) == 1


def test_stronger_policy_scores_more_on_a_rung() -> None:
    means = [line[Reward.GRADED] for line in measure_rung(CURRICULUM_RESETS[4], 6)]
    assert means[0] > means[2] > means[-1]


# The same numbers in the other environments


@pytest.mark.parametrize("name", ["metric_tracker_rl", "drilldown", "firewatch"])
def test_a_number_plays_the_nearest_rung_in_every_environment(name: str) -> None:
    environment = get_environment(name)
    for number, rung in ((0, "rung_1"), (0.34, "rung_4"), (1.0, "rung_10")):
        assert environment.build_result_labels({"difficulty": number, "seed": 5})["level"] == rung
    session = environment.create_session()
    assert session.reset(difficulty=0, seed=5).status != "error"
    assert "rung_1" in session.reset(difficulty="rung_1x").message
    assert "from 0 to 1" in session.reset(difficulty=1.5).message
    assert session.state().model_dump()["step_count"] == 0


ENVIRONMENT_NAMES = ("metric_tracker_rl", "drilldown", "firewatch")
PUBLIC_SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize("name", ENVIRONMENT_NAMES)
def test_splits_of_a_rung_share_no_seed(name: str) -> None:
    splits: Any = get_environment(name).splits
    seeds = [
        splits.task(f"{split}_{rung}", index).config.seed
        for split in PUBLIC_SPLITS
        for rung in RUNG_LEVEL_NAMES
        for index in range(40)
    ]
    assert len(set(seeds)) == len(PUBLIC_SPLITS) * len(RUNG_LEVEL_NAMES) * 40
    assert splits.list_playable_split_names() == list(PUBLIC_SPLITS), (
        "no rung in a list of splits to measure on"
    )


def test_train_tasks_of_a_rung_vary_in_family_and_count() -> None:
    rows = list_task_rows("train", count=24, level="rung_4")
    splits: Any = get_environment().splits
    configs = [splits.task(row["split"], row["index"]).config for row in rows]
    assert len({(each.scenario_family, each.anomaly_count) for each in configs}) == 24
    usual = DEFAULT_ANOMALY_COUNTS["rung_4"]
    assert {each.anomaly_count for each in configs} == {usual - 1, usual, usual + 1}
    assert len(list_task_rows("train", level="rung_4")) == 2400
