"""Recordings that trainers write: one rollout at a time, with its conversation."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.recordings.format import RolloutOutcome, read_runs
from openenv_kit.recordings.replay import replay_and_compare_run
from openenv_kit.recordings.rollout_recorder import record_policy_rollout
from openenv_kit.trainers.scripted_calls import get_next_scripted_call
from openenv_kit.trainers.tool_episode import ToolEpisode

RESET = {"task_id": "easy_single_spike"}


def play_reference(episode: ToolEpisode) -> None:
    first_user_message = episode.reset(RESET)
    results: list[str] = []
    while call := get_next_scripted_call("reference", results, None, first_user_message):
        results.append(episode.call_tool(call.name, call.arguments, f"Step {len(results) + 1}."))
        if episode.is_done:
            return


def read_events(folder: Path) -> list[dict[str, Any]]:
    (path,) = folder.glob("*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_tool_episode_records_a_finished_episode_that_replays(tmp_path: Path) -> None:
    play_reference(ToolEpisode(record=tmp_path, player_name="step 20"))
    (path,) = tmp_path.glob("*.jsonl")
    (run,) = read_runs(path)
    assert (run.player, run.score, run.outcome) == ("step 20", 1.0, RolloutOutcome.COMPLETED)
    assert replay_and_compare_run(run).matches_recording


def test_recording_of_tool_episode_contains_the_whole_conversation(tmp_path: Path) -> None:
    play_reference(ToolEpisode(record=tmp_path))
    events = read_events(tmp_path)
    messages = [message for event in events for message in event.get("messages", ())]
    step_count = events[-1]["steps"]
    roles = [message["role"] for message in messages]
    assert roles == ["system", "user", *["assistant", "tool"] * step_count]
    assert messages[2]["content"] == "Step 1."
    assert messages[3]["tool_call_id"] == messages[2]["tool_calls"][0]["id"]


def test_call_that_is_no_action_counts_as_error_and_stays_in_the_messages(tmp_path: Path) -> None:
    episode = ToolEpisode(record=tmp_path)
    episode.reset(RESET)
    result = episode.call_tool("no_such_tool", {})
    episode.close()
    events = read_events(tmp_path)
    assert [event["event"] for event in events] == ["start", "end"]
    assert (events[-1]["errors"], events[-1]["outcome"]) == (1, "no report")
    assert events[-1]["messages"][-1]["content"] == result


def test_next_reset_writes_the_unfinished_episode_once(tmp_path: Path) -> None:
    episode = ToolEpisode(record=tmp_path)
    for _ in range(2):
        episode.reset(RESET)
    episode.close()
    episode.close()
    assert [event["event"] for event in read_events(tmp_path)] == ["start", "end"] * 2


def test_pickled_tool_episode_continues_its_recording(tmp_path: Path) -> None:
    episode = ToolEpisode(record=tmp_path)
    episode.reset(RESET)
    episode.call_tool("list_dates", {})
    pickle.loads(pickle.dumps(episode)).close()
    assert [event["event"] for event in read_events(tmp_path)] == ["start", "step", "end"]


@pytest.mark.parametrize("name", ["metric_tracker_rl", "drilldown", "firewatch"])
def test_recorded_policy_rollout_replays(tmp_path: Path, name: str) -> None:
    environment = get_environment(name)
    reset = next(iter(environment.reset_arguments_by_task_id.values()))
    score = record_policy_rollout(environment, environment.policies["reference"], reset, tmp_path)
    (path,) = tmp_path.glob("reference-*.jsonl")
    (run,) = read_runs(path)
    assert (run.score, run.environment, run.outcome) == (score, name, RolloutOutcome.COMPLETED)
    assert replay_and_compare_run(run, environment).matches_recording
