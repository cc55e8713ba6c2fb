"""An analyst's desk: asks the tools, keeps what was read, and knows nothing else.

Everything a player of this room uses comes from replies. Methods that ask are generators: they
yield actions and are resumed with what a player sees of the reply.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from itertools import product
from typing import Any, TypeVar

import numpy as np

from metric_tracker_rl.drilldown.cube import Cube, Floats, cube_of
from metric_tracker_rl.drilldown.levels import LEVELS
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
        hides: whether the level hides causes from tables of two attributes.
        faint: whether weekly sums of their own segments hardly show them either.
        weekly: weekly counts, shape (stages, leaves, weeks), once `read_weeks` was asked.
    """

    def __init__(self, overview: Mapping[str, Any]) -> None:
        self.dims: list[str] = list(overview["dimensions"])
        self.values: list[list[str]] = list(overview["dimensions"].values())
        self.stages: list[str] = overview["stages"]
        self.hides = LEVELS[overview["difficulty"]].hidden > 0.0
        self.faint = LEVELS[overview["difficulty"]].faint
        self.components: Mapping[str, str] = overview["components"]
        self.cube: Cube = cube_of(tuple(len(values) for values in self.values))
        first, last = (dt.date.fromisoformat(overview[f"{end}_date"]) for end in ("first", "last"))
        days = range((last - first).days + 1)
        self.dates = [(first + dt.timedelta(days=day)).isoformat() for day in days]
        self.weekly = np.zeros((len(self.stages), self.cube.leaves, len(days) // 7))

    def where(self, cell: int) -> dict[str, str]:
        """A cell as the tools' `where` and a row's `segment`."""
        fixed = self.cube.values[cell].tolist()
        return {
            name: values[value]
            for name, values, value in zip(self.dims, self.values, fixed, strict=True)
            if value >= 0
        }

    def read_weeks(self) -> Asking[None]:
        """Weekly counts of every leaf; those of wider segments are their sums."""
        for asked, leaves in self.blocks:
            reply = yield from ask("slice", every="week", **asked)
            for one, other, stage, counts in reply["rows"]:
                self.weekly[self.stages.index(stage), leaves[one, other]] = counts

    def read_totals(self) -> Asking[Floats]:
        """Counts of everybody, shape (stages, days)."""
        reply = yield from ask("slice")
        return np.array([row[-1] for row in reply["rows"]], dtype=np.float64)

    def read_days(self, cell: int, channel: int) -> Asking[tuple[Floats, Floats]]:
        """Counts by day of a cell: people who enter a channel, and those who take it.

        Of traffic both are the visits.
        """
        stages = self.stages[max(channel - 1, 0) : channel + 1]
        reply = yield from ask("slice", where=self.where(cell), stages=stages)
        found = [np.array(row[-1], dtype=np.float64) for row in reply["rows"]]
        return found[0], found[-1]

    def read_week(self, cell: int, stages: range, week: int) -> Asking[Floats]:
        """Counts of a cell by day of a week, shape (stages, 7)."""
        names = [self.stages[stage] for stage in stages]
        dates = [self._range(range(7 * week, 7 * week + 7))]
        reply = yield from ask("slice", where=self.where(cell), stages=names, dates=dates)
        return np.array([row[-1] for row in reply["rows"]], dtype=np.float64)

    def read_visits(self, days: range, reference: Sequence[range]) -> Asking[Floats]:
        """Visits of every leaf: sums over some days and over reference days, shape (2, leaves)."""
        sums = np.zeros((2, self.cube.leaves))
        ranges = {"dates": [self._range(days)], "reference": list(map(self._range, reference))}
        for asked, leaves in self.blocks:
            reply = yield from ask("compare", stages=self.stages[:1], **ranges, **asked)
            for one, other, *counts in reply["rows"]:
                sums[:, leaves[one, other]] = counts
        return sums

    def read_stages(self, stages: range, days: range) -> Asking[Floats]:
        """Counts of every leaf at some stages, summed over at most seven days.

        Returns:
            Shape (stages, leaves).
        """
        names = [self.stages[stage] for stage in stages]
        sums = np.zeros((len(names), self.cube.leaves))
        dates = [self._range(days)]
        for asked, leaves in self.blocks:
            reply = yield from ask("slice", stages=names, dates=dates, every="week", **asked)
            for one, other, stage, [count] in reply["rows"]:
                sums[names.index(stage), leaves[one, other]] = count
        return sums

    @cached_property
    def blocks(self) -> list[tuple[dict[str, Any], dict[tuple[str, str], int]]]:
        """Arguments that together show every leaf, each with the leaves of its rows.

        Of four dimensions two are fixed, and the larger two are split.
        """
        found = []
        numbers = {names: leaf for leaf, names in enumerate(product(*self.values))}
        order = sorted(range(4), key=lambda axis: len(self.values[axis]))
        fixed, split = sorted(order[:2]), sorted(order[2:])
        group_by = [self.dims[axis] for axis in split]
        for held in product(*(self.values[axis] for axis in fixed)):
            leaves = {
                (names[split[0]], names[split[1]]): leaf
                for names, leaf in numbers.items()
                if (names[fixed[0]], names[fixed[1]]) == held
            }
            where = {self.dims[axis]: value for axis, value in zip(fixed, held, strict=True)}
            found.append(({"group_by": group_by, "where": where}, leaves))
        return found

    def _range(self, days: range) -> list[str]:
        return [self.dates[days.start], self.dates[days.stop - 1]]
