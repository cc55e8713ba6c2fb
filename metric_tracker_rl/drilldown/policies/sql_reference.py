"""The reference of the SQL level: the definition of a root, written as queries.

A query for each step asks on which days some segment of it moved; for each run of such days
another ranks the segments, and a third takes the best of them out and asks whether anything is
left. What is usual is each leaf's median over the same weekdays, so that composition is held apart.
Nothing is known beside the overview, the change log and the replies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from metric_tracker_rl.drilldown.policies.desk import Asking, Desk, RefusedError, ask
from metric_tracker_rl.drilldown.policies.reference import rows_of
from metric_tracker_rl.drilldown.policies.table import Finding

FLOOR = (0.025, 0.007)
"""Relative noise that never averages out: traffic, rates."""
LEAST = (0.10, 0.05)
"""Smallest change that counts."""
Z = 6.0
JUDGE = 0.12
"""Largest relative noise of a segment that is judged."""
PEOPLE = 400.0
COUNTER = 0.05
"""Smallest change of everybody else in a mix shift."""
BEST = 100
"""Segments of a run that are read."""
LONGEST = 7
MOST_FIXED = 3


@dataclass(frozen=True)
class Segment:
    """A segment over a run of days.

    Attributes:
        values: value by dimension.
        weight, surplus: what was expected of it, and how much more came; both weighted.
    """

    values: Mapping[str, str]
    weight: float
    surplus: float

    @property
    def factor(self) -> float:
        """Factor on its traffic or rate."""
        return 1.0 + self.surplus / self.weight

    @property
    def gain(self) -> float:
        """What taking it out explains."""
        return self.surplus * self.surplus / self.weight

    def apart(self, other: Segment) -> bool:
        """Whether no person is in both."""
        return any(other.values.get(name, value) != value for name, value in self.values.items())


def search(desk: Desk) -> Asking[list[dict[str, Any]]]:
    """The rows of a report: days on which a segment moved, the best segments, what they leave."""
    entries = (yield from ask("change_log"))["entries"]
    queries = Queries(desk)
    findings: list[Finding] = []
    with suppress(RefusedError):  # a spent budget ends the search, not the play
        for channel in range(len(desk.stages)):
            moved = yield from _asked(queries.moved_days(channel))
            for days in runs_of(desk, [row["date"] for row in moved]):
                found = yield from explain(desk, queries, channel, days)
                if found is not None:
                    findings.append(found)
    return list(rows_of(desk, findings, entries))


def runs_of(desk: Desk, dates: Sequence[str]) -> Iterator[range]:
    """Rows of consecutive days."""
    days = [desk.dates.index(date) for date in dates]
    start = 0
    for place, day in enumerate(days):
        if place + 1 == len(days) or days[place + 1] != day + 1:
            yield range(days[start], day + 1)
            start = place + 1


def explain(desk: Desk, queries: Queries, channel: int, days: range) -> Asking[Finding | None]:
    """The one segment, or else the two, that leave nothing when they are taken out."""
    if len(days) > LONGEST:
        return None
    rows = yield from _asked(queries.best_segments(channel, days))
    segments = [
        Segment(
            {name: row[name] for name in desk.dims if row[name] is not None},
            row["weight"],
            row["surplus"],
        )
        for row in rows
    ]
    everybody = next(each for each in segments if not each.values)
    judged = [each for each, row in zip(segments, rows, strict=True) if row["judged"]]
    if not judged:
        return None
    mixes = {id(each) for each in judged if not channel and moves_against(each, everybody)}
    best = max(judged, key=lambda each: _ruled(each, everybody, id(each) in mixes))
    attempts = [([best], id(best) in mixes)]
    pairs = [(one, other) for one, other in combinations(judged, 2) if one.apart(other)]
    if pairs:
        one, other = max(pairs, key=lambda pair: pair[0].gain + pair[1].gain)
        attempts.append(([one, other], False))
    for chosen, mix in attempts:
        left = yield from _asked(queries.left(channel, days, chosen, mix=mix))
        if not left[0]["moved"]:
            cells = tuple(_cell(desk, each.values) for each in chosen)
            factors = tuple(each.factor for each in chosen)
            return Finding(channel, days, cells, factors, mix, np.zeros(0))
    return None


def moves_against(segment: Segment, everybody: Segment) -> bool:
    """Whether everybody else moves so that total traffic stands still."""
    others = everybody.weight - segment.weight
    if others <= 0.0 or segment.surplus == 0.0:
        return False
    against = -segment.surplus / others
    change = (everybody.surplus - segment.surplus) / others
    return abs(against) >= COUNTER and change / against >= 0.5


def _ruled(segment: Segment, everybody: Segment, mix: bool) -> float:
    if not mix:
        return segment.gain
    rest = everybody.surplus - segment.surplus
    return segment.gain + rest * rest / (everybody.weight - segment.weight)


def _cell(desk: Desk, values: Mapping[str, str]) -> int:
    places = {desk.dims.index(name): value for name, value in values.items()}
    return desk.cube.cell_of({a: desk.values[a].index(value) for a, value in places.items()})


def _asked(query: str) -> Asking[list[dict[str, Any]]]:
    """Rows of a query, by column."""
    reply = yield from ask("sql", query=query)
    return [dict(zip(reply["columns"], row, strict=True)) for row in reply["rows"]]


class Queries:
    """Writes the queries of an episode.

    Args:
        desk: names and dates.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.names = [_quoted(name) for name in desk.dims]
        self.stages = [_quoted(stage) for stage in desk.stages]
        self.leaf = ", ".join(self.names)
        kept = [each for size in range(MOST_FIXED + 1) for each in combinations(self.names, size)]
        self.by_day = ", ".join(f"({', '.join(('date', *each))})" for each in kept)

    def moved_days(self, channel: int) -> str:
        """Days on which some segment moved."""
        return f"""
            WITH {self._usual(channel)},
            leaves AS (SELECT {self.leaf}, date, {self._leaf(channel, "1")} FROM days),
            cells AS (SELECT date, {_SUMS} FROM leaves GROUP BY GROUPING SETS ({self.by_day}))
            SELECT DISTINCT date FROM cells WHERE {_moved(channel, "w", "u", "p")} ORDER BY date"""

    def best_segments(self, channel: int, days: range) -> str:
        """Segments of largest gain over a run, and everybody."""
        judged = f"min(w) >= {_enough(channel)} AND min(p) >= {PEOPLE}"
        everybody = " AND ".join(f"{name} IS NULL" for name in self.names)
        split = "0"
        if channel == 0:  # a mix shift also explains everybody else
            split = "(whole_u - surplus) ** 2 / greatest(whole_w - weight, 1)"
        return f"""
            WITH {self._usual(channel, days)},
            leaves AS (SELECT {self.leaf}, date, {self._leaf(channel, "1")} FROM days),
            cells AS (SELECT {self.leaf}, date, {_SUMS} FROM leaves
                GROUP BY GROUPING SETS ({self.by_day})),
            runs AS (SELECT {self.leaf}, sum(w) AS weight, sum(u) AS surplus, {judged} AS judged
                FROM cells GROUP BY {self.leaf}),
            whole AS (SELECT weight AS whole_w, surplus AS whole_u FROM runs WHERE {everybody})
            SELECT {self.leaf}, weight, surplus, judged FROM runs, whole
            WHERE judged OR ({everybody})
            ORDER BY ({everybody}) DESC, surplus ** 2 / weight + {split} DESC, {self.leaf}
            LIMIT {BEST}"""

    def left(self, channel: int, days: range, taken: Sequence[Segment], *, mix: bool) -> str:
        """How many segments still move, on some day or over the run, with some taken out."""
        cases = " ".join(
            f"WHEN {self._inside(each)} THEN {max(each.factor, 0.05)!r}" for each in taken
        )
        others, shares = "1", ""
        if mix:
            inside = self._inside(taken[0])
            shares = f""", shares AS (SELECT *, sum(usual) FILTER (WHERE {inside})
                OVER (PARTITION BY date) / sum(usual) OVER (PARTITION BY date) AS share
                FROM days)"""
            others = f"greatest(1 - {taken[0].factor - 1.0!r} * share / (1 - share), 0.05)"
        factor = f"(CASE {cases} ELSE {others} END)"
        return f"""
            WITH {self._usual(channel, days)}{shares},
            leaves AS (SELECT {self.leaf}, date, {self._leaf(channel, factor)}
                FROM {"shares" if mix else "days"}),
            cells AS (SELECT {self.leaf}, date, {_SUMS} FROM leaves
                GROUP BY GROUPING SETS ({self.by_day})),
            runs AS (SELECT sum(w) AS w, sum(u) AS u, min(p) AS p
                FROM cells GROUP BY {self.leaf})
            SELECT (SELECT count_if({_moved(channel, "w", "u", "p")}) FROM cells)
                + (SELECT count_if({_moved(channel, "w", "u", "p")}) FROM runs) AS moved"""

    def _usual(self, channel: int, days: range | None = None) -> str:
        """Two tables: what is usual of each leaf and weekday, and the days beside it."""
        usual = f"median({self.stages[0]})"
        if channel:
            before, into = self.stages[channel - 1], self.stages[channel]
            usual = f"least(greatest(median({into} / greatest({before}, 1)), 0.002), 0.985)"
        chosen = ""
        if days is not None:
            dates = self.desk.dates
            chosen = f"WHERE date BETWEEN '{dates[days.start]}' AND '{dates[days.stop - 1]}'"
        same = f"({self.leaf}, weekday)"
        return f"""marked AS (SELECT *, isodow(date) AS weekday FROM counts),
            usual AS (SELECT {self.leaf}, weekday, {usual} AS usual FROM marked GROUP BY ALL),
            days AS (SELECT * FROM marked JOIN usual USING {same} {chosen})"""

    def _leaf(self, channel: int, factor: str) -> str:
        """Weight, surplus and people of a leaf on a day, with a factor taken out."""
        if not channel:
            expected = f"usual * {factor}"
            return (
                f"{expected} AS weight, {self.stages[0]} - {expected} AS surplus, "
                f"{expected} AS people"
            )
        before, into = self.stages[channel - 1], self.stages[channel]
        rate = "usual" if factor == "1" else f"least(greatest(usual * {factor}, 0.002), 0.985)"
        return (
            f"{before} * {rate} / (1 - {rate}) AS weight, "
            f"({into} - {before} * {rate}) / (1 - {rate}) AS surplus, {before} AS people"
        )

    def _inside(self, segment: Segment) -> str:
        """Whether a leaf lies in a segment."""
        parts = [f"{_quoted(name)} = '{value}'" for name, value in segment.values.items()]
        return " AND ".join(parts) or "true"


_SUMS = "sum(weight) AS w, sum(surplus) AS u, sum(people) AS p"


def _enough(channel: int) -> float:
    """Weight at which a segment's noise is small enough."""
    floor = FLOOR[min(channel, 1)]
    return 1.0 / (JUDGE * JUDGE - floor * floor)


def _moved(channel: int, weight: str, surplus: str, people: str) -> str:
    """Whether a segment moved."""
    side = min(channel, 1)
    spread = f"({weight} + {FLOOR[side] * FLOOR[side]!r} * {weight} * {weight})"
    return (
        f"{weight} >= {_enough(channel)} AND {people} >= {PEOPLE} AND "
        f"abs({surplus}) >= {LEAST[side]} * {weight} AND "
        f"{surplus} * {surplus} >= {Z * Z} * {spread}"
    )


def _quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'
