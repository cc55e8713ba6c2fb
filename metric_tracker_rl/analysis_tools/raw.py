"""Raw disclosure: the tools of either profile that tell values, medians and hours only.

Nothing here flags, judges or counts anything: a reply but for an overview, which tells the policy,
would be the same under any thresholds.
"""

from __future__ import annotations

from pydantic import Field

from metric_tracker_rl.analysis_tools import lean, lookup
from metric_tracker_rl.analysis_tools.arguments import DateArguments, TaskOverviewArguments
from metric_tracker_rl.analysis_tools.registry import TOOLS, MethodResult, create_method_registry
from metric_tracker_rl.engine.definitions.report_row import ROW_FIELDS
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.report.parse_report import MAX_REPORT_ROWS
from openenv_kit.tool import Tool, ToolArguments

RAW_TOOLS = create_method_registry()
"""The tools of raw play in the standard profile."""
RAW_LEAN_TOOLS = create_method_registry()
"""The tools of raw play in the lean profile."""


class RawSubmitArguments(ToolArguments):
    """A report."""

    rows: list[object] = Field(
        max_length=MAX_REPORT_ROWS,
        description=f"objects with {', '.join(ROW_FIELDS)}; may be empty",
    )


@RAW_TOOLS.tool(TaskOverviewArguments)
def task_overview(view: EpisodeView, arguments: TaskOverviewArguments) -> MethodResult:
    """What to know first: thresholds, severity bands, first and last date, fields of a row."""
    answer = lookup.task_overview(view, arguments)
    names = ("instruction", "config", "date_count", "dates", "entities")
    return {
        **{name: answer[name] for name in names},
        "row_fields": list(ROW_FIELDS),
        "available_methods": list(RAW_TOOLS),
    }


@RAW_TOOLS.tool(DateArguments)
def hourly_rows_for_date(view: EpisodeView, arguments: DateArguments) -> MethodResult:
    """The 24 hourly rows of one date, its daytime share and the usual share."""
    answer = lookup.hourly_rows_for_date(view, arguments)
    names = ("daytime_share", "baseline_daytime_share", "top_hours")
    return {**answer, "summary": {name: answer["summary"][name] for name in names}}


@RAW_LEAN_TOOLS.tool(lean.LeanOverviewArguments, has_episode_data=False)
def overview(view: EpisodeView, arguments: lean.LeanOverviewArguments) -> MethodResult:
    """Dates, each daily series with its median, thresholds and severity bands."""
    answer = lean.overview(view, arguments)
    rows = [each[:2] for each in answer["rows"]]
    return {**answer, "columns": answer["columns"][:2], "rows": rows, **view.policy_numbers}


def rows_to_submit(_: EpisodeView, arguments: RawSubmitArguments) -> MethodResult:
    """The rows of a report, none of them by id."""
    return {"ids": [], "rows": arguments.rows}


for _name in (
    *("list_dates", "list_entities", "rows_for_date", "show_raw_data", "list_calendar"),
    "get_metric_median",
):
    RAW_TOOLS.add(TOOLS[_name])
for _name in ("day", "hours", "calendar"):
    RAW_LEAN_TOOLS.add(lean.LEAN_TOOLS[_name])
RAW_LEAN_TOOLS.add(
    Tool(
        lean.SUBMIT_TOOL,
        "Hand in the report, which ends the episode; no rows where nothing is to report.",
        RawSubmitArguments,
        rows_to_submit,
        is_read_only=False,
        is_final=True,
        has_episode_data=False,
    )
)
