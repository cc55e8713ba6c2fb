"""The reference in the lean profile: applies the policy's rules to what `scan` lists.

Written from the rules' text alone; it needs no value, because the server fills in the rows of ids.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from itertools import pairwise
from typing import Any

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
"""Names of the steps where their rates fell so far that they are funnel breaks."""
COMPOSITE_RATES = ("app_open_to_order_placed", "app_open_to_payment_successful")
DAYTIME_SHARE = "app_opens:daytime_share"

FlaggedSeriesList = list[tuple[str, int, str, float]]
"""Date, id, name and change of each candidate."""


def lean_reference(reset_observation: ObservationJson) -> PolicySteps:
    """Submits the ids of the roots."""
    candidates = yield from scan_flagged_series()
    yield build_analysis_action(
        "submit", ids=(yield from find_root_ids(candidates, reset_observation))
    )


def find_root_ids(
    flagged_series: FlaggedSeriesList, reset_observation: ObservationJson
) -> Generator[Action, ObservationJson, list[int]]:
    """Ids of the roots among the candidates, by one look at the calendar.

    Where the opening tells of a policy that was drawn, by one look at the overview too: what it
    says otherwise is in what scan lists, but for which composite a leak is reported as.
    """
    composites: Sequence[str] = COMPOSITE_RATES
    if has_drawn_policy(reset_observation):
        overview = require_analysis_result((yield build_analysis_action("overview")))
        composites = composites_by_priority(overview)
    days: dict[str, dict[str, tuple[int, float]]] = {}
    for date, number, name, change in flagged_series:
        days.setdefault(date, {})[name] = (number, change)
    explained: dict[str, list[str]] = {}
    for date, _title, names in require_analysis_result((yield build_analysis_action("calendar")))[
        "rows"
    ]:
        explained.setdefault(date, []).extend(names)
    found = [
        find_root_ids_of_date(flagged, explained.get(date, ()), composites)
        for date, flagged in days.items()
    ]
    return [number for each in found for number in each]


def scan_flagged_series() -> Generator[Action, ObservationJson, FlaggedSeriesList]:
    """Every candidate, by as many scans as it takes."""
    candidates: FlaggedSeriesList = []
    first: int | None = 1
    while first is not None:
        page = require_analysis_result((yield build_analysis_action("scan", first=first)))
        candidates += [(date, *each) for date, rows in page["rows"] for each in rows]
        first = page.get("next")
    return candidates


def composites_by_priority(policy_numbers: Mapping[str, Any]) -> Sequence[str]:
    """The composite rates, from the one that a leak is reported as first."""
    longest = policy_numbers.get("leak_reports") == "longest_composite"
    return COMPOSITE_RATES[::-1] if longest else COMPOSITE_RATES


def find_root_ids_of_date(
    flagged_series: Mapping[str, tuple[int, float]],
    explained: Collection[str] = (),
    composites: Sequence[str] = COMPOSITE_RATES,
) -> list[int]:
    """Ids of one date's roots, by the policy's rules.

    Args:
        flagged_series: id and change of what is flagged, by name.
        explained: series that the calendar explains on that date.
        composites: the composite rates, from the one that a leak is reported as first.
    """
    impossible = [number for name, (number, _) in flagged_series.items() if "_lte_" in name]
    if impossible:
        return impossible
    flagged = {
        name: each
        for name, each in flagged_series.items()
        if _daily_series_name(name) not in explained
    }
    steps = [
        step if step in flagged else brk
        for step, brk in zip(STEP_RATES, FUNNEL_BREAKS, strict=True)
    ]
    found = [DAYTIME_SHARE] if DAYTIME_SHARE in flagged else []
    echoes: set[str] = set()
    for (above, stage, below), (into, out_of) in zip(
        zip(STAGES, STAGES[1:], STAGES[2:], strict=False), pairwise(steps), strict=True
    ):
        alone = stage in flagged and above not in flagged and below not in flagged
        both_steps = into in flagged and out_of in flagged
        if alone and both_steps and flagged[into][1] * flagged[out_of][1] < 0:
            found.append(stage)
            echoes |= {into, out_of}
    moved = [step for step in steps if step in flagged]
    found += [step for step in moved if step not in echoes]
    if not moved:
        found += [name for name in composites if name in flagged][:1]
    if STAGES[0] in flagged:
        found.append(STAGES[0])
    return [flagged[name][0] for name in found]


def _daily_series_name(name: str) -> str:
    """The series that a candidate is about: of a funnel step, its rate."""
    return STEP_RATES[FUNNEL_BREAKS.index(name)] if name in FUNNEL_BREAKS else name
