"""The frames that the analysis methods share."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.session.episode_session import EpisodeSession


def session(**reset: Any) -> tuple[EpisodeSession, FunnelEpisode]:
    played = EpisodeSession()
    played.reset(seed=11, difficulty="hard", **reset)
    assert played.episode is not None
    played.episode.cached_results.clear()
    return played, played.episode


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
def test_metric_frames_equal_the_daily_series_of_each_entity(policy: str | None) -> None:
    _, episode = session(policy=policy)
    metrics, series = episode.metrics, episode.series
    assert metrics is episode.metrics
    for (
        _,
        name,
    ), column in episode.config.funnel_with_policy_daytime.columns.column_by_entity.items():
        for day, date in enumerate(episode.dates):
            assert metrics.get_metric_value(date, name) == (
                series.values_and_excess_by_day[day][column],
                series.baselines_by_day[day][column],
                series.deviations_and_excess_by_day[day][column],
            )
        assert metrics.median_over_all_days[name] == series.medians_by_column[column]
        assert metrics.std_dev_from_baseline[name] == series.std_devs_from_baseline[column]
    assert set(metrics.value.columns[metrics.flagged.any()]) >= {
        row.entity_name for row in episode.expected_rows
    }


def test_shared_metric_frames_are_read_only() -> None:
    _, episode = session()
    metrics = episode.metrics
    frames = (metrics.value, metrics.baseline, metrics.deviation, metrics.flagged)
    for frame in (*frames, metrics.value_minus_baseline, episode.daily, episode.hourly):
        with pytest.raises(ValueError, match="read-only"):
            frame.iloc[0, 0] = frame.iloc[0, 1]
