"""A finished, immutable episode: frames, derived series, and the one correct report.

An `Episode` is shared read-only by every session that plays the same configuration.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date as Date
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from metric_tracker_rl.engine.config import EpisodeConfig
from metric_tracker_rl.engine.funnel import HOURS
from metric_tracker_rl.engine.generation.generator import Draw, generate, generate_all
from metric_tracker_rl.engine.reporting_policy import ReportRow
from metric_tracker_rl.engine.series import WEEK, DailySeries, Ints
from metric_tracker_rl.engine.vocabulary import SAME_WEEKDAY, WEEKDAYS
from openenv_kit.errors import ToolArgumentError, echo, nearest

if TYPE_CHECKING:
    import pandas as pd

CACHE_SIZE = 256
"""Episodes kept in memory per process; one takes roughly 150 kB."""


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode.

    Attributes:
        config: what it was made from.
        dates: ISO dates, in order.
        series: derived daily series, baselines and deviations.
        expected_rows: the reporting policy's answer on these data.
        applied: custom anomalies as they were applied, as mappings.
        draw: how the generator got here, for certificates; never shown to an agent.
    """

    config: EpisodeConfig
    dates: tuple[str, ...]
    series: DailySeries
    expected_rows: tuple[ReportRow, ...]
    applied: tuple[dict[str, Any], ...]
    draw: Draw

    @cached_property
    def daily(self) -> pd.DataFrame:
        """Event counts by day.

        Index `date`: ISO text, one row for each day, in order. Columns: the funnel's stages from
        the first to the last, int64. Made once and shared: copy it to change it.
        """
        import pandas as pd  # a server that nobody asks for frames starts without it

        index = pd.Index(self.dates, name="date")
        columns = list(self.config.funnel_spec.counts)
        return pd.DataFrame(self.draw.hourly.sum(axis=1), index, columns)

    @cached_property
    def hourly(self) -> pd.DataFrame:
        """Event counts by hour.

        Index `date` (ISO text) and `hour` (0 to 23), one row for each hour, in order. Columns: the
        funnel's stages, int64. A read-only view on the generator's array: copy it to change it.
        """
        import pandas as pd

        index = pd.MultiIndex.from_product([self.dates, range(HOURS)], names=["date", "hour"])
        columns = list(self.config.funnel_spec.counts)
        return pd.DataFrame(self.draw.hourly.reshape(-1, len(columns)), index, columns, copy=False)

    @cached_property
    def day_of(self) -> dict[str, int]:
        """Day index by ISO date."""
        return {date: day for day, date in enumerate(self.dates)}

    @cached_property
    def counts(self) -> list[list[int]]:
        """Daily counts as nested lists of ints, (days, stages)."""
        return self.draw.hourly.sum(axis=1).tolist()

    @cached_property
    def weekday_baselines(self) -> dict[str, list[float]]:
        """Baselines by weekday, from Monday on, and column; empty where all days share theirs."""
        if self.series.level.baseline != SAME_WEEKDAY:
            return {}
        first = Date.fromisoformat(self.dates[0]).weekday()
        return {
            name: self.series.baseline_rows[(place - first) % WEEK]
            for place, name in enumerate(WEEKDAYS)
        }

    def hours(self, day: int) -> Ints:
        """Hourly counts of one day, shape (24, stages); a view, not to be written to."""
        return self.draw.hourly[day]

    def day_index(self, date: object) -> int:
        """Index of a date.

        Raises:
            ToolArgumentError: not a date of this episode; names the range and the nearest.
        """
        if isinstance(date, str) and date in self.day_of:
            return self.day_of[date]
        guess = nearest(date, self.dates)
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise ToolArgumentError(
            f"date {echo(date)} is not in this episode.{hint} Allowed: YYYY-MM-DD from "
            f"{self.dates[0]} to {self.dates[-1]}."
        )


def episode_from_draw(config: EpisodeConfig, draw: Draw) -> Episode:
    """The episode around an accepted draw; its arrays become read-only."""
    draw.hourly.setflags(write=False)
    return Episode(config, draw.dates, draw.series, draw.labels, draw.applied, draw)


class EpisodeCache:
    """Makes episodes and keeps the last ones used; equal configurations share one object.

    Args:
        size: episodes kept.
    """

    def __init__(self, size: int) -> None:
        self.resize(size)

    def __call__(self, config: EpisodeConfig) -> Episode:
        """The episode of a configuration.

        Raises:
            ConfigurationError: see `generate`.
        """
        return self._made(config)

    def make_ahead(self, configs: Iterable[EpisodeConfig]) -> None:
        """Make together, in about half the time, those episodes that are not in memory.

        Each is then in memory as if it had been asked for. There are never made more than are
        kept.

        Raises:
            ConfigurationError: see `generate`.
        """
        missing = [config for config in dict.fromkeys(configs) if config not in self._alive]
        missing = missing[: self.cache_info().maxsize]
        for config, draw in zip(missing, generate_all(missing), strict=True):
            self._alive[config] = made = episode_from_draw(config, draw)
            self(made.config)

    def _make(self, config: EpisodeConfig) -> Episode:
        made = self._alive.get(config)
        if made is None:
            made = self._alive[config] = episode_from_draw(config, generate(config))
        return made

    def resize(self, size: int) -> None:
        """Keep another number of episodes from now on, starting with none."""
        self._alive: WeakValueDictionary[EpisodeConfig, Episode] = WeakValueDictionary()
        self._made = lru_cache(maxsize=size)(self._make)
        self.cache_info = self._made.cache_info
        self.cache_clear = self._made.cache_clear

    def misses(self) -> int:
        """How many episodes had to be made since the last resize."""
        return self.cache_info().misses


build_episode = EpisodeCache(CACHE_SIZE)
"""The episode of a configuration, from memory where it is there."""
