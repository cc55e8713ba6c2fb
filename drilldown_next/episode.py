"""A finished episode, shared read-only by all sessions that play it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from drilldown_next.alert import Alert, write_alert
from drilldown_next.calendar import CalendarEntry, draw_calendar
from drilldown_next.change_log import LogEntry, draw_log, find_change
from drilldown_next.config import EpisodeConfig
from drilldown_next.definition import split_by_step
from drilldown_next.generator import GeneratedCounts, generate_counts
from drilldown_next.levels import Level
from drilldown_next.product import Product
from drilldown_next.segments import (
    Counts,
    Segment,
    SegmentDays,
    SegmentTable,
    build_segment_table,
)
from openenv_kit.byte_cache import ByteCache

FIRST_MONDAY = dt.date(2022, 1, 3)
WEEKS_OF_STARTS = 200
"""Number of Mondays on which an episode can begin."""
OTHER_BYTES = 12_000
"""Estimated size of an episode without its counts: log, calendar and alert."""
CACHED_BYTES = 16 << 20
"""Total size of the episodes that a process keeps."""


@dataclass(frozen=True, order=True)
class ReportRow:
    """One row of a report, with the indices of its names and dates.

    Attributes:
        step: index of the step.
        segment: the segment.
        first, last: indices of the first and the last day.
        change: id of an entry of the change log, or `unattributed`.
    """

    step: int
    segment: Segment
    first: int
    last: int
    change: str

    @property
    def place(self) -> tuple[int, Segment, int, int]:
        """Step, segment and days. Two rows of a report must differ in them."""
        return self.step, self.segment, self.first, self.last


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode.

    Attributes:
        config: what it was generated from.
        dates: ISO date of each day.
        counts: people by leaf, stage and day, read-only.
        calendar: the public calendar.
        log: the public change log.
        alert: the alert.
        expected_rows: the correct report.
    """

    config: EpisodeConfig
    dates: tuple[str, ...]
    counts: Counts
    calendar: tuple[CalendarEntry, ...]
    log: tuple[LogEntry, ...]
    alert: Alert
    expected_rows: tuple[ReportRow, ...]

    @property
    def level(self) -> Level:
        """The level."""
        return self.config.level

    @property
    def product(self) -> Product:
        """The product, as the level uses it."""
        return self.config.adapted_product

    @property
    def table(self) -> SegmentTable:
        """The segments."""
        return build_segment_table(self.product.shape)

    @cached_property
    def day_by_date(self) -> dict[str, int]:
        """Index of each day by its ISO date."""
        return {date: day for day, date in enumerate(self.dates)}

    @property
    def size_bytes(self) -> int:
        """Estimated size in memory."""
        return self.counts.nbytes + OTHER_BYTES


EPISODES: ByteCache[EpisodeConfig, Episode] = ByteCache(
    CACHED_BYTES, lambda episode: episode.size_bytes
)


def get_episode(config: EpisodeConfig) -> Episode:
    """Return the episode of a configuration, shared by all sessions of this process.

    Raises:
        GenerationError: no episode could be generated.
    """
    return EPISODES.get_or_create(config, lambda: build_episode(config, generate_counts(config)))


def build_episode(config: EpisodeConfig, generated: GeneratedCounts) -> Episode:
    """Build an episode around accepted counts."""
    product, level, stream = config.adapted_product, config.level, generated.stream
    monday = FIRST_MONDAY + dt.timedelta(weeks=stream.integer_below(WEEKS_OF_STARTS))
    dates = tuple(
        (monday + dt.timedelta(days=day)).isoformat() for day in range(generated.counts.shape[2])
    )
    table = build_segment_table(product.shape)
    calendar = draw_calendar(generated.calendar, stream)
    log = draw_log(product, level, generated.roots, stream)
    steps = split_by_step(generated.counts, table)
    for place in generated.calendar:
        steps[place.step] = steps[place.step].without([place])
    alert = write_alert(product, level, dates, steps, generated.roots)
    rows = _label_roots(generated.roots, table, log)
    return Episode(config, dates, generated.counts, calendar, log, alert, rows)


def _label_roots(
    roots: Sequence[SegmentDays], table: SegmentTable, log: Sequence[LogEntry]
) -> tuple[ReportRow, ...]:
    return tuple(
        ReportRow(
            place.step,
            table.segments[place.segment],
            place.first,
            place.last,
            find_change(place, table.segments[place.segment], log),
        )
        for place in roots
    )
