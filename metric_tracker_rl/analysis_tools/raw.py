"""Tools for raw disclosure, which return values and medians but do not show what is flagged.

The module contains the tools of both profiles. No result depends on the thresholds, so no result
reveals which series are flagged. The thresholds themselves appear only in the overview, which
states the parameters of the reporting policy.
"""

from __future__ import annotations

from pydantic import Field

from metric_tracker_rl.analysis_tools import lean, lookup
from metric_tracker_rl.analysis_tools.arguments import DateArguments, TaskOverviewArguments
from metric_tracker_rl.analysis_tools.registry import (
    TOOLS,
    MethodResult,
    create_empty_analysis_method_registry,
    list_method_names_of_episode,
)
from metric_tracker_rl.engine.definitions.report_row import ROW_FIELDS
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.report.parse_report import MAX_REPORT_ROWS
from openenv_kit.tool import Tool, ToolArguments

RAW_TOOLS = create_empty_analysis_method_registry()
"""Tools of the standard profile with raw disclosure."""
RAW_LEAN_TOOLS = create_empty_analysis_method_registry()
"""Tools of the lean profile with raw disclosure."""


class RawSubmitArguments(ToolArguments):
    """Arguments of `submit` with raw disclosure."""

    rows: list[object] = Field(
        max_length=MAX_REPORT_ROWS,
        description=f"objects with {', '.join(ROW_FIELDS)}; may be empty",
    )


@RAW_TOOLS.tool(TaskOverviewArguments, name="task_overview")
def build_task_overview_without_flags(
    view: EpisodeView, arguments: TaskOverviewArguments
) -> MethodResult:
    """Return what to know first: thresholds, severity bands, first and last date, row fields."""
    guided_result = lookup.build_task_overview(view, arguments)
    names = ("instruction", "config", "date_count", "dates", "entities")
    return {
        **{name: guided_result[name] for name in names},
        "row_fields": list(ROW_FIELDS),
        "available_methods": list_method_names_of_episode(RAW_TOOLS, view),
    }


@RAW_TOOLS.tool(DateArguments, name="hourly_rows_for_date")
def list_hourly_counts_and_daytime_share_without_flags(
    view: EpisodeView, arguments: DateArguments
) -> MethodResult:
    """Return one date's 24 hourly rows, daytime share and its baseline."""
    guided_result = lookup.list_hourly_counts_and_daytime_share_of_date(view, arguments)
    names = ("daytime_share", "baseline_daytime_share", "top_hours")
    summary = {name: guided_result["summary"][name] for name in names}
    return {**guided_result, "summary": summary}


@RAW_LEAN_TOOLS.tool(lean.LeanOverviewArguments, name="overview", has_episode_data=False)
def list_series_with_median_and_policy_numbers(
    view: EpisodeView, arguments: lean.LeanOverviewArguments
) -> MethodResult:
    """Return dates, each daily series with its median, thresholds and severity bands."""
    guided_result = lean.list_series_with_median_and_threshold(view, arguments)
    columns = guided_result["columns"][:2]
    rows = [row[:2] for row in guided_result["rows"]]
    return {**guided_result, "columns": columns, "rows": rows, **view.policy_numbers}


def build_submission_without_ids(
    _: EpisodeView, arguments: RawSubmitArguments
) -> lean.SubmittedIdsAndRows:
    """Return the content of a report that is submitted with raw disclosure.

    The list of ids is empty, because raw disclosure does not list flagged series with ids.
    """
    return {"ids": [], "rows": arguments.rows}


for _name in (
    "list_dates",
    "list_entities",
    "rows_for_date",
    "show_raw_data",
    "list_calendar",
    "get_metric_median",
):
    RAW_TOOLS.add(TOOLS[_name])
for _name in ("day", "hours", "calendar"):
    RAW_LEAN_TOOLS.add(lean.LEAN_TOOLS[_name])
RAW_LEAN_TOOLS.add(
    Tool(
        lean.SUBMIT_TOOL,
        "Submit the report and end the episode; no rows if there is nothing to report.",
        RawSubmitArguments,
        build_submission_without_ids,
        is_read_only=False,
        is_final=True,
        has_episode_data=False,
    )
)
