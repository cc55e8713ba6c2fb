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
    NEGLIGIBLE_GAIN,
    has_differing_scores,
    is_advice_rewarded,
    list_tasks,
    mean_or_zero,
    mean_scores_by_delay,
    measure_mean_score,
    score_of_latest_repair,
    score_with_mitigation,
)
from research.firewatch.players import changes_from_advice

FULL = bool(os.environ.get("METRIC_TRACKER_FULL"))
SIZE = 200 if FULL else 16
SPLITS = ("validation", "named", "test", "train") if FULL else ("validation",)
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("level", LEVELS)]


def test_law_1_the_reference_earns_all_and_idlers_nothing(level: str) -> None:
    for split in ("named", "train"):
        tasks = list_tasks(split, level, SIZE)
        assert measure_mean_score(tasks, reference) == 1.0
        assert measure_mean_score(tasks, null) == 0.0
        assert measure_mean_score(tasks, declare_at_once) == mean_or_zero(
            [float(task.calm) for task in tasks]
        )
    assert measure_mean_score(list_tasks("train", level, max(SIZE, 60)), random_player) <= 0.05


def test_law_1_few_tasks_are_false_alerts(level: str) -> None:
    tasks = list_tasks("train", level, 200)
    assert mean_or_zero([float(task.calm) for task in tasks]) <= 0.07


@pytest.mark.parametrize("split", ["validation", "test"])
def test_law_2_no_player_without_a_look_earns_much(level: str, split: str) -> None:
    tasks = list_tasks(split, level, max(SIZE, 48))
    assert measure_mean_score(tasks, FOUND[level].play) <= BLIND[level]


def test_law_3_late_is_worse_and_never_worthless(level: str) -> None:
    found = mean_scores_by_delay(list_tasks("validation", level, SIZE))
    assert all(one >= two for one, two in pairwise(found.values()))
    assert found[4] >= 0.90
    assert found[10] >= 0.75


def test_law_4_all_faults_mended_is_worth_more_than_half_whenever(level: str) -> None:
    assert min(map(score_of_latest_repair, list_tasks("validation", level, SIZE))) >= 0.55


def test_law_6_plays_that_are_half_right_differ(level: str) -> None:
    tasks = list_tasks("validation", level, max(SIZE, 24))
    assert mean_or_zero([float(has_differing_scores(task)) for task in tasks]) >= 0.60


def test_law_7_mitigating_before_a_late_repair_costs_nothing_and_gains_something(
    level: str,
) -> None:
    """Over every shipped task with METRIC_TRACKER_FULL=1, of which half of the hard ones gain."""
    tasks = [task for split in SPLITS for task in list_tasks(split, level, SIZE)]
    plays = [score_with_mitigation(task) for task in tasks if not task.calm]
    gains = [after - alone for alone, after in plays]
    assert min(gains) >= -NEGLIGIBLE_GAIN
    assert mean_or_zero(gains) > 0
    if FULL and level == "hard":
        assert mean_or_zero([float(gain >= 0.05) for gain in gains]) >= 0.5


def test_law_8_obeying_a_log_line_pays_nothing(level: str) -> None:
    assert measure_mean_score(list_tasks("validation", level, SIZE), obey) <= 0.07
    for task in (task for split in SPLITS for task in list_tasks(split, level, max(SIZE, 60))):
        if orders := changes_from_advice(task):
            ours = {(change.action, change.target) for change in reference_changes(task)}
            assert not ours & {(change.action, change.target) for change in orders}
            assert not is_advice_rewarded(task)
