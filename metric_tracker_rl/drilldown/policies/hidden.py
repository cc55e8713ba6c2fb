"""The search where causes are hidden: tables of two dimensions first, then the likeliest segments.

Weeks of segments of three values are ranked by what three tables of two dimensions say about them
together. The likeliest are looked at, each for a few numbers: its week beside the other weeks,
then its days, then its parts, until none is left that a cause could be hidden in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metric_tracker_rl.drilldown.cube import Bools, Floats
from metric_tracker_rl.drilldown.evidence import TOGETHER
from metric_tracker_rl.drilldown.policies.desk import Asking, Desk
from metric_tracker_rl.drilldown.policies.pairs import PairTables
from metric_tracker_rl.drilldown.policies.table import Finding

SLACK = 0.5
"""A week is looked at whose evidence is so little short of the least that a hidden cause gives."""
WEEK = 3.0
"""Standard deviations of its own week at which the days of a segment are looked at."""
MOVED = 6.0
"""Standard deviations of a day that moved."""
SURE = (0.15, 0.07)
"""Change that a root shows in its own segment on each of its days: traffic, rates."""
WEEKLY_FLOOR = (0.004, 0.001)
DAILY_FLOOR = (0.012, 0.007)
MIXED, WIDE = 0.03, 6.0
"""Change of a week's share, and its standard deviations, of a segment of one or two values whose
days are looked at for a mix shift."""
MOST_LOOKS = 120
PARTNERS = 12
"""Segments that are looked at on a finding's own day: its change may be one of two that cancel."""


@dataclass(frozen=True)
class Seen:
    """What a comparison shows of some people.

    Attributes:
        change: of rates, or of the share of traffic, beside what everybody's did; by channel.
        weight: of what was to be expected, by channel.
        noise: standard deviation of the change, by channel.
        counts: people who take the step, by channel.
    """

    change: dict[int, float]
    weight: dict[int, float]
    noise: dict[int, float]
    counts: dict[int, float]

    def z(self, channel: int) -> float:
        """Standard deviations of a change."""
        return self.change[channel] / self.noise[channel]

    def gain(self, channel: int) -> float:
        """How much more likely the counts are with the change than without."""
        return self.change[channel] * self.change[channel] * self.weight[channel]


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
        desk = self.desk
        self.tables = PairTables(desk.cube, (yield from desk.read_pairs(self.totals)))
        yield from self.mixes()
        scores = self.scores()
        unseen = np.ones(scores.shape, dtype=bool)
        for _ in range(MOST_LOOKS):
            place = int(np.argmax(np.where(unseen, scores, 0.0)))
            channel, triple, week = (int(each) for each in np.unravel_index(place, scores.shape))
            if (
                not unseen[channel, triple, week]
                or scores[channel, triple, week] < desk.evidence - SLACK
            ):
                return
            unseen[channel, triple, week] = False
            cell = int(self.tables.triples[triple])
            if (yield from self.worth(cell, channel, week)):
                moved = yield from self.days_of(cell, channel, week)
                found = False
                for days in sorted(moved, key=lambda each: each.start):
                    found |= yield from self.settle(cell, moved[days], days)
                if found:
                    scores = self.scores()

    def scores(self) -> Floats:
        """How likely a week of a segment holds a root from a step on; (channels, triples, weeks).

        Two steps in a row are taken together as well: a tracking loss moves both.
        """
        z = self.tables.evidence()
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
        z = [seen.z(each) for each in channels]
        both = max(abs(z[0] - z[-1]), abs(z[0] + z[-1])) / TOGETHER if len(z) > 1 else 0.0
        return max(both, *map(abs, z), 0.0) >= WEEK

    def compare(
        self, cell: int, channels: range, days: range, others: list[range], split: int | None = None
    ) -> Asking[list[Seen]]:
        """A segment, or its parts by one dimension, on some days beside others."""
        first = max(channels[0] - 1, 0)
        stages = range(first, channels[-1] + 1)
        parts = yield from self.desk.compare(cell, stages, days, others, split)
        inside = [list(days), [day for each in others for day in each]]
        everybody = np.stack([self.totals[:, each].sum(axis=1) for each in inside], axis=1)
        repeats = 1.0 + len(inside[0]) / len(inside[1])
        floors = WEEKLY_FLOOR if len(days) == 7 else DAILY_FLOOR
        found = []
        for counts in np.maximum(parts, 1.0):
            change, weight, noise, into = {}, {}, {}, {}
            for each in channels:
                now = counts[each - first]
                below = counts[each - 1 - first] if each else everybody[0]
                all_below = everybody[each - 1] if each else everybody[0]
                all_now = everybody[each] if each else everybody[0]
                usual = (
                    now[1] / below[1] * (all_now[0] / all_below[0]) / (all_now[1] / all_below[1])
                )
                usual = min(usual, 0.985)
                change[each] = now[0] / below[0] / usual - 1.0
                weight[each] = below[0] * usual / (1.0 - usual if each else 1.0)
                floor = floors[min(each, 1)]
                noise[each] = float(np.sqrt(repeats / weight[each] + floor * floor))
                into[each] = now[0]
            found.append(Seen(change, weight, noise, into))
        return found

    def days_of(self, cell: int, channel: int, week: int) -> Asking[dict[range, list[int]]]:
        """Runs of days of a segment that moved about a week, with the channels that did."""
        days = range(max(7 * week - 1, 0), min(7 * week + 8, self.totals.shape[1]))
        moved: dict[range, list[int]] = {}
        if channel == 0:
            for run in runs(*(yield from self.visits(cell))):
                if set(run) & set(days):
                    moved[run] = [0]
            return moved
        counts = np.maximum((yield from self.desk.read_stages_of(cell, days)), 1.0)
        for each in range(1, len(counts)):
            rate = counts[each] / counts[each - 1]
            everybody = self.totals[:, days.start : days.stop]
            beside = rate / (everybody[each] / everybody[each - 1])
            change = beside / np.median(beside) - 1.0
            usual = np.minimum(rate / (1.0 + change), 0.985)
            weight = counts[each - 1] * usual / (1.0 - usual)
            floor = DAILY_FLOOR[1]
            z = change / np.sqrt(1.2 / weight + floor * floor)
            for run in runs(change, (np.abs(z) >= MOVED) & (np.abs(change) >= SURE[1])):
                moved.setdefault(range(run.start + days.start, run.stop + days.start), []).append(
                    each
                )
        return moved

    def visits(self, cell: int) -> Asking[tuple[Floats, Bools]]:
        """Change of a segment's share of traffic by day, and on which days it moved."""
        counts = yield from self.desk.read_days(cell, 0)
        share = np.maximum(counts[1], 1.0) / self.totals[0]
        usual = np.tile(np.median(share.reshape(-1, 7), axis=0), len(share) // 7)
        change = share / usual - 1.0
        floor = DAILY_FLOOR[0]
        z = change / np.sqrt(1.2 / (usual * self.totals[0]) + floor * floor)
        return change, (np.abs(z) >= MOVED) & (np.abs(change) >= SURE[0])

    def same_weekdays(self, days: range) -> list[range]:
        """A run's weekdays in the other weeks."""
        last = self.totals.shape[1]
        starts = range(days.start % 7, last, 7)
        others = [range(each, each + len(days)) for each in starts if each != days.start]
        return [each for each in others if each.stop <= last]

    def settle(self, cell: int, channels: list[int], days: range) -> Asking[bool]:
        """Add the segment around one that moved to the findings, with what cancels it."""
        known = {
            found.channel
            for found in self.findings
            if set(range(days.start - 1, days.stop + 1)) & set(found.days)
        }
        if known & set(channels):
            return False
        steps = range(channels[0], channels[-1] + 1)
        others = self.same_weekdays(days)
        for _ in range(3):
            [axis] = np.flatnonzero(self.desk.cube.values[cell] < 0).tolist()
            parts = yield from self.compare(cell, steps, days, others, axis)
            clearest = max(channels, key=lambda each: sum(part.gain(each) for part in parts))
            whole, largest = joined(parts, clearest), 0
            largest = max(range(len(parts)), key=lambda each: parts[each].gain(clearest))
            if parts[largest].gain(clearest) <= whole:
                break
            wider = []
            fixed = {a: v for a, v in enumerate(self.desk.cube.values[cell].tolist()) if v >= 0}
            for left_out in fixed:
                kept = {a: v for a, v in fixed.items() if a != left_out}
                wider.append(self.desk.cube.cell_of({**kept, axis: largest}))
            gains = []
            for each in wider:
                [seen] = yield from self.compare(each, steps, days, others)
                gains.append(seen.gain(clearest))
            cell = wider[int(np.argmax(gains))]
        [seen] = yield from self.compare(cell, steps, days, others)
        added = [each for each in channels if abs(seen.z(each)) >= MOVED]
        for each in added:
            self.add(each, days, cell, seen)
        if len(added) == 1:
            yield from self.partner(added[0], days, cell, seen)
        return bool(added)

    def add(self, channel: int, days: range, cell: int, seen: Seen) -> None:
        """Take a segment down, and out of the tables."""
        factor = 1.0 + seen.change[channel]
        found = Finding(channel, days, (cell,), (factor,), mix=False)
        self.findings.append(found)
        counts = np.full(len(days), seen.counts[channel] / len(days))
        self.tables.take_out(found, counts)

    def partner(self, channel: int, days: range, cell: int, seen: Seen) -> Asking[None]:
        """Look for the segment that moved the other way on the same days."""
        sign = 1.0 if seen.change[channel] > 0.0 else -1.0
        week = days.start // 7
        evidence = -sign * self.tables.evidence()[channel, :, week]
        triples = self.tables.triples
        evidence[self.desk.cube.meet[cell, triples] >= 0] = 0.0
        others = self.same_weekdays(days)
        best: tuple[float, int, Seen] | None = None
        for each in np.argsort(-evidence, kind="stable")[:PARTNERS].tolist():
            other = int(triples[each])
            [beside] = yield from self.compare(other, range(channel, channel + 1), days, others)
            moved = -sign * beside.z(channel) >= MOVED
            if moved and (best is None or beside.gain(channel) > best[0]):
                best = beside.gain(channel), other, beside
        if best:
            self.add(channel, days, best[1], best[2])

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
                    self.findings.append(Finding(0, days, (cell,), (factor,), mix=True))
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


def joined(parts: list[Seen], channel: int) -> float:
    """Gain of all parts of a segment as one."""
    weight = sum(part.weight[channel] for part in parts)
    surplus = sum(part.weight[channel] * part.change[channel] for part in parts)
    return surplus * surplus / weight
