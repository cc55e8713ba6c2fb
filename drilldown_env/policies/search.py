"""The reference's search: weeks show where to look, days when, and sums inside a segment who.

Composition is held fixed: people are compared with people who share three more attributes. What a
finding explains is not looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from drilldown_env.cube import EVERYBODY, MOST_FIXED, Bools, Floats, slabs_of
from drilldown_env.policies.reader import LEAST, Asking, Flag, Inside, Reader
from openenv_kit.float_sum import sum_left_to_right

LONGEST = 7
SURE = 5.5
"""Standard deviations that are left of a finding when composition is held fixed."""
PEOPLE = 400.0
LEAST_CHANGE = (0.15, 0.08)
"""Least change of a finding: traffic, steps."""
MOST_LOOKS = 40
CALM_WEEKS = 4
"""Weeks that a run is compared with, at least."""
AGAINST, COUNTER = 0.35, 0.04
"""Share of its counter-move, and least counter-move, that make a traffic change a mix shift."""


@dataclass(frozen=True)
class Finding:
    """A segment that moved on a run of days of a channel; `factor` is on its traffic or rate."""

    channel: int
    days: range
    cell: int
    factor: float
    kind: str

    @property
    def place(self) -> tuple[int, range, int]:
        """What tells it from another."""
        return self.channel, self.days, self.cell

    @property
    def channels(self) -> range:
        """What it shows on: lost events on the step after them as well."""
        return range(self.channel, self.channel + 1 + (self.kind == "tracking_loss"))

    @property
    def moved(self) -> int:
        """Cell of all who moved."""
        return EVERYBODY if self.kind == "mix_shift" else self.cell


class Search:
    """Works through what is suspicious until nothing is left.

    Args:
        reader: answers questions.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader, self.names, self.cube = reader, reader.names, reader.names.cube
        self.findings: list[Finding] = []
        self.flags: list[Flag] = []
        self.all_flags: list[Flag] = []

    def run(self) -> Asking[list[dict[str, Any]]]:
        """The rows of the report."""
        self.all_flags = yield from self.reader.flags()
        self.flags = sorted(self.all_flags, key=lambda flag: (flag.channel, -flag.gain))
        for _ in range(MOST_LOOKS):
            if not self.flags:
                break
            flag = self.flags[0]
            found = yield from self.look(flag)
            if found is None:
                self.dismiss(flag.channel, flag.cell, {flag.week})
                continue
            if all(found.place != other.place for other in self.findings):
                self.findings.append(found)
            weeks = {day // 7 for day in found.days} | {flag.week}
            for each in found.channels:
                self.dismiss(each, found.moved, weeks)
        log = yield from self.reader.log()
        return list(self.rows(log))

    def dismiss(self, channel: int, cell: int, weeks: set[int]) -> None:
        """Drop what is suspicious about people of a cell in some weeks."""
        disjoint = self.cube.disjoint[cell].tolist()
        self.flags = [
            f for f in self.flags if f.channel != channel or f.week not in weeks or disjoint[f.cell]
        ]

    def look(self, flag: Flag) -> Asking[Finding | None]:
        """What happened behind a suspicious week, or None for nothing."""
        channel, start = flag.channel, flag.cell
        channels = [channel] + ([channel + 1] if 0 < channel < len(self.names.stages) - 1 else [])
        changes = yield from self.reader.daily(start, channels, flag.week)
        open_days = np.where(self.explained(channel, start), 0.0, changes[0])
        days = best_run(open_days, flag.week, noise_of(channel, flag.weight / 7.0))
        cell, daily, change = start, changes, 0.0
        for _ in range(3):
            others = self.others(channel, days, start)
            inside = yield from self.reader.inside(start, channel, days, others)
            best = best_inside(self, start, inside, channel, len(days))
            if best is None:
                return None
            found, change = best
            if found != cell:
                cell = found
                daily = changes
                if cell != start:
                    daily = yield from self.reader.daily(cell, channels, flag.week)
            if self.explained(channel, cell)[days.start : days.stop].any():
                return None
            settled = edges(daily[0], days, change)
            if settled == days:
                break
            days = settled
        kind = "rate_change" if channel else "traffic_change"
        if channel == 0 and (yield from self.is_mix(cell, days, change, inside)):
            kind = "mix_shift"
        if len(channels) > 1 and change < 0.0:
            after = sum_left_to_right(daily[1][days.start : days.stop].tolist()) / len(days)
            if abs((1.0 + change) * (1.0 + after) - 1.0) < 0.09:
                kind = "tracking_loss"
        return Finding(channel, days, cell, 1.0 + change, kind)

    def explained(self, channel: int, cell: int) -> Bools:
        """Days on which a finding explains what people of a cell did on a channel."""
        days = np.zeros(len(self.names.dates), dtype=bool)
        for found in self.findings:
            if channel in found.channels and not self.cube.disjoint[cell, found.moved]:
                days[found.days.start : found.days.stop] = True
        return days

    def is_mix(self, cell: int, days: range, change: float, inside: Inside) -> Asking[bool]:
        """Whether everybody else moved against a segment, every value alike."""
        fixed = self.cube.fixed_by(cell)
        if not fixed:
            return False
        axis, value = next(iter(fixed.items()))
        others = self.others(0, days, EVERYBODY)
        [visits] = yield from self.reader.compared([axis], 0, days, others, EVERYBODY)
        now, then = visits.T
        own = float(inside.then[0][place_in(self, cell, inside)].sum())
        share = min(own / float(then.sum()), 0.9)
        against = -change * share / (1.0 - share)
        moved = np.delete(now * len(others) / np.maximum(then, 1.0) - 1.0, value)
        return abs(against) >= COUNTER and bool(np.all(moved / against >= AGAINST))

    def others(self, channel: int, days: range, cell: int) -> list[range]:
        """The same weekdays of other weeks, those in which these people were most as usual."""
        shifts = [s for s in range(-49, 50, 7) if s]
        moved = [range(days.start + s, days.stop + s) for s in shifts]
        whole = [d for d in moved if d.start >= 0 and d.stop <= len(self.names.dates)]
        busy = [0.0] * (len(self.names.dates) // 7)
        disjoint = self.cube.disjoint[cell].tolist()
        for flag in self.all_flags:
            if flag.channel == channel and not disjoint[flag.cell]:
                busy[flag.week] += flag.gain
        trouble = {d: sum_left_to_right(busy[d.start // 7 : (d.stop - 1) // 7 + 1]) for d in whole}
        calm = [d for d in whole if not trouble[d]]
        if len(calm) < CALM_WEEKS:
            calm = sorted(whole, key=lambda d: trouble[d])[:CALM_WEEKS]
        return sorted(calm, key=lambda d: d.start)

    def rows(self, log: Sequence[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
        """The report: what the calendar does not announce."""
        names = self.names
        announced = {(e["from"], e["to"], names.scope(e["event"])) for e in names.calendar}
        for found in self.findings:
            if found.channel == 0 and (*names.span(found.days), found.cell) in announced:
                continue
            stage = names.stages[found.channel]
            component = names.components[
                "tracking_loss" if found.kind == "tracking_loss" else stage
            ]
            yield names.row(
                found.channel,
                found.cell,
                found.days,
                rises=found.factor > 1.0,
                kind=found.kind,
                change=self.change(component, found.cell, found.days.start, log),
            )

    def change(
        self, component: str, cell: int, first: int, log: Sequence[Mapping[str, str]]
    ) -> str:
        """The entry that answers a root, by the rule of the brief."""
        window = self.names.dates[max(first - 2, 0) : first + 1]
        fitting = []
        for place, entry in enumerate(log):
            if entry["component"] != component or entry["date"] not in window:
                continue
            if entry["change"].startswith("rollback"):
                continue
            scope = self.names.scope(entry["change"])
            if self.cube.within[cell, scope]:
                fitting.append((int(self.cube.fixed[scope]), entry["date"], -place, entry["id"]))
        return max(fitting)[-1] if fitting else "unattributed"


def noise_of(channel: int, weight: float) -> float:
    """Standard deviation of a day's change of a cell of that daily weight."""
    floor = LEAST[min(channel, 1)]
    return float(np.sqrt(1.2 / max(weight, 1.0) + floor * floor))


def best_run(change: Floats, week: int, noise: float) -> range:
    """The run of days that stands out most and touches a week."""
    score, best = 0.0, range(7 * week, 7 * week + 7)
    sums = np.concatenate([[0.0], np.cumsum(change)])
    for first in range(max(0, 7 * week - LONGEST + 1), 7 * week + 7):
        for stop in range(max(first, 7 * week) + 1, min(first + LONGEST, len(change)) + 1):
            here = abs(float(sums[stop] - sums[first])) / (noise * float(np.sqrt(stop - first)))
            if here > score:
                score, best = here, range(first, stop)
    return best


def edges(change: Floats, days: range, size: float) -> range:
    """The days around a run on which a segment moved by at least half of its change."""
    sign = 1.0 if size > 0.0 else -1.0
    there = sign * change >= 0.5 * abs(size)
    first = last = max(days, key=lambda day: float(sign * change[day]))
    while first > 0 and there[first - 1] and last - first + 1 < LONGEST:
        first -= 1
    while last + 1 < len(there) and there[last + 1] and last - first + 1 < LONGEST:
        last += 1
    return range(first, last + 1)


def best_inside(
    search: Search,
    start: int,
    inside: Inside,
    channel: int,
    length: int,
    least: float | None = None,
) -> tuple[int, float] | None:
    """The segment within a cell that explains best what its people did, and its change."""
    if channel:
        rate = np.clip(inside.then[1] / np.maximum(inside.then[0], 1.0), 0.002, 0.985)
        expected, scale = inside.now[0] * rate, 1.0 / (1.0 - rate)
        people = inside.now[0]
    else:
        expected, scale = inside.then[0] / inside.repeats, np.ones(inside.then[0].shape)
        people = expected
    sums = np.stack([scale * expected, scale * (inside.now[1] - expected), people])
    spare = 1.0 + 1.0 / inside.repeats
    floor = LEAST[min(channel, 1)]
    found: tuple[float, int, float, float] | None = None
    fixed = search.cube.fixed_by(start)
    for more in range(MOST_FIXED - len(fixed) + 1):
        for axes in combinations(range(len(inside.axes)), min(more, len(inside.axes))):
            w, u, p = _total(sums, [a for a in range(len(inside.axes)) if a not in axes])
            gain = np.where(p >= PEOPLE * length, u * u / np.maximum(w, 1.0), -1.0)
            place = int(np.argmax(gain))
            if found is None or float(gain.flat[place]) > found[0]:
                at = np.unravel_index(place, gain.shape) if gain.shape else ()
                own = {inside.axes[a]: int(v) for a, v in zip(axes, at, strict=True)}
                total = float(np.asarray(w).flat[place])
                change = float(np.asarray(u).flat[place]) / max(total, 1.0)
                z = change / float(np.sqrt(spare / max(total, 1.0) + floor * floor / length))
                found = float(gain.flat[place]), search.cube.cell_of({**fixed, **own}), change, z
    least = LEAST_CHANGE[min(channel, 1)] if least is None else least
    if found is None or abs(found[3]) < SURE or abs(found[2]) < least:
        return None
    return found[1], found[2]


def _total(tables: Floats, gone: Sequence[int]) -> Floats:
    """Sums of tables over some axes, in order, so that every machine rounds alike."""
    for axis in reversed(gone):
        first, *others = slabs_of(axis + 1, tables.shape[axis + 1])
        total = tables[first].copy()
        for slab in others:
            total += tables[slab]
        tables = total
    return tables


def place_in(search: Search, cell: int, inside: Inside) -> tuple[int | slice, ...]:
    """Where a segment's people stand among those of the cell that it was found in."""
    fixed = search.cube.fixed_by(cell)
    return tuple(fixed.get(axis, slice(None)) for axis in inside.axes)
