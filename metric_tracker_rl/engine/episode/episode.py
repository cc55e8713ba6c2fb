"""A finished, immutable episode: frames, derived series, and the one correct report.

An `Episode` is shared read-only by every session that plays the same configuration.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY
from metric_tracker_rl.engine.generation.generate import GeneratedEpisode, generate_episode
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries, IntArray
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow
from openenv_kit.errors import ToolArgumentError, find_nearest_name, truncated_repr

if TYPE_CHECKING:
    import pandas as pd

    from metric_tracker_rl.engine.episode.metric_frames import MetricFrames

EPISODE_CACHE_SIZE = 256
"""Episodes kept in memory per process; one takes roughly 150 kB, and up to about
twice as much again for the frames and answers of one that is analysed."""


@dataclass(frozen=True, eq=False)
class FunnelEpisode:
    """One episode.

    Attributes:
        config: what it was made from.
        dates: ISO dates, in order.
        series: derived daily series, baselines and deviations.
        expected_rows: the reporting policy's answer on these data.
        applied_anomalies: custom anomalies as they were applied, as mappings.
        generated: how the generator got here, for certificates; never shown to an agent.
    """

    config: EpisodeConfig
    dates: tuple[str, ...]
    series: DailySeries
    expected_rows: tuple[ReportRow, ...]
    applied_anomalies: tuple[dict[str, Any], ...]
    generated: GeneratedEpisode

    @cached_property
    def daily(self) -> pd.DataFrame:
        """Event counts by day.

        Index `date`: ISO text, one row for each day, in order. Columns: the funnel's stages from
        the first to the last, int64. Made once, shared and read-only: copy it
        to change it.
        """
        import pandas as pd  # a server that nobody asks for frames starts without it

        counts = self.generated.hourly.sum(axis=1)
        counts.setflags(write=False)
        index, columns = (
            pd.Index(self.dates, name="date"),
            list(self.config.funnel_spec.count_names),
        )
        return pd.DataFrame(counts, index, columns, copy=False)

    @cached_property
    def hourly(self) -> pd.DataFrame:
        """Event counts by hour.

        Index `date` (ISO text) and `hour` (0 to 23), one row for each hour, in order. Columns: the
        funnel's stages, int64. A read-only view on the generator's array: copy it to change it.
        """
        import pandas as pd

        index = pd.MultiIndex.from_product(
            [self.dates, range(HOURS_PER_DAY)], names=["date", "hour"]
        )
        columns = list(self.config.funnel_spec.count_names)
        return pd.DataFrame(
            self.generated.hourly.reshape(-1, len(columns)), index, columns, copy=False
        )

    @cached_property
    def day_by_date(self) -> dict[str, int]:
        """Day index by ISO date."""
        return {date: day for day, date in enumerate(self.dates)}

    @cached_property
    def metrics(self) -> MetricFrames:
        """Value, baseline, deviation and flags of every entity by date, made once and shared."""
        from metric_tracker_rl.engine.episode.metric_frames import MetricFrames

        return MetricFrames(self.series, self.dates)

    @cached_property
    def cached_results(self) -> dict[Hashable, bytes]:
        """What analysis methods have answered about these data; theirs to fill and to empty."""
        return {}

    def hourly_counts_of_day(self, day: int) -> IntArray:
        """Hourly counts of one day, shape (24, stages); a view, not to be written to."""
        return self.generated.hourly[day]

    def day_index(self, date: object) -> int:
        """Index of a date; see `require_date` for what it raises."""
        return self.day_by_date[self.require_date(date)]

    def require_date(self, date: object) -> str:
        """The date, if it is one of the episode.

        Raises:
            ToolArgumentError: not a date of this episode; names the range and the nearest.
        """
        if isinstance(date, str) and date in self.day_by_date:
            return date
        guess = find_nearest_name(date, self.dates)
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise ToolArgumentError(
            f"date {truncated_repr(date)} is not in this episode.{hint} Allowed: YYYY-MM-DD from "
            f"{self.dates[0]} to {self.dates[-1]}."
        )


def episode_from_generated(config: EpisodeConfig, generated: GeneratedEpisode) -> FunnelEpisode:
    """The episode around an accepted draw; its arrays become read-only."""
    generated.hourly.setflags(write=False)
    return FunnelEpisode(
        config,
        generated.dates,
        generated.series,
        generated.labels,
        generated.applied_anomalies,
        generated,
    )


@lru_cache(maxsize=EPISODE_CACHE_SIZE)
def build_episode(config: EpisodeConfig) -> FunnelEpisode:
    """The episode of a configuration; equal ones share one object while it is kept.

    Raises:
        ConfigurationError: see `generate`.
    """
    return episode_from_generated(config, generate_episode(config))
