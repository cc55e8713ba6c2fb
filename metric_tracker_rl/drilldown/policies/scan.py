"""The whole cube for nothing: every cell of every channel against a sound baseline.

Heuristics are given this freely, so that what they earn is what their idea is worth, not what
they could read. They see the counts and the change log, never a label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from metric_tracker_rl.drilldown.baselines import (
    Baseline,
    by_stage,
    median_of_weekday,
    pooled,
)
from metric_tracker_rl.drilldown.channel import STANDARD, Channel
from metric_tracker_rl.drilldown.cube import Bools, Cube, Floats
from metric_tracker_rl.drilldown.definition import (
    CHANNELS,
    Answer,
    Root,
    answer_under,
    people_of,
    runs_of,
    touched_by,
)
from metric_tracker_rl.drilldown.episode import Episode, row_of
from metric_tracker_rl.drilldown.levels import RATE, TRAFFIC

Rows = list[Mapping[str, Any]]


class Scan:
    """What a heuristic is given.

    Args:
        episode: only its counts, dates, names and change log are read.
    """

    def __init__(self, episode: Episode) -> None:
        self.episode = episode
        self.cube: Cube = episode.cube
        self.stages = by_stage(episode.counts)
        self.people = people_of(self.cube, self.stages)

    @cached_property
    def baseline(self) -> Baseline:
        """What is usual, without what moved."""
        first = answer_under(self.cube, self.stages, self.people, median_of_weekday(self.stages))
        roots = first.roots if first else ()
        return pooled(self.stages, touched_by(self.cube, roots))

    @cached_property
    def channels(self) -> list[Channel]:
        """Every channel under a sound baseline."""
        return self.under(self.baseline)

    def under(self, baseline: Baseline, channel_type: type[Channel] = Channel) -> list[Channel]:
        """Every channel under some baseline."""
        return [
            channel_type(self.cube, number, self.stages, baseline, self.people[number], STANDARD)
            for number in range(CHANNELS)
        ]

    def answer(self, baseline: Baseline) -> Answer | None:
        """The definition under some baseline."""
        return answer_under(self.cube, self.stages, self.people, baseline)

    def moved(self, channel: Channel) -> Bools:
        """Which (cell, day) of a channel moved."""
        return channel.moved(channel.weight, channel.surplus, channel.people)

    def runs(self, cells: Bools | None = None) -> Iterable[tuple[Channel, int, int]]:
        """Runs of days on which one of some cells moved, with their channel; at most 7 days."""
        for channel in self.channels:
            moved = self.moved(channel)
            if cells is not None:
                moved = moved[cells]
            for first, stop in runs_of(np.asarray(np.any(moved, axis=0))):
                yield channel, first, min(stop, first + 7)

    def over(self, channel: Channel, first: int, stop: int) -> tuple[Floats, Floats, Bools]:
        """Weight and surplus of every cell over a run, and which could be a root's segment."""
        weight = channel.weight[:, first:stop].sum(axis=1)
        surplus = channel.surplus[:, first:stop].sum(axis=1)
        judged = channel.judged(channel.weight[:, first:stop], channel.people[:, first:stop])
        return weight, surplus, np.asarray(judged.all(axis=1) & (self.cube.fixed <= 3))

    def z(self, channel: Channel, first: int, stop: int) -> Floats:
        """|z| of every cell over a run; 0 where it could not be a root's segment."""
        weight, surplus, able = self.over(channel, first, stop)
        noise = np.sqrt(weight + channel.floor2 * weight * weight)
        return np.where(able, np.abs(surplus) / np.maximum(noise, 1e-9), 0.0)

    def row(self, channel: Channel, first: int, stop: int, cell: int) -> dict[str, Any]:
        """A report row, its change by the public rule."""
        kind = RATE if channel.number else TRAFFIC
        root = Root(channel.number, first, stop - 1, cell, kind)
        return self.row_of(root)

    def row_of(self, root: Root) -> dict[str, Any]:
        """The report row of a root."""
        episode = self.episode
        return row_of(episode.domain, episode.dates, root, episode.log).as_dict()
