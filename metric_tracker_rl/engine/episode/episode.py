"""A finished, immutable episode: frames, derived series, and the one correct report.

An `Episode` is shared read-only by every session that plays the same configuration.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.funnel import HOURS
from metric_tracker_rl.engine.generation.generate import Draw, generate
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries, Ints
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow
from openenv_kit.errors import ToolArgumentError, echo, nearest

if TYPE_CHECKING:
    import pandas as pd

    from metric_tracker_rl.engine.episode.metric_frames import Metrics

CACHE_SIZE = 256
"""Episodes kept in memory per process; one takes roughly 150 kB, and up to about
twice as much again for the frames and answers of one that is analysed."""


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
        the first to the last, int64. Made once, shared and read-only: copy it
        to change it.
        """
        import pandas as pd  # a server that nobody asks for frames starts without it

        counts = self.draw.hourly.sum(axis=1)
        counts.setflags(write=False)
        index, columns = pd.Index(self.dates, name="date"), list(self.config.funnel_spec.counts)
        return pd.DataFrame(counts, index, columns, copy=False)

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
    def metrics(self) -> Metrics:
        """Value, baseline, deviation and flags of every entity by date, made once and shared."""
        from metric_tracker_rl.engine.episode.metric_frames import Metrics

        return Metrics(self.series, self.dates)

    @cached_property
    def answers(self) -> dict[Hashable, bytes]:
        """What analysis methods have answered about these data; theirs to fill and to empty."""
        return {}

    def hours(self, day: int) -> Ints:
        """Hourly counts of one day, shape (24, stages); a view, not to be written to."""
        return self.draw.hourly[day]

    def day_index(self, date: object) -> int:
        """Index of a date; see `require_date` for what it raises."""
        return self.day_of[self.require_date(date)]

    def require_date(self, date: object) -> str:
        """The date, if it is one of the episode.

        Raises:
            ToolArgumentError: not a date of this episode; names the range and the nearest.
        """
        if isinstance(date, str) and date in self.day_of:
            return date
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


@lru_cache(maxsize=CACHE_SIZE)
def build_episode(config: EpisodeConfig) -> Episode:
    """The episode of a configuration; equal ones share one object while it is kept.

    Raises:
        ConfigurationError: see `generate`.
    """
    return episode_from_draw(config, generate(config))
