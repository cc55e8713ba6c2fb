"""The reader of counts by SQL: the search's questions, written as queries."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from drilldown_env.cube import Floats
from drilldown_env.policies.reader import (
    SUSPICIOUS,
    Asking,
    Flag,
    Names,
    Reader,
    ask,
    floor2,
    suspicious_of,
    usual_of,
)
from drilldown_env.queries import middle
from drilldown_env.sql import MOST_ROWS


class SqlReader(Reader):
    """The reader with `sql`."""

    def flags(self) -> Asking[list[Flag]]:
        """One query for all single values, and one for every two pairs of attributes."""
        axes = range(len(self.names.dims))
        singles: list[tuple[int, ...]] = [(), *((axis,) for axis in axes)]
        pairs: list[tuple[int, ...]] = list(combinations(axes, 2))
        found: list[Flag] = []
        for groups in [singles, *(pairs[n : n + 2] for n in range(0, len(pairs), 2))]:
            for number, one, other, week, channel, change, weight in (
                yield from self.suspicious(groups)
            ):
                values = zip(groups[number], (one, other), strict=False)
                cell = self.names.cell({self.names.dims[axis]: value for axis, value in values})
                found.append(Flag(channel, week, cell, change, max(float(weight), 1.0)))
        return found

    def suspicious(self, groups: Sequence[tuple[int, ...]]) -> Asking[list[list[Any]]]:
        """Number of the group, its values, week, channel, change and usual weight of what is.

        Args:
            groups: attributes to group by, each in turn.
        """
        weeks = (self._weeks(number, axes) for number, axes in enumerate(groups))
        return (yield from self._rows(self._flagged(" UNION ALL ".join(weeks))))

    def daily(self, cell: int, channels: Sequence[int], week: int) -> Asking[Floats]:
        stages = sorted({max(channel - 1, 0) for channel in channels} | set(channels))
        counts = dict(zip(stages, (yield from self.by_day(cell, stages)), strict=True))
        found = []
        for channel in channels:
            value = counts[channel]
            if channel:
                value = value / np.maximum(counts[channel - 1], 1.0)
            usual = middle(value.reshape(-1, 7).T)
            found.append(value / np.tile(np.maximum(usual, 1e-9), len(value) // 7) - 1.0)
        return np.array(found)

    def by_day(self, cell: int, stages: Sequence[int]) -> Asking[Floats]:
        """Counts of a cell, shape (stages, days)."""
        sums = ", ".join(f"sum({_name(self.names.stages[stage])})" for stage in stages)
        where = self._where(cell)
        rows = yield from self._rows(f"SELECT day, {sums} FROM counts{where} GROUP BY day")
        return np.array(rows, dtype=float).T[1:]

    def log(self) -> Asking[list[dict[str, str]]]:
        columns = ("id", "date", "component", "owner", "change")
        rows = yield from self._rows(f"SELECT {', '.join(columns)} FROM changes ORDER BY id")
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def compared(
        self, axes: Sequence[int], channel: int, days: range, others: Sequence[range], cell: int
    ) -> Asking[Floats]:
        names = self.names
        groups = ", ".join(_name(names.dims[axis]) for axis in axes)
        now = _within([days])
        then = _within(others)
        stages = names.stages[max(channel - 1, 0) : channel + 1]
        sums = ", ".join(
            f"sum(CASE WHEN {chosen} THEN {_name(stage)} ELSE 0 END)"
            for stage in stages
            for chosen in (now, then)
        )
        where = self._where(cell)
        both = f"{where} AND" if where else " WHERE"
        rows = yield from self._rows(
            f"SELECT {groups}, {sums} FROM counts{both} ({now} OR {then}) GROUP BY {groups}"
        )
        shape = [len(names.values[axis]) for axis in axes]
        table = np.zeros((len(stages), int(np.prod(shape)), 2))
        for row in rows:
            values = zip(axes, row, strict=False)
            place = np.ravel_multi_index([names.values[a].index(v) for a, v in values], shape)
            table[:, place] = np.array(row[len(axes) :], dtype=float).reshape(len(stages), 2)
        return table

    def _rows(self, query: str) -> Asking[list[list[Any]]]:
        answer = yield from ask("sql", query=query)
        rows: list[list[Any]] = answer["rows"]
        return rows

    def _weeks(self, number: int, axes: Sequence[int]) -> str:
        """Weekly sums by at most two attributes."""
        groups = [_name(self.names.dims[axis]) for axis in axes]
        shown = [
            f"{each} AS {side}" for each, side in zip([*groups, "''", "''"], "ab", strict=False)
        ]
        sums = [f"sum({_name(stage)}) AS n{at}" for at, stage in enumerate(self.names.stages)]
        by = ", ".join([*groups, "week"])
        return (
            f"SELECT {number} AS t, {', '.join([*shown, 'week', *sums])} FROM counts GROUP BY {by}"
        )

    def _flagged(self, source: str) -> str:
        """Weeks in which traffic or a rate is far from its median over the weeks."""
        steps = range(1, len(self.names.stages))
        values = ["0 AS k, 1.0 * n0 AS x, n0 AS n"]
        values += [f"{k}, 1.0 * n{k} / n{k - 1}, n{k - 1}" for k in steps]
        long = " UNION ALL ".join(f"SELECT t, a, b, week, {each} FROM s" for each in values)
        return (
            f"WITH s AS ({source}), v AS ({long}), "
            "u AS (SELECT t, a, b, k, median(x) AS m, median(n) AS p FROM v GROUP BY t, a, b, k), "
            "z AS (SELECT *, x / m - 1.0 AS change, "
            "CASE k WHEN 0 THEN m ELSE p * m / (1 - m) END AS weight "
            "FROM v JOIN u USING (t, a, b, k)) "
            "SELECT t, a, b, week, k, round(change, 4), CAST(weight AS INTEGER) FROM z "
            f"WHERE abs(change) >= {SUSPICIOUS} * "
            f"sqrt(1.5 / weight + CASE k WHEN 0 THEN {floor2(0)!r} ELSE {floor2(1)!r} END)"
        )

    def _where(self, cell: int) -> str:
        parts = [f"{_name(name)} = '{value}'" for name, value in self.names.where(cell).items()]
        return f" WHERE {' AND '.join(parts)}" if parts else ""


class CountsReader(SqlReader):
    """The same questions, answered from the counts themselves without a database.

    Acceptance asks so, because an episode's bytes must not depend on a database; what is answered
    is what `SqlReader` is answered, digit by digit.

    Args:
        names: of the episode.
        counts: shape (leaves, stages, days).
        entries: the change log as it is told.
    """

    def __init__(self, names: Names, counts: Any, entries: list[dict[str, str]]) -> None:
        super().__init__(names)
        self.entries, self.calls = entries, 0
        block = counts.reshape(*names.cube.shape, *counts.shape[1:])
        self.block = np.moveaxis(block, (-2, -1), (0, 1)).astype(np.int64)
        weeks = self.block.reshape(len(self.block), -1, 7, *self.block.shape[2:])
        self.by_week = weeks.sum(axis=2)

    def suspicious(self, groups: Sequence[tuple[int, ...]]) -> Asking[list[list[Any]]]:
        yield from self._asked()
        names, found = self.names, []
        for number, axes in enumerate(groups):
            gone = tuple(2 + axis for axis in range(len(names.dims)) if axis not in axes)
            sums = self.by_week.sum(axis=gone)
            people = np.moveaxis(sums.reshape(*sums.shape[:2], -1), 1, 2).astype(float)
            changes, weights = usual_of(people)
            shape = [len(names.values[axis]) for axis in axes]
            for channel, place, week in suspicious_of(changes, weights):
                at = np.unravel_index(place, shape) if shape else ()
                shown = [names.values[axis][int(v)] for axis, v in zip(axes, at, strict=True)]
                change = float(f"{round(float(changes[channel, place, week]), 4):.6g}")
                weight = int(weights[channel, place])
                found.append([number, *[*shown, "", ""][:2], week, channel, change, weight])
        return sorted(found)[:MOST_ROWS]

    def by_day(self, cell: int, stages: Sequence[int]) -> Asking[Floats]:
        yield from self._asked()
        held = self._held(cell).sum(axis=tuple(range(2, 2 + len(self.names.dims))))
        return held[list(stages)].astype(float)

    def compared(
        self, axes: Sequence[int], channel: int, days: range, others: Sequence[range], cell: int
    ) -> Asking[Floats]:
        yield from self._asked()
        gone = tuple(2 + axis for axis in range(len(self.names.dims)) if axis not in axes)
        held = self._held(cell)[max(channel - 1, 0) : channel + 1]
        then = sorted({day for run in others for day in run})
        both = [held[:, chosen].sum(axis=(1, *gone)) for chosen in (list(days), then)]
        return np.stack([each.reshape(len(held), -1) for each in both], axis=2).astype(float)

    def log(self) -> Asking[list[dict[str, str]]]:
        yield from self._asked()
        return self.entries

    def _held(self, cell: int) -> Any:
        """The counts of a cell's people, with every attribute kept."""
        fixed = self.names.cube.fixed_by(cell)
        at = [
            slice(fixed[a], fixed[a] + 1) if a in fixed else slice(None)
            for a in range(len(self.names.dims))
        ]
        return self.block[(slice(None), slice(None), *at)]

    def _asked(self) -> Asking[None]:
        """Count the question; nothing is asked of anybody."""
        self.calls += 1
        yield from ()


def _within(runs: Sequence[range]) -> str:
    parts = [f"day BETWEEN {run.start} AND {run.stop - 1}" for run in runs]
    return f"({' OR '.join(parts)})"


def _name(name: str) -> str:
    return f'"{name}"'
