"""Sums over the counts: what `slice` and `compare` answer.

A query is checked and measured before anything is summed. Sums are of integers, so their order
cannot show; rates and changes are whole per mille, rounded to even.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from drilldown_env.config import DAYS, WEEKS
from drilldown_env.episode import Episode
from drilldown_env.report import require_date
from openenv_kit.errors import InvalidValueError, ToolArgumentError, require_name
from openenv_kit.tool import ToolArguments

MOST_CELLS = 300
"""Most cells in one answer: stages of its segments."""
MOST_GROUPS = 3
"""Most attributes that one query groups by."""
Counts = NDArray[np.int64]
Measure = Literal["counts", "rates", "change"]
Range = Annotated[list[str], Field(min_length=2, max_length=2)]
_MEASURE = (
    "counts; rates: people in a stage per 1,000 in the stage before it, and counts of the first "
    "stage; change: of the first stage's counts and of each later stage's rate, in per mille of "
)


class QueryArguments(ToolArguments):
    """Arguments that `slice` and `compare` share."""

    group_by: list[str] = Field([], max_length=MOST_GROUPS, description="attributes, at most 3")
    where: dict[str, str | list[str]] = Field({}, description="attribute: value or list of values")
    stages: list[str] = Field([], description="default all")


class SliceArguments(QueryArguments):
    """Arguments of `slice`."""

    measure: Measure = Field(
        "counts", description=f"{_MEASURE}the median of the eight same weekdays, or weeks"
    )
    every: Literal["day", "week"] = Field("day", description="calendar weeks begin on Monday")
    dates: list[Range] = Field(
        [], max_length=8, description="[[first, last], …]; default all eight weeks"
    )


class CompareArguments(QueryArguments):
    """Arguments of `compare`."""

    measure: Measure = Field("counts", description=f"{_MEASURE}reference")
    dates: list[Range] = Field(min_length=1, max_length=8, description="[[first, last], …]")
    reference: list[Range] = Field(
        [],
        max_length=8,
        description="[[first, last], …]; default the same weekdays of all other weeks",
    )


@dataclass(frozen=True)
class Selection:
    """People, split and stages of a query.

    Attributes:
        groups: indices of the attributes that it splits by, in the order asked for.
        values: indices of the values it takes, by attribute.
        stages: indices of its stages, in funnel order.
    """

    groups: tuple[int, ...]
    values: tuple[tuple[int, ...], ...]
    stages: tuple[int, ...]

    @classmethod
    def read(cls, episode: Episode, asked: QueryArguments) -> Selection:
        """The selection of a query.

        Raises:
            UnknownNameError, InvalidValueError: a name the episode does not have, or twice.
            ToolArgumentError: the answer would have too many cells.
        """
        dims, names = episode.domain.dims, episode.domain.dim_names
        groups = tuple(names.index(require_name("attribute", n, names)) for n in asked.group_by)
        if len(set(groups)) < len(groups):
            raise InvalidValueError("group_by", asked.group_by, "attributes that differ")
        values = [tuple(range(len(dim.values))) for dim in dims]
        for name, given in asked.where.items():
            axis = names.index(require_name("attribute", name, names))
            wanted = [given] if isinstance(given, str) else given
            if not wanted:
                raise InvalidValueError(f"where.{name}", wanted, "at least one value")
            allowed = dims[axis].names
            found = {allowed.index(require_name(f"value of {name}", v, allowed)) for v in wanted}
            values[axis] = tuple(sorted(found))
        stages = episode.domain.stages
        chosen = {stages.index(require_name("stage", name, stages)) for name in asked.stages}
        picked = tuple(sorted(chosen)) or tuple(range(len(stages)))
        cells = len(picked) * prod(len(values[axis]) for axis in groups)
        if cells > MOST_CELLS:
            raise ToolArgumentError(
                f"the answer would have {cells} cells, segments times stages; allowed: at most "
                f"{MOST_CELLS}. Group by fewer attributes, or name stages or values. Nothing was "
                "read."
            )
        return cls(groups, tuple(values), picked)

    def sums(self, episode: Episode) -> Counts:
        """Counts of every stage by group and day, shape (rows, stages, days)."""
        domain = episode.domain
        block = episode.counts.reshape(*domain.shape, -1, DAYS)
        for axis, each in enumerate(self.values):
            if len(each) < block.shape[axis]:
                block = block.take(each, axis=axis)
        summed = tuple(axis for axis in range(len(self.values)) if axis not in self.groups)
        block = block.sum(axis=summed, dtype=np.int64)
        kept = sorted(self.groups)
        block = block.transpose(*(kept.index(axis) for axis in self.groups), -2, -1)
        return np.ascontiguousarray(block).reshape(-1, len(domain.stages), DAYS)


def day_ranges(episode: Episode, name: str, given: Sequence[Sequence[str]]) -> list[range]:
    """Ranges of days.

    Raises:
        InvalidValueError: not dates of the episode, or a range that runs backwards.
    """
    found = []
    for first, last in given:
        for date in (first, last):
            require_date(name, date, episode.dates)
        if last < first:
            raise InvalidValueError(f"range in {name}", [first, last], "first date before last")
        found.append(range(episode.day_of[first], episode.day_of[last] + 1))
    return found


def run_slice(episode: Episode, asked: SliceArguments) -> dict[str, Any]:
    """The answer to `slice`: dates, and for each segment and stage a list of as many numbers.

    A week is called by its first date.
    """
    selection = Selection.read(episode, asked)
    days = [day for part in day_ranges(episode, "dates", asked.dates) for day in part]
    wanted = sorted(set(days)) or list(range(DAYS))
    daily = selection.sums(episode)
    if asked.every == "week":
        daily = daily.reshape(*daily.shape[:2], WEEKS, 7).sum(axis=3)
        wanted = sorted({day // 7 for day in wanted})
    numbers = _measured(daily, asked.measure).take(wanted, axis=2)
    starts = [episode.dates[each if asked.every == "day" else 7 * each] for each in wanted]
    return {"dates": starts, **_table(episode, selection, numbers)}


def run_compare(episode: Episode, asked: CompareArguments) -> dict[str, Any]:
    """The answer to `compare`: for each segment and stage the change, or both sums or rates."""
    selection = Selection.read(episode, asked)
    days: set[int] = set().union(*day_ranges(episode, "dates", asked.dates))
    others: set[int] = set().union(*day_ranges(episode, "reference", asked.reference))
    if not others:
        weekdays = {day % 7 for day in days}
        others = {
            d for d in range(DAYS) if d % 7 in weekdays and d // 7 not in {x // 7 for x in days}
        }
    if not others:
        raise InvalidValueError("reference", asked.reference, "days, where dates touch every week")
    daily = selection.sums(episode)
    both = np.stack(
        [daily.take(sorted(each), axis=2).sum(axis=2) for each in (days, others)], axis=2
    )
    if asked.measure == "change":
        numbers = _change_between(both, len(days), len(others))
    else:
        numbers = both if asked.measure == "counts" else _rates(both)
    numbered = {"dates": len(days), "reference": len(others)}
    return {"days": numbered, **_table(episode, selection, numbers)}


def _table(episode: Episode, selection: Selection, numbers: Counts) -> dict[str, Any]:
    """A row for each segment: its values, then what each stage has."""
    dims, stages = episode.domain.dims, episode.domain.stages
    columns = [dims[axis].name for axis in selection.groups]
    columns += [stages[k] for k in selection.stages]
    values = ([dims[a].names[v] for v in selection.values[a]] for a in selection.groups)
    cells = numbers.take(selection.stages, axis=1).tolist()
    rows = [[*label, *row] for label, row in zip(product(*values), cells, strict=True)]
    return {"columns": columns, "rows": rows}


def _measured(counts: Counts, measure: str) -> Counts:
    """Counts of shape (rows, stages, periods) as they were asked for."""
    if measure == "counts":
        return counts
    if measure == "rates":
        return _rates(counts)
    values = _divided(counts)
    lanes = values.reshape(*values.shape[:2], WEEKS, -1)
    usual = middle(lanes.swapaxes(2, 3))
    change = lanes / np.maximum(usual, 1e-9)[:, :, None] - 1.0
    return _per_mille(change).reshape(counts.shape)


def middle(weeks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of the eight weeks in the last axis."""
    ordered = np.sort(weeks, axis=-1)
    return np.asarray((ordered[..., 3] + ordered[..., 4]) / 2.0)


def _rates(counts: Counts) -> Counts:
    found = counts.copy()
    found[:, 1:] = _per_mille(_divided(counts)[:, 1:])
    return found


def _divided(counts: Counts) -> NDArray[np.float64]:
    """The first stage's counts, and each later stage's rate, with stages on the second axis."""
    values = counts.astype(np.float64)
    values[:, 1:] /= np.maximum(counts[:, :-1], 1)
    return values


def _change_between(both: Counts, days: int, others: int) -> Counts:
    """Change of the daily first stage and of each rate, of two sums in the last axis."""
    values = _divided(both)
    values[:, 0, 0] /= days
    values[:, 0, 1] /= others
    return _per_mille(values[..., 0] / np.maximum(values[..., 1], 1e-9) - 1.0)


def _per_mille(values: NDArray[np.float64]) -> Counts:
    return np.rint(1000.0 * values).astype(np.int64)
