"""The reference: an analyst with a budget who reads tool replies only.

Pairs of values by week show where to look; the days of one such pair show when; a table of all
leaves over these days, beside the same weekdays of other weeks, shows who. What a finding explains
is taken out of the weekly picture until nothing is left in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from metric_tracker_rl.drilldown.cube import Floats
from metric_tracker_rl.drilldown.policies.desk import Asking, Desk, RefusedError, ask, submit
from metric_tracker_rl.drilldown.policies.table import Finding, Table
from openenv_kit.play.policies import Observed, Play

FLAG = 4.0
"""Standard deviations at which a pair of values is looked at in a week."""
WEEKLY_FLOOR = (0.004, 0.002)
DAILY_FLOOR = (0.012, 0.005)
SURE = (0.10, 0.07)
"""Change that a root shows in its own segment on each of its days: traffic, rates."""
LONGEST = 7
QUIET = 2
"""Days that are promised to lie between two runs of one channel."""
MOST_LOOKS = 14
"""Looks at a pair's days, for each channel."""
MOST_TABLES = 3
"""Tables of leaves for one look."""


def drill_reference(_: Observed) -> Play:
    """Weekly pairs, then days, then leaves; composition held apart; every finding taken out."""
    desk = Desk((yield from ask("overview")))
    entries = (yield from ask("change_log"))["entries"]
    yield from desk.read_weeks()
    analyst = Analyst(desk)
    with suppress(RefusedError):  # a spent budget ends the search, not the play
        for channel in range(len(desk.stages)):
            yield from analyst.work(channel)
    yield submit(list(analyst.rows(entries)))


class Analyst:
    """Works through the channels of an episode from the first stage on."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.findings: list[Finding] = []
        self.visits: Floats | None = None

    def work(self, channel: int) -> Asking[None]:
        """Find the roots of one channel."""
        desk = self.desk
        dismissed = np.zeros((desk.cube.cells, desk.weekly.shape[2]), dtype=bool)
        looked: list[range] = []
        for _ in range(MOST_LOOKS):
            z = self.weekly_z(channel)
            suspects = np.abs(z) >= FLAG
            z[dismissed] = 0.0
            cell, week = divmod(int(np.argmax(np.abs(z))), z.shape[1])
            if abs(z[cell, week]) < FLAG:
                return
            days = yield from self.days_of(cell, channel, week)
            if days is None or any(len(set(days) & set(seen)) * 2 > len(days) for seen in looked):
                dismissed[cell, week] = True
                continue
            weeks = np.flatnonzero(suspects.any(axis=0)).tolist()
            found = yield from self.explain(channel, days, weeks)
            if found is None:
                looked.append(days)
                dismissed[cell, week] = True
                continue
            self.findings.append(found)
            looked.append(found.days)

    def weekly_z(self, channel: int) -> Floats:
        """Deviation of each known cell's week from the other weeks, findings taken out."""
        desk = self.desk
        side = min(channel, 1)
        into, whole = desk.weekly[channel], desk.weekly[0][desk.cube.everybody]
        below = desk.weekly[channel - 1] if channel else np.broadcast_to(whole, into.shape)
        value = into / np.maximum(below, 1.0)
        for found in self.findings:
            if found.channel == channel:
                value = value / self.predicted(found)
        usual = np.maximum(np.median(value, axis=1, keepdims=True), 1e-9)
        change = value / usual - 1.0
        rest = (1.0 - usual) if channel else 1.0
        floor = WEEKLY_FLOOR[side]
        noise = np.sqrt(rest / np.maximum(into, 1.0) + floor * floor)
        z = change / noise
        z[~desk.known] = 0.0
        return np.asarray(z)

    def predicted(self, found: Finding) -> Floats:
        """Factor that a finding puts on each cell's weekly rate, or share of traffic."""
        cube = self.desk.cube
        factor = found.by_leaf(cube)
        both = np.stack([found.expected, found.expected * factor])
        sums = cube.sums(both[:, :, None])[:, :, 0]
        effect = sums[1] / np.maximum(sums[0], 1e-9) - 1.0
        inside = [len(set(found.days) & set(range(7 * w, 7 * w + 7))) / 7.0 for w in range(8)]
        out = 1.0 + effect[:, None] * np.array(inside)[None, :]
        if found.channel == 0:
            out = out / out[cube.everybody]
        return np.asarray(out)

    def days_of(self, cell: int, channel: int, week: int) -> Asking[range | None]:
        """The run that stands out most in a pair's days, in a week; None where all are taken."""
        change, noise = yield from self.daily(cell, channel)
        taken = {
            day
            for found in self.findings
            if found.channel == channel
            for day in range(found.days.start - QUIET, found.days.stop + QUIET)
        }
        score = 0.0
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
        """Change and noise of a cell by day: of its rate, or of its share of traffic."""
        desk = self.desk
        below, into = yield from desk.read_days(cell, channel)
        if channel == 0:
            if self.visits is None:
                self.visits, _ = yield from desk.read_days(desk.cube.everybody, 0)
            below = self.visits
        value = into / np.maximum(below, 1.0)
        usual = np.tile(np.median(value.reshape(-1, 7), axis=0), len(value) // 7)
        rest = (1.0 - usual) if channel else 1.0
        floor = DAILY_FLOOR[min(channel, 1)]
        noise = np.sqrt(rest / np.maximum(into, 1.0) + floor * floor)
        return value / np.maximum(usual, 1e-9) - 1.0, noise

    def explain(self, channel: int, days: range, suspects: list[int]) -> Asking[Finding | None]:
        """The finding on a run of days, whose edges its own segment then settles."""
        desk = self.desk
        found: Finding | None = None
        for _ in range(MOST_TABLES):
            others = self.reference(channel, days, suspects)
            now, then = yield from desk.read_leaves(channel, days, others)
            found = Table(desk.cube, channel, days, now, then, len(others)).explain()
            if found is None:
                return None
            settled = yield from self.edges(found)
            if settled is None:
                return None
            if settled == days:
                break
            days = settled
        return found and replace(found, days=days)

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

    def reference(self, channel: int, days: range, suspects: list[int]) -> list[range]:
        """The same weekdays in other weeks, without those that something else touches."""
        size = len(self.desk.dates)
        shifted = [
            range(days.start + shift, days.stop + shift)
            for shift in range(-size, size, 7)
            if shift and days.start + shift >= 0 and days.stop + shift <= size
        ]
        known = [set(found.days) for found in self.findings if found.channel == channel]
        clear = [each for each in shifted if not any(set(each) & other for other in known)]
        weeks = {day for week in suspects for day in range(7 * week, 7 * week + 7)}
        calm = [each for each in clear if not set(each) & weeks]
        return calm if len(calm) >= 3 else clear or shifted

    def rows(self, entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The report: rates that fall and rise by the inverse are one tracking loss."""
        desk = self.desk
        factors = {
            (found.channel, found.days, cell): factor
            for found in self.findings
            for cell, factor in zip(found.cells, found.factors, strict=True)
        }
        mixes = {(f.channel, f.days, f.cells[0]) for f in self.findings if f.mix}
        taken = set()
        for channel, days, cell in sorted(factors, key=lambda key: (key[0], key[1].start, key[2])):
            if (channel, days, cell) in taken:
                continue
            kind = "rate_change" if channel else "traffic_change"
            following = (channel + 1, days, cell)
            product = factors[channel, days, cell] * factors.get(following, 0.0)
            if (channel, days, cell) in mixes:
                kind = "mix_shift"
            elif channel and abs(product - 1.0) < 0.12:
                kind = "tracking_loss"
                taken.add(following)
            stage = desk.stages[channel]
            component = desk.components.get(kind, desk.components[stage])
            yield {
                "kind": kind,
                "stage": stage,
                "segment": desk.where(cell),
                "date_from": desk.dates[days.start],
                "date_to": desk.dates[days.stop - 1],
                "change": self.change(component, cell, days.start, entries),
            }

    def change(self, component: str, cell: int, first: int, entries: list[dict[str, Any]]) -> str:
        """The entry that answers a root, by the rule of the overview."""
        segment = self.desk.where(cell)
        window = self.desk.dates[max(first - 2, 0) : first + 1]
        fitting = [
            entry
            for entry in entries
            if entry["component"] == component
            and entry["date"] in window
            and all(segment.get(name) == value for name, value in entry["scope"].items())
        ]
        if not fitting:
            return "unattributed"
        latest = max(entry["date"] for entry in fitting)
        return str(next(entry["id"] for entry in fitting if entry["date"] == latest))
