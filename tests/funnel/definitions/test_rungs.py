"""Rungs of the funnel, and the selection of numbered levels in every environment."""

from __future__ import annotations

from typing import Any

import pytest

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
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
from research.measure_levels import measure_rung

ENVIRONMENT_NAMES = ("metric_tracker_rl", "drilldown", "firewatch")
PUBLIC_SPLITS = ("train", "validation", "test")


def test_rungs_are_numbered_without_gaps() -> None:
    assert list(RUNG_LEVELS) == [f"rung_{number}" for number in range(1, len(RUNG_LEVELS) + 1)]
    assert [level.name for level in RUNG_LEVELS.values()] == list(RUNG_LEVELS)
    difficulties = [DIFFICULTY_BY_LEVEL[name] for name in RUNG_LEVELS]
    assert difficulties == sorted(difficulties)
    assert (difficulties[0], difficulties[-1]) == (0.0, 1.0)


def test_policy_text_of_each_rung_states_its_thresholds() -> None:
    for level in EVERY_LEVEL.values():
        text = format_policy_text(EpisodeConfig(1).funnel_with_policy_daytime, level)
        for limit in (level.count_threshold, level.rate_threshold, level.break_threshold):
            assert f"{limit:.0%}" == f"{limit * 100:g}%"
            assert f"{limit:.0%}" in text
        assert f"daytime share {level.mix_threshold:g};" in text


@pytest.mark.parametrize(("difficulty", "rung"), [(0, "rung_1"), (0.34, "rung_2"), (1.0, "rung_5")])
def test_a_reset_by_number_plays_the_nearest_rung_with_its_anomalies(
    difficulty: float, rung: str
) -> None:
    session = EpisodeSession()
    reset = session.reset(difficulty=difficulty, seed=5, scenario_family="mixed")
    assert reset.observation_fields["config"]["difficulty"] == rung
    assert session.episode is not None
    assert len(session.episode.expected_rows) == DEFAULT_ANOMALY_COUNTS[rung]
    session.reset(difficulty=rung, seed=5, anomaly_count=1)
    assert len(session.episode.expected_rows) == 1


@pytest.mark.parametrize("rung", RUNG_LEVELS)
def test_reset_of_a_rung_does_not_contain_the_number_of_rows(rung: str) -> None:
    session = EpisodeSession()
    fields = session.reset(difficulty=rung, seed=5).observation_fields
    assert fields["expected_row_count"] is None
    assert fields["config"]["anomaly_count"] == "hidden"
    step = session.step({"analysis_method": "list_calendar"})
    assert step.observation_fields["expected_row_count"] is None


@pytest.mark.parametrize("reset", [{"difficulty": "rung_9"}, {"split": "train_rung_9"}])
def test_reset_of_a_rung_that_does_not_exist_names_the_existing_ones(reset: Any) -> None:
    message = EpisodeSession().reset(**reset).message
    assert "rung_9" in message
    for rung in RUNG_LEVELS:
        assert rung in message


@pytest.mark.parametrize("argument", [{"scenario_family": "funnel_break"}, {"policy": "varied"}])
def test_rung_with_drawn_terms_has_mixed_episodes_of_the_standard_policy(argument: Any) -> None:
    reset = EpisodeSession().reset(difficulty="rung_3", **argument)
    assert reset.status == "error"
    assert "on rung_3" in reset.message


def test_stronger_policy_scores_more_on_a_rung() -> None:
    means = [line[Reward.GRADED] for line in measure_rung(CURRICULUM_RESETS[2], 6)]
    assert means[0] > means[2] > means[-1]


# Numbered levels of every environment


@pytest.mark.parametrize("name", ENVIRONMENT_NAMES)
def test_a_number_plays_the_nearest_rung_in_every_environment(name: str) -> None:
    environment = get_environment(name)
    splits: Any = environment.splits
    levels = list(splits.splits_by_level)
    for number in (0, 1.0):
        labels = environment.build_result_labels({"difficulty": number, "seed": 5})
        assert labels["level"] == levels[-int(number)]
    session = environment.create_session()
    assert session.reset(difficulty=0, seed=5).status != "error"
    assert "rung_1" in session.reset(difficulty="rung_1x").message
    assert "from 0 to 1" in session.reset(difficulty=1.5).message
    assert session.state().model_dump()["step_count"] == 0


@pytest.mark.parametrize("name", ENVIRONMENT_NAMES)
def test_splits_of_a_rung_share_no_seed(name: str) -> None:
    splits: Any = get_environment(name).splits
    levels = list(splits.splits_by_level)
    seeds = [
        splits.task(f"{split}_{rung}", index).config.seed
        for split in PUBLIC_SPLITS
        for rung in levels
        for index in range(40)
    ]
    assert len(set(seeds)) == len(PUBLIC_SPLITS) * len(levels) * 40
    assert splits.list_playable_split_names() == list(PUBLIC_SPLITS), (
        "no rung in a list of splits to measure on"
    )


@pytest.mark.parametrize("name", ENVIRONMENT_NAMES)
def test_reset_accepts_the_task_id_of_a_split(name: str) -> None:
    session = get_environment(name).create_session()
    assert session.reset(task_id="train_rung_2-7").status != "error"
    by_id = session.build_episode_identity()
    assert session.task_id == "train_rung_2-7"
    session.reset(split="train_rung_2", index=7)
    assert session.build_episode_identity() == by_id
    assert "Did you mean 'train'" in session.reset(task_id="trian-7").message
    assert "index is 999999" in session.reset(task_id="train-999999").message
    for task_id in ("sealed-1", "sessions-1"):
        assert "split and index" in session.reset(task_id=task_id).message


def test_train_tasks_of_a_rung_vary_in_family_and_count() -> None:
    rows = list_task_rows("train", count=24, level="rung_2")
    splits: Any = get_environment().splits
    configs = [splits.task(row["split"], row["index"]).config for row in rows]
    assert len({(each.scenario_family, each.anomaly_count) for each in configs}) == 24
    usual = DEFAULT_ANOMALY_COUNTS["rung_2"]
    assert {each.anomaly_count for each in configs} == {usual - 1, usual, usual + 1}
    assert len(list_task_rows("train", level="rung_2")) == 2400
