"""Reward modes and levels of every environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from openenv_kit.cli import app
from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.environment import Reply, get_environment
from openenv_kit.errors import UnknownNameError
from openenv_kit.rollouts.run_policy import iter_policy_steps
from openenv_kit.trainers.trl import environment_class
from research.graded_players import GRADED_PLAYERS, build_player

NAMES = {"metric_tracker_rl": "expert", "drilldown": "drill_sql", "firewatch": "medium"}
"""Every environment, with one of its levels."""


def last_of(name: str, strength: int, seed: str, **reset: Any) -> Reply:
    """The last reply of a player of the ladder."""
    environment = get_environment(name)
    session, asked = environment.create_session(), {"split": "validation", "index": 10, **reset}
    policy = build_player(
        environment, {**asked, "reward": "graded"}, GRADED_PLAYERS[strength], seed
    )
    *_, (_, reply) = iter_policy_steps(session, policy, session.reset(**asked))
    assert reply.done
    return reply


@pytest.mark.parametrize("name", NAMES)
def test_reward_of_each_mode_equals_its_component(name: str) -> None:
    rewards = []
    for strength, seed in ((1, "0"), (2, "0"), (2, "1"), (3, "1")):
        graded, exact = (last_of(name, strength, seed, reward=each) for each in ("graded", "exact"))
        parts = (graded.info or {})["reward_components"]
        assert (exact.info or {})["reward_components"] == parts
        assert (graded.reward, exact.reward) == (parts["graded"], parts["exact"])
        assert exact.reward in (0.0, 1.0)
        rewards.append((graded.reward, exact.reward))
    assert any(one != other for one, other in rewards), "some play is right in part"


@pytest.mark.parametrize("name", NAMES)
def test_components_are_numbers_from_0_to_1_under_the_same_names(name: str) -> None:
    found = [
        (last_of(name, strength, "0").info or {})["reward_components"] for strength in range(4)
    ]
    assert len({tuple(each) for each in found}) == 1
    assert all(0.0 <= value <= 1.0 for each in found for value in each.values())


@pytest.mark.parametrize("name", NAMES)
def test_unknown_reward_names_the_nearest(name: str) -> None:
    reply = get_environment(name).create_session().reset(split="test", index=0, reward="exakt")
    assert reply.status == "error"
    assert "Did you mean 'exact'" in reply.message


def test_reset_without_a_reward_restores_the_default() -> None:
    session = get_environment("drilldown").create_session()
    session.reset(reward="exact")
    assert session.build_episode_identity()["reward"] == "exact"
    session.reset()
    assert "reward" not in session.build_episode_identity()


IDLE: Mapping[str, dict[str, Any]] = {
    "metric_tracker_rl": {"analysis_method": "list_dates"},
    "drilldown": {"tool": "change_log", "arguments": {}},
    "firewatch": {"action_type": "escalate"},
}


@pytest.mark.parametrize("name", NAMES)
def test_end_without_a_report_has_a_reason(name: str) -> None:
    session = get_environment(name).create_session()
    reply = session.reset(split="test", index=0)
    while not reply.done:
        reply = session.step(IDLE[name])
    assert (reply.info or {})["reason"] == "max_steps"


@pytest.mark.parametrize("name", NAMES)
def test_end_with_a_report_has_no_reason(name: str) -> None:
    assert "reason" not in (last_of(name, 3, "0").info or {})


@pytest.mark.parametrize(("name", "level"), NAMES.items())
def test_rows_of_a_level_are_of_it_alone_and_counted_by_themselves(name: str, level: str) -> None:
    rows = list_task_rows("validation", first=1, count=3, environment_name=name, level=level)
    every = [
        row for row in list_task_rows("validation", environment_name=name) if row["level"] == level
    ]
    assert rows == every[1:4]
    with pytest.raises(UnknownNameError, match=level):
        list_task_rows("validation", environment_name=name, level=f"{level}s")


@pytest.mark.slow
def test_collect_and_export_take_the_level(tmp_path: Path) -> None:
    (row,) = list_task_rows("validation", count=1, environment_name="firewatch", level="medium")
    where = ("--environment", "firewatch", "--split", "validation", "--count", "1", "--level")
    run = CliRunner()
    done = run.invoke(app, ["collect", str(tmp_path / "data"), *where, "medium"])
    assert done.exit_code == 0, done.output
    assert "1 episodes collected" in done.output
    done = run.invoke(app, ["export", str(tmp_path / "rows"), *where, "medium", "--workers", "1"])
    assert done.exit_code == 0, done.output
    (line,) = (tmp_path / "rows" / "validation.jsonl").read_text().splitlines()
    assert json.loads(line)["task"] == row["task"]
    for command in ("collect", "export"):
        wrong = run.invoke(app, [command, str(tmp_path / "none"), *where, "mediun"])
        assert wrong.exit_code == 2
        assert "medium" in wrong.output


def test_a_class_for_trl_has_the_tools_of_its_level() -> None:
    queried = environment_class("drilldown", "train", level="drill_sql")
    sliced = environment_class("drilldown", "train", level="drill_hard")
    assert (hasattr(queried, "sql"), hasattr(queried, "slice")) == (True, False)
    assert (hasattr(sliced, "sql"), hasattr(sliced, "slice")) == (False, True)
