"""The experiment: arms, seeds, the held-out split, and what came out."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace

import numpy as np

from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies import get_policy
from openenv_kit.datasets import split_rows as kit
from openenv_kit.datasets.split_rows import TaskRow
from openenv_kit.errors import require_name
from openenv_kit.rollouts.run_policy import run_policy, start_session
from research.learning.policy import RowPolicy
from research.learning.training import Evaluation, Reset, Settings, TaskSampler, train

TRAIN_SPLIT = "train"
HELD_OUT_SPLIT = "validation"
LABEL_BLIND = ("null", "random", "median_filter", "report_all")
"""Scripted policies that never read what a root is."""
HALF_THE_POLICY = ("upstream_first", "upstream_first_practice")
"""Scripted policies that apply half of the reporting policy: what a learner should beat."""
CURRICULUM_STAGES = (0.25, 0.5)
"""Progress from which a curriculum adds the next difficulty."""


@dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
        label: what the chart calls it.
        curriculum: whether difficulties come in one after the other.
        shuffled: whether rewards are dealt to the wrong episodes.
    """

    label: str
    curriculum: bool = False
    shuffled: bool = False


ARMS: dict[str, Arm] = {
    "plain": Arm("all difficulties at once"),
    "curriculum": Arm("easy, then medium, then hard", curriculum=True),
    "shuffled": Arm("reward shuffled between episodes", shuffled=True),
}


@dataclass(frozen=True)
class Point:
    """A measurement on the held-out split.

    Attributes:
        updates: gradient steps done.
        score: mean score as the policy plays in training, coins included.
        decided: mean score when it decides without coins.
        by_difficulty: `score` by difficulty.
    """

    updates: int
    score: float
    decided: float
    by_difficulty: dict[str, float]


@dataclass(frozen=True)
class Run:
    """One training run: its arm, its seed and its curve."""

    arm: str
    seed: int
    curve: tuple[Point, ...]


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        seeds: one run for each and each arm.
        arms: names of arms.
        settings: how to train; an arm's own `shuffled` is put over it.
        train_tasks, held_out_tasks: most tasks taken from each split.
        points: measurements along a run, the first before any update.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    arms: tuple[str, ...] = tuple(ARMS)
    settings: Settings = field(default_factory=Settings)
    train_tasks: int = 1440
    held_out_tasks: int = 288
    points: int = 20

    def __post_init__(self) -> None:
        for name in self.arms:
            require_name("arm", name, ARMS)


def run_plan(plan: Plan, workers: int) -> Iterator[Run]:
    """Every run of a plan, as they finish."""
    jobs = [(arm, seed) for seed in plan.seeds for arm in plan.arms]
    if workers == 1:
        yield from (run_one(plan, arm, seed) for arm, seed in jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        pending = [pool.submit(run_one, plan, arm, seed) for arm, seed in jobs]
        for job in as_completed(pending):
            yield job.result()


def run_one(plan: Plan, arm: str, seed: int) -> Run:
    """One run: train on the train split, measure on the held-out split."""
    settings = replace(plan.settings, shuffled=ARMS[arm].shuffled)
    tasks = _rows(TRAIN_SPLIT, plan.train_tasks)
    held_out = _rows(HELD_OUT_SPLIT, plan.held_out_tasks)
    examination = Evaluation([_reset(row) for row in held_out])
    policy = RowPolicy.untrained()
    lesson = curriculum_of(tasks) if ARMS[arm].curriculum else sample_uniformly(tasks)
    every = max(settings.updates // plan.points, 1)
    curve = [_measure(examination, policy, held_out, 0)]
    for done in train(policy, lesson, settings, np.random.default_rng(seed)):
        if done % every == 0 or done == settings.updates:
            curve.append(_measure(examination, policy, held_out, done))
    return Run(arm, seed, tuple(curve))


def sample_uniformly(tasks: Sequence[TaskRow]) -> TaskSampler:
    """No curriculum: every task is as likely at any time."""

    def lesson(_: float, rng: np.random.Generator, count: int) -> list[Reset]:
        return [_reset(tasks[index]) for index in rng.integers(0, len(tasks), count)]

    return lesson


def curriculum_of(tasks: Sequence[TaskRow]) -> TaskSampler:
    """Easy tasks at first; medium ones join, then hard ones, each level as likely."""
    levels = [[task for task in tasks if task["level"] == name] for name in LEVELS]

    def lesson(progress: float, rng: np.random.Generator, count: int) -> list[Reset]:
        known = levels[: 1 + sum(progress >= start for start in CURRICULUM_STAGES)]
        pools = [known[level] for level in rng.integers(0, len(known), count)]
        return [_reset(pool[int(rng.integers(0, len(pool)))]) for pool in pools]

    return lesson


def baselines(plan: Plan) -> dict[str, float]:
    """Mean held-out score of the scripted policies that a learner is compared with."""
    resets = [_reset(row) for row in _rows(HELD_OUT_SPLIT, plan.held_out_tasks)]
    scores = {}
    for policy in map(get_policy, (*LABEL_BLIND, *HALF_THE_POLICY, "reference")):
        rules = {"max_submissions": policy.max_submissions}
        starts = (start_session(ENVIRONMENT, {**reset, **rules}) for reset in resets)
        scores[policy.name] = statistics.fmean(
            run_policy(session, policy, opening).score for session, opening in starts
        )
    return scores


def _rows(split: str, count: int) -> list[TaskRow]:
    return kit.list_task_rows(split, count=count, environment_name=ENVIRONMENT.name)


def _reset(row: TaskRow) -> Reset:
    return kit.reset_arguments_from_row(row, ENVIRONMENT.name)


def _measure(
    examination: Evaluation, policy: RowPolicy, held_out: Sequence[TaskRow], updates: int
) -> Point:
    scores = examination.exploring(policy)
    levels = np.array([row["level"] for row in held_out])
    return Point(
        updates,
        float(scores.mean()),
        float(examination.deciding(policy).mean()),
        {name: float(scores[levels == name].mean()) for name in LEVELS if name in levels},
    )
