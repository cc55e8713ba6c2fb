"""Rungs lie between the named levels, and a curriculum moves along them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest

from drilldown_env.building import build_episode
from drilldown_env.levels import LOSS
from drilldown_env.levels import STAGES as DRILL_STAGES
from drilldown_env.policies.exploits import read_alert
from drilldown_env.policies.reader import Names
from drilldown_env.session import config_of
from drilldown_env.tools import overview
from firewatch_env.tasks.book import find
from firewatch_env.tasks.levels import STAGES as INCIDENT_STAGES
from metric_tracker_rl.engine.certification.certify import certify_one
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
from openenv_kit.agent.episode_plan import plan_episodes
from openenv_kit.datasets.split_rows import (
    list_task_rows,
    reset_arguments_from_row,
    select_rows_of_rank,
)
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.rewards import Reward
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES, Curriculum, GroupCounts
from openenv_kit.rollouts.run_policy import run_policy
from research.firewatch.digests import episode_digest
from research.measure_levels import measure_rung
from support.paths import TESTS

GOLDEN: dict[str, str] = json.loads((TESTS / "firewatch" / "golden_rungs.json").read_text())


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


def test_the_policy_tells_every_rungs_thresholds_as_they_are() -> None:
    for level in EVERY_LEVEL.values():
        text = format_policy_text(EpisodeConfig(1).funnel_spec, level)
        for limit in (level.count_threshold, level.rate_threshold, level.break_threshold):
            assert f"{limit:.0%}" == f"{limit * 100:g}%"
            assert f"{limit:.0%}" in text
        assert f"daytime share {level.mix_threshold:g};" in text


@pytest.mark.slow
def test_episodes_of_every_rung_are_certified() -> None:
    configs = [
        EpisodeConfig(seed, "mixed", name, "low", DEFAULT_ANOMALY_COUNTS[name])
        for name in RUNG_LEVELS
        for seed in range(2)
    ]
    assert [config for config in configs if not certify_one(config).holds] == []


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


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [(1.5, "from 0 to 1"), (-1, "from 0 to 1"), (True, "True"), ("rung_11", "rung_1")],
)
def test_a_difficulty_that_is_none_is_told_with_what_is_allowed(wrong: Any, expected: str) -> None:
    reply = EpisodeSession().reset(difficulty=wrong)
    assert reply.status == "error"
    assert expected in reply.message


def test_a_curriculum_goes_up_and_down_with_the_success_rate() -> None:
    curriculum = Curriculum(
        CURRICULUM_RESETS,
        window=4,
        promote_at=0.75,
        demote_below=0.5,
        success_reward=0.9,
        first_seed=7,
    )
    assert curriculum.next_reset_arguments() == {
        "difficulty": "rung_1",
        "scenario_family": "mixed",
        "seed": 7,
    }
    assert curriculum.next_reset_arguments()["seed"] == 8
    for reward in (1.0, 0.2, 0.95):
        curriculum.record_reward(reward)
    assert (curriculum.stage_index, curriculum.success_rate) == (0, pytest.approx(2 / 3))
    curriculum.record_reward(1.0)
    assert (curriculum.stage_index, curriculum.success_rate) == (1, 0.0)
    for reward in (1.0, 0.0, 0.0, 0.0):
        curriculum.record_reward(reward, stage_index=0)  # late ones of the stage before
    assert curriculum.stage_index == 1
    for reward in (1.0, 0.0, 1.0, 0.0):
        curriculum.record_reward(reward)
    assert curriculum.stage_index == 1, "between the two rates it stays"
    curriculum.record_reward(0.0)
    assert (curriculum.stage_index, curriculum.success_rate) == (0, 0.0)
    for reward in (1.0, 1.0, 1.0):
        curriculum.record_reward(reward)
    assert curriculum.stage_index == 0, "what came before the move counts no more"
    curriculum.record_reward(1.0)
    assert curriculum.stage_index == 1


def test_a_curriculum_stays_on_its_first_and_its_last_stage() -> None:
    curriculum = Curriculum([{"difficulty": "easy"}], window=1)
    for reward in (0.0, 1.0, 1.0, 0.0):
        curriculum.record_reward(reward)
        assert curriculum.stage_index == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"stages": []},
        {"window": 0},
        {"promote_at": 0.2, "demote_below": 0.2},
        {"promote_at": 1.5},
        {"demote_below": -0.1},
    ],
)
def test_a_curriculum_that_could_not_move_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="llowed"):
        Curriculum(**{"stages": CURRICULUM_RESETS, **wrong})


def test_a_stronger_player_earns_more_on_a_rung() -> None:
    means = [line[Reward.GRADED] for line in measure_rung(CURRICULUM_RESETS[4], 6)]
    assert means[0] > means[2] > means[-1]


# The same numbers in the other environments


@pytest.mark.parametrize("rung", GOLDEN)
def test_incidents_of_rungs_keep_their_bytes(rung: str) -> None:
    assert episode_digest(find({"difficulty": rung, "seed": 1}), "reference") == GOLDEN[rung]


def test_the_golden_file_has_every_rung() -> None:
    assert tuple(GOLDEN) == RUNG_LEVEL_NAMES


@pytest.mark.parametrize("name", ["metric_tracker_rl", "drilldown", "firewatch"])
def test_a_number_plays_the_nearest_rung_in_every_environment(name: str) -> None:
    environment = get_environment(name)
    for number, rung in ((0, "rung_1"), (0.34, "rung_4"), (1.0, "rung_10")):
        assert environment.result_labels({"difficulty": number, "seed": 5})["level"] == rung
    session = environment.create_session()
    assert session.reset(difficulty=0, seed=5).status != "error"
    assert "rung_1" in session.reset(difficulty="rung_1x").message
    assert "from 0 to 1" in session.reset(difficulty=1.5).message
    assert session.state().model_dump()["step_count"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("metric_tracker_rl", CURRICULUM_RESETS),
        ("drilldown", DRILL_STAGES),
        ("firewatch", INCIDENT_STAGES),
    ],
)
def test_a_curriculum_plays_every_environment(name: str, stages: Any) -> None:
    environment = get_environment(name)
    curriculum = Curriculum(stages, window=2, success_reward=0.9)
    for _ in range(2):
        session = environment.create_session()
        opening = session.reset(**curriculum.next_reset_arguments())
        curriculum.record_reward(
            run_policy(session, environment.policies["reference"], opening).score
        )
    assert curriculum.stage_index == 1


@pytest.mark.slow
def test_the_lowest_rung_of_drill_down_has_one_root_that_its_alert_shows() -> None:
    for seed in range(3):
        episode = build_episode(config_of({"difficulty": 0.0, "seed": seed}))
        (root,) = episode.expected_rows
        assert len(root.segment) <= 1
        alert = read_alert(Names(overview(episode)), episode.alert)
        steps = [(episode.domain.stages.index(root.stage), root.direction == "up")]
        if root.kind == LOSS:
            steps.append((steps[0][0] + 1, True))
        assert (alert.stage, alert.rises) in steps
        monday = date.fromisoformat(root.date_from)
        monday -= timedelta(days=monday.weekday())
        mondays = [monday, monday + timedelta(days=7)]
        named = [day for day in mondays if f"week of {day.day} {day:%B}" in episode.alert]
        assert named, (episode.alert, root)
        assert named[0].isoformat() <= root.date_to


def test_the_lowest_rung_on_call_has_one_fault_whose_service_alerts_by_itself() -> None:
    for seed in range(5):
        task = find({"difficulty": 0.0, "seed": seed})
        assert len(task.roots) == 1
        assert not task.unalerted
        assert not task.advice


def test_a_curriculum_keeps_what_groups_have_shown() -> None:
    curriculum = Curriculum(CURRICULUM_RESETS, window=4)
    assert curriculum.record_group_and_check_if_rewards_differ([0.0, 0.5])
    assert not curriculum.record_group_and_check_if_rewards_differ([0.5, 0.505])
    assert curriculum.group_counts[0] == GroupCounts(2, 1)
    assert curriculum.record_group_and_check_if_rewards_differ([1.0, 0.0], stage_index=3)
    assert (curriculum.group_counts[3], curriculum.stage_index) == (GroupCounts(1, 1), 0)
    again = Curriculum(CURRICULUM_RESETS, window=4)
    again.load_state_dict(json.loads(json.dumps(curriculum.state_dict())))
    assert again.state_dict() == curriculum.state_dict()
    assert again.next_reset_arguments() == curriculum.next_reset_arguments()
    assert again.success_rate == curriculum.success_rate


ENVIRONMENT_NAMES = ("metric_tracker_rl", "drilldown", "firewatch")
PUBLIC_SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize("name", ENVIRONMENT_NAMES)
@pytest.mark.parametrize("rung", ["rung_1", "rung_10"])
def test_rows_of_a_rung_play_that_rung(name: str, rung: str) -> None:
    environment = get_environment(name)
    for split in PUBLIC_SPLITS:
        (row,) = list_task_rows(split, first=3, count=1, environment_name=name, level=rung)
        named = {"environment": name, "task": f"{split}_{rung}-3", "level": rung}
        assert row == {**named, "split": f"{split}_{rung}", "index": 3}
        reset = reset_arguments_from_row(row, name)
        assert environment.result_labels(reset)["level"] == rung
        assert environment.create_session().reset(**reset).status != "error"


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
    assert splits.playable_split_names() == list(PUBLIC_SPLITS), (
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


@pytest.mark.slow
def test_every_kind_of_task_of_a_rung_is_certified() -> None:
    splits: Any = get_environment().splits
    configs = [splits.task("test_rung_10", index).config for index in range(24)] + [
        splits.task("test_rung_1", index).config for index in range(24)
    ]
    assert [config for config in configs if not certify_one(config).holds] == []


@pytest.mark.parametrize(
    ("split", "level", "message"),
    [
        ("train", "rung_11", "Unknown level 'rung_11'. Did you mean 'rung_1'"),
        ("trian", "rung_1", "Unknown split 'trian'. Did you mean 'train'"),
        ("sealed", "rung_1", "Unknown split 'sealed'"),
        ("train_rung_11", None, "Unknown split 'train_rung_11'. Did you mean 'train_rung_1'"),
        ("train_rung_1", "rung_2", "Unknown level 'rung_2'"),
    ],
)
def test_rows_of_an_unknown_rung_name_the_nearest(
    split: str, level: str | None, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        list_task_rows(split, level=level)


def test_a_run_of_inference_may_name_tasks_of_a_rung() -> None:
    planned = plan_episodes(get_environment(), "train_rung_3:0-2")
    assert [each.label for each in planned] == ["train_rung_3-0", "train_rung_3-1"]


@pytest.mark.parametrize("world_size", [1, 3, 4, 24])
def test_ranks_play_disjoint_rows_that_are_all_rows_together(world_size: int) -> None:
    rows = list_task_rows("train", count=24)
    parts = [select_rows_of_rank(rows, rank, world_size) for rank in range(world_size)]
    assert sorted(row["index"] for part in parts for row in part) == list(range(24))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("rank", "world_size", "message"),
    [
        (2, 2, "rank is 2; allowed: an integer from 0 to 1"),
        (-1, 2, "rank is -1"),
        (0, 0, "world_size is 0"),
        (0, 4, "number of rows is 3; allowed: at least one for each of 4 ranks"),
    ],
)
def test_a_rank_that_does_not_exist_or_has_no_row_is_refused(
    rank: int, world_size: int, message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        select_rows_of_rank(list_task_rows("train", count=3), rank, world_size)
