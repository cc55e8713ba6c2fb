"""Whole runs of inference.py: without a key, in parallel, and interrupted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from metric_tracker_rl.policies import POLICIES
from openenv_kit.recordings.format import read_runs
from openenv_kit.recordings.replay import iter_replayed_steps
from support.agent_runs import Play
from support.contract_lines import parse_blocks
from support.fake_model import FakeModel
from support.paths import ROOT

pytestmark = pytest.mark.slow

TASKS = ["easy_single_spike", "medium_mixed_pair", "hard_mixed_multi"]


def test_without_a_key_the_reference_policy_scores_1_on_a_server_of_its_own(tmp_path: Path) -> None:
    program = ROOT / "inference.py"
    done = subprocess.run(
        [sys.executable, str(program), "--embedded"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    blocks = parse_blocks(done.stdout)
    assert [(block.task, block.model) for block in blocks] == [
        (task, "scripted:reference") for task in TASKS
    ]
    results = json.loads((tmp_path / "results.json").read_text())
    assert [task["score"] for task in results["tasks"]] == [1.0, 1.0, 1.0]
    assert results["average_score"] == 1.0
    assert "No key is set" in done.stderr
    assert all(task in done.stderr for task in [*TASKS, "average", "seconds", "steps"])
    process = re.search(r"own server on http://127\.0\.0\.1:\d+ \(process (\d+)\)", done.stderr)
    assert process
    with pytest.raises(ProcessLookupError):
        os.kill(int(process[1]), 0)


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_scripted_policy_plays_to_a_graded_report(play: Play, policy: str) -> None:
    ran = play("--policy", policy)
    assert ran.code == 0
    assert {block.model for block in ran.blocks} == {f"scripted:{policy}"}
    assert [task["status"] for task in ran.tasks] == ["evaluated"] * 3
    assert "No key is set" not in ran.err
    assert (ran.results["average_score"] == 1.0) == policy.endswith("reference")


def test_results_go_where_they_are_asked_to(play: Play) -> None:
    ran = play("--policy", "null", "--output", "some/folder/mine.json")
    assert ran.results == {}
    assert json.loads(Path("some/folder/mine.json").read_text())["average_score"] == 0.0


def test_results_of_earlier_run_are_kept_under_another_name(play: Play) -> None:
    first = play("--policy", "null", "--tasks", "easy_single_spike")
    assert "results.1.json" not in first.err
    second = play("--policy", "reference", "--tasks", "easy_single_spike")
    assert "results.1.json" in second.err
    third = play("--policy", "null", "--tasks", "easy_single_spike")
    assert "results.2.json" in third.err
    kept = [json.loads(Path(f"results.{n}.json").read_text()) for n in (1, 2)]
    assert kept == [first.results, second.results]
    assert [each["average_score"] for each in kept] == [0.0, 1.0]


def test_a_seed_makes_another_episode_of_the_same_task(play: Play) -> None:
    usual = play("--tasks", "easy_single_spike")
    other = play("--tasks", "easy_single_spike", "--seed", "12345")
    again = play("--tasks", "easy_single_spike", "--seed", "12345")
    assert other.out == again.out != usual.out
    assert other.tasks[0]["score"] == 1.0


def test_a_range_of_a_split_is_played_over_the_wire_and_recorded(play: Play) -> None:
    ran = play("--tasks", "train:3-6", "--record", "runs")
    assert ran.code == 0
    assert [block.task for block in ran.blocks] == ["train-3", "train-4", "train-5"]
    assert ran.results["average_score"] == 1.0
    (run,) = read_runs(Path("runs/train-4.jsonl"))
    assert run.reset == {"split": "train", "index": 4}
    assert all(same for _, _, same in iter_replayed_steps(run))


def test_split_missing_on_the_server_fails_with_its_message(play: Play) -> None:
    ran = play("--tasks", "sealed:0-1")
    assert ran.code == 1
    assert [block.score for block in ran.blocks] == [0.01]
    assert "The server refused the reset" in ran.err


def test_64_episodes_16_at_a_time_print_64_whole_blocks(play: Play, model: FakeModel) -> None:
    arguments = ("--episodes", "64", "--concurrency", "16", "--tasks", "medium_mixed_pair")
    ran = play(*arguments, "--record", "runs", model="good", server=model)
    assert ran.code == 0
    assert len(ran.blocks) == 64
    assert {task["score"] for task in ran.tasks} == {1.0}
    assert [task["episode"] for task in ran.tasks] == list(range(64))
    assert not any(step.error for block in ran.blocks for step in block.steps)
    runs = [run for file in Path("runs").iterdir() for run in read_runs(file)]
    assert len({run.steps[1].digest for run in runs}) == 64  # medians: 64 different episodes
    assert "64" in ran.err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_an_interrupted_run_prints_the_end_of_every_task_it_started(
    play: Play, model: FakeModel, how: signal.Signals, concurrency: str
) -> None:
    model.before_answer = lambda number: os.kill(os.getpid(), how) if number == 9 else None
    model.delay_s = 0.01
    ran = play("--concurrency", concurrency, model="good", server=model)
    assert ran.code == 130
    assert 1 <= len(ran.blocks) <= 3
    assert ran.results["interrupted"] is True
    statuses = [task["status"] for task in ran.tasks]
    assert "interrupted" in statuses
    for block, task in zip(
        sorted(ran.blocks, key=lambda each: TASKS.index(each.task)), ran.tasks, strict=True
    ):
        assert block.success == (task["status"] == "evaluated")
    assert "interrupted" in ran.err


def test_an_interrupt_stops_the_runs_own_server(play: Play, model: FakeModel) -> None:
    model.before_answer = lambda number: (
        os.kill(os.getpid(), signal.SIGINT) if number == 3 else None
    )
    model.delay_s = 0.01
    ran = play("--embedded", model="good", server=model)
    assert ran.code == 130
    assert [block.success for block in ran.blocks] == [False]
    process = re.search(r"\(process (\d+)\)", ran.err)
    assert process
    with pytest.raises(ProcessLookupError):
        os.kill(int(process[1]), 0)


def test_a_run_without_a_model_loads_neither_framework_nor_openai(
    server_url: str, tmp_path: Path
) -> None:
    program = (
        "import sys, inference; "
        f"code = inference.main(['--base-url', '{server_url}', '--tasks', 'easy_single_spike']); "
        "heavy = {'openenv', 'gradio', 'openai'} & set(sys.modules); "
        "print(heavy); sys.exit(code or len(heavy))"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=variables, capture_output=True, text=True
    )
    assert "[END] success=true" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout
