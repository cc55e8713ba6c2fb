"""The tools, each declared once with its typed arguments. All but the report only read.

None of them compares a deviation with a threshold or flags anything. Those that read counts take
one call each from the budget.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from drilldown_env.change_log import calendar_entries, log_entries
from drilldown_env.domain import TRACKING
from drilldown_env.episode import Episode
from drilldown_env.levels import Level
from drilldown_env.queries import CompareArguments, SliceArguments, run_compare, run_slice
from drilldown_env.report import MAX_ROWS, Row
from drilldown_env.sql import LONGEST_QUERY, run_query
from drilldown_env.words import SQL
from openenv_kit.errors import require_name
from openenv_kit.tool import Tool, ToolArguments, Tools

SUBMIT = "submit_report"
SQL_TOOL = "sql"
COUNTED = ("slice", "compare", SQL_TOOL)
"""Tools that read counts; each call takes one from the budget."""
TOOLS = Tools()
"""Every tool by name, in the order models see them."""
Result = dict[str, Any]


class NoArguments(ToolArguments):
    """Arguments of a tool that takes none."""


class SqlArguments(ToolArguments):
    """Arguments of `sql`."""

    query: str = Field(min_length=1, max_length=LONGEST_QUERY, description="one SELECT")


class ReportArguments(ToolArguments):
    """Arguments of `submit_report`."""

    rows: list[Row] = Field(max_length=MAX_ROWS, description="one for each root; [] for none")


@TOOLS.tool(SliceArguments, name="slice")
def slice_(episode: Episode, asked: SliceArguments) -> Result:
    """Counts, rates or the change against the usual, by segment and by day or week."""
    return run_slice(episode, asked)


@TOOLS.tool(CompareArguments)
def compare(episode: Episode, asked: CompareArguments) -> Result:
    """Some days beside others: sums, rates, or the change between them, by segment."""
    return run_compare(episode, asked)


@TOOLS.tool(SqlArguments, is_slow=True)
def sql(episode: Episode, asked: SqlArguments) -> Result:
    """The answer to one read-only SELECT over the tables counts and changes."""
    return run_query(episode, asked.query)


@TOOLS.tool(NoArguments, has_episode_data=False)
def change_log(episode: Episode, _: NoArguments) -> Result:
    """Every change of the eight weeks: id, date, component, owner and what was done. Free."""
    entries = log_entries(episode.domain, episode.dates, episode.log)
    return {"columns": list(entries[0]), "rows": [list(entry.values()) for entry in entries]}


TOOLS.add(
    Tool(
        SUBMIT,
        "Hand in every root; ends the episode.",
        ReportArguments,
        is_read_only=False,
        is_final=True,
        has_episode_data=False,
    )
)


def find_tool(name: object, level: Level) -> Tool:
    """Tool of that name on a level.

    Raises:
        UnknownNameError: there is none; names the nearest.
    """
    return TOOLS[require_name("tool", name, level.tools)]


def overview(episode: Episode) -> Result:
    """What a reset tells beside the alert: names, dates, calendar and budget."""
    domain, level = episode.domain, episode.config.level
    dims = {dim.name: list(dim.names) for dim in domain.dims}
    content: Result = {
        "product": domain.name,
        "difficulty": level.name,
        "attributes": dims,
        "stages": list(domain.stages),
        "components": {
            **dict(zip(domain.stages, domain.components, strict=True)),
            "tracking_loss": TRACKING,
        },
        "first_date": episode.dates[0],
        "last_date": episode.dates[-1],
        "calendar": calendar_entries(domain, episode.dates, episode.events),
        "budget": level.budget,
    }
    if level.sql:
        content["sql"] = SQL.format(dims=", ".join(dims), stages=", ".join(domain.stages))
    return content
