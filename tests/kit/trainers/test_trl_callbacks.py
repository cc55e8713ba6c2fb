"""Callbacks for TRL, against stand-ins for its libraries; check_integrations runs them in TRL."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.rollouts.curriculum import Curriculum, GroupCounts
from openenv_kit.rollouts.token_budgets import DigitTokens, find_token_budget
from openenv_kit.trainers.tool_episode import next_scripted_call
from openenv_kit.trainers.trl import ToolEnvironment, build_eval_datasets, environment_class

MODULES = ("openenv_kit.trainers.trl_monitor", "openenv_kit.trainers.trl_curriculum")
LEAN = {"profile": "lean"}
STAGES = [{"split": "train_rung_1", **LEAN}, {"split": "train_rung_2", **LEAN}]
END = 2
CALL = {"role": "assistant", "tool_calls": [{"function": {"name": "scan"}}]}
RESULT = {"role": "tool", "content": "{}"}
TEXT = {"role": "assistant", "content": "Nothing."}


class Columns:
    """A dataset as far as it is read here."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows, self.column_names = rows, list(rows[0])

    @classmethod
    def from_list(cls, rows: list[dict[str, Any]]) -> Columns:
        return cls(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


class Tokenizer:
    eos_token_id, pad_token_id = END, 0

    def __init__(self, digits_per_token: int = 3) -> None:
        self.digits_per_token = digits_per_token

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [7] * -(-len(text) // self.digits_per_token)


@pytest.fixture
def callbacks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    stand_ins = {
        "transformers": {"TrainerCallback": object},
        "accelerate": {},
        "accelerate.utils": {"gather_object": lambda found: found},
        "datasets": {"Dataset": Columns},
    }
    for name, members in stand_ins.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monitor, curriculum = map(importlib.import_module, MODULES)
    yield SimpleNamespace(
        RolloutMonitor=monitor.RolloutMonitor, CurriculumCallback=curriculum.CurriculumCallback
    )
    for name in MODULES:
        sys.modules.pop(name, None)


def arguments(**given: Any) -> SimpleNamespace:
    usual = {"world_size": 1, "per_device_train_batch_size": 8, "num_generations": 8}
    return SimpleNamespace(**{**usual, "max_completion_length": 16384, **given})


def monitored(callbacks: Any) -> Any:
    monitor = callbacks.RolloutMonitor()
    monitor.on_init_end(arguments(), None, None, processing_class=Tokenizer())
    return monitor


def finished(score_one: bool) -> ToolEnvironment:
    """Return an environment whose episode ended with score 1.0 or 0.0."""
    environment = environment_class(split="train_rung_1", reset=LEAN)()
    opening = environment.reset(split="train_rung_1", index=0, **LEAN)
    play_to_the_end(environment, opening, score_one)
    return environment


def play_to_the_end(environment: Any, introduction: str, score_one: bool) -> None:
    """Report what the reference reports, or nothing, which is wrong on a rung."""
    if not score_one:
        environment.submit(ids=[])
    answers: list[str] = []
    while score_one and (
        call := next_scripted_call("reference", answers, first_user_message=introduction)
    ):
        answers.append(getattr(environment, call[0])(**call[1]))
    assert environment._episode.reward == float(score_one)
    assert environment._episode.is_done


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


@pytest.mark.parametrize(("ranks", "batch", "warned"), [(2, 8, 0), (2, 4, 1), (1, 4, 0)])
def test_ranks_that_would_share_groups_are_warned_about(
    callbacks: Any, caplog: pytest.LogCaptureFixture, ranks: int, batch: int, warned: int
) -> None:
    given = {"world_size": ranks, "per_device_train_batch_size": batch}
    begin_training(callbacks, [{**ROW, "level": None}], 3, **given)
    assert len(caplog.messages) == warned
    assert all("multiple of num_generations" in message for message in caplog.messages)


def curriculum_of(callbacks: Any, **given: Any) -> Any:
    usual = {"window": 2, "promote_at": 0.9, "demote_below": 0.1}
    return callbacks.CurriculumCallback(Curriculum(STAGES, **{**usual, **given}))


def play_group(environments: list[Any], row: dict[str, Any], *, score_one: bool) -> list[str]:
    """Play a row's group as TRL does; return the introductions."""
    introductions = []
    for environment in environments:
        introductions.append(environment.reset(**row))
        play_to_the_end(environment, introductions[-1], score_one)
        environment.get_reward()
        environment.get_reward()  # by a monitor: the rollout still counts once
    return introductions


def new_state(**held: Any) -> SimpleNamespace:
    return SimpleNamespace(stateful_callbacks=held, global_step=0)


def test_curriculum_plays_its_stage_and_moves_after_a_step(callbacks: Any) -> None:
    callback, state = curriculum_of(callbacks), new_state()
    made = callback.environment_class()
    assert made.__name__ == "MetricTrackerRlEnvironment"
    environments = [made(), made()]
    row = callback.build_dataset(3).rows[1]
    assert "lean" not in row
    one, other = play_group(environments, row, score_one=True)
    assert one == other, "a group plays one task"
    assert [each.stage for each in environments] == [0, 0]
    assert callback.curriculum.stage_index == 0, "within a step the stage stays"
    callback.on_step_end(arguments(), state, None)
    assert (callback.curriculum.stage_index, callback.curriculum.group_counts) == (
        1,
        [GroupCounts(1, 0), GroupCounts(0, 0)],
    )
    (later, _) = play_group(environments, row, score_one=False)
    assert later != one
    assert [each.stage for each in environments] == [1, 1]
    callback.on_step_end(arguments(), state, None)
    assert callback.curriculum.stage_index == 0


def test_curriculum_leaves_out_rows_of_an_evaluation(callbacks: Any) -> None:
    callback = curriculum_of(callbacks)
    environment = callback.environment_class()()
    play_group([environment], {"split": "validation", "index": 0, **LEAN}, score_one=True)
    assert environment.stage is None
    callback.on_step_end(arguments(), new_state(), None)
    assert callback.curriculum.success_rate == 0.0


def test_curriculum_is_restored_from_a_checkpoint(callbacks: Any) -> None:
    callback, state = curriculum_of(callbacks), new_state()
    play_group(
        [callback.environment_class()() for _ in range(2)], {"task_number": 4}, score_one=True
    )
    callback.on_step_end(arguments(), state, None)
    saved = json.loads(json.dumps(state.stateful_callbacks))
    resumed = curriculum_of(callbacks)
    resumed.on_train_begin(
        arguments(), SimpleNamespace(stateful_callbacks=saved, global_step=1), None
    )
    assert resumed.curriculum.state_dict() == callback.curriculum.state_dict()
    assert resumed.curriculum.stage_index == 1


def test_checkpoint_without_a_curriculum_is_reported(
    callbacks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    state = SimpleNamespace(stateful_callbacks={}, global_step=5)
    curriculum_of(callbacks).on_train_begin(arguments(), state, None)
    assert "checkpoint of step 5 contains no curriculum" in caplog.messages[0]


def test_state_of_another_curriculum_is_refused() -> None:
    state = Curriculum([{"seed": 1}]).state_dict()
    with pytest.raises(InvalidValueError, match=r"number of stages is 1; allowed: .* 2 stages"):
        Curriculum(STAGES).load_state_dict(state)


def test_curriculum_warns_of_a_budget_below_that_of_its_stages(
    callbacks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    callback = curriculum_of(callbacks)
    callback.on_train_begin(arguments(max_completion_length=100), new_state(), None)
    assert len(caplog.messages) == len(STAGES)
    assert "rung_2" in caplog.messages[1]


@pytest.mark.usefixtures("callbacks")
def test_eval_datasets_are_one_for_each_level() -> None:
    found = build_eval_datasets(count=2, environment="firewatch")
    assert set(found) == {"easy", "medium", "hard"}
    assert all(set(each["level"]) == {level} for level, each in found.items())
    rungs: Any = build_eval_datasets("test", 3, levels=["rung_1", "hard"], reset=LEAN)
    assert {level: len(each) for level, each in rungs.items()} == {"rung_1": 3, "hard": 3}
    assert rungs["rung_1"]["split"] == ["test_rung_1"] * 3
    assert rungs["hard"]["profile"] == ["lean"] * 3
