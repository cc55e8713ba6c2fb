"""Intervals and pass rates."""

from __future__ import annotations

from typing import Any

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.results.player_summary import summarize_player
from openenv_kit.results.scored_episodes import PlayerResults, ScoredEpisode
from openenv_kit.results.statistics import (
    bootstrap_mean_interval,
    clipped_normal_mean_interval,
    estimate_pass_hat_k,
)

FUNNEL = get_environment("metric_tracker_rl")


def play(score: float | None, **others: Any) -> ScoredEpisode:
    named = {"task_id": "easy_single_spike"}
    fields = {"task": "a", "reset": named, "tool_calls": 1, **others}
    return ScoredEpisode(score=score, **fields)


def player(name: str, *plays: ScoredEpisode) -> PlayerResults:
    return PlayerResults(name, f"{name}.json", FUNNEL.versions, plays)


def test_an_interval_is_the_normal_one_and_stays_within_the_scale() -> None:
    mean, low, high = clipped_normal_mean_interval([0.0, 1.0] * 50)
    assert mean == 0.5
    assert (round(low, 3), round(high, 3)) == (0.402, 0.598)
    assert clipped_normal_mean_interval([1.0] * 9) == (1.0, 1.0, 1.0)
    assert clipped_normal_mean_interval([0.4]) == (0.4, 0.4, 0.4)


def test_pass_hat_k_is_the_share_of_draws_of_k_that_are_all_perfect() -> None:
    assert estimate_pass_hat_k([True, True, False, False], 1) == 0.5
    assert estimate_pass_hat_k([True, True, False, False], 2) == pytest.approx(1 / 6)
    assert estimate_pass_hat_k([True] * 8, 8) == 1.0
    assert estimate_pass_hat_k([True] * 3, 4) is None


def test_the_standard_error_is_that_of_the_mean_over_episodes() -> None:
    again = [play(0.0), play(1.0)]  # two plays of one episode count once
    other = play(0.1, reset={"task_id": "hard_mixed_multi"})
    some = summarize_player(player("some", *again, other))
    assert (some.task_count, some.rollout_count, some.standard_error) == (2, 3, pytest.approx(0.2))
    assert summarize_player(player("some", *again)).standard_error is None


@pytest.mark.slow
def test_the_same_plays_give_the_same_interval_whatever_came_before() -> None:
    assert bootstrap_mean_interval([0.1, 0.9, 0.4]) == bootstrap_mean_interval([0.1, 0.9, 0.4])
    assert bootstrap_mean_interval([0.5, 0.5]) == (0.5, 0.5, 0.5)
