"""What reads for the analyst: asks the tools, reads their answers, and knows nothing else.

Methods that ask are generators: they yield actions and are resumed with what a player sees.
"""

from __future__ import annotations

import datetime as dt
import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

import numpy as np

from drilldown_env.cube import EVERYBODY, MOST_FIXED, Cube, Floats, cube_of
from drilldown_env.queries import middle
from openenv_kit.rollouts.policies import Action, ObservationJson

T = TypeVar("T")
Asking = Generator[Action, ObservationJson, T]
LEAST = (0.016, 0.0045)
"""Noise of a day that never averages out, as an analyst sees it: traffic, steps."""
ATTEMPTS = 4
SUSPICIOUS = 4.5
"""Standard deviations at which a week of a single value or a pair is looked into."""


def ask(tool: str, **arguments: Any) -> Asking[Any]:
    """The result of one tool call, which is made again where the server was busy.

    Raises:
        RuntimeError: it always was, or the call was refused.
    """
    for _ in range(ATTEMPTS):
        seen = yield {"tool": tool, "arguments": arguments}
        if seen.get("result") is not None:
            return seen["result"]
    raise RuntimeError(f"{tool} had no result in {ATTEMPTS} attempts: {seen.get('message')}")


@dataclass(frozen=True)
class Flag:
    """A week of a single value or a pair that is not as usual.

    Attributes:
        channel: 0 for traffic, else the step into that stage.
        week: its number.
        cell: of whom.
        change: relative, of traffic or rate.
        weight: people over one minus the rate in a usual week, or visits.
    """

    channel: int
    week: int
    cell: int
    change: float
    weight: float

    @property
    def gain(self) -> float:
        """How much better a change of exactly these people explains the week."""
        return self.change * self.change * self.weight


@dataclass(frozen=True)
class Inside:
    """Sums of the people of a cell by further attributes, on some days and on the days beside.

    Attributes:
        axes: the attributes.
        now, then: people before and after the step, shape (2, values of each axis…); of traffic
            both are the visits.
        repeats: how many times the days beside repeat the days.
    """

    axes: tuple[int, ...]
    now: Floats
    then: Floats
    repeats: int


class Names:
    """The names of an episode, from its opening.

    Args:
        config: as the opening told it.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.dims: list[str] = list(config["attributes"])
        self.values: list[list[str]] = list(config["attributes"].values())
        self.stages: list[str] = config["stages"]
        self.components: Mapping[str, str] = config["components"]
        self.calendar: Sequence[Mapping[str, str]] = config["calendar"]
        self.cube: Cube = cube_of(tuple(len(values) for values in self.values))
        first, last = (dt.date.fromisoformat(config[f"{end}_date"]) for end in ("first", "last"))
        days = range((last - first).days + 1)
        self.dates = [(first + dt.timedelta(days=day)).isoformat() for day in days]

    def where(self, cell: int) -> dict[str, str]:
        """A cell as the tools' `where` and a row's `segment`."""
        return {self.dims[a]: self.values[a][v] for a, v in self.cube.fixed_by(cell).items()}

    def cell(self, segment: Mapping[str, str]) -> int:
        """Number of a segment's cell."""
        axes = {self.dims.index(name): value for name, value in segment.items()}
        return self.cube.cell_of({a: self.values[a].index(v) for a, v in axes.items()})

    def scope(self, text: str) -> int:
        """Cell of the audience that a line of the log or the calendar ends with."""
        audience = text.rpartition("(")[2].rstrip(")")
        found = [self.value_in(part) for part in audience.split(", ")]
        return self.cube.cell_of({axis: value for axis, value in found if axis >= 0})

    def value_in(self, text: str) -> tuple[int, int]:
        """Attribute and value that a text names, the longest of several; (−1, −1) for none.

        Of two attributes with this value, the one that is named as well.
        """
        found = [
            (self.dims[axis].replace("_", " ") in text, len(value), axis, number)
            for axis, values in enumerate(self.values)
            for number, value in enumerate(values)
            if re.search(rf"(?<![\w.+-]){re.escape(value)}(?![\w.+-])", text)
        ]
        return max(found)[2:] if found else (-1, -1)

    def free(self, cell: int) -> list[int]:
        """The three largest attributes of those that a cell does not fix, in order."""
        axes = [a for a in range(len(self.dims)) if a not in self.cube.fixed_by(cell)]
        kept = sorted(axes, key=lambda a: -len(self.values[a]))[:MOST_FIXED]
        return sorted(kept)

    def row(
        self, channel: int, cell: int, days: range, *, rises: bool, **more: str
    ) -> dict[str, Any]:
        """A row of a report; a change of a rate or of traffic without a cause, if not said."""
        first, last = self.span(days)
        return {
            "kind": "rate_change" if channel else "traffic_change",
            "stage": self.stages[channel],
            "direction": "up" if rises else "down",
            "segment": self.where(cell),
            "date_from": first,
            "date_to": last,
            "change": "unattributed",
            **more,
        }

    def span(self, days: range) -> list[str]:
        """A run of days as the tools write it."""
        return [self.dates[days.start], self.dates[days.stop - 1]]


class Reader(ABC):
    """What the search asks, whatever tools there are.

    Args:
        names: of the episode.
    """

    def __init__(self, names: Names) -> None:
        self.names = names

    @abstractmethod
    def flags(self) -> Asking[list[Flag]]:
        """Suspicious weeks of single values and pairs."""

    @abstractmethod
    def daily(self, cell: int, channels: Sequence[int], week: int) -> Asking[Floats]:
        """Change of a cell by channel and day, shape (channels, days).

        Days that are not near the week may be told as 0.
        """

    @abstractmethod
    def compared(
        self, axes: Sequence[int], channel: int, days: range, others: Sequence[range], cell: int
    ) -> Asking[Floats]:
        """Sums of a cell by attributes over some days and over others.

        Shape (stages, groups, 2); the stages are those before and after a step, or one of traffic.
        """

    @abstractmethod
    def log(self) -> Asking[list[dict[str, str]]]:
        """The change log."""

    def inside(
        self, cell: int, channel: int, days: range, others: Sequence[range]
    ) -> Asking[Inside]:
        """The people of a cell by three further attributes."""
        axes = self.names.free(cell)
        sums = yield from self.compared(axes, channel, days, others, cell)
        shape = (len(sums), *(len(self.names.values[axis]) for axis in axes))
        both = (sums[:, :, place].reshape(shape) for place in (0, 1))
        now, then = (np.broadcast_to(each, (2, *shape[1:])) for each in both)
        return Inside(tuple(axes), now, then, len(others))


class SliceReader(Reader):
    """The reader with `slice` and `compare`.

    Args:
        names: of the episode.
        pairs: whether pairs of values are looked at as well.
    """

    def __init__(self, names: Names, *, pairs: bool) -> None:
        super().__init__(names)
        self.pairs = pairs

    def flags(self) -> Asking[list[Flag]]:
        names, cube = self.names, self.names.cube
        weights = np.zeros((len(names.stages), cube.simple))
        found: list[Flag] = []
        for axis, dim in enumerate(names.dims):
            answer = yield from ask("slice", group_by=[dim], every="week")
            cells = cube.tables[axis,]
            counts = _by_stage(answer["rows"], 1)
            changes, weights[:, cells] = usual_of(counts)
            found += flags_of(changes, weights[:, cells], cells.start)
            if axis == 0:
                changes, weights[:, :1] = usual_of(counts.sum(axis=1)[:, None])
                found += flags_of(changes, weights[:, :1], EVERYBODY)
        for axes in combinations(range(len(names.dims)), 2) if self.pairs else ():
            grouped = [names.dims[axis] for axis in axes]
            answer = yield from ask("slice", group_by=grouped, every="week", measure="change")
            one, other = (weights[:, cube.tables[axis,]] for axis in axes)
            both = (one[:, :, None] * other[:, None]).reshape(len(weights), -1)
            changes = _by_stage(answer["rows"], 2) / 1000.0
            found += flags_of(changes, both / weights[:, :1], cube.tables[axes].start)
        return found

    def daily(self, cell: int, channels: Sequence[int], week: int) -> Asking[Floats]:
        names = self.names
        stages = [names.stages[channel] for channel in channels]
        near = range(max(7 * week - 7, 0), min(7 * week + 14, len(names.dates)))
        answer = yield from ask(
            "slice",
            where=names.where(cell),
            stages=stages,
            measure="change",
            dates=[names.span(near)],
        )
        found = np.zeros((len(stages), len(names.dates)))
        found[:, near.start : near.stop] = answer["rows"][0]
        return found / 1000.0

    def compared(
        self, axes: Sequence[int], channel: int, days: range, others: Sequence[range], cell: int
    ) -> Asking[Floats]:
        names = self.names
        answer = yield from ask(
            "compare",
            dates=[names.span(days)],
            reference=[names.span(each) for each in others],
            group_by=[names.dims[axis] for axis in axes],
            where=names.where(cell),
            stages=names.stages[max(channel - 1, 0) : channel + 1],
        )
        return _by_stage(answer["rows"], len(axes))

    def log(self) -> Asking[list[dict[str, str]]]:
        answer = yield from ask("change_log")
        return [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]


def _by_stage(rows: Sequence[Sequence[Any]], labels: int) -> Floats:
    """Numbers of an answer whose rows begin with labels, shape (stages, segments, numbers)."""
    return np.array([row[labels:] for row in rows], dtype=float).swapaxes(0, 1)


def usual_of(counts: Floats) -> tuple[Floats, Floats]:
    """Changes and usual weights of counts, shape (stages, cells, weeks)."""
    values = counts.copy()
    values[1:] /= np.maximum(counts[:-1], 1.0)
    usual, people = middle(values), middle(counts)
    weights = usual.copy()
    weights[1:] = people[:-1] * usual[1:] / (1.0 - usual[1:])
    return values / np.maximum(usual, 1e-9)[:, :, None] - 1.0, np.maximum(weights, 1.0)


def floor2(channel: int) -> float:
    """Variance of a week that never averages out."""
    floor = LEAST[min(channel, 1)]
    return floor * floor / 7.0


def suspicious_of(changes: Floats, weights: Floats) -> list[list[int]]:
    """Places in changes of shape (channels, cells, weeks) that are far from usual."""
    floors = np.array([floor2(channel) for channel in range(len(changes))])[:, None]
    noise = np.sqrt(1.5 / weights + floors)
    found: list[list[int]] = np.argwhere(np.abs(changes) >= SUSPICIOUS * noise[:, :, None]).tolist()
    return found


def flags_of(changes: Floats, weights: Floats, first: int) -> list[Flag]:
    """What is suspicious among changes of cells from a first on, shape (channels, cells, weeks)."""
    return [
        Flag(
            channel,
            week,
            first + place,
            float(changes[channel, place, week]),
            float(weights[channel, place]),
        )
        for channel, place, week in suspicious_of(changes, weights)
    ]
