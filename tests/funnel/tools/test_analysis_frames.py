"""The frames behind the analysis methods, and the answers that are kept."""

from __future__ import annotations

import json
import subprocess
import sys
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["metric_tracker_rl.environment", "metric_tracker_rl.analysis_tools"]
)
def test_pandas_is_loaded_by_the_first_analysis_and_not_by_an_import(module: str) -> None:
    code = f"""
import sys, json, {module}
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
played = EpisodeSession()
played.reset()
before = "pandas" in sys.modules
date = played.episode.dates[0]
played.step({{"analysis_method": "rows_for_date", "analysis_args": {{"date": date}}}})
print(json.dumps([before, "pandas" in sys.modules]))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == [False, True]


@pytest.mark.parametrize("policy", [None, "varied"])
def test_frames_hold_what_the_series_holds_under_each_entity_name(policy: str | None) -> None:
    _, episode = session(policy=policy)
    metrics, series = episode.metrics, episode.series
    assert metrics is episode.metrics
    for (_, name), column in episode.config.funnel_spec.columns.column_by_entity.items():
        for day, date in enumerate(episode.dates):
            assert metrics.value_at(date, name) == (
                series.values_by_day[day][column],
                series.baselines_by_day[day][column],
                series.deviations_by_day[day][column],
            )
        assert metrics.median[name] == series.medians_by_column[column]
        assert metrics.std_dev_from_baseline[name] == series.std_devs_from_baseline[column]
    assert set(metrics.value.columns[metrics.flagged.any()]) >= {
        row.entity_name for row in episode.expected_rows
    }


def test_nobody_can_change_the_frames_that_all_players_share() -> None:
    _, episode = session()
    metrics = episode.metrics
    frames = (metrics.value, metrics.baseline, metrics.deviation, metrics.flagged)
    for frame in (*frames, metrics.difference, episode.daily, episode.hourly):
        with pytest.raises(ValueError, match="read-only"):
            frame.iloc[0, 0] = frame.iloc[0, 1]


def test_a_repeated_question_gets_an_equal_answer_that_nobody_has_changed() -> None:
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


def test_an_answer_is_kept_apart_for_each_kind_of_play() -> None:
    _, episode = session()
    usual = TOOLS["task_overview"].call(EpisodeView(episode), {})
    hidden = TOOLS["task_overview"].call(EpisodeView(episode, is_split_task=True), {})
    shorter = TOOLS["task_overview"].call(EpisodeView(episode, PlayRules(7)), {})
    assert usual["config"]["anomaly_count"] == len(episode.expected_rows)
    assert hidden["config"]["anomaly_count"] == "hidden"
    assert shorter["config"]["max_steps"] == 7


def test_what_is_kept_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    played, episode = session()
    monkeypatch.setattr(registry, "MAX_CACHED_BYTES", 4_000)
    for date in episode.dates:
        asked(played, "hourly_rows_for_date", date=date)
        assert sum(map(len, episode.cached_results.values())) <= 4_000
    assert episode.cached_results


def test_a_method_that_returns_numbers_of_numpy_fails_at_once() -> None:
    _, episode = session()
    careless = registry.cache_result(
        lambda view, _: {"value": view.episode.metrics.value.iloc[0].max()}
    )
    with pytest.raises(TypeError, match=r"numpy\.float64"):
        careless(EpisodeView(episode), NoMethodArguments())
