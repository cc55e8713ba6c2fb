"""A finished, immutable episode, shared read-only by every session that plays it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from drilldown_env.change_log import Entry, Event, change_of
from drilldown_env.config import DrillConfig
from drilldown_env.cube import cube_of, segment_of
from drilldown_env.definition import Root
from drilldown_env.domain import Domain
from drilldown_env.generator import Draw
from drilldown_env.packed_counts import PackedCounts
from drilldown_env.report import DOWN, UP, ReportRow

OTHER_BYTES = 24_000
"""Of an episode beside its counts: alert, calendar, change log and report."""


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode.

    Attributes:
        config: what it was made from.
        dates: ISO dates, in order.
        counts_source: the daily counts, as they are or packed.
        events: the public calendar.
        log: the public change log.
        alert: what it begins with.
        expected_rows: the one right report.
    """

    config: DrillConfig
    dates: tuple[str, ...]
    counts_source: NDArray[np.int32] | PackedCounts
    events: tuple[Event, ...]
    log: tuple[Entry, ...]
    alert: str
    expected_rows: tuple[ReportRow, ...]

    @property
    def counts(self) -> NDArray[np.int32]:
        """Daily counts, shape (leaves, stages, days), read-only."""
        source = self.counts_source
        return source.unpack() if isinstance(source, PackedCounts) else source

    def packed(self) -> Episode:
        """Return the episode with its counts packed, which takes a third of the memory."""
        return replace(self, counts_source=PackedCounts(self.counts))

    @property
    def size_bytes(self) -> int:
        """Bytes that the episode takes, roughly."""
        source = self.counts_source
        counts = source.size_bytes if isinstance(source, PackedCounts) else source.nbytes
        return counts + OTHER_BYTES

    @cached_property
    def domain(self) -> Domain:
        """The product."""
        return self.config.domain

    @cached_property
    def day_of(self) -> dict[str, int]:
        """Day index by ISO date."""
        return {date: day for day, date in enumerate(self.dates)}


def row_of(domain: Domain, dates: tuple[str, ...], root: Root, log: tuple[Entry, ...]) -> ReportRow:
    """The report row that a root asks for."""
    return ReportRow(
        kind=root.kind,
        stage=domain.stages[root.stage],
        direction=UP if root.rises else DOWN,
        segment=tuple(sorted(segment_of(domain, root.cell).items())),
        date_from=dates[root.first],
        date_to=dates[root.last],
        change=change_of(cube_of(domain.shape), domain, root, log),
    )


def episode_from_draw(config: DrillConfig, draw: Draw) -> Episode:
    """The episode around an accepted draw."""
    rows = tuple(row_of(config.domain, draw.dates, root, draw.log) for root in draw.roots)
    return Episode(config, draw.dates, draw.counts, draw.events, draw.log, draw.alert, rows)
