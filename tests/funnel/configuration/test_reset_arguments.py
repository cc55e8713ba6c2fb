"""Reset arguments that choose rules of play: wrong values and defaults."""

from __future__ import annotations

from typing import Any

import pytest

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from support.funnel_episodes import started


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
    assert session.episode_identity() == named.episode_identity()
    assert started(**{argument: other}).episode_identity() != session.episode_identity()


@pytest.mark.parametrize(
    ("argument", "value"), [("profile", "lean"), ("disclosure", "raw"), ("reward", "exact")]
)
def test_reset_with_other_value_shows_it_in_config_and_identity(argument: str, value: str) -> None:
    session = EpisodeSession()
    assert argument not in started().episode_identity()
    assert session.reset(**{argument: value}).observation_fields["config"][argument] == value
    assert session.episode_identity()[argument] == value
