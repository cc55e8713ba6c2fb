"""The six tools of the lean profile, whose results take few tokens.

Each result contains its column names once, followed by rows of values. `scan` lists every flagged
series, whether it is a root anomaly or a consequence of one, with a short numeric id. A report
contains ids, and the server looks up the corresponding report rows.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Annotated, Any, TypedDict

from pydantic import Field

from metric_tracker_rl.analysis_tools.arguments import NoMethodArguments
from metric_tracker_rl.analysis_tools.registry import (
    MethodResult,
    create_empty_analysis_method_registry,
)
from metric_tracker_rl.engine.definitions.names import ScanContent
from metric_tracker_rl.engine.definitions.report_row import ROW_FIELDS
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.episode.flagged_series import get_series_name, list_series_by_id
from metric_tracker_rl.engine.report.parse_report import MAX_REPORT_ROWS
from openenv_kit.errors import ToolArgumentError
from openenv_kit.tool import Tool, ToolArguments

LEAN_TOOLS = create_empty_analysis_method_registry()
"""Tools of the lean profile with guided disclosure."""

SUBMIT_TOOL = "submit"
MAX_CANDIDATES_PER_REPLY = 120
"""Largest number of flagged series in one result of `scan`. The result stays below 8 kB."""
MAX_DATES_PER_DAY_CALL = 28
"""Largest number of dates in one call of `day`."""
MAX_DATES_PER_HOURS_CALL = 7
"""Largest number of dates in one call of `hours`."""

SCAN_COLUMNS = ["date", ["name", "id", "change"]]
"""Columns of a result of `scan`: each date has a list of rows, one for each flagged series."""

SCAN_DATES_COLUMNS = ["date"]
"""Columns of a result of `scan` on levels on which it lists dates only."""
DAY_COLUMNS_WITH_IDS = ["date", ["name", "id", "value"]]
"""Columns of a result of `day` on levels on which `scan` lists dates only."""
SCAN_DECIMALS = {ScanContent.FLAGGED: 3, ScanContent.DEVIATIONS: 4}
"""Decimals of the changes in a result of `scan`. No change is as close to a threshold."""

FlaggedSeriesId = Annotated[int, Field(ge=1, strict=True)]


def _remove_default(schema: dict[str, Any]) -> None:
    """Remove the default from an argument's schema, to shorten the first message to the model."""
    del schema["default"]


class SubmittedIdsAndRows(TypedDict):
    """Content of a submitted report.

    Attributes:
        ids: the submitted ids of flagged series; always empty with raw disclosure.
        rows: all rows of the report, including the rows of the submitted ids.
    """

    ids: list[int]
    rows: list[Any]


class LeanOverviewArguments(ToolArguments):
    """Arguments of `overview`."""

    details: bool = Field(
        False, description="add the policy and row_fields", json_schema_extra=_remove_default
    )


class ScanArguments(ToolArguments):
    """Arguments of `scan`."""

    first: FlaggedSeriesId = Field(1, description="first id", json_schema_extra=_remove_default)


class DailyValuesArguments(ToolArguments):
    """Arguments of `day`."""

    dates: list[str] = Field(
        min_length=1, max_length=MAX_DATES_PER_DAY_CALL, description="YYYY-MM-DD"
    )


class HourlyCountsArguments(ToolArguments):
    """Arguments of `hours`."""

    dates: list[str] = Field(min_length=1, max_length=MAX_DATES_PER_HOURS_CALL)


class LeanSubmitArguments(ToolArguments):
    """Arguments of `submit` with guided disclosure."""

    ids: list[FlaggedSeriesId] = Field(max_length=MAX_REPORT_ROWS)
    rows: list[Any] = Field(
        default_factory=list,
        max_length=MAX_REPORT_ROWS,
        description="further rows with all row_fields",
    )


@LEAN_TOOLS.tool(LeanOverviewArguments, name="overview", has_episode_data=False)
def list_series_with_median_and_threshold(
    view: EpisodeView, arguments: LeanOverviewArguments
) -> MethodResult:
    """Return dates, and each daily series with its median and threshold."""
    episode = view.episode
    names = _list_daily_series_names(view)
    weekday_baselines = episode.metrics.baseline_by_weekday_if_any
    if weekday_baselines.empty:
        baselines = episode.metrics.median_over_all_days[names].tolist()
    else:
        baselines = weekday_baselines[names].T.to_numpy().tolist()
    rows = zip(names, baselines, episode.series.thresholds.tolist(), strict=True)
    result: MethodResult = {
        "first_date": episode.dates[0],
        "last_date": episode.dates[-1],
        "columns": ["series", weekday_baselines.index.tolist() or "median", "threshold"],
        "rows": [list(row) for row in rows],
        **view.drawn_policy_numbers,
        **view.drawn_terms,
        **view.names_and_thresholds_of_product,
    }
    if arguments.details:
        result |= {"policy": view.reporting_policy_text, "row_fields": list(ROW_FIELDS)}
        funnel = episode.config.funnel_with_policy_daytime
        result["entities"] = {
            entity_type: list(entity_names)
            for entity_type, entity_names in funnel.entity_names_by_type.items()
        }
    return result


@LEAN_TOOLS.tool(ScanArguments, name="scan")
def list_flagged_series_with_ids_by_date(
    view: EpisodeView, arguments: ScanArguments
) -> MethodResult:
    """List what deviates, by date."""
    config = view.episode.config
    scan_lists = config.level_with_policy_parameters.scan_lists
    flagged_series = list_series_by_id(view.episode)
    if scan_lists == ScanContent.DATES:
        dates = dict.fromkeys(listed.row.date for listed in flagged_series)
        return {"columns": SCAN_DATES_COLUMNS, "rows": [[date] for date in dates]}
    start = arguments.first - 1
    page = flagged_series[start : start + MAX_CANDIDATES_PER_REPLY]
    rows_by_date: dict[str, list[list[Any]]] = {}
    for series_id, flagged in enumerate(page, arguments.first):
        name = flagged.row.entity_name
        if scan_lists == ScanContent.DEVIATIONS:
            name = get_series_name(flagged, config.funnel_with_policy_daytime)
        row = [name, series_id, round(flagged.deviation, SCAN_DECIMALS[scan_lists])]
        rows_by_date.setdefault(flagged.row.date, []).append(row)
    next_id = arguments.first + len(page)
    return {
        "columns": SCAN_COLUMNS,
        "rows": [list(date_and_rows) for date_and_rows in rows_by_date.items()],
        **({"next": next_id} if next_id <= len(flagged_series) else {}),
    }


@LEAN_TOOLS.tool(DailyValuesArguments, name="day")
def list_daily_values(view: EpisodeView, arguments: DailyValuesArguments) -> MethodResult:
    """Return every daily series on given dates."""
    names = _list_daily_series_names(view)
    dates = [view.episode.require_episode_date(date) for date in arguments.dates]
    scan_lists = view.episode.config.level_with_policy_parameters.scan_lists
    if scan_lists == ScanContent.DATES and not view.rules.has_raw_disclosure:
        return _list_daily_values_with_ids(view, dates)
    values = view.episode.metrics.value.loc[dates, names].to_numpy().tolist()
    return {
        "columns": ["date", *names],
        "rows": [[date, *row] for date, row in zip(dates, values, strict=True)],
    }


def _list_daily_values_with_ids(view: EpisodeView, dates: Sequence[str]) -> MethodResult:
    """Return every daily series on given dates, with the ids of the dates that `scan` lists.

    Dates without ids have no rows.
    """
    funnel = view.episode.config.funnel_with_policy_daytime
    rows_by_date: dict[str, list[list[Any]]] = {date: [] for date in dates}
    for series_id, listed in enumerate(list_series_by_id(view.episode), start=1):
        if listed.row.date in rows_by_date:
            row = [get_series_name(listed, funnel), series_id, listed.row.observed_value]
            rows_by_date[listed.row.date].append(row)
    return {
        "columns": DAY_COLUMNS_WITH_IDS,
        "rows": [list(date_and_rows) for date_and_rows in rows_by_date.items()],
    }


@LEAN_TOOLS.tool(HourlyCountsArguments, name="hours")
def list_hourly_counts(view: EpisodeView, arguments: HourlyCountsArguments) -> MethodResult:
    """Return hourly counts of given dates."""
    counts = view.episode.hourly
    dates = [view.episode.require_episode_date(date) for date in arguments.dates]
    return {
        "columns": ["date", ["hour", *counts.columns]],
        "rows": [[date, counts.loc[date].reset_index().to_numpy().tolist()] for date in dates],
    }


@LEAN_TOOLS.tool(NoMethodArguments, name="calendar", has_episode_data=False)
def list_calendar_events(view: EpisodeView, _: NoMethodArguments) -> MethodResult:
    """List public events and the series that each explains."""
    dates = view.episode.dates
    return {
        "columns": ["date", "title", "explains"],
        "rows": [
            [dates[entry.day], entry.title, list(entry.explains)]
            for entry in view.episode.generated.calendar
        ],
    }


def convert_submitted_ids_to_rows(
    view: EpisodeView, arguments: LeanSubmitArguments
) -> SubmittedIdsAndRows:
    """Look up the report rows of the submitted ids and append the submitted rows to them.

    The result contains the submitted ids and all rows.

    Raises:
        ToolArgumentError: an id does not belong to a flagged series of the episode.
    """
    flagged_series = list_series_by_id(view.episode)
    require_ids_listed_by_scan(arguments.ids, range(1, len(flagged_series) + 1))
    rows_of_ids = [flagged_series[series_id - 1].row.as_dict() for series_id in arguments.ids]
    return {"ids": arguments.ids, "rows": [*rows_of_ids, *arguments.rows]}


LEAN_TOOLS.add(
    Tool(
        SUBMIT_TOOL,
        "Submit the report and end the episode.",
        LeanSubmitArguments,
        convert_submitted_ids_to_rows,
        is_read_only=False,
        is_final=True,
        has_episode_data=False,
    )
)


def require_ids_listed_by_scan(submitted_ids: Iterable[int], listed_ids: Container[int]) -> None:
    """Raise an error if any of the ids was not listed by `scan`.

    Raises:
        ToolArgumentError: an id was not listed. The message does not reveal whether the id exists.
    """
    for series_id in submitted_ids:
        if series_id not in listed_ids:
            raise ToolArgumentError(
                f"{SUBMIT_TOOL}: scan has not listed the id {series_id}; allowed: ids that scan "
                "has listed in this episode. Nothing was graded."
            )


def find_series_ids_in_scan_result(result: MethodResult) -> set[int]:
    """Return the ids of all series that a result of `scan` lists, or of `day` if it lists ids.

    If the result comes from another tool, the set is empty.
    """
    columns = result.get("columns")
    if columns not in (SCAN_COLUMNS, DAY_COLUMNS_WITH_IDS):
        return set()
    _, series_columns = columns
    id_position = series_columns.index("id")
    return {row[id_position] for _, rows in result["rows"] for row in rows}


def _list_daily_series_names(view: EpisodeView) -> list[str]:
    """Return the names of all series of the episode that have one value per day.

    These are the event counts, the conversion rates and, if the funnel has one, the daytime share.
    """
    funnel = view.episode.config.funnel_with_policy_daytime
    return list(funnel.daily_series_names)
