"""A finished episode: its data, daily series and frames, and the expected report."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.dates import unknown_date_message
from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.generation.generate import GeneratedEpisode, generate_episode
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries, IntArray
from openenv_kit.errors import ToolArgumentError

if TYPE_CHECKING:
    import pandas as pd

    from metric_tracker_rl.engine.episode.metric_frames import MetricFrames

EPISODE_CACHE_SIZE = 256
"""Number of episodes kept in memory by each process. An episode takes about 150 kB, and up to three
times as much with the frames and cached tool results of one that is analysed."""


@dataclass(frozen=True, eq=False)
class FunnelEpisode:
    """One episode. All sessions that play the same configuration share it read-only.

    Attributes:
        config: configuration it was generated from.
        dates: ISO dates, in order.
        series: daily values, baselines and deviations.
        expected_rows: the reporting policy's rows for these data.
        applied_anomalies: the custom anomalies as they were applied, with the fields of
            `AppliedSyntheticGenerator`.
        generated: the generator's plan and clean data, for certificates; no reply contains it.
    """

    config: EpisodeConfig
    dates: tuple[str, ...]
    series: DailySeries
    expected_rows: tuple[ReportRow, ...]
    applied_anomalies: tuple[dict[str, Any], ...]
    generated: GeneratedEpisode

    @cached_property
    def daily(self) -> pd.DataFrame:
        """Event counts by day, as a read-only frame that is computed once; copy it to change it.

        Index `date`: ISO text, one row for each day, in order. Columns: the funnel's stages in
        order, int64.
        """
        import pandas as pd  # loaded here, so that a server starts without pandas

        counts = self.generated.hourly.sum(axis=1)
        counts.setflags(write=False)
        return pd.DataFrame(
            counts,
            index=pd.Index(self.dates, name="date"),
            columns=list(self.config.funnel_spec.count_names),
            copy=False,
        )

    @cached_property
    def hourly(self) -> pd.DataFrame:
        """Event counts by hour, as a read-only frame that shares the generator's array.

        Index `date` (ISO text) and `hour` (0 to 23), one row for each hour, in order. Columns: the
        funnel's stages in order, int64.
        """
        import pandas as pd

        columns = list(self.config.funnel_spec.count_names)
        return pd.DataFrame(
            self.generated.hourly.reshape(-1, len(columns)),
            index=pd.MultiIndex.from_product(
                [self.dates, range(HOURS_PER_DAY)], names=["date", "hour"]
            ),
            columns=columns,
            copy=False,
        )

    @cached_property
    def day_by_date(self) -> dict[str, int]:
        """Day index by ISO date."""
        return {date: day for day, date in enumerate(self.dates)}

    @cached_property
    def metrics(self) -> MetricFrames:
        """Value, baseline, deviation and flag of every entity by date, computed once."""
        from metric_tracker_rl.engine.episode.metric_frames import MetricFrames

        return MetricFrames(self.series, self.dates)

    @cached_property
    def cached_results(self) -> dict[Hashable, bytes]:
        """Cache of the analysis methods' results; the methods write to it and clear it."""
        return {}

    def hourly_counts_of_day(self, day: int) -> IntArray:
        """Return the hourly counts of a day, shape (24, stages), as a view: do not write to it."""
        return self.generated.hourly[day]

    def day_index(self, date: object) -> int:
        """Return the index of a date, counted from 0.

        Raises:
            ToolArgumentError: not a date of this episode.
        """
        return self.day_by_date[self.require_date(date)]

    def require_date(self, date: object) -> str:
        """Return the date if the episode has it.

        Raises:
            ToolArgumentError: not a date of this episode; names the range and the nearest date.
        """
        if isinstance(date, str) and date in self.day_by_date:
            return date
        raise ToolArgumentError(unknown_date_message(date, self.dates))


def episode_from_generated(config: EpisodeConfig, generated: GeneratedEpisode) -> FunnelEpisode:
    """Return the episode of generated data, whose arrays become read-only."""
    generated.hourly.setflags(write=False)
    return FunnelEpisode(
        config=config,
        dates=generated.dates,
        series=generated.series,
        expected_rows=generated.labels,
        applied_anomalies=generated.applied_anomalies,
        generated=generated,
    )


@lru_cache(maxsize=EPISODE_CACHE_SIZE)
def build_episode(config: EpisodeConfig) -> FunnelEpisode:
    """Return the episode of a configuration; equal configurations share one object in the cache.

    Raises:
        ConfigurationError: see `generate_episode`.
    """
    return episode_from_generated(config, generate_episode(config))
