"""Generated episodes, and hand-made ones with known numbers."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np

from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES, EpisodeConfig
from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY, ORDERING_APP
from metric_tracker_rl.engine.definitions.levels import LEVELS, FunnelLevel
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode
from metric_tracker_rl.engine.generation.generate import GeneratedEpisode, generate_episode
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
from metric_tracker_rl.engine.reporting_policy.labels import compute_expected_rows
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit.environment import Reply

COUNTS = (0, 1, 3, 5, 7)
DAYS = 28
NORMAL_DAY = (24_000, 12_000, 6_000, 3_000, 2_400)
"""Counts of a hand-made ordinary day: step rates 50, 50, 50 and 80 %; 12 of 24 hours are day."""


@cache
def sample(seeds: int = 2) -> tuple[tuple[EpisodeConfig, GeneratedEpisode], ...]:
    """Return generated episodes of every family, level and count."""
    configs = [
        EpisodeConfig(seed, family, level, "low", count)
        for seed, family, level, count in product(range(seeds), SCENARIO_FAMILIES, LEVELS, COUNTS)
    ]
    return tuple((config, generate_episode(config)) for config in configs)


def small_sample(every: int = 7) -> list[FunnelEpisode]:
    """Return every n-th episode of the sample."""
    return [build_episode(config) for config, _ in sample()[::every]]


def hand_made(
    days: dict[int, tuple[int, ...]] | None = None, hours: dict[int, Any] | None = None
) -> np.ndarray[Any, Any]:
    """Return hourly counts of four ordinary weeks in which some days are replaced.

    Args:
        days: daily counts by day, spread over 24 hours as evenly as whole events can be.
        hours: whole (24, 5) arrays by day.
    """
    daily = np.tile(np.array(NORMAL_DAY), (DAYS, 1))
    for day, counts in (days or {}).items():
        daily[day] = counts
    whole, rest = np.divmod(daily[:, np.newaxis, :], HOURS_PER_DAY)
    hourly = (whole + (np.arange(HOURS_PER_DAY)[np.newaxis, :, np.newaxis] < rest)).astype(np.int64)
    for day, counts in (hours or {}).items():
        hourly[day] = counts
    return hourly


def series_of(hourly: np.ndarray[Any, Any], level: str | FunnelLevel = "easy") -> DailySeries:
    """Return the daily series of hand-made counts."""
    return DailySeries(hourly, ORDERING_APP, LEVELS[level] if isinstance(level, str) else level)


def labels_of(hourly: np.ndarray[Any, Any], level: str = "easy") -> list[ReportRow]:
    """Return the labels of hand-made counts; dates are `day 0`, `day 1` and so on."""
    dates = [f"day {day}" for day in range(len(hourly))]
    return list(compute_expected_rows(series_of(hourly, level), dates))


def started(**reset: Any) -> EpisodeSession:
    """Return a session with a running episode."""
    session = EpisodeSession()
    reply = session.reset(**reset)
    assert reply.status == "ready", reply.message
    return session


def running_episode(session: EpisodeSession) -> FunnelEpisode:
    """Return the running episode of a session."""
    assert session.episode is not None
    return session.episode


def perfect_report(session: EpisodeSession) -> list[dict[str, Any]]:
    """Return the expected rows of a session's episode."""
    return [row.as_dict() for row in running_episode(session).expected_rows]


def analyse(session: EpisodeSession, method: Any, **arguments: Any) -> Reply:
    """Execute an analysis method and return the reply."""
    return session.step({"analysis_method": method, "analysis_args": arguments})


def submit(session: EpisodeSession, rows: list[Any]) -> Reply:
    """Submit rows and return the reply."""
    return session.step({"classifications": rows})
