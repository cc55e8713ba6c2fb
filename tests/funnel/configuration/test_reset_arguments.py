"""Reset arguments of the funnel: wrong values, defaults, and the code that reads them."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.play_rules import MODE_DEFAULTS, PlayRules
from metric_tracker_rl.engine.configuration.reset_arguments import (
    EPISODE_ARGUMENTS,
    PLAY_RULE_ARGUMENTS,
    RESET_ARGUMENTS,
)
from metric_tracker_rl.engine.configuration.tasks import resolve_named_or_custom_task
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from support.funnel_episodes import started
from support.paths import ROOT


@pytest.mark.parametrize(
    ("argument", "wrong", "nearest", "allowed"),
    [
        ("profile", "lena", "lean", ["standard", "lean"]),
        ("disclosure", "rwa", "raw", ["guided", "raw"]),
        ("policy", "vared", "varied", ["standard", "varied"]),
        ("reward", "exakt", "exact", ["graded", "exact", "key_f1"]),
        ("reward", 1, None, ["graded", "exact", "key_f1"]),
        ("feedback", "scores", "score", ["full", "score"]),
        ("difficulty", "rung_11", "rung_1", ["easy", "expert"]),
    ],
)
def test_reset_with_wrong_value_names_the_nearest_and_keeps_the_episode(
    argument: str, wrong: Any, nearest: str | None, allowed: list[str]
) -> None:
    session = started()
    view = session.view
    for place in ({}, {"split": "train"}) if argument == "policy" else ({},):
        reply = session.reset(**{argument: wrong}, **place)
        assert reply.status == "error"
        assert repr(wrong) in reply.message
        assert nearest is None or f"Did you mean {nearest!r}" in reply.message
        assert all(name in reply.message for name in allowed)
        assert session.view is view


@pytest.mark.parametrize("number", [1.5, -1, True])
def test_reset_with_difficulty_out_of_range_is_an_error_with_the_value(number: float) -> None:
    reply = EpisodeSession().reset(difficulty=number)
    assert reply.status == "error"
    assert repr(number) in reply.message
    assert "0 to 1" in reply.message or number is True


def test_reset_with_exact_reward_and_two_submissions_is_an_error() -> None:
    reply = EpisodeSession().reset(reward="exact", max_submissions=2)
    assert reply.status == "error"
    assert "allowed: 1 with reward 'exact'" in reply.message


@pytest.mark.parametrize(
    ("argument", "default", "other"),
    [
        ("profile", "standard", "lean"),
        ("disclosure", "guided", "raw"),
        ("policy", "standard", "varied"),
        ("reward", "graded", "exact"),
        ("feedback", "full", "score"),
    ],
)
def test_reset_with_default_value_is_the_reset_without_it(
    argument: str, default: str, other: str
) -> None:
    session, named = EpisodeSession(), EpisodeSession()
    assert session.reset() == named.reset(**{argument: default})
    assert session.build_episode_identity() == named.build_episode_identity()
    assert started(**{argument: other}).build_episode_identity() != session.build_episode_identity()


@pytest.mark.parametrize(
    ("argument", "value"), [("profile", "lean"), ("disclosure", "raw"), ("reward", "exact")]
)
def test_reset_with_other_value_shows_it_in_config_and_identity(argument: str, value: str) -> None:
    session = EpisodeSession()
    assert argument not in started().build_episode_identity()
    assert session.reset(**{argument: value}).observation_fields["config"][argument] == value
    assert session.build_episode_identity()[argument] == value


PAGE = ROOT / "docs" / "funnel.md"


def field_names(dataclass: type) -> set[str]:
    return {field.name for field in dataclasses.fields(dataclass)}


def test_play_rules_have_a_field_for_each_argument_that_sets_one() -> None:
    assert field_names(PlayRules) == set(PLAY_RULE_ARGUMENTS)
    assert set(MODE_DEFAULTS) < set(PLAY_RULE_ARGUMENTS)


def test_named_tasks_take_every_argument_that_determines_an_episode() -> None:
    assert set(inspect.signature(resolve_named_or_custom_task).parameters) == set(EPISODE_ARGUMENTS)


def test_configurations_have_a_field_for_each_argument_but_the_task() -> None:
    without_argument = {"funnel", "only_custom"}
    assert field_names(EpisodeConfig) - without_argument == set(EPISODE_ARGUMENTS) - {"task_id"}


def test_page_of_the_funnel_has_a_row_for_each_argument() -> None:
    section = PAGE.read_text().split("## Reset\n", 1)[1].split("\n## ", 1)[0]
    first_cells = re.findall(r"^\| ([^|]+) \|", section, re.M)
    named = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(RESET_ARGUMENTS)
