"""Splits are disjoint, stratified, served by the task API, and sealed where they are sealed."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from metric_tracker_rl import splits
from metric_tracker_rl.cli import app
from metric_tracker_rl.config import SCENARIO_FAMILIES
from metric_tracker_rl.errors import InvalidValueError, UnknownNameError
from metric_tracker_rl.levels import LEVELS
from metric_tracker_rl.session import Call, EpisodeSession
from metric_tracker_rl.splits import SALT_VARIABLE, SEALED, STRATA
from server.environment import MetricTrackerRlEnvironment

ROOT = Path(__file__).parent.parent
SALT = "a salt that nobody knows, of some length"
PUBLIC = ("train", "validation", "test")


@pytest.fixture
def salted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SALT_VARIABLE, SALT)


def seeds(split: str, count: int = 2304, **environ: str) -> set[int]:
    return {splits.get_task(split, i, environ or None).config.seed for i in range(count)}


def test_there_are_thousands_of_tasks_in_every_split() -> None:
    assert splits.list_splits({}) == list(PUBLIC)
    assert all(splits.num_tasks(split) >= 2000 for split in (*PUBLIC, SEALED))


def test_no_two_splits_share_a_seed_and_no_split_repeats_one(salted: None) -> None:
    found = {split: seeds(split) for split in (*PUBLIC, SEALED)}
    assert all(len(each) == 2304 for each in found.values())
    assert len(set.union(*found.values())) == 4 * 2304
    assert {seed >> 62 for seed in found["train"]} == {0}
    assert {seed >> 62 for seed in found[SEALED]} == {3}


def test_every_block_holds_every_stratum_once_and_zero_anomaly_episodes_are_among_them() -> None:
    for block in (0, 11):
        first = block * len(STRATA)
        tasks = splits.get_task_range("test", first, first + len(STRATA))
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
        return [t.config.anomaly_count for t in splits.get_task_range(split, start, start + 50)]

    assert order("train", 0) != order("train", 1)
    assert order("train", 0) != order("test", 0)


def test_a_wrong_split_or_position_is_told_with_what_is_allowed() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'validation'"):
        splits.get_task("validaton", 0)
    with pytest.raises(InvalidValueError, match="from 0 to 2303"):
        splits.get_task("test", 2304)
    with pytest.raises(InvalidValueError, match="index"):
        splits.get_task("test", True)


def test_a_reset_by_split_and_index_plays_that_task() -> None:
    task = splits.get_task("test", 17)
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


def test_the_sealed_split_needs_a_salt_of_some_length() -> None:
    with pytest.raises(InvalidValueError, match="at least 32"):
        splits.get_task(SEALED, 0, {})
    with pytest.raises(InvalidValueError) as caught:
        splits.get_task(SEALED, 0, {SALT_VARIABLE: "short secret"})
    assert "short secret" not in str(caught.value)


def test_another_salt_makes_other_sealed_tasks_and_leaves_the_public_ones() -> None:
    one, other = {SALT_VARIABLE: SALT}, {SALT_VARIABLE: SALT + "!"}
    assert not seeds(SEALED, 200, **one) & seeds(SEALED, 200, **other)
    assert seeds("test", 200, **one) == seeds("test", 200, **other)


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
    return session.step(Call(classifications=[*rows, {**rows[0], "date": "1999-01-01"}])).content


def test_a_sealed_episode_hides_seed_family_and_density_and_its_feedback_is_aggregate(
    salted: None,
) -> None:
    index = next(i for i in range(200) if splits.get_task(SEALED, i).config.anomaly_count == 3)
    task, session = splits.get_task(SEALED, index), EpisodeSession()
    opening = session.reset(split=SEALED, index=index)
    assert opening.content["config"]["scenario_family"] == "hidden"
    assert opening.content["config"]["anomaly_density"] == "hidden"
    assert str(task.config.seed) not in repr(opening)
    told = sealed_end(session)
    assert set(told) <= {"reward_breakdown", "correct_row_count", "expected_row_count"}
    assert told["reward_breakdown"].matched_rows == len(session.episode.expected_rows)  # type: ignore[union-attr]
    # The same end on a public split tells which rows were wrong.
    public = EpisodeSession()
    public.reset(split="test", index=_with_rows("test"))
    assert sealed_end(public)["submission_issues"]


def _with_rows(split: str) -> int:
    return next(i for i in range(200) if splits.get_task(split, i).config.anomaly_count == 3)


def test_a_sealed_split_takes_no_practice_and_no_debug_mode(salted: None) -> None:
    assert EpisodeSession().reset(split=SEALED, max_submissions=2).status == "error"
    assert EpisodeSession(debug=True).reset(split=SEALED).status == "error"
    assert EpisodeSession(debug=True).reset(split="test").status == "ready"


def test_the_task_api_serves_the_splits_and_the_manifest_declares_their_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    env = MetricTrackerRlEnvironment(debug=False)
    capabilities = yaml.safe_load((ROOT / "openenv.yaml").read_text())["validation"]["capabilities"]
    assert capabilities["task_api"] is True
    assert capabilities["declared_task_count"] == {
        split["name"]: env.num_tasks(split["name"]) for split in env.list_splits()
    }
    assert len(env.list_tasks("train")) == 100
    assert env.get_task_range("test", 2, 4) == [env.get_task("test", 2), env.get_task("test", 3)]
    assert env.get_task_range("test", -1) == [env.get_task("test", 2303)]
    for wrong in (("nowhere", 0), ("test", 5000), (SEALED, 0)):
        with pytest.raises(IndexError):
            env.get_task(*wrong)


def test_no_task_descriptor_tells_a_seed_and_a_sealed_one_no_family(salted: None) -> None:
    env = MetricTrackerRlEnvironment(debug=False)
    for split in (*PUBLIC, SEALED):
        told = env.get_task(split, 5)
        assert "seed" not in told
        assert str(splits.get_task(split, 5).config.seed) not in repr(told)
        assert ("scenario_family" in told) is (split != SEALED)
        assert env.reset(**told["reset"]).status == "ready"


def test_the_splits_module_reads_no_clock_and_draws_nothing() -> None:
    tree = ast.parse(Path(splits.__file__).read_text())
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert not names & {"time", "random", "datetime", "secrets"}
