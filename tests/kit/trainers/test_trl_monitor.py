"""The monitor for TRL, with stand-ins for its libraries."""

from __future__ import annotations

import math
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.rollouts.token_budgets import DigitTokens, find_token_budget
from openenv_kit.trainers.trl import ToolEnvironment, build_eval_datasets, environment_class
from support.trainer_stand_ins import END, LEAN, Columns, Tokenizer, arguments, finished, monitored

MISSING = {
    "None": None,
    "NaN": math.nan,
    "numpy's NaN": np.float64("nan"),
    "a NaN in 32 bits": np.float32("nan"),
    "NA": pd.NA,
    "NaT": pd.NaT,
}


CALL = {"role": "assistant", "tool_calls": [{"function": {"name": "scan"}}]}
RESULT = {"role": "tool", "content": "{}"}
TEXT = {"role": "assistant", "content": "Nothing."}


def open_episode() -> ToolEnvironment:
    environment = environment_class()()
    environment.reset(split="train", index=0)
    return environment


@pytest.mark.parametrize(
    ("messages", "ids", "is_truncated"),
    [
        ([CALL], [5, END], True),
        ([CALL, RESULT], [5, END], True),
        ([CALL, RESULT, TEXT], [5, 6], True),
        ([CALL, RESULT, TEXT], [5, END], False),
        ([], [], True),
    ],
    ids=["result dropped", "answer cut away", "answer cut off", "stopped by itself", "empty"],
)
def test_open_episode_is_truncated_where_its_last_turn_is_not_complete(
    callbacks: Any, messages: list[Any], ids: list[int], is_truncated: bool
) -> None:
    logged: dict[str, float] = {}
    paid = monitored(callbacks)(
        completions=[messages],
        completion_ids=[ids],
        environments=[open_episode()],
        log_metric=logged.__setitem__,
        level=["easy"],
    )
    assert paid == [0.0]
    assert logged == {
        "rollouts/truncated_share": is_truncated,
        "rollouts/truncated_share/easy": is_truncated,
        "rollouts/mean_score": 0.0,
        "rollouts/mean_score/easy": 0.0,
    }


def test_finished_episode_is_not_truncated_though_its_result_was_dropped(callbacks: Any) -> None:
    logged: dict[str, float] = {}
    monitored(callbacks)(
        completions=[[CALL], [CALL]],
        completion_ids=[[END], [END]],
        environments=[finished(True), open_episode()],
        log_metric=logged.__setitem__,
    )
    assert logged["rollouts/truncated_share"] == 0.5


def test_share_of_equal_groups_counts_neighbours_of_one_task(callbacks: Any) -> None:
    good, bad = finished(True), finished(False)
    logged: dict[str, float] = {}
    monitored(callbacks)(
        completions=[[TEXT]] * 5,
        completion_ids=[[END]] * 5,
        environments=[good, good, good, bad, good],
        log_metric=logged.__setitem__,
        task=["train-0", "train-0", "train-1", "train-1", "train-2"],
    )
    assert logged["groups/equal_reward_share"] == 0.5, "a single rollout is no group"


@pytest.mark.parametrize(
    ("prepare", "environments", "message"),
    [(False, [1], "missing in callbacks"), (True, None, "needs environment_factory")],
)
def test_monitor_that_is_set_up_in_part_says_what_is_missing(
    callbacks: Any, prepare: bool, environments: list[Any] | None, message: str
) -> None:
    monitor = monitored(callbacks) if prepare else callbacks.RolloutMonitor()
    with pytest.raises(ConfigurationError, match=message):
        monitor([[TEXT]], [[END]], print, environments)


def begin_training(callbacks: Any, rows: list[dict[str, Any]], digits: int, **given: Any) -> None:
    loader = SimpleNamespace(dataset=Columns(rows))
    monitored(callbacks).on_train_begin(
        arguments(**given),
        None,
        None,
        processing_class=Tokenizer(digits),
        train_dataloader=loader,
    )


ROW = {"prompt": [], "environment": "firewatch", "task": "train-0", "level": "hard", "index": 0}


@pytest.mark.parametrize("digits", DigitTokens)
def test_budget_below_the_95th_percentile_is_warned_about_by_level(
    callbacks: Any, caplog: pytest.LogCaptureFixture, digits: DigitTokens
) -> None:
    budget = find_token_budget(get_environment("firewatch"), "hard", {}, digits)
    assert budget is not None
    rows = [ROW, {**ROW, "level": "easy"}, {**ROW, "index": 1}, {**ROW, "level": None}]
    per_token = 1 if digits is DigitTokens.SINGLE else 3
    begin_training(callbacks, rows, per_token, max_completion_length=budget.completion.p95 - 1)
    (warning,) = caplog.messages
    assert "firewatch hard" in warning
    assert f"more than {budget.completion.p95} tokens" in warning
    caplog.clear()
    begin_training(callbacks, rows, per_token, max_completion_length=budget.completion.p95)
    assert caplog.messages == []


def test_budget_of_a_mode_is_that_of_the_rows(
    callbacks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    row = {**ROW, "environment": "metric_tracker_rl", "level": "easy"}
    begin_training(callbacks, [{**row, **LEAN}], 3, max_completion_length=1000)
    assert caplog.messages == []
    begin_training(callbacks, [row], 3, max_completion_length=1000)
    assert len(caplog.messages) == 1


def test_environment_without_budgets_is_not_warned_about(
    callbacks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    begin_training(callbacks, [{**ROW, "environment": "pipe_leak"}], 3, max_completion_length=1)
    assert caplog.messages == []


def test_monitor_ranks_that_would_share_groups_is_error(callbacks: Any) -> None:
    given = {"world_size": 2, "per_device_train_batch_size": 4}
    with pytest.raises(ConfigurationError, match="a multiple of num_generations"):
        begin_training(callbacks, [{**ROW, "level": None}], 3, **given)


@pytest.mark.usefixtures("callbacks")
def test_eval_datasets_are_one_for_each_level() -> None:
    found = build_eval_datasets(count=2, environment="firewatch")
    assert set(found) == {"easy", "medium", "hard"}
    assert all(set(each["level"]) == {level} for level, each in found.items())
    rungs: Any = build_eval_datasets("test", 3, levels=["rung_1", "hard"], reset=LEAN)
    assert {level: len(each) for level, each in rungs.items()} == {"rung_1": 3, "hard": 3}
    assert rungs["rung_1"]["split"] == ["test_rung_1"] * 3
    assert rungs["hard"]["profile"] == ["lean"] * 3


def test_monitor_takes_a_missing_level_for_none(stand_ins: Any) -> None:
    monitor = pickle.loads(pickle.dumps(stand_ins.trl_monitor.RolloutMonitor()))
    tokenizer = SimpleNamespace(eos_token_id=2, pad_token_id=0)
    monitor.on_init_end(None, None, None, processing_class=tokenizer)
    environments = [environment_class()() for _ in MISSING]
    for environment in environments:
        environment.reset()
    logged: dict[str, float] = {}
    monitor(
        completions=[[]] * len(MISSING),
        completion_ids=[[]] * len(MISSING),
        log_metric=logged.__setitem__,
        environments=environments,
        level=list(MISSING.values()),
    )
    assert set(logged) == {"rollouts/truncated_share", "rollouts/mean_score"}
    with pytest.raises(ConfigurationError, match="asynchronous trainer does not"):
        monitor(completions=[[]], prompts=[[]], completion_ids=[[]])


@pytest.mark.usefixtures("stand_ins")
def test_eval_datasets_take_none_for_every_argument() -> None:
    found = build_eval_datasets(None, 1, "firewatch", None, None)
    assert all(rows[0]["split"] == "validation" for rows in found.values())
