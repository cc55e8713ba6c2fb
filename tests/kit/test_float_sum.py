"""Digests and scores do not depend on how Python adds floats."""

from __future__ import annotations

import builtins
import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from firewatch_env.tasks.book import find
from metric_tracker_rl.engine.certification import golden_digests
from metric_tracker_rl.engine.configuration.episode_config import (
    EpisodeConfig,
)
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.episode.episode import build_episode
from metric_tracker_rl.engine.grading.grader import grade_report
from metric_tracker_rl.engine.report.parse_report import parse_report
from openenv_kit.float_sum import sum_left_to_right
from research.firewatch.digests import episode_digest
from support.paths import TESTS


def as_newer_pythons(plain: Callable[..., Any]) -> Callable[..., Any]:
    """`sum` with no rounding between one float and the next, as from Python 3.12 on, nearly."""

    def exact(values: Iterable[Any], start: Any = 0) -> Any:
        listed = list(values)
        if any(isinstance(each, float) for each in listed):
            return math.fsum([start, *listed])
        return plain(listed, start)

    return exact


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "sum", as_newer_pythons(builtins.sum))


def test_floats_are_added_one_after_the_other() -> None:
    assert sum_left_to_right([0.1] * 10) == 0.9999999999999999
    assert sum_left_to_right([1e16, 1.0, -1e16]) == 0.0
    assert sum_left_to_right(iter([])) == 0


def test_float_sum_equals_sum_of_newer_python(newer: None) -> None:
    assert sum([0.1] * 10) == 1.0
    assert sum([1, 2]) == 3


@pytest.mark.slow
def test_firewatch_digests_do_not_depend_on_sum(newer: None) -> None:
    golden = json.loads((TESTS / "firewatch" / "golden_plays.json").read_text())
    for name, expected in golden.items():
        player, _, task_id = name.partition(" ")
        assert episode_digest(find({"task_id": task_id}), player) == expected, name


def test_funnel_digests_do_not_depend_on_sum(newer: None) -> None:
    golden = json.loads((TESTS / "guarantees" / "golden_digests.json").read_text())
    assert golden_digests.list_differences({**golden, "episodes": golden["episodes"][::6]}) == []


def test_score_does_not_depend_on_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    right = build_episode(EpisodeConfig(3, MIXED, "hard", "high", 5)).expected_rows
    reports = []
    for words in range(2 ** len(right)):
        rows = [row.as_dict() for row in right]
        for place, row in enumerate(rows):
            if words >> place & 1:
                row["severity"], row["delta_value"] = "low", row["delta_value"] + 1.0
        reports.append(rows[: 1 + words % len(rows)])

    def scores() -> list[float]:
        return [grade_report(parse_report(each, episode), right).score for each in reports]

    episode = build_episode(EpisodeConfig(3, MIXED, "hard", "high", 5))
    before = scores()
    monkeypatch.setattr(builtins, "sum", as_newer_pythons(builtins.sum))
    assert scores() == before
