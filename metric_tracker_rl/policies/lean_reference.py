"""Reference policy of the lean profile, which applies the reporting policy to results of `scan`.

The implementation is based only on the reporting policy's text. It submits ids, and the server
fills in the values of the report rows.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from metric_tracker_rl.engine.configuration.modes import has_drawn_policy
from metric_tracker_rl.policies.base import (
    Action,
    ObservationJson,
    PolicySteps,
    build_analysis_action,
    require_analysis_result,
)
from metric_tracker_rl.policies.funnel_names import BUILT_IN_NAMES, FunnelNames, read_funnel_names


class ListedSeries(NamedTuple):
    """One flagged series in the result of `scan`.

    Attributes:
        date: date in the format YYYY-MM-DD.
        name: entity name of the series.
        series_id: id of the series, which can be submitted in a report.
        change: deviation from the median.
    """

    date: str
    name: str
    series_id: int
    change: float


def scan_flagged_series_and_submit_root_ids(reset_observation: ObservationJson) -> PolicySteps:
    """Submit the ids of all root anomalies in the lean profile."""
    flagged_series = yield from scan_all_flagged_series()
    root_ids = yield from request_calendar_and_find_root_ids(flagged_series, reset_observation)
    yield build_analysis_action("submit", ids=root_ids)


def request_calendar_and_find_root_ids(
    flagged_series: Sequence[ListedSeries], reset_observation: ObservationJson
) -> Generator[Action, ObservationJson, list[int]]:
    """Request the calendar and return the series ids of all root anomalies.

    If the reporting policy or some of its terms were drawn at random for the episode, the overview
    is requested too, because it states which composite rate to report for a leak and which rule is
    suspended. Its thresholds are applied only if `scan` does not apply them.

    Args:
        flagged_series: every series that `scan_all_flagged_series` has returned.
        reset_observation: observation of the reset.
    """
    names = read_funnel_names(reset_observation)
    composites = names.composite_rates
    suspended_rule: int | None = None
    config = reset_observation.get("config", {})
    if has_drawn_policy(reset_observation) or config.get("drawn_terms"):
        overview = require_analysis_result((yield build_analysis_action("overview")))
        if config.get("scan_lists") == "dates":
            flagged_series = convert_values_to_changes(flagged_series, overview, names)
        if "scan_lists" in config:
            flagged_series = select_flagged_series(flagged_series, overview)
        suspended_rule = overview.get("suspended_rule")
        composites = names.order_composite_rates_by_leak_preference(overview)
    series_by_date: dict[str, dict[str, ListedSeries]] = {}
    for series in flagged_series:
        series_by_date.setdefault(series.date, {})[series.name] = series
    explained: dict[str, list[str]] = {}
    calendar = require_analysis_result((yield build_analysis_action("calendar")))
    for date, _title, explained_names in calendar["rows"]:
        explained.setdefault(date, []).extend(explained_names)
    root_ids: list[int] = []
    for date, series_by_name in series_by_date.items():
        root_ids += find_root_ids_of_date(
            series_by_name, explained.get(date, ()), composites, names, suspended_rule
        )
    return root_ids


def scan_all_flagged_series() -> Generator[Action, ObservationJson, list[ListedSeries]]:
    """Call `scan` until all pages have been read, and return every series with an id.

    If `scan` lists dates only, the series are requested with `day`, and their changes are values.
    """
    flagged_series: list[ListedSeries] = []
    first: int | None = 1
    while first is not None:
        page = require_analysis_result((yield build_analysis_action("scan", first=first)))
        if page["columns"] == ["date"]:
            dates = [date for (date,) in page["rows"]]
            page = require_analysis_result((yield build_analysis_action("day", dates=dates)))
        _, series_columns = page["columns"]
        change_column = series_columns[-1]
        for date, rows in page["rows"]:
            for row in rows:
                values = dict(zip(series_columns, row, strict=True))
                flagged_series.append(
                    ListedSeries(date, values["name"], values["id"], values[change_column])
                )
        first = page.get("next")
    return flagged_series


def convert_values_to_changes(
    listed_series: Sequence[ListedSeries], overview: Mapping[str, Any], names: FunnelNames
) -> list[ListedSeries]:
    """Return the series with the deviation of each value from its median.

    Args:
        listed_series: series whose `change` is a value.
        overview: result of `overview`.
        names: names of the daily series.
    """
    medians = {name: median for name, median, _ in overview["rows"]}
    converted = []
    for series in listed_series:
        change = series.change
        if series.name in medians:
            change -= medians[series.name]
            if series.name != names.daytime_share:
                change /= medians[series.name] or 1.0
        converted.append(series._replace(change=change))
    return converted


def select_flagged_series(
    listed_series: Sequence[ListedSeries], overview: Mapping[str, Any]
) -> list[ListedSeries]:
    """Return the series that reach their threshold in the overview, and all impossible counts."""
    thresholds = {name: threshold for name, _, threshold in overview["rows"]}
    return [
        series for series in listed_series if abs(series.change) >= thresholds.get(series.name, 0.0)
    ]


def find_root_ids_of_date(
    flagged_series_by_name: Mapping[str, ListedSeries],
    explained_series: Collection[str] = (),
    ordered_composite_rates: Sequence[str] = BUILT_IN_NAMES.composite_rates,
    names: FunnelNames = BUILT_IN_NAMES,
    suspended_rule: int | None = None,
) -> list[int]:
    """Apply the reporting policy to the flagged series of one date and return the ids of the roots.

    A root is a flagged series that the policy requires in the report.

    Args:
        flagged_series_by_name: flagged series of the date by entity name.
        explained_series: names of the daily series that the calendar explains on the date.
        ordered_composite_rates: composite rates in order of preference; a leak is reported as the
            first flagged one.
        names: names of the daily series.
        suspended_rule: number of the rule whose roots are not reported, 2 to 6; None if there is
            none.
    """
    impossible_counts = [
        series.series_id
        for name, series in flagged_series_by_name.items()
        if name in names.quality_checks
    ]
    if impossible_counts:
        return impossible_counts
    unexplained = {
        name: series
        for name, series in flagged_series_by_name.items()
        if names.convert_funnel_step_to_step_rate(name) not in explained_series
    }
    # `scan` lists a broken step under its funnel step and any other step under its step rate.
    steps = [
        step_rate if step_rate in unexplained else funnel_break
        for step_rate, funnel_break in zip(names.step_rates, names.funnel_breaks, strict=True)
    ]
    roots_by_rule: dict[int, list[str]] = {
        2: [name for name in unexplained if name == names.daytime_share],
        3: [],
    }
    consequences: set[str] = set()
    stages_with_neighbours = zip(names.stages, names.stages[1:], names.stages[2:], strict=False)
    for (above, stage, below), (into, out_of) in zip(
        stages_with_neighbours, pairwise(steps), strict=True
    ):
        is_only_stage = stage in unexplained and not {above, below} & unexplained.keys()
        has_both_steps = into in unexplained and out_of in unexplained
        if not (is_only_stage and has_both_steps):
            continue
        if unexplained[into].change * unexplained[out_of].change < 0:
            roots_by_rule[3].append(stage)
            consequences |= {into, out_of}
    flagged_steps = [step for step in steps if step in unexplained]
    roots_by_rule[4] = [step for step in flagged_steps if step not in consequences]
    leaks = [name for name in ordered_composite_rates if name in unexplained]
    roots_by_rule[5] = [] if flagged_steps else leaks[:1]
    roots_by_rule[6] = [name for name in names.stages[:1] if name in unexplained]
    return [
        unexplained[name].series_id
        for rule, roots in roots_by_rule.items()
        if rule != suspended_rule
        for name in roots
    ]
