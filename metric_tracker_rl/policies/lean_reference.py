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

STAGES = (
    "app_opens",
    "menu_opens",
    "product_added_to_cart",
    "orders_placed",
    "payment_successful",
)
STEP_RATES = (
    "app_open_to_menu_open",
    "menu_open_to_product_added_to_cart",
    "product_added_to_cart_to_order_placed",
    "order_placed_to_payment_successful",
)
FUNNEL_BREAKS = tuple(f"{below}_from_{above}" for above, below in pairwise(STAGES))
"""Names of the funnel steps, in the order of `STEP_RATES`."""
COMPOSITE_RATES = ("app_open_to_order_placed", "app_open_to_payment_successful")
DAYTIME_SHARE = "app_opens:daytime_share"


class ListedSeries(NamedTuple):
    """One flagged series in the result of `scan`.

    Attributes:
        date: date in the format YYYY-MM-DD.
        series_id: id of the series, which can be submitted in a report.
        name: entity name of the series.
        change: deviation from the median.
    """

    date: str
    series_id: int
    name: str
    change: float


def scan_flagged_series_and_submit_root_ids(reset_observation: ObservationJson) -> PolicySteps:
    """Submit the ids of all root anomalies in the lean profile."""
    flagged_series = yield from scan_all_flagged_series()
    root_ids = yield from request_calendar_and_find_root_ids(flagged_series, reset_observation)
    yield build_analysis_action("submit", ids=root_ids)


def request_calendar_and_find_root_ids(
    flagged_series: Sequence[ListedSeries], reset_observation: ObservationJson
) -> Generator[Action, ObservationJson, list[int]]:
    """Request the calendar and return the ids of all roots.

    If the reporting policy is drawn, the overview is requested too, because it states which
    composite rate to report for a leak. `scan` already applies the drawn thresholds.

    Args:
        flagged_series: every flagged series of the episode.
        reset_observation: observation of the reset.
    """
    composites: Sequence[str] = COMPOSITE_RATES
    if has_drawn_policy(reset_observation):
        overview = require_analysis_result((yield build_analysis_action("overview")))
        composites = order_composite_rates_by_leak_preference(overview)
    series_by_date: dict[str, dict[str, ListedSeries]] = {}
    for series in flagged_series:
        series_by_date.setdefault(series.date, {})[series.name] = series
    explained: dict[str, list[str]] = {}
    calendar = require_analysis_result((yield build_analysis_action("calendar")))
    for date, _title, names in calendar["rows"]:
        explained.setdefault(date, []).extend(names)
    root_ids: list[int] = []
    for date, series_by_name in series_by_date.items():
        root_ids += find_root_ids_of_date(series_by_name, explained.get(date, ()), composites)
    return root_ids


def scan_all_flagged_series() -> Generator[Action, ObservationJson, list[ListedSeries]]:
    """Call `scan` until all pages have been read, and return every flagged series."""
    flagged_series: list[ListedSeries] = []
    first: int | None = 1
    while first is not None:
        page = require_analysis_result((yield build_analysis_action("scan", first=first)))
        for date, rows in page["rows"]:
            flagged_series += [ListedSeries(date, *row) for row in rows]
        first = page.get("next")
    return flagged_series


def order_composite_rates_by_leak_preference(policy_numbers: Mapping[str, Any]) -> Sequence[str]:
    """Return the composite rates, sorted so that a leak is reported as the first flagged one."""
    longest = policy_numbers.get("leak_reports") == "longest_composite"
    return COMPOSITE_RATES[::-1] if longest else COMPOSITE_RATES


def find_root_ids_of_date(
    flagged_series_by_name: Mapping[str, ListedSeries],
    explained_series: Collection[str] = (),
    ordered_composite_rates: Sequence[str] = COMPOSITE_RATES,
) -> list[int]:
    """Apply the reporting policy to one date and return the ids of the roots.

    Args:
        flagged_series_by_name: flagged series of the date by entity name.
        explained_series: names of the daily series that the calendar explains on the date.
        ordered_composite_rates: composite rates in order of preference; a leak is reported as the
            first flagged one.
    """
    impossible_counts = [
        series.series_id for name, series in flagged_series_by_name.items() if "_lte_" in name
    ]
    if impossible_counts:
        return impossible_counts
    unexplained = {
        name: series
        for name, series in flagged_series_by_name.items()
        if _convert_funnel_step_name_to_step_rate_name(name) not in explained_series
    }
    # `scan` lists a broken step under its funnel step and any other step under its step rate.
    steps = [
        step_rate if step_rate in unexplained else funnel_break
        for step_rate, funnel_break in zip(STEP_RATES, FUNNEL_BREAKS, strict=True)
    ]
    roots = [DAYTIME_SHARE] if DAYTIME_SHARE in unexplained else []
    consequences: set[str] = set()
    stages_with_neighbours = zip(STAGES, STAGES[1:], STAGES[2:], strict=False)
    for (above, stage, below), (into, out_of) in zip(
        stages_with_neighbours, pairwise(steps), strict=True
    ):
        is_only_stage = stage in unexplained and not {above, below} & unexplained.keys()
        has_both_steps = into in unexplained and out_of in unexplained
        if not (is_only_stage and has_both_steps):
            continue
        if unexplained[into].change * unexplained[out_of].change < 0:
            roots.append(stage)
            consequences |= {into, out_of}
    flagged_steps = [step for step in steps if step in unexplained]
    roots += [step for step in flagged_steps if step not in consequences]
    if not flagged_steps:
        roots += [name for name in ordered_composite_rates if name in unexplained][:1]
    if STAGES[0] in unexplained:
        roots.append(STAGES[0])
    return [unexplained[name].series_id for name in roots]


def _convert_funnel_step_name_to_step_rate_name(series_name: str) -> str:
    """Convert the name of a funnel step to its step rate; return other names unchanged."""
    return (
        STEP_RATES[FUNNEL_BREAKS.index(series_name)]
        if series_name in FUNNEL_BREAKS
        else series_name
    )
