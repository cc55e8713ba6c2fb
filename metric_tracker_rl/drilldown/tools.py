"""The tools of the drill-down tier, each declared once with its typed arguments.

All of them only read. None computes a deviation from a threshold or flags anything. A tool that
shows counts is paid for by the number of numbers in its reply, which is known before it runs.
"""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np

from metric_tracker_rl.drilldown import words
from metric_tracker_rl.drilldown.arguments import (
    Arguments,
    CompareArguments,
    NoArguments,
    PerMilleArguments,
    ReportArguments,
    SliceArguments,
    SqlArguments,
)
from metric_tracker_rl.drilldown.baselines import traffic_and_rates
from metric_tracker_rl.drilldown.config import DAYS
from metric_tracker_rl.drilldown.cube import segment_of
from metric_tracker_rl.drilldown.domains import TRACKING
from metric_tracker_rl.drilldown.episode import Episode
from metric_tracker_rl.drilldown.levels import LEVELS, MOST_NUMBERS
from metric_tracker_rl.drilldown.queries import (
    Selection,
    compare_size,
    run_compare,
    run_slice,
    slice_periods,
    slice_size,
    told_periods,
)
from metric_tracker_rl.drilldown.report import preview, read_report
from metric_tracker_rl.drilldown.sql.words import IN_ONE_REPLY, described
from openenv_kit.errors import InvalidValueError, ToolArgumentError, UnknownNameError
from openenv_kit.tools.schema import json_schema, read_arguments

EASY = "drill_easy"
SUBMIT = "submit_report"

A = TypeVar("A", bound=Arguments)
Result = dict[str, Any]
Budget = Mapping[str, int]


@dataclass(frozen=True)
class Tool(Generic[A]):
    """One tool.

    Attributes:
        name: what agents call it by.
        description: one line, written for agents.
        arguments: typed model of its arguments.
        run: reads the episode, changes nothing, knows no label; given what may still be read by
            unit, it returns the result and what it takes of that.
    """

    name: str
    description: str
    arguments: type[A]
    run: Callable[[Episode, A, Budget], tuple[Result, Budget]]

    def read(self, raw: object) -> A:
        """Validated arguments.

        Raises:
            ToolArgumentError: says what is wrong, what is allowed and the nearest match.
        """
        return read_arguments(self.name, self.arguments, raw, "arguments")

    def call(self, episode: Episode, raw: object, left: Budget) -> tuple[Result, Budget]:
        """Run the tool.

        Args:
            episode: what it reads.
            raw: arguments as they arrived.
            left: what may still be read, by unit.

        Returns:
            The result, and what it takes of the budget, by unit.

        Raises:
            KitError: wrong arguments, or a reply that is too large; nothing was read.
        """
        return self.run(episode, self.read(raw), left)

    @cached_property
    def parameters(self) -> Result:
        """JSON Schema of its arguments; made once, because every reset tells it."""
        return json_schema(self.arguments)

    def told(self) -> Result:
        """Name, description and JSON Schema."""
        return {"name": self.name, "description": self.description, "parameters": self.parameters}


TOOLS: dict[str, Tool[Any]] = {}
"""Every tool by name, in the order agents see them."""


def _tool(
    arguments: type[A], size: Callable[[Episode, A], int] | None = None
) -> Callable[[Callable[[Episode, A], Result]], Callable[[Episode, A], Result]]:
    """Declare a function as the tool of its name; its docstring's first line describes it.

    Args:
        arguments: typed model of its arguments.
        size: how many numbers the reply would hold; they are taken from the budget.
    """

    def declare(function: Callable[[Episode, A], Result]) -> Callable[[Episode, A], Result]:
        name = function.__name__.rstrip("_")

        def run(episode: Episode, asked: A, left: Budget) -> tuple[Result, Budget]:
            numbers = size(episode, asked) if size else 0
            if size and numbers > min(MOST_NUMBERS, left["numbers"]):
                raise ToolArgumentError(
                    f"{name} would return {numbers:,} numbers; allowed: {MOST_NUMBERS:,} in one "
                    f"reply, and {left['numbers']:,} are left in all. Nothing was read."
                )
            return function(episode, asked), {"numbers": numbers} if size else {}

        line = (inspect.getdoc(function) or "").split("\n", 1)[0]
        TOOLS[name] = Tool(name, line, arguments, run)
        return function

    return declare


def tools_of(level: str | None) -> dict[str, Tool[Any]]:
    """Tools in force on a level, by name; None for those of any level."""
    return {name: TOOLS[name] for name in LEVELS[level].tools} if level else TOOLS


def find_tool(name: object, level: str | None = None) -> Tool[Any]:
    """Tool of that name on a level.

    Raises:
        UnknownNameError: there is none; names the nearest.
    """
    offered = tools_of(level)
    if isinstance(name, str) and name in offered:
        return offered[name]
    raise UnknownNameError("tool", name, offered)


@_tool(NoArguments)
def overview(episode: Episode, _: NoArguments) -> Result:
    """Dimensions, stages, dates, the definition of a root, the row format and the budget. Free."""
    domain, level = episode.domain, episode.config.level
    return {
        "task": words.TASK,
        "definition": words.DEFINITION,
        "grading": words.GRADING,
        "product": domain.name,
        "difficulty": level.name,
        "dimensions": {dim.name: list(dim.names) for dim in domain.dims},
        "stages": list(domain.stages),
        "components": {
            **dict(zip(domain.stages, domain.components, strict=True)),
            "tracking_loss": TRACKING,
        },
        "first_date": episode.dates[0],
        "last_date": episode.dates[-1],
        "first_weekday": f"{dt.date.fromisoformat(episode.dates[0]):%A}",
        "budget": {
            **level.limits,
            "numbers_in_one_reply": MOST_NUMBERS,
            **(IN_ONE_REPLY if level.sql else {}),
        },
        "row_format": dict(words.ROW_FORMAT),
        **({"sql": described(domain)} if level.sql else {"per_mille_slices": level.name == EASY}),
    }


@_tool(PerMilleArguments, slice_size)
def slice_(episode: Episode, asked: PerMilleArguments) -> Result:
    """Counts by segment, stage and day or week. Costs segments x stages x days or weeks."""
    if asked.form == "counts":
        return run_slice(episode, asked)
    if episode.config.level.name != EASY:
        raise InvalidValueError("form", asked.form, f"counts on {episode.config.level.name}")
    return _per_mille(episode, asked)


def _per_mille(episode: Episode, asked: SliceArguments) -> Result:
    """Change against the median of the same weekdays: of traffic, and of rates into later stages.

    Of days in whole per mille; of weeks, which move by less, in tenths.
    """
    every = asked.model_copy(update={"stages": []})
    daily = Selection.read(episode, every).sums(episode).transpose(1, 0, 2).astype(np.float64)
    before = np.cumsum(np.pad(daily, ((0, 0), (0, 0), (1, 0))), axis=2)
    selection, periods = Selection.read(episode, asked), slice_periods(episode, asked)
    changes = np.zeros((*daily.shape[:2], len(periods)))
    for weekday, length in {(days.start % 7, len(days)) for days in periods}:
        starts = np.arange(weekday, DAYS - length + 1, 7)
        values = traffic_and_rates(before[:, :, starts + length] - before[:, :, starts])
        usual = np.maximum(np.median(values, axis=2, keepdims=True), 1e-9)
        same = [(days.start % 7, len(days)) == (weekday, length) for days in periods]
        weeks = [days.start // 7 for days, chosen in zip(periods, same, strict=True) if chosen]
        changes[:, :, same] = 1000.0 * (values / usual - 1.0)[:, :, weeks]
    by_day = asked.every == "day"
    told_changes = np.rint(changes).astype(np.int64) if by_day else np.round(changes, 1) + 0.0
    rows = [
        [*label, episode.domain.stages[stage], told_changes[stage, row].tolist()]
        for row, label in enumerate(selection.labels(episode))
        for stage in selection.stages
    ]
    told = told_periods(episode, asked, periods)
    told["columns"][-1] = "per mille: first stage traffic, later stages the rate into them"
    return {**told, "rows": rows}


@_tool(CompareArguments, compare_size)
def compare(episode: Episode, asked: CompareArguments) -> Result:
    """Sums over some days beside sums over others, by segment. Costs segments x stages x 2."""
    return run_compare(episode, asked)


TOOLS["sql"] = Tool(
    "sql",
    "Rows of one flat SELECT over the table counts, in DuckDB's SQL. Costs groups x aggregates.",
    SqlArguments,
    lambda episode, asked, left: episode.database.query(asked.query, left),
)


@_tool(NoArguments)
def change_log(episode: Episode, _: NoArguments) -> Result:
    """Every entry of the change log: id, date, component and scope. Free."""
    return {
        "entries": [
            {
                "id": entry.id,
                "date": episode.dates[entry.day],
                "component": entry.component,
                "scope": segment_of(episode.domain, entry.cell),
            }
            for entry in episode.log
        ]
    }


@_tool(ReportArguments)
def preview_report(episode: Episode, asked: ReportArguments) -> Result:
    """How a report would be read: form only, nothing about what is right. Free."""
    return preview(read_report(asked.rows, episode))


@_tool(ReportArguments)
def submit_report(episode: Episode, asked: ReportArguments) -> Result:
    """Hand in the report, which ends the episode; no rows where nothing is to report."""
    return preview(read_report(asked.rows, episode))
