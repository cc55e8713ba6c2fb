"""The reference's search through slices, step by step: it reads tool replies only.

Counts of all leaves by week show which segments to look at, composition held apart; the days of
such a segment show when; a table of all leaves over these days shows who. What a finding explains
is taken out of the weekly picture until nothing is left in it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metric_tracker_rl.drilldown.cube import Floats
from metric_tracker_rl.drilldown.policies.desk import Asking, Desk
from metric_tracker_rl.drilldown.policies.table import Finding, Table

FLAG = 4.2
"""Standard deviations at which a segment is looked at in a week."""
WORTH = 6.0
"""Standard deviations of a run of its days at which all leaves are looked at."""
WEEKLY_FLOOR = (0.004, 0.002)
DAILY_FLOOR = (0.012, 0.005)
SURE = (0.10, 0.07)
"""Change that a root shows in its own segment on each of its days: traffic, rates."""
SPARE = 1.2
"""Factor on the variance: the usual value is itself a median of eight weeks."""
PEOPLE = 2_800.0
"""People a week who enter the step in a segment that is looked at: the promised 400 a day."""
LONGEST = 7
QUIET = 2
"""Days that are promised to lie between two runs of one channel."""
MOST_LOOKS = 40
"""Looks at a segment's days, for each channel."""
MOST_TABLES = 3
"""Tables of leaves for one look."""


class Analyst:
    """Works through the channels of an episode from the first stage on.

    Args:
        desk: with the weeks read.
        totals: counts of everybody, shape (stages, days).
    """

    def __init__(self, desk: Desk, totals: Floats) -> None:
        self.desk, self.totals = desk, totals
        self.findings: list[Finding] = []
        self.seen: dict[tuple[int, int], tuple[Floats, Floats]] = {}

    def work(self) -> Asking[None]:
        """Find the roots of every channel."""
        for channel in range(len(self.desk.stages)):
            yield from self.work_on(channel)

    def work_on(self, channel: int) -> Asking[None]:
        """Find the roots of one channel."""
        desk = self.desk
        dismissed = np.zeros((desk.cube.cells, desk.weekly.shape[2]), dtype=bool)
        looked: list[range] = []
        seen = np.abs(self.weekly_z(channel))
        for _ in range(MOST_LOOKS):
            suspects = np.flatnonzero((seen >= FLAG).any(axis=0)).tolist()
            z = np.where(dismissed, 0.0, seen)
            cell, week = divmod(int(np.argmax(z)), z.shape[1])
            if z[cell, week] < FLAG:
                return
            dismissed[cell, week] = True
            days = yield from self.days_of(cell, channel, week)
            if days is None or any(len(set(days) & set(each)) * 2 > len(days) for each in looked):
                continue
            found = yield from self.explain(channel, days, suspects)
            looked.append(days if found is None else found.days)
            if found is not None:
                self.findings.append(found)
                seen = np.abs(self.weekly_z(channel))
                dismissed[:] = False

    def weekly_z(self, channel: int) -> Floats:
        """Deviation of each segment's week, of each leaf from its own median over the weeks.

        Returns:
            Shape (cells, weeks); 0 where a segment is too small or fixes four values.
        """
        desk, cube = self.desk, self.desk.cube
        observed = desk.weekly[channel] / self.explained(channel)
        below = desk.weekly[channel - 1] if channel else np.add.accumulate(observed)[-1:]
        usual = np.median(observed / np.maximum(below, 1.0), axis=1, keepdims=True)
        usual = np.clip(usual, 1e-9, 0.985)
        expected = below * usual
        scale = 1.0 / (1.0 - usual) if channel else np.ones_like(usual)
        people = below if channel else expected
        sums = cube.sums(np.stack([scale * expected, scale * (observed - expected), people]))
        weight, surplus = np.maximum(sums[0], 1e-9), sums[1]
        floor = WEEKLY_FLOOR[min(channel, 1)]
        z = surplus / np.sqrt(SPARE * weight + floor * floor * weight * weight)
        z[(sums[2] < PEOPLE) | (cube.fixed > 3)[:, None]] = 0.0
        return np.asarray(z)

    def explained(self, channel: int) -> Floats:
        """Factor that the findings put on each leaf's weekly traffic or rate."""
        weeks = self.desk.weekly.shape[2]
        factor = np.ones((self.desk.cube.leaves, weeks))
        for found in (found for found in self.findings if found.channel == channel):
            inside = [len(set(found.days) & set(range(7 * w, 7 * w + 7))) / 7 for w in range(weeks)]
            factor *= 1.0 + (found.by_leaf(self.desk.cube) - 1.0)[:, None] * np.array(inside)
        return factor

    def days_of(self, cell: int, channel: int, week: int) -> Asking[range | None]:
        """The run that stands out most in a segment's days, in a week; None where none does."""
        change, noise = yield from self.daily(cell, channel)
        taken = {
            day
            for found in self.findings
            if found.channel == channel
            for day in range(found.days.start - QUIET, found.days.stop + QUIET)
        }
        score = WORTH
        best: range | None = None
        for first in range(max(0, 7 * week - LONGEST + 1), 7 * week + 7):
            for stop in range(max(first, 7 * week) + 1, min(first + LONGEST, len(change)) + 1):
                if taken & set(range(first, stop)):
                    break
                weight = 1.0 / (noise[first:stop] * noise[first:stop])
                total = abs(float((change[first:stop] * weight).sum()))
                here = total / float(np.sqrt(weight.sum()))
                if here > score:
                    score, best = here, range(first, stop)
        return best

    def daily(self, cell: int, channel: int) -> Asking[tuple[Floats, Floats]]:
        """Change and noise of a segment by day: of its rate, or of its share of traffic."""
        if (cell, channel) in self.seen:
            return self.seen[cell, channel]
        below, into = yield from self.desk.read_days(cell, channel)
        if channel == 0:
            below = self.totals[0]
        value = into / np.maximum(below, 1.0)
        usual = np.tile(np.median(value.reshape(-1, 7), axis=0), len(value) // 7)
        rest = (1.0 - usual) if channel else 1.0
        floor = DAILY_FLOOR[min(channel, 1)]
        noise = np.sqrt(rest / np.maximum(into, 1.0) + floor * floor)
        self.seen[cell, channel] = value / np.maximum(usual, 1e-9) - 1.0, noise
        return self.seen[cell, channel]

    def explain(self, channel: int, days: range, suspects: list[int]) -> Asking[Finding | None]:
        """The finding on a run of days, whose edges its own segment then settles."""
        found: Finding | None = None
        for _ in range(MOST_TABLES):
            table = yield from self.table(channel, days, suspects)
            found = table.explain()
            if found is None:
                return None
            settled = yield from self.edges(found)
            if settled is None:
                return None
            if settled == days:
                break
            days = settled
        return found and replace(found, days=days)

    def table(self, channel: int, days: range, suspects: list[int]) -> Asking[Table]:
        """Leaves of a channel over a run of days beside what is usual.

        Visits are compared with the same weekdays of other weeks. Rates are compared with those
        of other weeks as a whole, times the weekday's factor, which all people share.
        """
        desk = self.desk
        if channel == 0:
            others = self.reference(days, suspects)
            visits = yield from desk.read_visits(days, others)
            return Table(desk.cube, 0, days, visits[:1], visits[1:], len(others))
        step = yield from self.step(channel, days)
        weeks = self.calm_weeks(channel, days, suspects)
        usual = desk.weekly[channel - 1 : channel + 1][:, :, weeks].sum(axis=2)
        totals = self.totals[channel - 1 : channel + 1].reshape(2, -1, 7)[:, weeks]
        whole, weekdays = totals.sum(axis=(1, 2)), totals.sum(axis=1)
        by_weekday = weekdays[1] / weekdays[0] / (whole[1] / whole[0])
        usual[1] *= np.mean([by_weekday[day % 7] for day in days])
        return Table(desk.cube, channel, days, step, usual, 7 * len(weeks) / len(days))

    def step(self, channel: int, days: range) -> Asking[Floats]:
        """People of every leaf who enter a step over a run, and those who take it."""
        stages = yield from self.desk.read_stages(range(channel - 1, channel + 1), days)
        return stages

    def edges(self, found: Finding) -> Asking[range | None]:
        """Days on which a finding's largest segment itself moved; None where it did on none."""
        expected = self.desk.cube.sums(found.expected[None, :, None])[0, :, 0]
        sizes = [
            abs(factor - 1.0) * float(np.sqrt(expected[cell]))
            for cell, factor in zip(found.cells, found.factors, strict=True)
        ]
        number = int(np.argmax(sizes))
        change, noise = yield from self.daily(found.cells[number], found.channel)
        factor = found.factors[number]
        if found.channel == 0 and not found.mix:  # the total moves along
            share = float(expected[found.cells[number]] / expected[self.desk.cube.everybody])
            factor = factor / (1.0 + (factor - 1.0) * share)
        sign = 1.0 if factor > 1.0 else -1.0
        least = max(SURE[min(found.channel, 1)], 0.55 * abs(factor - 1.0))
        there = (sign * change >= least) & (sign * change >= 4.0 * noise)
        inside = [day for day in found.days if there[day]]
        if not inside:
            return None
        first = last = max(inside, key=lambda day: float(sign * change[day] / noise[day]))
        while first > 0 and there[first - 1]:
            first -= 1
        while last + 1 < len(there) and there[last + 1]:
            last += 1
        return range(first, last + 1)

    def reference(self, days: range, suspects: list[int]) -> list[range]:
        """A run's weekdays in other weeks, without those that something else touches."""
        weeks = self.calm_weeks(0, days, suspects)
        shift = days.start // 7 * 7
        moved = [range(days.start + 7 * w - shift, days.stop + 7 * w - shift) for w in weeks]
        inside = [each for each in moved if each.stop <= len(self.desk.dates)]
        touched = {day for found in self.findings if found.channel == 0 for day in found.days}
        return [each for each in inside if not touched & set(each)] or inside

    def calm_weeks(self, channel: int, days: range, suspects: list[int]) -> list[int]:
        """Weeks beside a run, without suspicious ones where three others remain."""
        own = {day // 7 for day in days}
        found = {day // 7 for each in self.findings if each.channel == channel for day in each.days}
        others = [week for week in range(self.desk.weekly.shape[2]) if week not in own]
        clear = [week for week in others if week not in found] or others
        calm = [week for week in clear if week not in suspects]
        return calm if len(calm) >= 3 else clear
