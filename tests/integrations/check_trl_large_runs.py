"""Trainings with several ranks, and trainings that are killed and resumed."""

import dataclasses
import importlib
import json
from pathlib import Path

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.rollouts.measure_token_budget import measure_token_budget
from support.paths import ROOT
from support.tiny_training import TinyTraining, read_started_tasks, run_training
from support.tiny_transformer import MAX_TOKENS, build_scripted_model, build_tokenizer


def tasks_by_step(folder, rank=0):
    """Return the set of tasks that a rank started, by step."""
    found = {}
    for step, task in read_started_tasks(folder, rank):
        found.setdefault(step, []).append(task)
    return found


@pytest.mark.parametrize(("batch", "passes"), [(4, 1), (2, 2)])
def test_two_ranks_with_whole_groups_play_disjoint_tasks(tmp_path, batch, passes):
    training = TinyTraining(
        str(tmp_path), max_steps=2, ranks=2, batch=batch, passes=passes, group=4
    )
    done = run_training(training)
    assert done.returncode == 0, done.stdout + done.stderr
    played = [{task for _, task in read_started_tasks(tmp_path, rank)} for rank in range(2)]
    assert [len(tasks) for tasks in played] == [2, 2], "a group of four in each of two steps"
    assert played[0].isdisjoint(played[1])


def test_two_ranks_that_would_share_groups_do_not_start(tmp_path):
    done = run_training(TinyTraining(str(tmp_path), max_steps=1, ranks=2, batch=2, group=4))
    assert done.returncode != 0
    assert "a multiple of num_generations (4)" in done.stdout + done.stderr
    assert not list(tmp_path.glob("rank-*.jsonl"))


def test_curriculum_of_two_ranks_stays_equal_and_is_in_the_checkpoint(tmp_path):
    done = run_training(
        TinyTraining(str(tmp_path), max_steps=2, ranks=2, batch=2, group=2, has_curriculum=True)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for rank in range(2):
        by_step = tasks_by_step(tmp_path, rank)
        assert all(task.startswith("train_rung_1-") for task in by_step[1])
        assert all(task.startswith("train_rung_2-") for task in by_step[2])
    saved = json.loads((tmp_path / "checkpoint-1" / "curriculum.json").read_text())
    assert saved["stage"] == 1


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Tasks of a training of three steps that nothing interrupted, and its curriculum."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    done = run_training(TinyTraining(str(folder), max_steps=3, has_curriculum=True))
    assert done.returncode == 0, done.stdout + done.stderr
    return tasks_by_step(folder), curriculum_of_step(folder, 3)


def curriculum_of_step(folder, step):
    path = Path(folder) / f"checkpoint-{step}" / "curriculum.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("in_rollout", [False, True], ids=["between steps", "during a rollout"])
def test_killed_trainer_repeats_only_the_interrupted_step(tmp_path, uninterrupted, in_rollout):
    killed = TinyTraining(
        str(tmp_path),
        max_steps=3,
        has_curriculum=True,
        killed_in_step=2,
        is_killed_in_rollout=in_rollout,
    )
    assert run_training(killed).returncode == -9
    before = read_started_tasks(tmp_path)
    assert {started.step for started in before} == ({1, 2} if in_rollout else {1})
    resumed = TinyTraining(str(tmp_path), max_steps=3, has_curriculum=True, should_resume=True)
    done = run_training(resumed)
    assert done.returncode == 0, done.stdout + done.stderr
    after = read_started_tasks(tmp_path)[len(before) :]
    assert {started.step for started in after} == {2, 3}, "the first step is not repeated"
    tasks, curriculum = uninterrupted
    repeated = {step: found for step, found in tasks_by_step(tmp_path).items() if step != 2}
    assert repeated == {step: tasks[step] for step in (1, 3)}
    assert [started.task for started in after if started.step == 2] == tasks[2]
    assert curriculum_of_step(tmp_path, 3) == curriculum


@pytest.fixture
def large_run(monkeypatch):
    """The module `train` of the configuration for 8 GPUs."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "large_runs" / "trl"))
    return importlib.import_module("train")


ON_CPU = {"use_cpu": True, "bf16": False, "use_vllm": False, "report_to": "none"}


def test_configuration_for_8_gpus_has_only_arguments_that_exist(large_run, tmp_path):
    config = large_run.build_config(tmp_path, ON_CPU)
    fields = {field.name for field in dataclasses.fields(config)}
    assert set(large_run.GRPO_ARGUMENTS) <= fields
    for name, value in large_run.GRPO_ARGUMENTS.items():
        assert name in ON_CPU or getattr(config, name) == value, name
    assert config.steps_per_generation == config.gradient_accumulation_steps


def test_configuration_for_8_gpus_trains_a_step_with_a_tiny_model(large_run, tmp_path):
    tokenizer = build_tokenizer(["metric_tracker_rl"])
    changes = {
        **ON_CPU,
        "max_steps": 1,
        "gradient_accumulation_steps": 1,
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "log_completions": False,
        "gradient_checkpointing": False,
        "max_completion_length": MAX_TOKENS,
    }
    trainer = large_run.build_trainer(
        build_scripted_model(tokenizer, "reference"),
        large_run.build_config(tmp_path, changes),
        processing_class=tokenizer,
    )
    trainer.train()
    log = next(entry for entry in trainer.state.log_history if "reward" in entry)
    assert (log["reward"], log["rollouts/truncated_share"], log["curriculum/stage"]) == (1, 0, 0)


def test_budget_is_measured_with_a_tokenizer_of_transformers():
    tokenizer = build_tokenizer(["metric_tracker_rl"])
    environment = get_environment("metric_tracker_rl")
    budget = measure_token_budget(
        environment, "rung_1", tokenizer, {"profile": "lean"}, task_count=3
    )
    assert 0 < budget.prompt.p50 <= budget.prompt.p95 < budget.total.p95
