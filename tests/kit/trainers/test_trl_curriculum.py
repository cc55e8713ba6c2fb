"""Curriculum of a TRL training: stage, checkpoints and warnings."""

from __future__ import annotations

import json
import logging
import math
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.rollouts.curriculum import Curriculum, GroupCounts
from support.products import write_example_product
from support.tool_episodes import task_of
from support.trainer_stand_ins import LEAN, STAGES, arguments, play_to_the_end


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
    return SimpleNamespace(stateful_callbacks=held, global_step=0, is_world_process_zero=True)


EMPTY_PROMPT = [{"role": "user", "content": ""}]


def test_curriculum_without_rows_draws_tasks_of_its_stage_with_their_rules(stand_ins: Any) -> None:
    lean = {"profile": "lean"}
    by_split = Curriculum([{"split": "train_rung_1", **lean}])
    by_seed = Curriculum([{"difficulty": "rung_1", **lean}])
    for curriculum in (by_split, by_seed):
        callback = stand_ins.trl_curriculum.CurriculumCallback(curriculum)
        environment = callback.environment_class()()
        openings = [environment.reset(**row) for row in ({}, {"prompt": EMPTY_PROMPT})]
        assert openings[0] != openings[1]
        assert all(each.startswith(environment._episode.system_prompt) for each in openings)
        assert environment.stage == 0
        environment.get_reward()
        assert len(callback._finished_rollouts) == 1
    row = {"task_number": np.float64(4.0), "split": math.nan, "environment": math.nan}
    prompt = [{"role": "system", "content": "Rules."}]
    assert not environment.reset(prompt=prompt, **row).startswith(
        environment._episode.system_prompt
    )


def test_curriculum_sent_to_another_process_keeps_its_stage_and_no_rewards(
    stand_ins: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lean = {"profile": "lean"}
    curriculum = Curriculum([{"split": f"train_rung_{number}", **lean} for number in (1, 2)])
    callback = stand_ins.trl_curriculum.CurriculumCallback(curriculum)
    curriculum.stage_index = 1
    made = callback.environment_class()
    loaded, loaded_class = pickle.loads(pickle.dumps((callback, made)))
    assert loaded.environment_class() is loaded_class
    assert loaded_class.__name__ == made.__name__
    assert "stays at stage 1" in caplog.text
    environment = loaded_class()
    environment.reset(task_number=3)
    assert (task_of(environment._episode), environment.stage) == ("train_rung_2-3", 1)
    environment.get_reward()
    assert loaded._finished_rollouts == []


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


def state_of_step(step: int, **given: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{"stateful_callbacks": {}, "global_step": step, "is_world_process_zero": True, **given}
    )


@pytest.fixture
def moved(callbacks: Any) -> Any:
    """A callback whose curriculum has reached its second stage, and the trainer's state."""
    callback, state = curriculum_of(callbacks), state_of_step(1)
    play_group(
        [callback.environment_class()() for _ in range(2)], {"task_number": 4}, score_one=True
    )
    callback.on_step_end(arguments(), state, None)
    return SimpleNamespace(callback=callback, state=state)


def test_on_save_writes_curriculum_file_that_on_train_begin_reads(
    callbacks: Any, moved: Any, tmp_path: Path
) -> None:
    moved.callback.on_save(arguments(output_dir=str(tmp_path)), moved.state, None)
    path = tmp_path / "checkpoint-1" / "curriculum.json"
    assert json.loads(path.read_text()) == moved.callback.curriculum.state_dict()
    resumed = curriculum_of(callbacks)
    resumed.on_train_begin(arguments(output_dir=str(tmp_path)), state_of_step(1), None)
    assert resumed.curriculum.stage_index == 1
    assert resumed.curriculum.state_dict() == moved.callback.curriculum.state_dict()


def test_on_save_other_rank_writes_nothing(moved: Any, tmp_path: Path) -> None:
    moved.state.is_world_process_zero = False
    moved.callback.on_save(arguments(output_dir=str(tmp_path)), moved.state, None)
    assert list(tmp_path.iterdir()) == []


def test_on_train_begin_edited_file_takes_precedence(
    callbacks: Any, moved: Any, tmp_path: Path
) -> None:
    moved.callback.on_save(arguments(output_dir=str(tmp_path)), moved.state, None)
    path = tmp_path / "checkpoint-1" / "curriculum.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "stage": 0}))
    resumed = curriculum_of(callbacks)
    resumed.on_train_begin(arguments(output_dir=str(tmp_path)), moved.state, None)
    assert resumed.curriculum.stage_index == 0


@pytest.mark.parametrize("text", ["{", "[]", '{"groups": [[0, 0], [0, 0]]}'])
def test_on_train_begin_unreadable_file_is_error(callbacks: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "checkpoint-1" / "curriculum.json").write_text(text)
    with pytest.raises(ConfigurationError, match="contains no state of a curriculum"):
        curriculum_of(callbacks).on_train_begin(
            arguments(output_dir=str(tmp_path)), state_of_step(1), None
        )


def test_on_train_begin_checkpoint_elsewhere_reads_trainer_state(
    callbacks: Any, moved: Any
) -> None:
    saved = json.loads(json.dumps(moved.state.stateful_callbacks))
    resumed = curriculum_of(callbacks)
    resumed.on_train_begin(arguments(), state_of_step(1, stateful_callbacks=saved), None)
    assert resumed.curriculum.state_dict() == moved.callback.curriculum.state_dict()


def test_on_step_end_other_rank_takes_state_of_first_rank(
    callbacks: Any, moved: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_first_rank = moved.callback.curriculum.state_dict()
    module = sys.modules[callbacks.CurriculumCallback.__module__]
    monkeypatch.setattr(module, "broadcast_object_list", lambda _: [of_first_rank])
    other = curriculum_of(callbacks)
    play_group([other.environment_class()()], {"task_number": 4}, score_one=False)
    other.on_step_end(arguments(), state_of_step(1, is_world_process_zero=False), None)
    assert other.curriculum.state_dict() == of_first_rank


def test_checkpoint_without_a_curriculum_is_reported(
    callbacks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    curriculum_of(callbacks).on_train_begin(arguments(), state_of_step(5), None)
    assert "checkpoint of step 5 contains no curriculum" in caplog.messages[0]


def test_curriculum_ranks_that_would_share_groups_is_error(callbacks: Any) -> None:
    given = arguments(world_size=2, per_device_train_batch_size=4)
    with pytest.raises(ConfigurationError, match="a multiple of num_generations"):
        curriculum_of(callbacks).on_train_begin(given, new_state(), None)


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


def test_curriculum_of_a_product_plays_its_tasks_and_refuses_other_rows(
    stand_ins: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRODUCTS", str(write_example_product(tmp_path / "shop.toml")))
    by_split = [{"split": f"train_rung_{number}", "product": "shop"} for number in (1, 2)]
    by_seed = [{"difficulty": f"rung_{number}", "product": "shop"} for number in (1, 2)]
    for stages in (by_split, by_seed):
        callback = stand_ins.trl_curriculum.CurriculumCallback(Curriculum(stages))
        environment = callback.environment_class()()
        assert "payments" in environment.reset(task_number=5)
        assert "payments" in environment.reset()
    with pytest.raises(InvalidValueError, match="the row's product is None; allowed: 'shop'"):
        environment.reset(split="validation", index=0)
