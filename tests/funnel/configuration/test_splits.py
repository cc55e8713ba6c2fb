"""Splits of the funnel: disjoint seeds, strata and public values."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.engine.configuration import splits
from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES
from metric_tracker_rl.engine.configuration.splits import (
    RUNG_SPLIT_BLOCKS,
    SEALED_SPLIT,
    SPLITS,
    STRATA,
)
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.rungs import DEFAULT_ANOMALY_COUNTS, RUNG_LEVELS
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit import splits as hashed
from openenv_kit.errors import InvalidValueError, UnknownNameError
from openenv_kit.sealed_split import SALT_VARIABLE
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter

SALT = "a salt that nobody knows, of some length"
PUBLIC = ("train", "validation", "test")


@pytest.fixture
def salted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SALT_VARIABLE, SALT)


def seeds(split: str, count: int = 2304) -> set[int]:
    return {SPLITS.task(split, index).config.seed for index in range(count)}


def test_every_split_has_thousands_of_tasks() -> None:
    assert SPLITS.list_playable_split_names() == list(PUBLIC)
    assert all(SPLITS.size(split) >= 2000 for split in (*PUBLIC, SEALED_SPLIT))


def test_no_two_splits_share_a_seed_and_no_split_repeats_one(salted: None) -> None:
    found = {split: seeds(split) for split in (*PUBLIC, SEALED_SPLIT)}
    assert all(len(each) == 2304 for each in found.values())
    assert len(set.union(*found.values())) == 4 * 2304
    assert {seed >> 62 for seed in found["train"]} == {0}
    assert {seed >> 62 for seed in found[SEALED_SPLIT]} == {3}


def test_every_block_holds_every_stratum_once_and_zero_anomaly_episodes_are_among_them() -> None:
    for block in (0, 11):
        first = block * len(STRATA)
        tasks = [SPLITS.task("test", first + place) for place in range(len(STRATA))]
        strata = [
            (t.config.scenario_family, t.config.difficulty, t.config.anomaly_count) for t in tasks
        ]
        assert sorted(strata) == sorted(STRATA)
    assert {family for family, _, _ in STRATA} == set(SCENARIO_FAMILIES)
    assert {level for _, level, _ in STRATA} == set(LEVELS)
    assert Counter(count for _, _, count in STRATA)[0] == len(STRATA) // 6


@pytest.mark.slow
def test_no_two_tasks_of_all_splits_have_the_same_episode_identity(salted: None) -> None:
    names = [
        *SPLITS.blocks,
        *(SPLITS.find_split_name_of_level(split, rung) for rung in RUNG_LEVELS for split in PUBLIC),
    ]
    assert len(names) == 5 + 3 * len(RUNG_LEVELS)
    tasks = [SPLITS.task(name, index) for name in names for index in range(SPLITS.size(name))]
    task_ids_by_identity: dict[str, str] = {}
    for task in tasks:
        identity = task.config.random_stream_key_json
        assert task_ids_by_identity.setdefault(identity, task.task_id) == task.task_id
    assert len(task_ids_by_identity) == len(tasks)


@pytest.mark.parametrize("rung", RUNG_LEVELS)
def test_split_of_a_rung_has_its_families_with_three_counts_in_every_block(rung: str) -> None:
    usual = DEFAULT_ANOMALY_COUNTS[rung]
    has_other_families = rung in ("rung_1", "rung_2")
    families = SCENARIO_FAMILIES if has_other_families else ("mixed",) * len(SCENARIO_FAMILIES)
    strata = [(family, count) for family in families for count in (usual - 1, usual, usual + 1)]
    assert len(strata) == 24
    assert RUNG_SPLIT_BLOCKS == {"train": 100, "validation": 6, "test": 12}
    for split, blocks in RUNG_SPLIT_BLOCKS.items():
        name = f"{split}_{rung}"
        assert SPLITS.size(name) == blocks * len(strata)
        for first in (0, SPLITS.size(name) - len(strata)):
            configs = [SPLITS.task(name, first + place).config for place in range(len(strata))]
            kinds = [(each.scenario_family, each.anomaly_count) for each in configs]
            assert sorted(kinds) == sorted(strata)
            assert {each.difficulty for each in configs} == {rung}
            assert {each.seed >> 62 for each in configs} == {list(RUNG_SPLIT_BLOCKS).index(split)}


def test_reset_of_a_rung_split_plays_its_task_and_a_wrong_name_gets_the_nearest() -> None:
    session = EpisodeSession()
    assert session.reset(split="train_rung_3", index=7).status == "ready"
    assert session.task_id == "train_rung_3-7"
    assert session.episode is not None
    assert session.episode.config == SPLITS.task("train_rung_3", 7).config
    refused = session.reset(split="train_rnug_3", index=7)
    assert refused.status == "error"
    assert "Did you mean 'train_rung_3'" in refused.message
    beyond = session.reset(split="validation_rung_3", index=144)
    assert "index is 144; allowed: an integer from 0 to 143" in beyond.message


def test_strata_are_shuffled_differently_in_each_block_and_split() -> None:
    def order(split: str, block: int) -> list[int]:
        start = block * len(STRATA)
        return [SPLITS.task(split, start + n).config.anomaly_count for n in range(50)]

    assert order("train", 0) != order("train", 1)
    assert order("train", 0) != order("test", 0)


def test_reset_with_wrong_split_or_index_names_what_is_allowed() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'validation'"):
        SPLITS.task("validaton", 0)
    with pytest.raises(InvalidValueError, match="from 0 to 2303"):
        SPLITS.task("test", 2304)
    with pytest.raises(InvalidValueError, match="index"):
        SPLITS.task("test", True)


def test_a_reset_by_split_and_index_plays_that_task() -> None:
    task = SPLITS.task("test", 17)
    session = EpisodeSession()
    assert session.reset(**task.reset_arguments()).status == "ready"
    assert session.task_id == "test-17"
    assert session.episode is not None
    assert session.episode.config == task.config


@pytest.mark.parametrize(
    "arguments",
    [
        {"split": "test", "index": 0, "seed": 4},
        {"split": "test", "index": 0, "task_id": "easy_single_spike"},
        {"split": "test", "index": 0, "difficulty": "easy"},
        {"split": "test", "index": -1},
        {"split": "tests"},
    ],
)
def test_a_reset_that_mixes_a_split_with_anything_else_is_refused(arguments: Any) -> None:
    session = EpisodeSession()
    reply = session.reset(**arguments)
    assert reply.status == "error"
    assert "llowed" in reply.message
    assert session.view is None


def _with_rows(split: str) -> int:
    return next(i for i in range(200) if SPLITS.task(split, i).config.anomaly_count == 3)


@pytest.mark.parametrize("split", [*PUBLIC, SEALED_SPLIT])
def test_task_of_a_split_hides_family_and_count_before_the_end(split: str, salted: None) -> None:
    env = OpenEnvAdapter()
    practice = {} if split == SEALED_SPLIT else {"max_submissions": 3}
    configs: dict[str, dict[str, Any]] = {}
    for index in range(0, 60, 5):
        task = SPLITS.task(split, index)
        opening = env.reset(**task.reset_arguments(), **practice).model_dump()
        config = {**opening["config"], "start_date": "", "end_date": ""}
        assert config == configs.setdefault(task.config.difficulty, config)
        assert config["scenario_family"] == config["anomaly_density"] == "hidden"
        replies = [opening, _said(env, {"analysis_method": "task_overview"})]
        assert replies[1]["analysis_result"]["result"]["config"] == opening["config"]
        if practice:
            wrong = {"date": opening["config"]["start_date"]}
            replies.append(_said(env, {"classifications": [wrong]}))
            assert "0 rows matched" in replies[-1]["message"]
            counts = replies[-1]["reward_breakdown"]
            assert (counts["expected_rows"], counts["missing_rows"]) == (0, 0)
            assert counts["invalid_rows"] == 1
        assert [reply["expected_row_count"] for reply in replies] == [None] * len(replies)


def _said(env: OpenEnvAdapter, action: dict[str, Any]) -> dict[str, Any]:
    return env.step(action).model_dump()


def test_count_of_public_task_is_shown_at_the_end_and_of_named_task_always() -> None:
    session = EpisodeSession()
    session.reset(split="test", index=_with_rows("test"))
    assert session.step({}).observation_fields["expected_row_count"] == 3
    opening = session.reset(task_id="medium_mixed_pair")
    assert opening.observation_fields["expected_row_count"] == 3
    assert opening.observation_fields["config"]["scenario_family"] == "mixed"
    assert opening.observation_fields["config"]["anomaly_count"] == 3


def test_split_modules_use_no_clock_and_no_random_numbers() -> None:
    for module in (splits, hashed):
        tree = ast.parse(Path(module.__file__).read_text())
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        assert not names & {"time", "random", "datetime", "secrets"}
