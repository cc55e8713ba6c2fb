"""The experiment: arms, training runs, and scores on the held-out split."""

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
"""Scripted policies that do not read the reporting policy."""
HALF_THE_POLICY = ("upstream_first", "upstream_first_practice")
"""Scripted policies that apply half of the reporting policy. A learner should score more."""
CURRICULUM_STAGES = (0.25, 0.5)
"""Shares of the updates after which a curriculum adds the next level."""


@dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
        label: name in the chart.
        curriculum: whether levels are added one after the other.
        shuffled: whether rollouts get the scores of other episodes.
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
        updates: gradient steps so far.
        score: mean score of reports that are sampled, as in training.
        decided: mean score of reports with every row that is more likely reported than not.
        by_difficulty: `score` by level.
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
    """The runs of an experiment.

    Attributes:
        seeds: seeds of the runs of each arm.
        arms: names of the arms.
        settings: how to train; `shuffled` is that of the arm.
        train_tasks: maximum number of tasks of the train split.
        held_out_tasks: maximum number of tasks of the held-out split.
        points: number of measurements during a run; one more is made before the first update.
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
    """Yield the runs of a plan as they finish."""
    jobs = [(arm, seed) for seed in plan.seeds for arm in plan.arms]
    if workers == 1:
        yield from (run_one(plan, arm, seed) for arm, seed in jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        pending = [pool.submit(run_one, plan, arm, seed) for arm, seed in jobs]
        for job in as_completed(pending):
            yield job.result()


def run_one(plan: Plan, arm: str, seed: int) -> Run:
    """Train a policy on the train split, and measure it on the held-out split."""
    settings = replace(plan.settings, shuffled=ARMS[arm].shuffled)
    tasks = _rows(TRAIN_SPLIT, plan.train_tasks)
    held_out = _rows(HELD_OUT_SPLIT, plan.held_out_tasks)
    evaluation = Evaluation([_reset(row) for row in held_out])
    policy = RowPolicy.untrained()
    sampler = curriculum_of(tasks) if ARMS[arm].curriculum else sample_uniformly(tasks)
    updates_per_point = max(settings.updates // plan.points, 1)
    curve = [_measure(evaluation, policy, held_out, 0)]
    for updates in train(policy, sampler, settings, np.random.default_rng(seed)):
        if updates % updates_per_point == 0 or updates == settings.updates:
            curve.append(_measure(evaluation, policy, held_out, updates))
    return Run(arm, seed, tuple(curve))


def sample_uniformly(tasks: Sequence[TaskRow]) -> TaskSampler:
    """Return a sampler that draws all tasks with equal probability."""

    def sample(_: float, rng: np.random.Generator, count: int) -> list[Reset]:
        return [_reset(tasks[index]) for index in rng.integers(0, len(tasks), count)]

    return sample


def curriculum_of(tasks: Sequence[TaskRow]) -> TaskSampler:
    """Return a sampler that starts with easy tasks and adds medium and hard ones.

    All levels that were added have equal probability.
    """
    levels = [[task for task in tasks if task["level"] == name] for name in LEVELS]

    def sample(progress: float, rng: np.random.Generator, count: int) -> list[Reset]:
        available = levels[: 1 + sum(progress >= start for start in CURRICULUM_STAGES)]
        drawn_levels = [available[level] for level in rng.integers(0, len(available), count)]
        return [_reset(tasks[int(rng.integers(0, len(tasks)))]) for tasks in drawn_levels]

    return sample


def measure_baselines(plan: Plan) -> dict[str, float]:
    """Return the mean held-out score of the scripted policies to compare with, by name."""
    resets = [_reset(row) for row in _rows(HELD_OUT_SPLIT, plan.held_out_tasks)]
    scores = {}
    for policy in map(get_policy, (*LABEL_BLIND, *HALF_THE_POLICY, "reference")):
        limits = {"max_submissions": policy.max_submissions}
        starts = (start_session(ENVIRONMENT, {**reset, **limits}) for reset in resets)
        scores[policy.name] = statistics.fmean(
            run_policy(session, policy, reset_reply).score for session, reset_reply in starts
        )
    return scores


def _rows(split: str, count: int) -> list[TaskRow]:
    return kit.list_task_rows(split, count=count, environment_name=ENVIRONMENT.name)


def _reset(row: TaskRow) -> Reset:
    return kit.reset_arguments_from_row(row, ENVIRONMENT.name)


def _measure(
    evaluation: Evaluation, policy: RowPolicy, held_out: Sequence[TaskRow], updates: int
) -> Point:
    scores = evaluation.score_sampled_reports(policy)
    levels = np.array([row["level"] for row in held_out])
    return Point(
        updates,
        float(scores.mean()),
        float(evaluation.score_decided_reports(policy).mean()),
        {name: float(scores[levels == name].mean()) for name in LEVELS if name in levels},
    )
