"""The lean profile: six tools whose replies cost few tokens.

A reply names its columns once and holds its values in rows. `scan` lists what is flagged, roots
and echoes alike, each with a short id; a report names ids, and the server fills in the rows.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from metric_tracker_rl.analysis_tools.arguments import NoMethodArguments
from metric_tracker_rl.analysis_tools.registry import MethodResult, create_method_registry
from metric_tracker_rl.engine.definitions.report_row import ROW_FIELDS
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.episode.flagged_series import list_flagged_series
from metric_tracker_rl.engine.report.parse_report import MAX_REPORT_ROWS
from openenv_kit.errors import ToolArgumentError
from openenv_kit.tool import Tool, ToolArguments

LEAN_TOOLS = create_method_registry()
"""The tools of the lean profile."""

SUBMIT_TOOL = "submit"
MAX_CANDIDATES_PER_REPLY = 120
"""Most candidates in one reply of `scan`, which keeps it below 8 kB."""
MAX_DATES_PER_DAY_CALL = 28
"""Most dates of one call of `day`."""
MAX_DATES_PER_HOURS_CALL = 7
"""Most dates of one call of `hours`."""

SCAN_COLUMNS = ["date", ["id", "name", "change"]]
"""Columns of a reply of `scan`; a date's candidates are rows in its row."""

FlaggedSeriesId = Annotated[int, Field(ge=1, strict=True)]


class LeanOverviewArguments(ToolArguments):
    """How much to tell."""

    details: bool = Field(False, description="also the whole policy and the fields of a row")


class ScanArguments(ToolArguments):
    """Where to begin."""

    first: FlaggedSeriesId = Field(1, description="id to begin with")


class DailyValuesArguments(ToolArguments):
    """Some dates."""

    dates: list[str] = Field(
        min_length=1, max_length=MAX_DATES_PER_DAY_CALL, description="YYYY-MM-DD"
    )


class HourlyCountsArguments(ToolArguments):
    """A few dates."""

    dates: list[str] = Field(
        min_length=1, max_length=MAX_DATES_PER_HOURS_CALL, description="YYYY-MM-DD"
    )


class LeanSubmitArguments(ToolArguments):
    """A report."""

    ids: list[FlaggedSeriesId] = Field(
        max_length=MAX_REPORT_ROWS, description="ids that scan has shown"
    )
    rows: list[Any] = Field(
        default_factory=list,
        max_length=MAX_REPORT_ROWS,
        description="further rows in full: objects with the fields that overview tells",
    )


@LEAN_TOOLS.tool(LeanOverviewArguments, has_episode_data=False)
def overview(view: EpisodeView, arguments: LeanOverviewArguments) -> MethodResult:
    """Dates, and each daily series with its median and reporting threshold."""
    episode, metrics, names = view.episode, view.episode.metrics, _daily_series_names(view)
    weekdays = metrics.weekday_baseline
    usual = metrics.median[names] if weekdays.empty else weekdays[names].T.to_numpy()
    rows = zip(names, usual.tolist(), episode.series.thresholds.tolist(), strict=True)
    answer: MethodResult = {
        "first_date": episode.dates[0],
        "last_date": episode.dates[-1],
        "columns": ["series", weekdays.index.tolist() or "median", "threshold"],
        "rows": [list(each) for each in rows],
        **view.drawn_policy_numbers,
    }
    if arguments.details:
        answer |= {"policy": view.policy_text, "row_fields": list(ROW_FIELDS)}
        answer["entities"] = {
            kind: list(names)
            for kind, names in episode.config.funnel_spec.entity_names_by_type.items()
        }
    return answer


@LEAN_TOOLS.tool(ScanArguments)
def scan(view: EpisodeView, arguments: ScanArguments) -> MethodResult:
    """What is flagged on each date, roots and echoes alike: id, name, change from the median."""
    found = list_flagged_series(view.episode)
    page = found[arguments.first - 1 : arguments.first - 1 + MAX_CANDIDATES_PER_REPLY]
    days: dict[str, list[list[Any]]] = {}
    for number, each in enumerate(page, arguments.first):
        listed = [number, each.row.entity_name, round(each.deviation, 3)]
        days.setdefault(each.row.date, []).append(listed)
    after = arguments.first + len(page)
    return {
        "columns": SCAN_COLUMNS,
        "rows": [list(each) for each in days.items()],
        **({"next": after} if after <= len(found) else {}),
    }


@LEAN_TOOLS.tool(DailyValuesArguments)
def day(view: EpisodeView, arguments: DailyValuesArguments) -> MethodResult:
    """Every daily series on some dates; rates in percent, the share as a fraction."""
    names, dates = _daily_series_names(view), [*map(view.episode.require_date, arguments.dates)]
    values = view.episode.metrics.value.loc[dates, names].to_numpy().tolist()
    return {
        "columns": ["date", *names],
        "rows": [[date, *row] for date, row in zip(dates, values, strict=True)],
    }


@LEAN_TOOLS.tool(HourlyCountsArguments)
def hours(view: EpisodeView, arguments: HourlyCountsArguments) -> MethodResult:
    """Hourly counts of some dates, from hour 0 to 23."""
    counts, dates = view.episode.hourly, [*map(view.episode.require_date, arguments.dates)]
    return {
        "columns": ["date", ["hour", *counts.columns]],
        "rows": [[date, counts.loc[date].reset_index().to_numpy().tolist()] for date in dates],
    }


@LEAN_TOOLS.tool(NoMethodArguments, has_episode_data=False)
def calendar(view: EpisodeView, _: NoMethodArguments) -> MethodResult:
    """Publicly known events and the series each explains on its date; empty on most levels."""
    dates = view.episode.dates
    return {
        "columns": ["date", "title", "explains"],
        "rows": [
            [dates[entry.day], entry.title, list(entry.explains)]
            for entry in view.episode.generated.calendar
        ],
    }


def rows_to_submit(view: EpisodeView, arguments: LeanSubmitArguments) -> MethodResult:
    """The rows of a report, in full, and the ids among them.

    Raises:
        ToolArgumentError: an id that there is not.
    """
    found = list_flagged_series(view.episode)
    require_listed_ids(arguments.ids, range(1, len(found) + 1))
    named = [found[number - 1].row.as_dict() for number in arguments.ids]
    return {"ids": arguments.ids, "rows": [*named, *arguments.rows]}


LEAN_TOOLS.add(
    Tool(
        SUBMIT_TOOL,
        "Hand in the report, which ends the episode; no ids where nothing is to report.",
        LeanSubmitArguments,
        rows_to_submit,
        is_read_only=False,
        is_final=True,
        has_episode_data=False,
    )
)


def require_listed_ids(ids: list[int], listed_ids: Any) -> None:
    """Make sure that ids were shown.

    Raises:
        ToolArgumentError: one was not, whether or not there is such a candidate.
    """
    for number in ids:
        if number not in listed_ids:
            raise ToolArgumentError(
                f"{SUBMIT_TOOL}: no scan has shown the id {number}; allowed: ids of candidates "
                "that scan has shown in this episode. Nothing was graded."
            )


def ids_in_result(result: MethodResult) -> set[int]:
    """Ids that a reply of `scan` holds; none of any other."""
    if result.get("columns") != SCAN_COLUMNS:
        return set()
    return {candidate[0] for _, rows in result["rows"] for candidate in rows}


def _daily_series_names(view: EpisodeView) -> list[str]:
    """Names of the daily series."""
    funnel = view.episode.config.funnel_spec
    return [*funnel.metric_names, funnel.mix_entity_name]
