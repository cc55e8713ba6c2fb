"""The lean profile: six tools whose replies cost few tokens.

A reply names its columns once and holds its values in rows. `scan` lists what is flagged, roots
and echoes alike, each with a short id; a report names ids, and the server fills in the rows.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from metric_tracker_rl.analysis_tools.arguments import NoArguments
from metric_tracker_rl.analysis_tools.registry import Result, method_registry
from metric_tracker_rl.engine.configuration.play_rules import EpisodeView
from metric_tracker_rl.engine.episode.flagged_series import candidates
from metric_tracker_rl.engine.report.parse_report import MAX_ROWS
from metric_tracker_rl.engine.reporting_policy.labels import ROW_FIELDS
from openenv_kit.errors import ToolArgumentError
from openenv_kit.tool import Arguments, Tool

LEAN_TOOLS = method_registry()
"""The tools of the lean profile."""

SUBMIT = "submit"
PAGE = 120
"""Most candidates in one reply of `scan`, which keeps it below 8 kB."""
MOST_DAYS = 28
"""Most dates of one call of `day`."""
MOST_HOURLY_DAYS = 7
"""Most dates of one call of `hours`."""

CANDIDATE_COLUMNS = ["date", ["id", "name", "change"]]
"""Columns of a reply of `scan`; a date's candidates are rows in its row."""

Id = Annotated[int, Field(ge=1, strict=True)]


class OverviewArguments(Arguments):
    """How much to tell."""

    details: bool = Field(False, description="also the whole policy and the fields of a row")


class ScanArguments(Arguments):
    """Where to begin."""

    first: Id = Field(1, description="id to begin with")


class DayArguments(Arguments):
    """Some dates."""

    dates: list[str] = Field(min_length=1, max_length=MOST_DAYS, description="YYYY-MM-DD")


class HoursArguments(Arguments):
    """A few dates."""

    dates: list[str] = Field(min_length=1, max_length=MOST_HOURLY_DAYS, description="YYYY-MM-DD")


class SubmitArguments(Arguments):
    """A report."""

    ids: list[Id] = Field(max_length=MAX_ROWS, description="ids that scan has shown")
    rows: list[Any] = Field(
        default_factory=list,
        max_length=MAX_ROWS,
        description="further rows in full: objects with the fields that overview tells",
    )


@LEAN_TOOLS.tool(OverviewArguments, shows_data=False)
def overview(view: EpisodeView, arguments: OverviewArguments) -> Result:
    """Dates, and each daily series with its median and reporting threshold."""
    episode, metrics, names = view.episode, view.episode.metrics, _names(view)
    weekdays = metrics.weekday_baseline
    usual = metrics.median[names] if weekdays.empty else weekdays[names].T.to_numpy()
    rows = zip(names, usual.tolist(), episode.series.thresholds.tolist(), strict=True)
    answer: Result = {
        "first_date": episode.dates[0],
        "last_date": episode.dates[-1],
        "columns": ["series", weekdays.index.tolist() or "median", "threshold"],
        "rows": [list(each) for each in rows],
        **view.variant,
    }
    if arguments.details:
        answer |= {"policy": view.policy, "row_fields": list(ROW_FIELDS)}
        answer["entities"] = {
            kind: list(names) for kind, names in episode.config.funnel_spec.entity_names.items()
        }
    return answer


@LEAN_TOOLS.tool(ScanArguments)
def scan(view: EpisodeView, arguments: ScanArguments) -> Result:
    """What is flagged on each date, roots and echoes alike: id, name, change from the median."""
    found = candidates(view.episode)
    page = found[arguments.first - 1 : arguments.first - 1 + PAGE]
    days: dict[str, list[list[Any]]] = {}
    for number, each in enumerate(page, arguments.first):
        listed = [number, each.row.entity_name, round(each.change, 3)]
        days.setdefault(each.row.date, []).append(listed)
    after = arguments.first + len(page)
    return {
        "columns": CANDIDATE_COLUMNS,
        "rows": [list(each) for each in days.items()],
        **({"next": after} if after <= len(found) else {}),
    }


@LEAN_TOOLS.tool(DayArguments)
def day(view: EpisodeView, arguments: DayArguments) -> Result:
    """Every daily series on some dates; rates in percent, the share as a fraction."""
    names, dates = _names(view), [*map(view.episode.require_date, arguments.dates)]
    values = view.episode.metrics.value.loc[dates, names].to_numpy().tolist()
    return {
        "columns": ["date", *names],
        "rows": [[date, *row] for date, row in zip(dates, values, strict=True)],
    }


@LEAN_TOOLS.tool(HoursArguments)
def hours(view: EpisodeView, arguments: HoursArguments) -> Result:
    """Hourly counts of some dates, from hour 0 to 23."""
    counts, dates = view.episode.hourly, [*map(view.episode.require_date, arguments.dates)]
    return {
        "columns": ["date", ["hour", *counts.columns]],
        "rows": [[date, counts.loc[date].reset_index().to_numpy().tolist()] for date in dates],
    }


@LEAN_TOOLS.tool(NoArguments, shows_data=False)
def calendar(view: EpisodeView, _: NoArguments) -> Result:
    """Publicly known events and the series each explains on its date; empty on most levels."""
    dates = view.episode.dates
    return {
        "columns": ["date", "title", "explains"],
        "rows": [
            [dates[entry.day], entry.title, list(entry.explains)]
            for entry in view.episode.draw.calendar
        ],
    }


def chosen_rows(view: EpisodeView, arguments: SubmitArguments) -> Result:
    """The rows of a report, in full, and the ids among them.

    Raises:
        ToolArgumentError: an id that there is not.
    """
    found = candidates(view.episode)
    check_shown(arguments.ids, range(1, len(found) + 1))
    named = [found[number - 1].row.as_dict() for number in arguments.ids]
    return {"ids": arguments.ids, "rows": [*named, *arguments.rows]}


LEAN_TOOLS.add(
    Tool(
        SUBMIT,
        "Hand in the report, which ends the episode; no ids where nothing is to report.",
        SubmitArguments,
        chosen_rows,
        reads_only=False,
        finishes=True,
        shows_data=False,
    )
)


def check_shown(ids: list[int], shown: Any) -> None:
    """Make sure that ids were shown.

    Raises:
        ToolArgumentError: one was not, whether or not there is such a candidate.
    """
    for number in ids:
        if number not in shown:
            raise ToolArgumentError(
                f"{SUBMIT}: no scan has shown the id {number}; allowed: ids of candidates that "
                "scan has shown in this episode. Nothing was graded."
            )


def ids_within(result: Result) -> set[int]:
    """Ids that a reply of `scan` holds; none of any other."""
    if result.get("columns") != CANDIDATE_COLUMNS:
        return set()
    return {candidate[0] for _, rows in result["rows"] for candidate in rows}


def _names(view: EpisodeView) -> list[str]:
    """Names of the daily series."""
    funnel = view.episode.config.funnel_spec
    return [*funnel.metrics, funnel.mix]
