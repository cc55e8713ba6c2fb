"""The configurations of large runs, as far as they can be checked without their trainers."""

from __future__ import annotations

import runpy
import tomllib
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS
from openenv_kit.datasets.split_rows import list_task_rows, reset_arguments_from_row
from openenv_kit.environment import get_environment
from openenv_kit.rollouts.run_policy import iter_policy_steps, start_session
from openenv_kit.rollouts.token_budgets import DigitTokens, find_token_budget
from openenv_kit.rollouts.token_limits import list_levels_of_rows, warn_if_context_too_small
from openenv_kit.trainers.trl import environment_class
from openenv_kit.trainers.trl_groups import require_whole_groups_on_each_rank
from support.paths import ROOT

FOLDER = ROOT / "examples" / "large_runs"
NOT_RUN = "Not run on GPUs"


@pytest.fixture(scope="module")
def settings() -> SimpleNamespace:
    """The settings of the training with TRL."""
    return SimpleNamespace(**runpy.run_path(str(FOLDER / "trl" / "settings.py")))


@pytest.fixture(scope="module")
def prime_rl() -> dict[str, Any]:
    """The configuration of prime-rl."""
    return tomllib.loads((FOLDER / "verifiers" / "prime_rl.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "path", ["trl/settings.py", "trl/train.py", "trl/accelerate.yaml", "verifiers/prime_rl.toml"]
)
def test_large_run_says_that_it_was_not_run(path: str) -> None:
    assert NOT_RUN in (FOLDER / path).read_text(encoding="utf-8")[:300]


def test_trl_ranks_play_whole_groups(settings: SimpleNamespace) -> None:
    given = settings.GRPO_ARGUMENTS
    args = SimpleNamespace(
        world_size=settings.TRAINING_PROCESSES,
        per_device_train_batch_size=given["per_device_train_batch_size"],
        steps_per_generation=given["gradient_accumulation_steps"],
        num_generations=given["num_generations"],
    )
    require_whole_groups_on_each_rank(args)
    assert args.per_device_train_batch_size % args.num_generations == 0
    rollouts = args.world_size * args.per_device_train_batch_size * args.steps_per_generation
    assert rollouts == settings.CURRICULUM_WINDOW == 192
    assert rollouts // args.num_generations == 24


def test_trl_processes_are_those_of_accelerate(settings: SimpleNamespace) -> None:
    accelerate = yaml.safe_load((FOLDER / "trl" / "accelerate.yaml").read_text(encoding="utf-8"))
    assert accelerate["num_processes"] == settings.TRAINING_PROCESSES
    assert accelerate["deepspeed_config"]["zero_stage"] == 3


@pytest.mark.parametrize("level", RUNG_LEVELS)
def test_trl_limits_suffice_for_every_level(settings: SimpleNamespace, level: str) -> None:
    environment = get_environment(settings.ENVIRONMENT)
    budget = find_token_budget(environment, level, settings.RESET_ARGUMENTS, DigitTokens.SINGLE)
    assert budget is not None
    assert budget.reset == settings.RESET_ARGUMENTS
    assert settings.GRPO_ARGUMENTS["max_completion_length"] >= budget.completion.p95
    rows = list_task_rows("train", 0, 5, environment.name, settings.RESET_ARGUMENTS, level)
    for row in rows:
        session, reply = start_session(environment, reset_arguments_from_row(row, environment.name))
        steps = list(iter_policy_steps(session, environment.policies["reference"], reply))
        assert len(steps) <= settings.GRPO_ARGUMENTS["max_tool_calling_iterations"]


def test_trl_dataset_and_environment_class_fit(settings: SimpleNamespace) -> None:
    split = f"train_{next(iter(RUNG_LEVELS))}"
    made = environment_class(settings.ENVIRONMENT, split, settings.RESET_ARGUMENTS)
    for level in RUNG_LEVELS:
        (row,) = list_task_rows(
            "train", 0, 1, settings.ENVIRONMENT, settings.RESET_ARGUMENTS, level
        )
        assert made().reset(**row)
        assert get_environment(settings.ENVIRONMENT).splits.size(row["split"]) > 0


def test_prime_rl_taskset_exists_and_fits_its_context(prime_rl: dict[str, Any]) -> None:
    (environment,) = prime_rl["orchestrator"]["train"]["env"]
    taskset = environment["taskset"]
    name = taskset["task"]["tools"]["environment"]
    rows = list_task_rows(taskset["split"], 0, 1, name, taskset["reset"], taskset["level"])
    assert [level.level for level in list_levels_of_rows(rows)] == [taskset["level"]]
    assert taskset["context_tokens"] == prime_rl["seq_len"]
    assert warn_if_context_too_small(rows, name, prime_rl["seq_len"]) == []


def test_prime_rl_uses_eight_gpus_and_whole_groups(prime_rl: dict[str, Any]) -> None:
    assert sum(prime_rl["deployment"].values()) == 8
    parallel = prime_rl["inference"]["parallel"]
    assert parallel["tp"] * parallel["dp"] == prime_rl["deployment"]["num_infer_gpus"]
    assert prime_rl["orchestrator"]["batch_size"] % prime_rl["orchestrator"]["group_size"] == 0


def test_prime_rl_says_that_field_names_are_unchecked() -> None:
    text = (FOLDER / "verifiers" / "prime_rl.toml").read_text(encoding="utf-8")
    assert "FIELD NAMES UNCHECKED" in text
