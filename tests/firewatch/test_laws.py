"""The laws of the score, over small fixed samples; over larger ones with METRIC_TRACKER_FULL=1."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest

from firewatch_env.exploits import BLIND, FOUND, obey
from firewatch_env.policies.own_play import reference_changes
from firewatch_env.policies.reference import reference
from firewatch_env.policies.registry import declare_at_once, null, random_player
from firewatch_env.tasks.levels import LEVELS
from research.firewatch.laws import (
    NOTHING,
    advice_pays,
    differ,
    lateness,
    mean,
    mitigated,
    played,
    tasks_of,
    whenever,
)
from research.firewatch.players import obeyed

FULL = bool(os.environ.get("METRIC_TRACKER_FULL"))
SIZE = 200 if FULL else 16
SPLITS = ("validation", "named", "test", "train") if FULL else ("validation",)
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("level", LEVELS)]


def test_law_1_the_reference_earns_all_and_idlers_nothing(level: str) -> None:
    for split in ("named", "train"):
        tasks = tasks_of(split, level, SIZE)
        assert played(tasks, reference) == 1.0
        assert played(tasks, null) == 0.0
        assert played(tasks, declare_at_once) == mean([float(task.calm) for task in tasks])
    assert played(tasks_of("train", level, max(SIZE, 60)), random_player) <= 0.05


def test_law_1_few_tasks_are_false_alerts(level: str) -> None:
    tasks = tasks_of("train", level, 200)
    assert mean([float(task.calm) for task in tasks]) <= 0.07


@pytest.mark.parametrize("split", ["validation", "test"])
def test_law_2_no_player_without_a_look_earns_much(level: str, split: str) -> None:
    tasks = tasks_of(split, level, max(SIZE, 48))
    assert played(tasks, FOUND[level].play) <= BLIND[level]


def test_law_3_late_is_worse_and_never_worthless(level: str) -> None:
    found = lateness(tasks_of("validation", level, SIZE))
    assert all(one >= two for one, two in pairwise(found.values()))
    assert found[4] >= 0.90
    assert found[10] >= 0.75


def test_law_4_all_faults_mended_is_worth_more_than_half_whenever(level: str) -> None:
    assert min(map(whenever, tasks_of("validation", level, SIZE))) >= 0.55


def test_law_6_plays_that_are_half_right_differ(level: str) -> None:
    tasks = tasks_of("validation", level, max(SIZE, 24))
    assert mean([float(differ(task)) for task in tasks]) >= 0.60


def test_law_7_mitigating_before_a_late_repair_costs_nothing_and_gains_something(
    level: str,
) -> None:
    """Over every shipped task with METRIC_TRACKER_FULL=1, of which half of the hard ones gain."""
    tasks = [task for split in SPLITS for task in tasks_of(split, level, SIZE)]
    plays = [mitigated(task) for task in tasks if not task.calm]
    gains = [after - alone for alone, after in plays]
    assert min(gains) >= -NOTHING
    assert mean(gains) > 0
    if FULL and level == "hard":
        assert mean([float(gain >= 0.05) for gain in gains]) >= 0.5


def test_law_8_obeying_a_log_line_pays_nothing(level: str) -> None:
    assert played(tasks_of("validation", level, SIZE), obey) <= 0.07
    for task in (task for split in SPLITS for task in tasks_of(split, level, max(SIZE, 60))):
        if orders := obeyed(task):
            ours = {(change.action, change.target) for change in reference_changes(task)}
            assert not ours & {(change.action, change.target) for change in orders}
            assert not advice_pays(task)
