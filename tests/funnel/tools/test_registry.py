"""Cached results of repeated calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metric_tracker_rl.analysis_tools import TOOLS, registry
from metric_tracker_rl.analysis_tools.arguments import NoMethodArguments
from metric_tracker_rl.engine.configuration.play_rules import PlayRules
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.session.episode_session import EpisodeSession


def session(**reset: Any) -> tuple[EpisodeSession, FunnelEpisode]:
    played = EpisodeSession()
    played.reset(seed=11, difficulty="hard", **reset)
    assert played.episode is not None
    played.episode.cached_results.clear()
    return played, played.episode


def asked(played: EpisodeSession, method: str, **arguments: Any) -> Any:
    reply = played.step({"analysis_method": method, "analysis_args": arguments})
    assert reply.status == "analyzed", reply.message
    return reply.observation_fields["analysis_result"]["result"]


def test_repeated_call_returns_an_equal_copy_of_the_result() -> None:
    played, episode = session()
    first = asked(played, "rows_for_date", date=episode.dates[2])
    before = json.dumps(first)
    first["daily_metrics"].clear()
    for _ in range(2):
        again = asked(played, "rows_for_date", date=episode.dates[2])
        assert json.dumps(again) == before
        again["daily_metrics"].clear()
    assert len(episode.cached_results) == 1
    assert json.dumps(asked(played, "rows_for_date", date=episode.dates[3])) != before


def test_cached_results_are_separate_for_each_mode() -> None:
    _, episode = session()
    usual = TOOLS["task_overview"].call(EpisodeView(episode), {})
    hidden = TOOLS["task_overview"].call(EpisodeView(episode, is_split_task=True), {})
    shorter = TOOLS["task_overview"].call(EpisodeView(episode, PlayRules(7)), {})
    assert usual["config"]["anomaly_count"] == len(episode.expected_rows)
    assert hidden["config"]["anomaly_count"] == "hidden"
    assert shorter["config"]["max_steps"] == 7


def test_cached_results_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    played, episode = session()
    monkeypatch.setattr(registry, "MAX_CACHED_BYTES", 4_000)
    for date in episode.dates:
        asked(played, "hourly_rows_for_date", date=date)
        assert sum(map(len, episode.cached_results.values())) <= 4_000
    assert episode.cached_results


def test_a_method_that_returns_numbers_of_numpy_fails_at_once() -> None:
    _, episode = session()
    careless = registry.cache_results_in_episode(
        lambda view, _: {"value": view.episode.metrics.value.iloc[0].max()}
    )
    with pytest.raises(TypeError, match=r"numpy\.float64"):
        careless(EpisodeView(episode), NoMethodArguments())
