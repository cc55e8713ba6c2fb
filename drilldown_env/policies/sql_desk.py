"""The desk of whoever reads counts by SQL: the search's questions, written as queries."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from drilldown_env.cube import EVERYBODY, Floats
from drilldown_env.policies.desk import (
    LEAST,
    SUSPICIOUS,
    Asking,
    Flag,
    Inside,
    Names,
    ask,
)


class SqlDesk:
    """The desk with `sql`.

    Args:
        names: of the episode.
    """

    def __init__(self, names: Names) -> None:
        self.names = names

    def flags(self) -> Asking[list[Flag]]:
        """One query for all single values, and one for each pair of attributes."""
        names, channels = self.names, range(len(self.names.stages))
        axes = range(len(names.dims))
        found: list[Flag] = []
        singles: list[tuple[int, ...]] = [(), *((axis,) for axis in axes)]
        pairs: list[list[tuple[int, ...]]] = [[pair] for pair in combinations(axes, 2)]
        for groups in [singles, *pairs]:
            for cell, week, numbers in (yield from self.suspicious(groups)):
                for channel in channels:
                    change, weight = numbers[channel], max(numbers[len(channels) + channel], 1.0)
                    if abs(change) >= SUSPICIOUS * noise(channel, weight):
                        found.append(Flag(channel, week, cell, change, weight))
        return found

    def suspicious(
        self, groups: Sequence[tuple[int, ...]]
    ) -> Asking[list[tuple[int, int, list[float]]]]:
        """Cell, week, changes by channel and usual weights, where something is suspicious.

        Args:
            groups: attributes to group by, each in turn.
        """
        names = self.names
        rows = yield from self._rows(self._flagged(" UNION ALL ".join(map(self._weeks, groups))))
        found = []
        for ta, one, tb, other, week, *numbers in rows:
            cell = names.cell({t: v for t, v in ((ta, one), (tb, other)) if t})
            found.append((cell, int(week), [float(number or 0.0) for number in numbers]))
        return found

    def daily(self, cell: int, channels: Sequence[int], week: int) -> Asking[Floats]:
        stages = sorted({max(channel - 1, 0) for channel in channels} | set(channels))
        counts = dict(zip(stages, (yield from self.by_day(cell, stages)), strict=True))
        found = []
        for channel in channels:
            value = counts[channel]
            if channel:
                value = value / np.maximum(counts[channel - 1], 1.0)
            usual = np.median(value.reshape(-1, 7), axis=0)
            found.append(value / np.tile(np.maximum(usual, 1e-9), len(value) // 7) - 1.0)
        return np.array(found)

    def by_day(self, cell: int, stages: Sequence[int]) -> Asking[Floats]:
        """Counts of a cell, shape (stages, days)."""
        sums = ", ".join(f"sum({_name(self.names.stages[stage])})" for stage in stages)
        where = self._where(cell)
        rows = yield from self._rows(f"SELECT day, {sums} FROM counts{where} GROUP BY day")
        return np.array(rows, dtype=float).T[1:]

    def inside(
        self, cell: int, channel: int, days: range, others: Sequence[range]
    ) -> Asking[Inside]:
        names = self.names
        axes = names.free(cell)
        sums = yield from self.compared(axes, channel, days, others, cell)
        shape = [len(names.values[axis]) for axis in axes]
        now, then = (sums[:, :, place].reshape(2, *shape) for place in (0, 1))
        return Inside(tuple(axes), now, then, len(others))

    def visits_by(
        self, axis: int, days: range, others: Sequence[range]
    ) -> Asking[tuple[Floats, Floats]]:
        sums = yield from self.compared([axis], 0, days, others, EVERYBODY)
        return sums[0, :, 0], sums[0, :, 1]

    def log(self) -> Asking[list[dict[str, str]]]:
        columns = ("id", "date", "component", "owner", "change")
        rows = yield from self._rows(f"SELECT {', '.join(columns)} FROM changes ORDER BY id")
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def compared(
        self,
        axes: Sequence[int],
        channel: int,
        days: range,
        others: Sequence[range],
        cell: int,
    ) -> Asking[Floats]:
        """Sums by attributes over some days and over others: (before and after, groups, 2)."""
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
        return table if len(stages) == 2 else np.concatenate([table, table])

    def _rows(self, query: str) -> Asking[list[list[Any]]]:
        told = yield from ask("sql", query=query)
        rows: list[list[Any]] = told["rows"]
        return rows

    def _weeks(self, axes: Sequence[int]) -> str:
        """Weekly sums by at most two attributes, with these attributes' names."""
        names = self.names
        groups = [_name(names.dims[axis]) for axis in axes]
        shown = [f"{group} AS {side}" for group, side in zip(groups, "ab", strict=False)]
        shown += [f"'-' AS {side}" for side in "ab"[len(groups) :]]
        tags = [f"'{names.dims[axis]}' AS t{side}" for axis, side in zip(axes, "ab", strict=False)]
        tags += [f"'' AS t{side}" for side in "ab"[len(groups) :]]
        sums = [f"sum({_name(stage)}) AS n{at}" for at, stage in enumerate(names.stages)]
        by = ", ".join([*groups, "week"])
        return f"SELECT {', '.join([*tags, *shown, 'week', *sums])} FROM counts GROUP BY {by}"

    def _flagged(self, source: str) -> str:
        """Weeks in which traffic or a rate is far from its median over the weeks."""
        steps = range(1, len(self.names.stages))
        rates = ", ".join(f"1.0 * n{k} / n{k - 1} AS r{k}" for k in steps)
        usual = ", ".join(["median(n0) AS m0", *(f"median(r{k}) AS m{k}" for k in steps)])
        usual += ", " + ", ".join(
            f"median(n{k - 1}) * median(r{k}) / (1 - median(r{k})) AS w{k}" for k in steps
        )
        changes = ["n0 / m0 - 1.0", *(f"r{k} / m{k} - 1.0" for k in steps)]
        weights = ["m0", *(f"w{k}" for k in steps)]
        tests = [
            f"abs({change}) >= {SUSPICIOUS} * sqrt(1.5 / {weight} + {floor2(channel)!r})"
            for channel, (change, weight) in enumerate(zip(changes, weights, strict=True))
        ]
        shown = [f"round({change}, 4)" for change in changes]
        shown += [f"round({weight}, 0)" for weight in weights]
        return (
            f"WITH s AS ({source}), v AS (SELECT *, {rates} FROM s), "
            f"u AS (SELECT ta, tb, a, b, {usual} FROM v GROUP BY ta, tb, a, b) "
            f"SELECT v.ta, v.a, v.tb, v.b, v.week, {', '.join(shown)} FROM v JOIN u "
            "ON v.ta = u.ta AND v.a = u.a AND v.tb = u.tb AND v.b = u.b "
            f"WHERE {' OR '.join(tests)}"
        )

    def _where(self, cell: int) -> str:
        parts = [f"{_name(name)} = '{value}'" for name, value in self.names.where(cell).items()]
        return f" WHERE {' AND '.join(parts)}" if parts else ""


class CountsDesk(SqlDesk):
    """The same questions, answered from the counts themselves without a database.

    Acceptance asks so, because an episode's bytes must not depend on a database; what is answered
    is what `SqlDesk` is answered, digit by digit.

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

    def suspicious(
        self, groups: Sequence[tuple[int, ...]]
    ) -> Asking[list[tuple[int, int, list[float]]]]:
        yield from self._asked()
        names, cube, found = self.names, self.names.cube, []
        for axes in groups:
            gone = tuple(2 + axis for axis in range(len(names.dims)) if axis not in axes)
            sums = self.block.sum(axis=gone)
            sums = sums.reshape(len(sums), -1, 7, *sums.shape[2:]).sum(axis=2)
            people = np.moveaxis(sums.reshape(*sums.shape[:2], -1), 1, 2).astype(float)
            values = people.copy()
            values[1:] /= people[:-1]
            usual = np.median(values, axis=2)
            weights = usual.copy()
            weights[1:] = np.median(people, axis=2)[:-1] * usual[1:] / (1.0 - usual[1:])
            changes = values / usual[:, :, None] - 1.0
            floors = np.array([floor2(channel) for channel in range(len(changes))])
            far = (
                np.abs(changes)
                >= (SUSPICIOUS * np.sqrt(1.5 / weights + floors[:, None]))[..., None]
            )
            shape = [len(names.values[axis]) for axis in axes]
            for place, week in np.argwhere(far.any(axis=0)).tolist():
                at = np.unravel_index(place, shape) if shape else ()
                cell = cube.cell_of({a: int(v) for a, v in zip(axes, at, strict=True)})
                numbers = [round(float(x), 4) for x in changes[:, place, week]]
                numbers += [round(float(x), 0) for x in weights[:, place]]
                found.append((cell, week, [float(f"{x:.6g}") for x in numbers]))
        return found

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
        sums = np.stack([each.reshape(len(held), -1) for each in both], axis=2).astype(float)
        return sums if channel else np.concatenate([sums, sums])

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


def floor2(channel: int) -> float:
    """Variance of a week that never averages out."""
    floor = LEAST[min(channel, 1)]
    return floor * floor / 7.0


def noise(channel: int, weight: float) -> float:
    """Standard deviation of a week's change of people of that weight."""
    return float(np.sqrt(1.5 / weight + floor2(channel)))


def _within(runs: Sequence[range]) -> str:
    parts = [f"day BETWEEN {run.start} AND {run.stop - 1}" for run in runs]
    return f"({' OR '.join(parts)})"


def _name(name: str) -> str:
    return f'"{name}"'
