"""A finished, immutable drill-down episode, shared read-only by every session that plays it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.drilldown.change_log import Entry, change_of
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.cube import Cube, cell_of_segment, cube_of, segment_of
from metric_tracker_rl.drilldown.definition import Root
from metric_tracker_rl.drilldown.domains import Domain
from metric_tracker_rl.drilldown.generator import Draw
from metric_tracker_rl.drilldown.report import ReportRow
from metric_tracker_rl.drilldown.sql.database import Database


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode.

    Attributes:
        config: what it was made from.
        dates: ISO dates, in order.
        counts: daily counts, shape (leaves, stages, days), int32, read-only.
        log: the public change log.
        expected_rows: the one right report.
    """

    config: DrillConfig
    dates: tuple[str, ...]
    counts: NDArray[np.int32]
    log: tuple[Entry, ...]
    expected_rows: tuple[ReportRow, ...]

    @cached_property
    def domain(self) -> Domain:
        """The product."""
        return self.config.domain

    @cached_property
    def cube(self) -> Cube:
        """Its geometry."""
        return cube_of(self.domain.shape)

    @cached_property
    def day_of(self) -> dict[str, int]:
        """Day index by ISO date."""
        return {date: day for day, date in enumerate(self.dates)}

    @cached_property
    def database(self) -> Database:
        """Its counts as a table, for the level that is read by SQL."""
        return Database(self.domain, self.dates, self.counts)

    def cell(self, row: ReportRow) -> int:
        """Cell of a row's segment."""
        return cell_of_segment(self.domain, dict(row.segment))


def row_of(domain: Domain, dates: tuple[str, ...], root: Root, log: tuple[Entry, ...]) -> ReportRow:
    """The report row that a root asks for."""
    return ReportRow(
        kind=root.kind,
        stage=domain.stages[root.stage],
        segment=tuple(sorted(segment_of(domain, root.cell).items())),
        date_from=dates[root.first],
        date_to=dates[root.last],
        change=change_of(cube_of(domain.shape), domain, root, log),
    )


def episode_from_draw(config: DrillConfig, draw: Draw) -> Episode:
    """The episode around an accepted draw."""
    rows = tuple(row_of(config.domain, draw.dates, root, draw.log) for root in draw.roots)
    return Episode(config, draw.dates, draw.counts, draw.log, rows)
