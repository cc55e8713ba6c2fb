"""An analyst's desk: asks the tools, keeps what was read, and knows nothing else.

Everything a player of this room uses comes from replies. Methods that ask are generators: they
yield actions and are resumed with what a player sees of the reply.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Mapping, Sequence
from itertools import combinations
from typing import Any, TypeVar

import numpy as np

from metric_tracker_rl.drilldown.cube import Cube, Floats, cube_of
from openenv_kit.errors import KitError
from openenv_kit.play.policies import Action, Observed

T = TypeVar("T")


class RefusedError(KitError):
    """A tool call was refused: its reply would have been larger than what is left."""


Asking = Generator[Action, Observed, T]


def ask(tool: str, **arguments: Any) -> Asking[Any]:
    """The result of one tool call.

    Raises:
        RefusedError: the call was refused.
    """
    seen = yield {"analysis_method": tool, "analysis_args": arguments}
    if seen.get("analysis_result") is None:
        raise RefusedError(seen["message"])
    return seen["analysis_result"]["result"]


def submit(rows: Sequence[Mapping[str, Any]]) -> Action:
    """The action that submits a report."""
    return {"analysis_method": "submit_report", "analysis_args": {"rows": list(rows)}}


class Desk:
    """What is known of an episode.

    Args:
        overview: the reply to `overview`.

    Attributes:
        cube: geometry of the product's dimensions.
        dates, stages: as named in the overview.
        weekly: weekly counts, shape (stages, cells, weeks), once `read_weeks` was asked; known
            for cells of at most two values.
    """

    def __init__(self, overview: Mapping[str, Any]) -> None:
        self.dims: list[str] = list(overview["dimensions"])
        self.values: list[list[str]] = list(overview["dimensions"].values())
        self.stages: list[str] = overview["stages"]
        self.components: Mapping[str, str] = overview["components"]
        self.cube: Cube = cube_of(tuple(len(values) for values in self.values))
        first, last = (dt.date.fromisoformat(overview[f"{end}_date"]) for end in ("first", "last"))
        days = range((last - first).days + 1)
        self.dates = [(first + dt.timedelta(days=day)).isoformat() for day in days]
        self.weekly = np.zeros((len(self.stages), self.cube.cells, len(days) // 7))
        self.known = self.cube.fixed <= 2

    def where(self, cell: int) -> dict[str, str]:
        """A cell as the tools' `where` and a row's `segment`."""
        fixed = self.cube.values[cell].tolist()
        return {
            name: values[value]
            for name, values, value in zip(self.dims, self.values, fixed, strict=True)
            if value >= 0
        }

    def read_weeks(self) -> Asking[None]:
        """Weekly counts of every pair of values; smaller groupings are their sums."""
        for one, other in combinations(range(4), 2):
            reply = yield from ask(
                "slice", group_by=[self.dims[one], self.dims[other]], every="week"
            )
            for a, b, stage, counts in reply["rows"]:
                place = {one: self.values[one].index(a), other: self.values[other].index(b)}
                self.weekly[self.stages.index(stage), self.cube.cell_of(place)] = counts
        for cell in np.flatnonzero(self.cube.fixed < 2).tolist():
            parts = [
                each
                for each in np.flatnonzero(self.cube.within[:, cell] & (self.cube.fixed == 2))
                if self._first_split(int(each), cell)
            ]
            self.weekly[:, cell] = self.weekly[:, parts].sum(axis=1)

    def _first_split(self, part: int, cell: int) -> bool:
        """Whether a part belongs to one split of a cell that holds each person once."""
        whole = (self.cube.values[cell] >= 0).tolist()
        free = [axis for axis in range(4) if not whole[axis]]
        wanted = {axis for axis in range(4) if whole[axis]}
        wanted |= set(free[: 2 - len(wanted)])
        return {a for a, v in enumerate(self.cube.values[part].tolist()) if v >= 0} == wanted

    def read_days(self, cell: int, channel: int) -> Asking[tuple[Floats, Floats]]:
        """Counts by day of a cell: people who enter a channel, and those who take it.

        Of traffic both are the visits.
        """
        stages = self.stages[max(channel - 1, 0) : channel + 1]
        reply = yield from ask("slice", where=self.where(cell), stages=stages)
        found = [np.array(row[-1], dtype=np.float64) for row in reply["rows"]]
        return found[0], found[-1]

    def read_leaves(
        self, channel: int, days: range, reference: Sequence[range]
    ) -> Asking[tuple[Floats, Floats]]:
        """Sums by leaf over some days and over reference days, each of shape (stages, leaves).

        Stages are those that lead into and out of a step; of traffic the first one alone.
        """
        stages = self.stages[max(channel - 1, 0) : channel + 1]
        order = sorted(range(4), key=lambda axis: len(self.values[axis]))
        small, large = sorted(order[:2]), sorted(order[2:])
        sums = np.zeros((2, len(stages), self.cube.leaves))
        shaped = sums.reshape(2, len(stages), *self.cube.shape)
        for a, first in enumerate(self.values[small[0]]):
            for b, second in enumerate(self.values[small[1]]):
                reply = yield from ask(
                    "compare",
                    dates=[self._range(days)],
                    reference=[self._range(each) for each in reference],
                    group_by=[self.dims[axis] for axis in large],
                    where={self.dims[small[0]]: first, self.dims[small[1]]: second},
                    stages=stages,
                )
                for row in reply["rows"]:
                    place: list[Any] = [0, 0, 0, 0]
                    place[small[0]], place[small[1]] = a, b
                    for axis, value in zip(large, row, strict=False):
                        place[axis] = self.values[axis].index(value)
                    pairs = np.array(row[2:], dtype=np.float64).reshape(len(stages), 2)
                    shaped[(slice(None), slice(None), *place)] = pairs.T
        return sums[0], sums[1]

    def _range(self, days: range) -> list[str]:
        return [self.dates[days.start], self.dates[days.stop - 1]]
