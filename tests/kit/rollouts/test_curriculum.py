"""Curriculum: stages that follow the success rate."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drilldown_env.levels import STAGES as DRILL_STAGES
from firewatch_env.tasks.levels import STAGES as INCIDENT_STAGES
from metric_tracker_rl.engine.definitions.rungs import CURRICULUM_RESETS
from openenv_kit.environment import get_environment
from openenv_kit.errors import InvalidValueError
from openenv_kit.rollouts.curriculum import Curriculum, GroupCounts
from openenv_kit.rollouts.run_policy import run_policy


def test_a_curriculum_goes_up_and_down_with_the_success_rate() -> None:
    curriculum = Curriculum(
        CURRICULUM_RESETS,
        window=4,
        promote_at=0.75,
        demote_below=0.5,
        success_reward=0.9,
        first_seed=7,
    )
    assert curriculum.take_next_reset_arguments() == {
        "difficulty": "rung_1",
        "scenario_family": "mixed",
        "seed": 7,
    }
    assert curriculum.take_next_reset_arguments()["seed"] == 8
    for reward in (1.0, 0.2, 0.95):
        curriculum.record_reward(reward)
    assert (curriculum.stage_index, curriculum.success_rate) == (0, pytest.approx(2 / 3))
    curriculum.record_reward(1.0)
    assert (curriculum.stage_index, curriculum.success_rate) == (1, 0.0)
    for reward in (1.0, 0.0, 0.0, 0.0):
        curriculum.record_reward(reward, stage_index=0)  # late ones of the stage before
    assert curriculum.stage_index == 1
    for reward in (1.0, 0.0, 1.0, 0.0):
        curriculum.record_reward(reward)
    assert curriculum.stage_index == 1, "between the two rates it stays"
    curriculum.record_reward(0.0)
    assert (curriculum.stage_index, curriculum.success_rate) == (0, 0.0)
    for reward in (1.0, 1.0, 1.0):
        curriculum.record_reward(reward)
    assert curriculum.stage_index == 0, "what came before the move counts no more"
    curriculum.record_reward(1.0)
    assert curriculum.stage_index == 1


def test_a_curriculum_stays_on_its_first_and_its_last_stage() -> None:
    curriculum = Curriculum([{"difficulty": "easy"}], window=1)
    for reward in (0.0, 1.0, 1.0, 0.0):
        curriculum.record_reward(reward)
        assert curriculum.stage_index == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"stages": []},
        {"window": 0},
        {"promote_at": 0.2, "demote_below": 0.2},
        {"promote_at": 1.5},
        {"demote_below": -0.1},
    ],
)
def test_a_curriculum_that_could_not_move_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="llowed"):
        Curriculum(**{"stages": CURRICULUM_RESETS, **wrong})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("metric_tracker_rl", CURRICULUM_RESETS),
        ("drilldown", DRILL_STAGES),
        ("firewatch", INCIDENT_STAGES),
    ],
)
def test_a_curriculum_plays_every_environment(name: str, stages: Any) -> None:
    environment = get_environment(name)
    curriculum = Curriculum(stages, window=2, success_reward=0.9)
    for _ in range(2):
        session = environment.create_session()
        opening = session.reset(**curriculum.take_next_reset_arguments())
        curriculum.record_reward(
            run_policy(session, environment.policies["reference"], opening).score
        )
    assert curriculum.stage_index == 1


def test_a_curriculum_keeps_what_groups_have_shown() -> None:
    curriculum = Curriculum(CURRICULUM_RESETS, window=4)
    assert curriculum.record_group_rewards([0.0, 0.5])
    assert not curriculum.record_group_rewards([0.5, 0.505])
    assert curriculum.group_counts[0] == GroupCounts(2, 1)
    assert curriculum.record_group_rewards([1.0, 0.0], stage_index=3)
    assert (curriculum.group_counts[3], curriculum.stage_index) == (GroupCounts(1, 1), 0)
    again = Curriculum(CURRICULUM_RESETS, window=4)
    again.load_state_dict(json.loads(json.dumps(curriculum.state_dict())))
    assert again.state_dict() == curriculum.state_dict()
    assert again.take_next_reset_arguments() == curriculum.take_next_reset_arguments()
    assert again.success_rate == curriculum.success_rate
