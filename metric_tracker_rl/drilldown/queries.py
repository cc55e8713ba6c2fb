"""Sums over the counts: what `slice` and `compare` answer, and how many numbers that is.

A query is checked and measured before anything is summed. Sums are of integers, so their order
cannot show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.drilldown.arguments import CompareArguments, SliceArguments
from metric_tracker_rl.drilldown.config import DAYS
from metric_tracker_rl.drilldown.episode import Episode
from openenv_kit.errors import InvalidValueError, require_name

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Selection:
    """People, split and stages of a query.

    Attributes:
        groups: indices of the dimensions that it splits by, in the order asked for.
        values: indices of the values it takes, by dimension.
        stages: indices of its stages, in funnel order.
    """

    groups: tuple[int, ...]
    values: tuple[tuple[int, ...], ...]
    stages: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Segments that the query tells apart."""
        return prod(len(self.values[axis]) for axis in self.groups)

    @classmethod
    def read(cls, episode: Episode, asked: SliceArguments | CompareArguments) -> Selection:
        """The selection of a query.

        Raises:
            UnknownNameError, InvalidValueError: a name the episode does not have, or twice.
        """
        dims = episode.domain.dims
        names = episode.domain.dim_names
        groups = tuple(names.index(require_name("dimension", n, names)) for n in asked.group_by)
        if len(set(groups)) < len(groups):
            raise InvalidValueError("group_by", asked.group_by, "dimensions that differ")
        values = [tuple(range(len(dim.values))) for dim in dims]
        for name, given in asked.where.items():
            axis = names.index(require_name("dimension", name, names))
            allowed = dims[axis].names
            wanted = [given] if isinstance(given, str) else given
            if not wanted:
                raise InvalidValueError(f"where.{name}", wanted, "at least one value")
            found = {allowed.index(require_name(f"value of {name}", v, allowed)) for v in wanted}
            values[axis] = tuple(sorted(found))
        stages = episode.domain.stages
        chosen = {stages.index(require_name("stage", name, stages)) for name in asked.stages}
        return cls(groups, tuple(values), tuple(sorted(chosen)) or tuple(range(len(stages))))

    def sums(self, episode: Episode) -> Counts:
        """Counts by group, stage and day, shape (rows, stages, days)."""
        shape = episode.domain.shape
        block = episode.counts.reshape(*shape, episode.counts.shape[1], DAYS)
        chosen = (*self.values, self.stages)
        block = block[tuple(slice(each[0], each[-1] + 1) for each in chosen)]
        for axis, each in enumerate(chosen):
            if len(each) < block.shape[axis]:  # with gaps
                block = block.take([place - each[0] for place in each], axis=axis)
        summed = tuple(axis for axis in range(len(self.values)) if axis not in self.groups)
        block = block.sum(axis=summed, keepdims=True, dtype=np.int64)
        if len(self.groups) == 2 and self.groups[0] > self.groups[1]:
            block = block.swapaxes(self.groups[0], self.groups[1])
        return block.reshape(self.rows, len(self.stages), DAYS).astype(np.int64, copy=False)

    def labels(self, episode: Episode) -> list[list[str]]:
        """Values of each row, in the order of `sums`."""
        names = [
            [episode.domain.dims[axis].names[value] for value in self.values[axis]]
            for axis in self.groups
        ]
        return [list(each) for each in product(*names)]


def day_ranges(episode: Episode, name: str, given: Sequence[Sequence[str]]) -> list[range]:
    """Ranges of days.

    Raises:
        InvalidValueError: not dates of the episode, or a range that runs backwards.
    """
    found = []
    dates = episode.dates
    for first, last in given:
        for date in (first, last):
            if date not in episode.day_of:
                raise InvalidValueError(name, date, f"YYYY-MM-DD from {dates[0]} to {dates[-1]}")
        if episode.day_of[last] < episode.day_of[first]:
            raise InvalidValueError(f"range in {name}", [first, last], "first date before last")
        found.append(range(episode.day_of[first], episode.day_of[last] + 1))
    return found


def periods_of(ranges: Sequence[range], every: str) -> list[range]:
    """The ranges cut into single days, or into seven days each from the start of a range."""
    step = 1 if every == "day" else 7
    return [
        range(start, min(start + step, days.stop))
        for days in ranges
        for start in range(days.start, days.stop, step)
    ]


def slice_periods(episode: Episode, asked: SliceArguments) -> list[range]:
    """Periods of a slice, in the order asked for."""
    ranges = day_ranges(episode, "dates", asked.dates) or [range(DAYS)]
    return periods_of(ranges, asked.every)


def slice_size(episode: Episode, asked: SliceArguments) -> int:
    """How many numbers a slice's rows hold."""
    selection = Selection.read(episode, asked)
    return selection.rows * len(selection.stages) * len(slice_periods(episode, asked))


def run_slice(episode: Episode, asked: SliceArguments) -> dict[str, Any]:
    """The reply to `slice`."""
    selection, periods = Selection.read(episode, asked), slice_periods(episode, asked)
    daily = selection.sums(episode)
    if asked.every == "day":
        wanted = [days.start for days in periods]
        numbers = daily if wanted == list(range(DAYS)) else daily.take(wanted, axis=2)
    else:
        numbers = np.stack([daily[:, :, p.start : p.stop].sum(axis=2) for p in periods], axis=2)
    stages = [episode.domain.stages[stage] for stage in selection.stages]
    rows = [
        [*values, stage, counts]
        for values, by_stage in zip(selection.labels(episode), numbers.tolist(), strict=True)
        for stage, counts in zip(stages, by_stage, strict=True)
    ]
    return {**told_periods(episode, asked, periods), "rows": rows}


def told_periods(
    episode: Episode, asked: SliceArguments, periods: Sequence[range]
) -> dict[str, Any]:
    """Columns of a row, and where its counts begin."""
    names = [*asked.group_by, "stage", "counts"]
    starts = [episode.dates[days.start] for days in periods]
    if asked.every == "week":
        return {"columns": names, "weeks_from": starts, "days": [len(days) for days in periods]}
    if len(starts) != periods[-1].stop - periods[0].start:
        return {"columns": names, "dates": starts}
    told = {"columns": names, "dates": [starts[0], starts[-1]]}
    return {**told, "every_seventh_date": starts[::7]} if len(starts) > 7 else told


def compare_size(episode: Episode, asked: CompareArguments) -> int:
    """How many numbers a comparison's rows hold."""
    day_ranges(episode, "dates", asked.dates)
    day_ranges(episode, "reference", asked.reference)
    selection = Selection.read(episode, asked)
    return selection.rows * len(selection.stages) * 2


def run_compare(episode: Episode, asked: CompareArguments) -> dict[str, Any]:
    """The reply to `compare`."""
    selection = Selection.read(episode, asked)
    chosen = []
    for name, given in (("dates", asked.dates), ("reference", asked.reference)):
        days: set[int] = set().union(*day_ranges(episode, name, given))
        chosen.append(sorted(days))
    daily = selection.sums(episode)
    sums = np.stack([daily.take(days, axis=2).sum(axis=2) for days in chosen], axis=2)
    rows = [
        [*values, *(number for pair in by_stage for number in pair)]
        for values, by_stage in zip(selection.labels(episode), sums.tolist(), strict=True)
    ]
    stages = [episode.domain.stages[stage] for stage in selection.stages]
    pairs = [f"{stage}.{part}" for stage in stages for part in ("dates", "reference")]
    return {
        "columns": [*asked.group_by, *pairs],
        "days": {"dates": len(chosen[0]), "reference": len(chosen[1])},
        "rows": rows,
    }
