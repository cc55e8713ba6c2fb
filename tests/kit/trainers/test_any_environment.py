"""Trainers play installed environments by name."""

import inspect
import json

import pytest

from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.trainers.openenv_harness import collect_episodes, iter_sft_examples
from openenv_kit.trainers.scripted_calls import get_next_scripted_call
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.trl import build_reward_components, environment_class
from research.scripted_endpoint import ScriptedEndpoint
from support.command_line import run_cli
from support.live_server import served

NAME = "pipe_leak"
BRIEF = get_environment(NAME).build_system_prompt()
ROWS = list_task_rows("train", count=10, environment_name=NAME)


def test_scripted_policy_plays_an_environment_by_tool_calls():
    episode = ToolEpisode(environment=NAME)
    for row in ROWS:
        answers = []
        assert episode.reset(row).startswith("A main of 64 segments")
        while (call := get_next_scripted_call("reference", answers, NAME)) is not None:
            answers.append(episode.call_tool(*call))
        assert (episode.reward, episode.is_done) == (1.0, True)
    assert episode.system_prompt == BRIEF


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("name", ["metric_tracker_rl", "drilldown", "firewatch"])
def test_two_players_at_one_address_play_separate_episodes(name: str) -> None:
    rows = list_task_rows("train", count=2, environment_name=name)
    with served("--environment", name, "--also", "none") as url:
        players = [ToolEpisode(url, name) for _ in rows]
        for player, row in zip(players, rows, strict=True):
            player.reset(row)
        tasks = [player._client.state()["task_id"] for player in players]
        for player in players:
            player.close()
    assert tasks == [row["task"] for row in rows]


@pytest.mark.parametrize("name", ["metric_tracker_rl", "drilldown", "firewatch"])
def test_a_scripted_policy_stands_in_for_a_model_on_every_level(name):
    rows = list_task_rows("validation", count=24, environment_name=name)
    by_level = {row["level"]: row for row in rows}
    assert len(by_level) >= 3
    episode = ToolEpisode(environment=name)
    for row in by_level.values():
        opening, answers = episode.reset(row), []
        assert episode.metrics["exact"] == episode.metrics["grounded"] == 0.0
        while call := get_next_scripted_call("reference", answers, name, opening):
            answers.append(episode.call_tool(*call))
        logged = episode.metrics
        assert (episode.reward, logged["exact"], logged["submitted"]) == (1.0, 1.0, True)
        assert logged["grounded"] == (episode.info["grounded"] or 0.0)
        assert logged["tool_calls"] == len(answers)


def test_trl_logs_components_that_pay_nothing_and_refuses_an_unknown_one():
    played, idle = environment_class("firewatch")(), environment_class("firewatch")()
    answers, opening = [], played.reset(split="validation", index=2)
    idle.reset(split="validation", index=2)
    while call := get_next_scripted_call("reference", answers, "firewatch", opening):
        answers.append(getattr(played, call[0])(**call[1]))
    exact, precision, wrong = build_reward_components("exact", "precision", "grunded")
    assert (exact.__name__, exact(environments=[played, idle])) == ("exact", [1.0, 0.0])
    assert precision(environments=[played, idle], prompts=[], log_metric=None) == [1.0, 0.0]
    assert wrong(environments=[idle]) == [0.0], "what there is, only an end tells"
    with pytest.raises(ConfigurationError, match=r"'grunded'.*'grounded'"):
        wrong(environments=[idle, played])


def test_rows_of_an_environment_contain_its_reset_arguments():
    assert ROWS[3] == {"environment": NAME, "task": "train-3", "split": "train", "index": 3}


def test_trl_class_has_the_tools_and_name_of_the_environment():
    made = environment_class(NAME)
    assert made.__name__ == "PipeLeakEnvironment"
    environment = made()
    environment.reset(split="train", index=7, task="train-7", prompt=[])
    answers = []
    while (call := get_next_scripted_call("reference", answers, NAME)) is not None:
        answers.append(getattr(environment, call[0])(**call[1]))
    assert environment.get_reward() == 1.0
    assert list(inspect.signature(environment.report).parameters) == ["segment"]
    assert not hasattr(made, "list_dates")


def test_harness_collects_episodes_of_an_environment(tmp_path):
    assert collect_episodes(tmp_path, ROWS, environment=NAME).avg_reward == 1.0
    example, *_ = iter_sft_examples(tmp_path, environment=NAME)
    assert example["messages"][0]["content"] == BRIEF
    names = [tool["function"]["name"] for tool in example["tools"]]
    assert names == ["gauge", "listen", "report"]
    assert NAME in (tmp_path / "metadata.json").read_text()


def test_collect_command_collects_an_environment(tmp_path):
    arguments = ["collect", str(tmp_path), "--count", "2", "--environment", NAME]
    result = run_cli(*arguments)
    assert result.exit_code == 0, result.output
    (first, _) = (tmp_path / "sft.jsonl").read_text().splitlines()
    assert json.loads(first)["messages"][0]["content"] == BRIEF


def test_an_action_without_its_arguments_is_not_made():
    episode = ToolEpisode(environment=NAME)
    episode.reset({"seed": 1})
    assert "Nothing was submitted" in episode.call_tool("report", {})
    assert not episode.is_done


def test_unknown_policy_of_an_environment_is_rejected():
    with pytest.raises(ConfigurationError, match="Allowed: reference"):
        ScriptedEndpoint("median_filter", NAME)
