"""What each insight is worth: the definition with one of them taken away.

Like heuristics, these are given the whole cube for nothing, and none of them reads a label. A run
that cannot be explained without the insight is reported as its segment of largest gain, so that
what is lost is what the insight decides and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from metric_tracker_rl.drilldown.baselines import HIGHEST_RATE, LOWEST_RATE, Baseline, global_median
from metric_tracker_rl.drilldown.change_log import UNATTRIBUTED, Entry
from metric_tracker_rl.drilldown.channel import Channel, Explained
from metric_tracker_rl.drilldown.config import DAYS
from metric_tracker_rl.drilldown.cube import Bools, Floats, Ints
from metric_tracker_rl.drilldown.definition import LONGEST_RUN, Root, roots_of, runs_of
from metric_tracker_rl.drilldown.domains import TRACKING
from metric_tracker_rl.drilldown.levels import LOSS
from metric_tracker_rl.drilldown.policies.heuristic import HEURISTICS, UNLIMITED, Heuristic
from metric_tracker_rl.drilldown.policies.scan import Rows, Scan

WITHOUT = "without_"
"""What the names of all but the first begin with."""


class OneRoot(Channel):
    """Never explains a run by two segments."""

    def best_pair(self, gain: Floats) -> tuple[list[int], float]:
        return [], 0.0


class NoMixes(Channel):
    """Never sees that everybody else moves against a segment."""

    def mixes(self, total: Floats, extra: Floats) -> tuple[Bools, Bools]:
        return np.zeros(len(total), dtype=bool), np.ones(len(total), dtype=bool)


class TwoValues(Channel):
    """Looks at segments of at most two values."""

    most = 2

    def judged(self, weight: Floats, people: Floats, *, wide: bool = False) -> Bools:
        large = super().judged(weight, people, wide=wide)
        return np.asarray(large & (self.cube.fixed <= self.most)[:, None])


class OneValue(TwoValues):
    """Looks at single values."""

    most = 1


class OwnRates(Channel):
    """Compares a segment's own rate with its usual one, whoever it is made of."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        if self.rate is not None:
            sums = self.cube.sums(np.stack([self.base, self.observed]))
            self.entered, self.took = sums[0], sums[1]
            own = (self.took / np.maximum(self.entered, 1.0)).reshape(-1, DAYS // 7, 7)
            self.usual = np.tile(np.median(own, axis=1), DAYS // 7)
            self.weight, self.surplus = self._weighed(slice(0, DAYS), np.ones(1))

    def taken_out(self, days: slice | Ints, factor: Floats) -> tuple[Floats, Floats]:
        if self.rate is None:
            return super().taken_out(days, factor)
        expected = self.base[:, days] * self.rate[:, days]
        with_and_without = self.cube.sums(np.stack([expected * factor, expected]))
        ratio = with_and_without[0] / np.maximum(with_and_without[1], 1e-9)
        return self._weighed(days, ratio)

    def _weighed(self, days: slice | Ints, ratio: Floats) -> tuple[Floats, Floats]:
        """W and U of every cell, with its usual rate times a ratio."""
        usual = np.clip(self.usual[:, days] * ratio, LOWEST_RATE, HIGHEST_RATE)
        expected = self.entered[:, days] * usual
        return expected / (1.0 - usual), (self.took[:, days] - expected) / (1.0 - usual)


@dataclass(frozen=True)
class Reader:
    """The definition as one who has every insight but some applies it.

    Attributes:
        channel: how channels are seen.
        baseline: what is taken for usual.
        tracking: whether inverse changes of two steps are one tracking loss.
        change: the entry of the change log that a root is put down to; None for the public rule.
    """

    channel: type[Channel] = Channel
    baseline: Callable[[Scan], Baseline] = lambda scan: scan.baseline
    tracking: bool = True
    change: Callable[[Scan, Root], str] | None = None

    def __call__(self, scan: Scan) -> Rows:
        """The report on an episode."""
        runs = list(self._runs(scan))
        groups = [runs] if self.tracking else [[run] for run in runs]
        rows: Rows = []
        for root in (root for group in groups for root in roots_of(group)):
            row = scan.row_of(root)
            rows.append({**row, "change": self.change(scan, root)} if self.change else row)
        return rows

    def _runs(self, scan: Scan) -> Iterator[Explained]:
        for channel in scan.under(self.baseline(scan), self.channel):
            moved = scan.moved(channel)
            for first, end in runs_of(np.asarray(np.any(moved, axis=0))):
                stop = min(end, first + LONGEST_RUN)
                yield channel.explain(first, stop) or _largest_gain(scan, channel, first, stop)


def _largest_gain(scan: Scan, channel: Channel, first: int, stop: int) -> Explained:
    """A run that nothing explains, as its segment of largest gain."""
    weight, surplus, able = scan.over(channel, first, stop)
    gain = np.where(able, surplus * surplus / np.maximum(weight, 1e-9), 0.0)
    cell = int(np.argmax(gain))
    factor = 1.0 + float(surplus[cell] / weight[cell])
    mix = bool(channel.mixes(weight, surplus)[0][cell])
    told = ((cell,), (factor,), mix, 0.0, True, 0.0, (0.0, 0.0), 0.0, 0.0)
    return Explained(channel.number, first, stop, *told)


def _last_of_component(scan: Scan, root: Root) -> str:
    """The last entry of a root's component until its first day, whatever its scope."""
    component = TRACKING if root.kind == LOSS else scan.episode.domain.components[root.stage]
    before: list[Entry] = [
        entry
        for entry in scan.episode.log
        if entry.component == component and entry.day <= root.first
    ]
    return before[-1].id if before else UNATTRIBUTED


READERS: dict[str, tuple[str, Reader]] = {
    "every_insight": ("The definition, with nothing taken away.", Reader()),
    "without_composition": (
        "Compares a segment's own rate with its usual one, whoever it is made of.",
        Reader(channel=OwnRates),
    ),
    "without_two_roots": ("Explains a run by one segment at most.", Reader(channel=OneRoot)),
    "without_mix_shifts": ("Takes a mix shift for a change of traffic.", Reader(channel=NoMixes)),
    "without_tracking": ("Takes a tracking loss for two changes of rates.", Reader(tracking=False)),
    "without_third_value": ("Looks at segments of at most two values.", Reader(channel=TwoValues)),
    "without_pairs": ("Looks at single values.", Reader(channel=OneValue)),
    "without_log": ("Never reads the change log.", Reader(change=lambda *_: UNATTRIBUTED)),
    "without_scopes": (
        "Puts a root down to the last entry of its component, whatever its scope.",
        Reader(change=_last_of_component),
    ),
    "without_weekdays": (
        "Takes the median of all days for usual.",
        Reader(baseline=lambda scan: global_median(scan.stages)),
    ),
}
"""The definition and its readers that lack one insight, each with a line that describes it."""

HEURISTICS.update(
    {name: Heuristic(name, line, reader, UNLIMITED) for name, (line, reader) in READERS.items()}
)
