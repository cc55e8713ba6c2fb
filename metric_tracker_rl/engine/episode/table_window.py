"""Creates episodes from real counts, to which the reporting policy is applied.

They are a window of a user's table, that is, the counts of four or eight consecutive weeks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from metric_tracker_rl.engine.configuration.table_window_config import build_table_window_config
from metric_tracker_rl.engine.episode.episode import (
    FunnelEpisode,
    create_episode_and_freeze_hourly_counts,
)
from metric_tracker_rl.engine.generation.calendar import (
    CalendarEntry,
    build_mask_of_explained_values,
)
from metric_tracker_rl.engine.generation.generate import GeneratedEpisode
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries, IntArray
from metric_tracker_rl.engine.reporting_policy.labels import compute_expected_rows
from metric_tracker_rl.products.product import DAYS_PER_WEEK, Product


@dataclass(frozen=True, eq=False)
class TableWindow:
    """Consecutive days of a user's table.

    Attributes:
        start: first day.
        counts: counts of four or eight weeks, shape (days, hours, stages).
        calendar: calendar entries, sorted by day.
    """

    start: date
    counts: IntArray
    calendar: tuple[CalendarEntry, ...] = ()

    @property
    def iso_dates(self) -> tuple[str, ...]:
        """ISO date of each day."""
        return tuple(
            (self.start + timedelta(days=day)).isoformat() for day in range(len(self.counts))
        )


def create_table_window_episode(product: Product, window: TableWindow) -> FunnelEpisode:
    """Create an episode from real counts and label it with the rows that its policy finds.

    Args:
        product: product that provides the thresholds. Its stages and its counts per day (hourly or
            daily) must match the table's.
        window: days of the table.

    Raises:
        InvalidValueError: the window has neither four nor eight weeks.
    """
    weeks = len(window.counts) // DAYS_PER_WEEK
    config = build_table_window_config(
        product, weeks, window.start.isoformat(), has_calendar=bool(window.calendar)
    )
    level, funnel = config.level_with_policy_parameters, config.funnel_with_policy_daytime
    explained = None
    if window.calendar:
        explained = build_mask_of_explained_values(window.calendar, funnel, len(window.counts))
    counts = window.counts.copy()
    series = DailySeries(counts, funnel, level, explained)
    dates = window.iso_dates
    generated = GeneratedEpisode(
        dates=dates,
        clean=counts,
        hourly=counts,
        planned_anomalies=(),
        applied_anomalies=(),
        series=series,
        labels=compute_expected_rows(series, dates),
        attempts=1,
        calendar=window.calendar,
    )
    return create_episode_and_freeze_hourly_counts(config, generated)
