"""Recorded runs as ATIF trajectories."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.environment import ENVIRONMENT as FUNNEL
from openenv_kit.recordings.atif import build_atif_trajectory, iter_uniquely_named_runs
from openenv_kit.recordings.format import RecordedRun, read_runs
from support.command_line import run_cli
from support.recorded_runs import record_split

FIELDS = {
    "": {"schema_version", "session_id", "agent", "steps", "notes", "final_metrics", "extra"},
    "agent": {"name", "version", "model_name", "tool_definitions"},
    "step": {
        *("step_id", "source", "message", "tool_calls", "observation", "llm_call_count", "extra"),
    },
}
"""Fields of the format, which forbids others, as far as they are used."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    path = tmp_path_factory.mktemp("atif") / "run.jsonl"
    record_split(path, "upstream_first", [3], player_name="scripted:upstream_first")
    (found,) = read_runs(path)
    return found


def check(atif: dict[str, Any]) -> None:
    assert set(atif) <= FIELDS[""]
    assert set(atif["agent"]) <= FIELDS["agent"]
    assert [each["step_id"] for each in atif["steps"]] == list(range(1, len(atif["steps"]) + 1))
    for each in atif["steps"]:
        assert set(each) <= FIELDS["step"]
        calls = [call["tool_call_id"] for call in each.get("tool_calls", ())]
        results = each.get("observation", {"results": []})["results"]
        assert [result["source_call_id"] for result in results] == calls
        assert bool(calls) == (each["source"] == "agent")


def test_a_run_becomes_a_trajectory_with_its_replies(run: RecordedRun) -> None:
    atif = build_atif_trajectory(run, FUNNEL)
    check(json.loads(json.dumps(atif)))
    system, user, *steps = atif["steps"]
    assert (system["source"], user["source"]) == ("system", "user")
    assert [each["extra"]["reward"] for each in steps] == [step.reward for step in run.steps]
    assert atif["final_metrics"] == {
        "total_steps": len(run.steps) + 2,
        "extra": {"score": run.score},
    }
    for each, recorded in zip(steps, run.steps, strict=True):
        (call,) = each["tool_calls"]
        assert (
            FUNNEL.tools.build_action(call["function_name"], call["arguments"]) == recorded.action
        )
        (result,) = each["observation"]["results"]
        assert json.loads(result["content"])["status"] == recorded.status
        assert each["llm_call_count"] == 0
    offered = {each["function"]["name"] for each in atif["agent"]["tool_definitions"]}
    assert {each["tool_calls"][0]["function_name"] for each in steps} <= offered


def test_trajectory_of_a_model_omits_call_counts(run: RecordedRun) -> None:
    atif = build_atif_trajectory(replace(run, player="some-model"), FUNNEL)
    check(atif)
    assert atif["agent"]["model_name"] == "some-model"
    assert "llm_call_count" not in atif["steps"][2]


def test_trajectory_of_run_that_does_not_replay_is_rejected(run: RecordedRun) -> None:
    first, *others = run.steps
    changed = replace(run, steps=[first, replace(others[0], digest="0" * 64)])
    with pytest.raises(ValueError, match="step 2"):
        build_atif_trajectory(changed, FUNNEL)
    with pytest.raises(ValueError, match="The reply to the reset"):
        build_atif_trajectory(replace(run, digest=""), FUNNEL)


def test_the_command_writes_a_file_for_each_run(tmp_path: Path) -> None:
    record_split(tmp_path / "runs.jsonl", "null", [3, 4, 3], player_name="scripted:null")
    asked = [tmp_path / "runs.jsonl", "--out", tmp_path / "out", "--environment", FUNNEL.name]
    done = run_cli("atif", *asked)
    assert done.exit_code == 0, done.output
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["validation-3-e1.json", "validation-3.json", "validation-4.json"]
    check(json.loads((tmp_path / "out" / files[0]).read_text()))


def test_runs_of_named_tasks_are_named_by_them() -> None:
    runs = [RecordedRun("a", {"task_id": "easy"}, {}, ""), RecordedRun("a", {}, {}, "")]
    assert [name for name, _ in iter_uniquely_named_runs(runs)] == ["easy", "custom"]
