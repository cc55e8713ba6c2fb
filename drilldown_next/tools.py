"""The tools, each declared once with its arguments. None of them flags anything."""

from __future__ import annotations

from typing import Any

from pydantic import Field as ArgumentField
from pydantic import create_model

from drilldown_next.calendar import format_calendar
from drilldown_next.change_log import LOG_COLUMNS, format_log
from drilldown_next.episode import Episode
from drilldown_next.levels import ALL_LEVELS, Level
from drilldown_next.prompts import SQL_TABLES
from drilldown_next.report import MAX_ROWS, ROW_MODELS
from drilldown_next.slicing import (
    CompareArguments,
    Dates,
    SliceArguments,
    TopSegmentsArguments,
    read_days,
    run_compare,
    run_slice,
    run_top_segments,
)
from drilldown_next.sql import MAX_QUERY_CHARACTERS, execute_query
from openenv_kit.errors import ToolArgumentError, require_name
from openenv_kit.tool import Tool, ToolArguments, Tools

SUBMIT = "submit_report"
SQL = "sql"
COMPARE = "compare"
TOOLS = Tools()
"""The tools that read, by name, in the order in which models see them."""
Result = dict[str, Any]


class ChangeLogArguments(ToolArguments):
    """Arguments of `change_log`."""

    dates: Dates | None = None


@TOOLS.tool(TopSegmentsArguments)
def top_segments(episode: Episode, asked: TopSegmentsArguments) -> Result:
    """The 20 cells of segment and week with the most missing people; loss in %."""
    return run_top_segments(episode, asked)


@TOOLS.tool(SliceArguments, name="slice")
def slice_counts(episode: Episode, asked: SliceArguments) -> Result:
    """Loss, rate or people by one or two dimensions and by period; at most 300 numbers."""
    return run_slice(episode, asked)


@TOOLS.tool(CompareArguments)
def compare(episode: Episode, asked: CompareArguments) -> Result:
    """A segment and everybody else by day, with the usual odds ratio, scale and spread."""
    return run_compare(episode, asked)


class SqlArguments(ToolArguments):
    """Arguments of `sql`."""

    query: str = ArgumentField(
        min_length=1, max_length=MAX_QUERY_CHARACTERS, description="one SELECT"
    )


@TOOLS.tool(SqlArguments, is_slow=True)
def sql(episode: Episode, asked: SqlArguments) -> Result:
    """One read-only SELECT over the tables counts, changes and calendar."""
    outcome = execute_query(episode, asked.query)
    if outcome.answer is None:
        raise ToolArgumentError(outcome.refusal or outcome.stopped)
    return outcome.answer


@TOOLS.tool(ChangeLogArguments, has_episode_data=False)
def change_log(episode: Episode, asked: ChangeLogArguments) -> Result:
    """The change log. Free."""
    first, stop = read_days(asked.dates, episode)
    rows = format_log(episode.product, episode.dates, episode.log)
    kept = [
        list(row) for row, entry in zip(rows, episode.log, strict=True) if first <= entry.day < stop
    ]
    return {"columns": list(LOG_COLUMNS), "rows": kept}


def _declare_submit(level: Level) -> Tool:
    row_model: Any = ROW_MODELS[level.asked]
    field = ArgumentField(max_length=MAX_ROWS, description="one per root; [] for none")
    arguments = create_model(
        "ReportArguments", __base__=ToolArguments, rows=(list[row_model], field)
    )
    description = "Submit every root; ends the episode."
    return Tool(
        SUBMIT, description, arguments, is_read_only=False, is_final=True, has_episode_data=False
    )


_SUBMIT_TOOLS: dict[type[ToolArguments], Tool] = {}
for _level in ALL_LEVELS.values():
    _SUBMIT_TOOLS.setdefault(ROW_MODELS[_level.asked], _declare_submit(_level))


NOT_OFFERED = {True: ("slice", COMPARE), False: (SQL,)}
"""Tools that are not offered where counts are read by SQL, and where they are not."""


def list_tools(level: Level) -> list[Tool]:
    """Return the tools of a level. Fields that the alert gives are absent from its report rows."""
    readers = [tool for name, tool in TOOLS.items() if name not in NOT_OFFERED[level.has_sql]]
    return [*readers, _SUBMIT_TOOLS[ROW_MODELS[level.asked]]]


ALL_TOOLS = [*TOOLS.values(), *_SUBMIT_TOOLS.values()]
"""Every tool; `submit_report` once for each kind of report row."""
FREE_TOOLS = ("change_log", SUBMIT)
"""Names of the tools that take no call of the budget."""


def find_tool(name: object, level: Level) -> Tool:
    """Return the tool of a level by its name.

    Raises:
        UnknownNameError: the level has no such tool.
    """
    tools = {tool.name: tool for tool in list_tools(level)}
    return tools[require_name("tool", name, tools)]


def describe_episode(episode: Episode) -> Result:
    """Return what the reset contains besides the alert: names, dates, calendar and budget."""
    product, level = episode.product, episode.level
    description: Result = {
        "product": product.name,
        "difficulty": level.name,
        "dimensions": {each.name: list(each.values) for each in product.dimensions},
        "stages": list(product.stages),
        "components": dict(zip(product.step_names, product.components, strict=True)),
        "first_date": episode.dates[0],
        "last_date": episode.dates[-1],
        "roots": f"{min(level.root_counts)} to {max(level.root_counts)}",
        "call_budget": level.call_budget,
    }
    if episode.alert.given:
        description["given"] = episode.alert.given
    if episode.calendar:
        description["calendar"] = format_calendar(product, episode.dates, episode.calendar)
    if level.has_sql:
        description["sql"] = SQL_TABLES.format(
            dimensions=", ".join(product.dimension_names), stages=", ".join(product.stages)
        )
    return description
