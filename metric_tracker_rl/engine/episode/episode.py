"""Generated episodes with their daily series, data frames and expected reports."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, TypeAlias

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.dates import build_unknown_date_message
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.generation.custom_anomalies import AppliedAnomalyFields
from metric_tracker_rl.engine.generation.generate import GeneratedEpisode, generate_episode
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries, IntArray
from openenv_kit.errors import ToolArgumentError

if TYPE_CHECKING:
    import pandas as pd

    from metric_tracker_rl.engine.episode.metric_frames import MetricFrames

    DailyCountsFrame: TypeAlias = pd.DataFrame
    HourlyCountsFrame: TypeAlias = pd.DataFrame

EPISODE_CACHE_SIZE = 256
"""Number of episodes that each process keeps in memory. An episode takes about 150 kB, and up to
three times as much once its data frames and tool results are cached.
"""


@dataclass(frozen=True, eq=False)
class FunnelEpisode:
    """Data of one episode, shared read-only by all sessions that play the same configuration.

    Attributes:
        config: configuration from which the data were generated.
        dates: ISO dates, in order.
        series: daily values, baselines and deviations.
        expected_rows: report rows that the reporting policy requires for these data.
        applied_anomalies: effect of each custom anomaly, with the fields of
            `AppliedSyntheticGenerator`.
        generated: output of the generator. Its plan and its data without anomalies are never shown
            to players.
    """

    config: EpisodeConfig
    dates: tuple[str, ...]
    series: DailySeries
    expected_rows: tuple[ReportRow, ...]
    applied_anomalies: tuple[AppliedAnomalyFields, ...]
    generated: GeneratedEpisode

    @cached_property
    def daily(self) -> DailyCountsFrame:
        """Event counts by day, as a read-only frame that is computed on first use.

        The index `date` contains the ISO dates in order. The columns are the funnel's stages in
        order, with values of type int64.
        """
        import pandas as pd  # imported here so that a server can start without pandas

        counts = self.generated.hourly.sum(axis=1)
        counts.setflags(write=False)
        return pd.DataFrame(
            counts,
            index=pd.Index(self.dates, name="date"),
            columns=list(self.config.funnel_with_policy_daytime.event_count_names),
            copy=False,
        )

    @cached_property
    def hourly(self) -> HourlyCountsFrame:
        """Event counts by hour, as a read-only frame that shares the generator's array.

        The index consists of `date` (ISO text) and `hour` (0 to 23), in order. The columns are the
        funnel's stages in order, with values of type int64.
        """
        import pandas as pd

        columns = list(self.config.funnel_with_policy_daytime.event_count_names)
        return pd.DataFrame(
            self.generated.hourly.reshape(-1, len(columns)),
            index=pd.MultiIndex.from_product(
                [self.dates, range(self.config.funnel_with_policy_daytime.hours_per_day)],
                names=["date", "hour"],
            ),
            columns=columns,
            copy=False,
        )

    @cached_property
    def day_by_date(self) -> dict[str, int]:
        """Position of each day in the episode, counted from 0, by ISO date."""
        return {date: day for day, date in enumerate(self.dates)}

    @cached_property
    def metrics(self) -> MetricFrames:
        """Data frames with the value, baseline and deviation of every entity on every date.

        They also tell which deviations reach the reporting threshold. They are created on first
        use.
        """
        from metric_tracker_rl.engine.episode.metric_frames import MetricFrames

        return MetricFrames(self.series, self.dates)

    @cached_property
    def cached_results(self) -> dict[Hashable, bytes]:
        """Cache for the results of analysis methods, which is empty at first.

        The methods add the entries and limit the size of the cache.
        """
        return {}

    def hourly_counts_of_day(self, day: int) -> IntArray:
        """Return one day's hourly counts as a read-only view of shape (hours, stages)."""
        return self.generated.hourly[day]

    def get_day_index_of_date(self, date: object) -> int:
        """Return the position of an ISO date in the episode, counted from 0.

        Raises:
            ToolArgumentError: the date does not belong to the episode.
        """
        return self.day_by_date[self.require_episode_date(date)]

    def require_episode_date(self, date: object) -> str:
        """Check that a date belongs to the episode, and return it unchanged.

        Raises:
            ToolArgumentError: the date does not belong to the episode. The message contains the
                range and the nearest date.
        """
        if isinstance(date, str) and date in self.day_by_date:
            return date
        raise ToolArgumentError(build_unknown_date_message(date, self.dates))


def create_episode_and_freeze_hourly_counts(
    config: EpisodeConfig, generated: GeneratedEpisode
) -> FunnelEpisode:
    """Create an episode from generated data and make its hourly counts read-only."""
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
    """Generate the episode of a configuration, or return it from the cache of this process.

    Raises:
        ConfigurationError: see `generate_episode`.
    """
    return create_episode_and_freeze_hourly_counts(config, generate_episode(config))
