"""An analyst's desk: asks the tools, keeps what was read, and knows nothing else.

Everything a player of this room uses comes from replies. Methods that ask are generators: they
yield actions and are resumed with what a player sees of the reply.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Mapping, Sequence
from itertools import combinations, product
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
        evidence: least evidence of a hidden cause, as the level promises.
    """

    def __init__(self, overview: Mapping[str, Any]) -> None:
        self.dims: list[str] = list(overview["dimensions"])
        self.values: list[list[str]] = list(overview["dimensions"].values())
        self.stages: list[str] = overview["stages"]
        self.evidence = LEVELS[overview["difficulty"]].evidence[0]
        self.components: Mapping[str, str] = overview["components"]
        self.cube: Cube = cube_of(tuple(len(values) for values in self.values))
        first, last = (dt.date.fromisoformat(overview[f"{end}_date"]) for end in ("first", "last"))
        days = range((last - first).days + 1)
        self.dates = [(first + dt.timedelta(days=day)).isoformat() for day in days]

    def where(self, cell: int) -> dict[str, str]:
        """A cell as the tools' `where` and a row's `segment`."""
        fixed = self.cube.values[cell].tolist()
        return {
            name: values[value]
            for name, values, value in zip(self.dims, self.values, fixed, strict=True)
            if value >= 0
        }

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

    def read_pairs(self, totals: Floats) -> Asking[Floats]:
        """Weekly counts of every single value and pair of values, with those of everybody.

        The first value of a dimension is what the others leave, and is not asked for.

        Returns:
            Shape (stages, cells, weeks); 0 for cells of more values.
        """
        cube, weeks = self.cube, totals.shape[1] // 7
        weekly = np.zeros((len(self.stages), cube.cells, weeks))
        weekly[:, cube.everybody] = totals.reshape(len(totals), weeks, 7).sum(axis=2)
        for axes in (
            axes for number in (1, 2) for axes in combinations(range(len(self.dims)), number)
        ):
            where = {self.dims[axis]: self.values[axis][1:] for axis in axes}
            asked = {"group_by": list(where), "where": where, "every": "week"}
            for row in (yield from ask("slice", **asked))["rows"]:
                names = zip(axes, row, strict=False)
                cell = cube.cell_of({axis: self.values[axis].index(name) for axis, name in names})
                weekly[self.stages.index(row[-2]), cell] = row[-1]
            for place, axis in enumerate(axes):
                done = [range(len(self.values[each])) for each in axes[:place]]
                to_do = [range(1, len(self.values[each])) for each in axes[place + 1 :]]
                beside = axes[:place] + axes[place + 1 :]
                for held in product(*done, *to_do):
                    fixed = dict(zip(beside, held, strict=True))
                    all_but_one = range(1, len(self.values[axis]))
                    cells = [cube.cell_of({**fixed, axis: value}) for value in all_but_one]
                    left = weekly[:, cube.cell_of(fixed)] - weekly[:, cells].sum(axis=1)
                    weekly[:, cube.cell_of({**fixed, axis: 0})] = left
        return weekly

    def read_stages_of(self, cell: int, stages: range, days: range) -> Asking[Floats]:
        """Counts of a cell by day at some stages, shape (stages, days)."""
        names, dates = [self.stages[stage] for stage in stages], [self._range(days)]
        reply = yield from ask("slice", where=self.where(cell), stages=names, dates=dates)
        return np.array([row[-1] for row in reply["rows"]], dtype=np.float64)

    def compare(
        self, cell: int, stages: range, days: range, others: Sequence[range], split: int | None
    ) -> Asking[Floats]:
        """Counts of a cell over some days and over others.

        Args:
            cell: whose.
            stages: which.
            days: the days.
            others: the other ones.
            split: a dimension, for each of its values; None for the cell as a whole.

        Returns:
            Shape (parts, stages, 2).
        """
        reply = yield from ask(
            "compare",
            group_by=[] if split is None else [self.dims[split]],
            where=self.where(cell),
            stages=[self.stages[stage] for stage in stages],
            dates=[self._range(days)],
            reference=[self._range(each) for each in others],
        )
        rows = [row[-2 * len(stages) :] for row in reply["rows"]]
        return np.array(rows, dtype=np.float64).reshape(-1, len(stages), 2)

    def _range(self, days: range) -> list[str]:
        return [self.dates[days.start], self.dates[days.stop - 1]]
