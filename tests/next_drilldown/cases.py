"""Episodes and sessions that several test modules share."""

from __future__ import annotations

from drilldown_next.config import EpisodeConfig
from drilldown_next.episode import Episode, get_episode
from drilldown_next.levels import ALL_LEVELS
from drilldown_next.products import PRODUCTS
from drilldown_next.session import DrilldownSession

ONE_ROOT = EpisodeConfig(3, "easy", "ordering_app", 1)
NO_ROOT = EpisodeConfig(4, "easy", "saas_trial", 0)
THREE_ROOTS = EpisodeConfig(5, "hard", "video_streaming", 3)
BY_SQL = EpisodeConfig(6, "sql", "saas_trial", 1)


def config_of(level: str, seed: int = 1) -> EpisodeConfig:
    """A configuration of a level, products and numbers of roots in turn."""
    names, counts = list(PRODUCTS), ALL_LEVELS[level].root_counts
    return EpisodeConfig(seed, level, names[seed % len(names)], counts[seed % len(counts)])


def open_session(config: EpisodeConfig) -> DrilldownSession:
    session = DrilldownSession()
    session.open_episode("test", get_episode(config))
    return session


def call(session: DrilldownSession, tool: str, **arguments):
    return session.step({"tool": tool, "arguments": arguments})


def episode_of(config: EpisodeConfig) -> Episode:
    return get_episode(config)
