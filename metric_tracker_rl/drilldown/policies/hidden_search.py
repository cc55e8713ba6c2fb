"""The search where causes are hidden: tables of two dimensions first, then the likeliest segments.

Weeks of segments of three values are ranked by what three tables of two dimensions say about them
together. The likeliest are looked at, each for a few numbers: its week beside the other weeks,
then its days, then its parts, until none is left that a cause could be hidden in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metric_tracker_rl.drilldown.baselines import HIGHEST_RATE
from metric_tracker_rl.drilldown.cube import Bools, Floats
from metric_tracker_rl.drilldown.evidence import SPARE, TOGETHER
from metric_tracker_rl.drilldown.policies.comparison import (
    DAILY_FLOOR,
    MOVED,
    SURE,
    WEEKLY_FLOOR,
    Finding,
    Seen,
    gain_of_all,
)
from metric_tracker_rl.drilldown.policies.desk import Asking, Desk
from metric_tracker_rl.drilldown.policies.pair_tables import PairTables
from openenv_kit.adding import add_up

LEAST = 0.83
"""A week is looked at with so large a share of the evidence that a hidden cause is planned to give:
what is usual is an estimate here, and other causes are near."""
WEEK = 3.0
"""Standard deviations of its own week at which the days of a segment are looked at."""
MIXED, WIDE = 0.03, 6.0
"""Change of a week's share, and its standard deviations, of a segment of one or two values whose
days are looked at for a mix shift."""
MOST_LOOKS = 120
MOST_STEPS = 3
"""Steps from a segment that moved to the one that it moved with."""
PARTNERS = 10
"""Segments that are looked at on a finding's own day: its change may be one of two that cancel."""


class HiddenSearch:
    """Finds mix shifts by what everybody shows, and all else by segments of three values.

    Args:
        desk: to ask.
        totals: counts of everybody, shape (stages, days).
    """

    def __init__(self, desk: Desk, totals: Floats) -> None:
        self.desk, self.totals = desk, totals
        self.findings: list[Finding] = []
        self.mixed: Bools = np.zeros(totals.shape[1] // 7, dtype=bool)

    def work(self) -> Asking[None]:
        """Find the roots of an episode."""
        self.tables = PairTables(self.desk.cube, (yield from self.desk.read_pairs(self.totals)))
        yield from self.mixes()
        least = LEAST * self.desk.evidence
        scores = self.scores()
        unseen = np.ones(scores.shape, dtype=bool)
        for _ in range(MOST_LOOKS):
            left = np.where(unseen, scores, 0.0)
            place = np.unravel_index(int(np.argmax(left)), left.shape)
            channel, triple, week = (int(each) for each in place)
            if left[channel, triple, week] < least:
                return
            unseen[channel, triple, week] = False
            cell = int(self.tables.triples[triple])
            if not (yield from self.worth(cell, channel, week)):
                continue
            moved = yield from self.days_of(cell, channel, week)
            found = False
            for days in sorted(moved, key=lambda each: each.start):
                found |= yield from self.settle(cell, moved[days], days)
            if found:
                scores = self.scores()

    def scores(self) -> Floats:
        """How likely a week of a segment holds a root from a step on.

        Two steps in a row are taken together as well: a tracking loss moves both.

        Returns:
            Shape (channels, triples, weeks).
        """
        z = np.stack([self.tables.evidence(channel) for channel in range(len(self.totals))])
        z[0][:, self.mixed] = 0.0
        score = np.abs(z)
        both = np.maximum(np.abs(z[1:-1] - z[2:]), np.abs(z[1:-1] + z[2:])) / TOGETHER
        both[np.minimum(score[1:-1], score[2:]) == 0.0] = 0.0
        score[1:-1] = np.maximum(score[1:-1], both)
        return score

    def worth(self, cell: int, channel: int, week: int) -> Asking[bool]:
        """Whether its own week, beside the other weeks, gives a segment away."""
        channels = range(channel, min(channel + 1, 4) + 1) if channel else range(1)
        days = range(7 * week, 7 * week + 7)
        ends = range(7 * week), range(7 * week + 7, self.totals.shape[1])
        [seen] = yield from self.compare(cell, channels, days, [each for each in ends if each])
        z = [abs(each.z) for each in seen.values()]
        together = add_up(z) / TOGETHER if len(z) > 1 else 0.0
        return max(together, *z) >= WEEK

    def compare(
        self,
        cell: int,
        channels: Sequence[int],
        days: range,
        others: Sequence[range],
        split: int | None = None,
    ) -> Asking[list[dict[int, Seen]]]:
        """A segment on some days beside others, by channel.

        Args:
            cell: the segment.
            channels: of the steps to look at, in order.
            days: the days.
            others: the other ones.
            split: a dimension, for the segment's parts by it; None for the segment as one.

        Returns:
            One value for each part.
        """
        first = max(channels[0] - 1, 0)
        stages = range(first, channels[-1] + 1)
        parts = yield from self.desk.compare(cell, stages, days, others, split)
        inside = [list(days), [day for each in others for day in each]]
        everybody = np.stack([self.totals[:, each].sum(axis=1) for each in inside], axis=1)
        lengths = len(inside[0]), len(inside[1])
        found = []
        for counts in np.maximum(parts, 1.0):
            seen = {}
            for channel in channels:
                below = counts[channel - 1 - first] if channel else everybody[0]
                common = everybody[channel] / everybody[max(channel - 1, 0)]
                seen[channel] = Seen.of(channel, counts[channel - first], below, common, lengths)
            found.append(seen)
        return found

    def days_of(self, cell: int, channel: int, week: int) -> Asking[dict[range, list[int]]]:
        """Runs of days of a segment that moved about a week, with the channels that did."""
        days = range(max(7 * week - 1, 0), min(7 * week + 8, self.totals.shape[1]))
        steps = range(max(channel - 1, 1), min(channel + 1, 4) + 1)
        moved: dict[range, list[int]] = {}
        if channel == 0:
            for run in runs(*(yield from self.visits(cell))):
                if set(run) & set(days):
                    moved[run] = [0]
            return moved
        stages = range(steps[0] - 1, steps[-1] + 1)
        counts = np.maximum((yield from self.desk.read_stages_of(cell, stages, days)), 1.0)
        for each in steps:
            below, into = counts[each - 1 - stages[0]], counts[each - stages[0]]
            rate = into / below
            everybody = self.totals[:, days.start : days.stop]
            beside = rate / (everybody[each] / everybody[each - 1])
            change = beside / np.median(beside) - 1.0
            usual = np.minimum(rate / (1.0 + change), HIGHEST_RATE)
            weight = below * usual / (1.0 - usual)
            floor = DAILY_FLOOR[1]
            z = change / np.sqrt(SPARE / weight + floor * floor)
            for run in runs(change, (np.abs(z) >= MOVED) & (np.abs(change) >= SURE[1])):
                when = range(days.start + run.start, days.start + run.stop)
                moved.setdefault(when, []).append(each)
        return moved

    def visits(self, cell: int) -> Asking[tuple[Floats, Bools]]:
        """Change of a segment's share of traffic by day, and on which days it moved."""
        counts = yield from self.desk.read_days(cell, 0)
        share = np.maximum(counts[1], 1.0) / self.totals[0]
        usual = np.tile(np.median(share.reshape(-1, 7), axis=0), len(share) // 7)
        change = share / usual - 1.0
        floor = DAILY_FLOOR[0]
        z = change / np.sqrt(SPARE / (usual * self.totals[0]) + floor * floor)
        return change, (np.abs(z) >= MOVED) & (np.abs(change) >= SURE[0])

    def same_weekdays(self, days: range) -> list[range]:
        """A run's weekdays in the other weeks."""
        last = self.totals.shape[1]
        starts = range(days.start % 7, last, 7)
        others = [range(each, each + len(days)) for each in starts if each != days.start]
        return [each for each in others if each.stop <= last]

    def settle(self, cell: int, channels: list[int], days: range) -> Asking[bool]:
        """Add the segment behind one that moved to the findings, with what cancels it."""
        around = range(days.start - 1, days.stop + 1)
        known = {found.channel for found in self.findings if set(around) & set(found.days)}
        if known & set(channels):
            return False
        steps = range(channels[0], channels[-1] + 1)
        others = self.same_weekdays(days)
        for _ in range(MOST_STEPS):
            beside = yield from self.beside(cell, channels, days)
            if beside is None:
                break
            cell = beside
        [seen] = yield from self.compare(cell, steps, days, others)
        added = [each for each in channels if seen[each].moved]
        for each in added:
            self.add(each, days, cell, seen[each])
        if len(added) == 1:
            yield from self.partner(added[0], days, cell, seen[added[0]])
        return bool(added)

    def beside(self, cell: int, channels: list[int], days: range) -> Asking[int | None]:
        """The segment beside one to which one of its parts belongs; None where all moved alike."""
        cube, others = self.desk.cube, self.same_weekdays(days)
        steps = range(channels[0], channels[-1] + 1)
        fixed = {axis: v for axis, v in enumerate(cube.values[cell].tolist()) if v >= 0}
        for free in (axis for axis in range(len(cube.shape)) if axis not in fixed):
            parts = yield from self.compare(cell, steps, days, others, free)
            clearest = max(channels, key=lambda each: add_up(part[each].gain for part in parts))
            part = max(range(len(parts)), key=lambda each: parts[each][clearest].gain)
            if parts[part][clearest].gain <= gain_of_all([each[clearest] for each in parts]):
                continue
            best: tuple[float, int] = (-1.0, cell)
            for left_out in fixed:
                kept = {axis: value for axis, value in fixed.items() if axis != left_out}
                other = cube.cell_of({**kept, free: part})
                [seen] = yield from self.compare(other, steps, days, others)
                if seen[clearest].gain > best[0]:
                    best = seen[clearest].gain, other
            return best[1]
        return None

    def add(self, channel: int, days: range, cell: int, seen: Seen) -> None:
        """Take a segment down, and out of the tables."""
        found = Finding(channel, days, cell, 1.0 + seen.change)
        self.findings.append(found)
        self.tables.take_out(found, seen.count / len(days))

    def partner(self, channel: int, days: range, cell: int, seen: Seen) -> Asking[None]:
        """Look for the segment that moved the other way on the same days."""
        sign = 1.0 if seen.change > 0.0 else -1.0
        triples, others = self.tables.triples, self.same_weekdays(days)
        evidence = -sign * self.tables.evidence(channel)[:, days.start // 7]
        evidence[self.desk.cube.meet[cell, triples] >= 0] = 0.0
        best: tuple[int, Seen] | None = None
        for place in np.argsort(-evidence, kind="stable")[:PARTNERS].tolist():
            other = int(triples[place])
            [by_channel] = yield from self.compare(other, [channel], days, others)
            beside = by_channel[channel]
            against = beside.moved and sign * beside.change < 0.0
            if against and (best is None or beside.gain > best[1].gain):
                best = other, beside
        if best:
            self.add(channel, days, *best)

    def mixes(self) -> Asking[None]:
        """Find segments of one or two values whose share of traffic moved, and mask their weeks."""
        cube = self.desk.cube
        change, weight = self.tables.change[0], self.tables.weight[0]
        floor = WEEKLY_FLOOR[0]
        z = np.abs(change) / np.sqrt(1.0 / weight + floor * floor)
        plain = (cube.fixed == 1) | (cube.fixed == 2)
        able = (np.abs(change) >= MIXED) & (z >= WIDE) & plain[:, None]
        while True:
            gain = np.where(able & ~self.mixed, change * change * weight, 0.0)
            cell, week = divmod(int(np.argmax(gain)), gain.shape[1])
            if gain[cell, week] == 0.0:
                return
            self.mixed[week] = True
            changes, moved = yield from self.visits(cell)
            for days in runs(changes, moved):
                if set(days) & set(range(7 * week, 7 * week + 7)):
                    factor = 1.0 + float(np.mean(changes[days.start : days.stop]))
                    self.findings.append(Finding(0, days, cell, factor, mix=True))
                    self.mixed[days.start // 7 : (days.stop - 1) // 7 + 1] = True


def runs(change: Floats, moved: Bools) -> list[range]:
    """Runs of days that moved the same way."""
    found: list[range] = []
    for day in np.flatnonzero(moved).tolist():
        last = found[-1] if found else range(0)
        if day > 0 and last.stop == day and change[day] * change[day - 1] > 0.0:
            found[-1] = range(last.start, day + 1)
        else:
            found.append(range(day, day + 1))
    return found
