"""The search where weekly sums hardly show a cause: many looks at one week of a segment.

Every segment of three values is scored by week, alone and with the next step, where a tracking
loss has its mirror image. The most suspicious are looked at by day, cheapest first to confirm.
"""

from __future__ import annotations

import numpy as np

from metric_tracker_rl.drilldown.cube import Bools, Floats
from metric_tracker_rl.drilldown.policies.analyst import PEOPLE, Analyst
from metric_tracker_rl.drilldown.policies.desk import Asking

FLAG = 2.3
"""Least standard deviations of a week that is looked at."""
LEAST, MOST = 0.008, 0.075
"""Changes of a week that one day of a promised size makes."""
MOST_LOOKS = 110
"""Looks of an episode, which leave calls enough for tables of leaves."""
MOVED = 6.0
"""Standard deviations of a day at which all leaves are looked at."""
TOGETHER = float(np.sqrt(2.0))


class FaintAnalyst(Analyst):
    """Looks at weeks of segments of three values, on all steps together."""

    weekly_floor = (0.004, 0.001)

    def work(self) -> Asking[None]:
        """Find roots of one day."""
        self.read: dict[tuple[int, range], Floats] = {}
        self.by_week = self.desk.cube.sums(self.desk.weekly)
        days = self.totals.reshape(len(self.totals), -1, 7).sum(axis=1)
        rates = days[1:] / days[:-1]
        self.by_weekday = rates / (days[1:].sum(axis=1) / days[:-1].sum(axis=1))[:, None]
        scores = self.scores()
        unseen = np.ones(scores.shape, dtype=bool)
        for _ in range(MOST_LOOKS):
            place = int(np.argmax(np.where(unseen, scores, 0.0)))
            channel, cell, week = (int(each) for each in np.unravel_index(place, scores.shape))
            if not unseen[channel, cell, week] or scores[channel, cell, week] < FLAG:
                return
            unseen[channel, cell, week] = False
            moved = yield from self.look(channel, cell, week)
            if not moved:
                continue
            day = moved[0][1]
            channels = sorted(number for number, at in moved if at == day)
            known = {f.channel for f in self.findings if day in f.days}
            channels = [each for each in channels if each not in known]
            if channels and channels[0]:
                yield from self.read_leaves(channels, range(day, day + 1))
            found = False
            for each in channels:
                finding = yield from self.explain(each, range(day, day + 1), [])
                if finding is not None:
                    self.findings.append(finding)
                    found = True
            if found:
                scores = self.scores()

    def read_leaves(self, channels: list[int], days: range) -> Asking[None]:
        """Leaves over a run for some steps in a row, so that each need not be asked for alone."""
        stages = range(channels[0] - 1, channels[-1] + 1)
        for stage, counts in zip(
            stages, (yield from self.desk.read_stages(stages, days)), strict=True
        ):
            self.read[stage, days] = counts

    def step(self, channel: int, days: range) -> Asking[Floats]:
        """See `Analyst`."""
        if any((stage, days) not in self.read for stage in (channel - 1, channel)):
            yield from self.read_leaves([channel], days)
        return np.stack([self.read[stage, days] for stage in (channel - 1, channel)])

    def scores(self) -> Floats:
        """How suspicious a week of a segment is, from a step on; shape (channels, cells, weeks)."""
        z = np.stack([self.weekly_z(channel) for channel in range(len(self.desk.stages))])
        alone = np.abs(z)
        score = alone.copy()
        both = np.maximum(np.abs(z[1:-1] - z[2:]), np.abs(z[1:-1] + z[2:])) / TOGETHER
        both[np.minimum(alone[1:-1], alone[2:]) == 0.0] = 0.0
        score[1:-1] = np.maximum(score[1:-1], both)
        return score

    def unlikely(self, people: Floats, change: Floats) -> Bools:
        """See `Analyst`; a day of the promised sizes changes its week by about a seventh."""
        other = (self.desk.cube.fixed != 3)[:, None] | (people < PEOPLE)
        return np.asarray(other | (np.abs(change) < LEAST) | (np.abs(change) > MOST))

    def look(self, channel: int, cell: int, week: int) -> Asking[list[tuple[int, int]]]:
        """Channels that moved on a day of a week, with the day, the clearest first."""
        if channel == 0:
            change, noise = yield from self.daily(cell, 0)
            z = np.abs(change / noise)[7 * week : 7 * week + 7]
            return [(0, 7 * week + int(np.argmax(z)))] if float(np.max(z)) >= MOVED else []
        channels = range(max(channel - 1, 1), min(channel + 1, 4) + 1)
        first = channels[0] - 1
        counts = yield from self.desk.read_week(cell, range(first, channels[-1] + 1), week)
        found = []
        for each in channels:
            below, into = counts[each - 1 - first], counts[each - first]
            usual = self.usual(each, cell)
            expected = np.maximum(below * usual, 1.0)
            noise = np.sqrt((1.0 - usual) / expected + 0.007 * 0.007)
            z = np.abs(into / expected - 1.0) / noise
            found += [(float(value), each, 7 * week + day) for day, value in enumerate(z)]
        moved = sorted((each for each in found if each[0] >= MOVED), reverse=True)
        return [(number, day) for _, number, day in moved]

    def usual(self, channel: int, cell: int) -> Floats:
        """Usual rate of a segment by weekday: its own of most weeks, times everybody's weekday."""
        weeks = self.by_week[channel - 1 : channel + 1, cell]
        rate = float(np.median(weeks[1] / weeks[0])) * self.by_weekday[channel - 1]
        return np.asarray(np.clip(rate, 0.002, 0.985))
