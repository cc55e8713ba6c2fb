"""Splits are disjoint, stratified, served by the task API, and sealed where they are sealed."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from metric_tracker_rl.engine.configuration import splits
from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES
from metric_tracker_rl.engine.configuration.splits import SEALED_SPLIT, SPLITS, STRATA
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.wire_models import RewardBreakdown
from openenv_kit import splits as hashed
from openenv_kit.cli import app
from openenv_kit.errors import InvalidValueError, UnknownNameError
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from openenv_kit.variables import SALT_VARIABLE
from support.paths import ROOT

SALT = "a salt that nobody knows, of some length"
PUBLIC = ("train", "validation", "test")


@pytest.fixture
def salted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SALT_VARIABLE, SALT)


def seeds(split: str, count: int = 2304) -> set[int]:
    return {SPLITS.task(split, index).config.seed for index in range(count)}


def test_there_are_thousands_of_tasks_in_every_split() -> None:
    assert SPLITS.playable_split_names() == list(PUBLIC)
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


def test_blocks_and_splits_have_orders_of_their_own() -> None:
    def order(split: str, block: int) -> list[int]:
        start = block * len(STRATA)
        return [SPLITS.task(split, start + n).config.anomaly_count for n in range(50)]

    assert order("train", 0) != order("train", 1)
    assert order("train", 0) != order("test", 0)


def test_a_wrong_split_or_position_is_told_with_what_is_allowed() -> None:
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


def test_the_sealed_split_needs_a_salt_of_some_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    with pytest.raises(InvalidValueError, match="at least 32"):
        SPLITS.task(SEALED_SPLIT, 0)
    monkeypatch.setenv(SALT_VARIABLE, "short secret")
    with pytest.raises(InvalidValueError) as caught:
        SPLITS.task(SEALED_SPLIT, 0)
    assert "short secret" not in str(caught.value)


def test_another_salt_makes_other_sealed_tasks_and_leaves_the_public_ones(
    monkeypatch: pytest.MonkeyPatch, salted: None
) -> None:
    sealed, public = seeds(SEALED_SPLIT, 200), seeds("test", 200)
    monkeypatch.setenv(SALT_VARIABLE, SALT + "!")
    assert not sealed & seeds(SEALED_SPLIT, 200)
    assert public == seeds("test", 200)


@pytest.mark.slow
def test_the_commitment_is_checked_with_the_salt_and_fails_with_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = CliRunner()
    monkeypatch.setenv(SALT_VARIABLE, SALT)
    made = run.invoke(app, ["seal"]).output.strip()
    assert len(made) == 64
    assert SALT not in made
    assert run.invoke(app, ["seal", "--check", made]).exit_code == 0
    monkeypatch.setenv(SALT_VARIABLE, SALT + "!")
    assert run.invoke(app, ["seal", "--check", made]).exit_code == 1
    monkeypatch.delenv(SALT_VARIABLE)
    assert run.invoke(app, ["seal"]).exit_code == 2


def sealed_end(session: EpisodeSession) -> dict[str, Any]:
    assert session.episode is not None
    rows = [row.as_dict() for row in session.episode.expected_rows]
    return session.step(
        {"classifications": [*rows, {**rows[0], "date": "1999-01-01"}]}
    ).observation_fields


def test_a_sealed_episode_is_told_its_score_and_nothing_else(salted: None) -> None:
    index = _with_rows(SEALED_SPLIT)
    session = EpisodeSession()
    opening = session.reset(split=SEALED_SPLIT, index=index)
    assert opening.observation_fields["config"]["feedback"] == "score"
    assert str(SPLITS.task(SEALED_SPLIT, index).config.seed) not in repr(opening)
    content = sealed_end(session)
    score = content["reward_breakdown"].total_score
    assert 0.0 < score < 1.0
    assert content["reward_breakdown"] == RewardBreakdown(total_score=score)
    assert content["expected_row_count"] is None
    assert set(content) == {"reward_breakdown", "expected_row_count"}
    # The same end on a public split tells which rows were wrong.
    public = EpisodeSession()
    public.reset(split="test", index=_with_rows("test"))
    full = sealed_end(public)
    assert full["submission_issues"]
    assert full["expected_row_count"] == 3
    assert EpisodeSession().reset(split=SEALED_SPLIT, feedback="full").status == "error"


def _with_rows(split: str) -> int:
    return next(i for i in range(200) if SPLITS.task(split, i).config.anomaly_count == 3)


@pytest.mark.parametrize("split", [*PUBLIC, SEALED_SPLIT])
def test_no_task_of_a_split_tells_its_family_or_count_before_the_end(
    split: str, salted: None
) -> None:
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


def test_the_end_of_a_public_task_tells_its_count_and_a_named_task_always_does() -> None:
    session = EpisodeSession()
    session.reset(split="test", index=_with_rows("test"))
    assert session.step({}).observation_fields["expected_row_count"] == 3
    opening = session.reset(task_id="medium_mixed_pair")
    assert opening.observation_fields["expected_row_count"] == 3
    assert opening.observation_fields["config"]["scenario_family"] == "mixed"
    assert opening.observation_fields["config"]["anomaly_count"] == 3


def test_a_sealed_split_takes_no_practice_and_no_debug_mode(salted: None) -> None:
    assert EpisodeSession().reset(split=SEALED_SPLIT, max_submissions=2).status == "error"
    assert EpisodeSession(debug=True).reset(split=SEALED_SPLIT).status == "error"
    assert EpisodeSession(debug=True).reset(split="test").status == "ready"


def test_the_task_api_serves_the_splits_and_the_manifest_declares_their_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    env = OpenEnvAdapter()
    capabilities = yaml.safe_load((ROOT / "openenv.yaml").read_text())["validation"]["capabilities"]
    assert capabilities["task_api"] is True
    assert capabilities["declared_task_count"] == {
        split["name"]: env.num_tasks(split["name"]) for split in env.list_splits()
    }
    assert len(env.list_tasks("train")) == 100
    assert env.get_task_range("test", 2, 4) == [env.get_task("test", 2), env.get_task("test", 3)]
    assert env.get_task_range("test", -1) == [env.get_task("test", 2303)]
    for wrong in (("nowhere", 0), ("test", 5000), (SEALED_SPLIT, 0)):
        with pytest.raises(IndexError):
            env.get_task(*wrong)


def test_no_task_descriptor_tells_a_seed_or_a_family(salted: None) -> None:
    env = OpenEnvAdapter()
    for split in (*PUBLIC, SEALED_SPLIT):
        task = env.get_task(split, 5)
        assert "seed" not in task
        assert str(SPLITS.task(split, 5).config.seed) not in repr(task)
        assert set(task) == {"id", "split", "index", "difficulty", "reset"}
        assert env.reset(**task["reset"]).status == "ready"


def test_the_modules_of_splits_read_no_clock_and_draw_nothing() -> None:
    for module in (splits, hashed):
        tree = ast.parse(Path(module.__file__).read_text())
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        assert not names & {"time", "random", "datetime", "secrets"}
