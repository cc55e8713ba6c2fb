"""The reference in the lean profile: applies the policy's rules to what `scan` lists.

Written from the rules' text alone; it needs no value, because the server fills in the rows of ids.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from metric_tracker_rl.engine.configuration.play_rules import is_varied
from metric_tracker_rl.policies.base import Action, Observed, Play, analyse, result_of

STAGES = (
    "app_opens",
    "menu_opens",
    "product_added_to_cart",
    "orders_placed",
    "payment_successful",
)
STEPS = (
    "app_open_to_menu_open",
    "menu_open_to_product_added_to_cart",
    "product_added_to_cart_to_order_placed",
    "order_placed_to_payment_successful",
)
BREAKS = tuple(f"{below}_from_{above}" for above, below in pairwise(STAGES))
"""Names of the steps where their rates fell so far that they are funnel breaks."""
COMPOSITES = ("app_open_to_order_placed", "app_open_to_payment_successful")
MIX = "app_opens:daytime_share"

Candidates = list[tuple[str, int, str, float]]
"""Date, id, name and change of each candidate."""


def lean_reference(opening: Observed) -> Play:
    """Submits the ids of the roots."""
    candidates = yield from every_candidate()
    yield analyse("submit", ids=(yield from right_ids(candidates, opening)))


def right_ids(candidates: Candidates, opening: Observed) -> Generator[Action, Observed, list[int]]:
    """Ids of the roots among the candidates, by one look at the calendar.

    Where the opening tells of a policy that was drawn, by one look at the overview too: what it
    says otherwise is in what scan lists, but for which composite a leak is reported as.
    """
    composites: Sequence[str] = COMPOSITES
    if is_varied(opening):
        overview = result_of((yield analyse("overview")))
        composites = composites_in_order(overview)
    days: dict[str, dict[str, tuple[int, float]]] = {}
    for date, number, name, change in candidates:
        days.setdefault(date, {})[name] = (number, change)
    explained: dict[str, list[str]] = {}
    for date, _title, names in result_of((yield analyse("calendar")))["rows"]:
        explained.setdefault(date, []).extend(names)
    found = [roots(flagged, explained.get(date, ()), composites) for date, flagged in days.items()]
    return [number for each in found for number in each]


def every_candidate() -> Generator[Action, Observed, Candidates]:
    """Every candidate, by as many scans as it takes."""
    candidates: Candidates = []
    first: int | None = 1
    while first is not None:
        page = result_of((yield analyse("scan", first=first)))
        candidates += [(date, *each) for date, rows in page["rows"] for each in rows]
        first = page.get("next")
    return candidates


def composites_in_order(terms: Mapping[str, Any]) -> Sequence[str]:
    """The composite rates, from the one that a leak is reported as first."""
    longest = terms.get("leak_reports") == "longest_composite"
    return COMPOSITES[::-1] if longest else COMPOSITES


def roots(
    candidates: Mapping[str, tuple[int, float]],
    explained: Collection[str] = (),
    composites: Sequence[str] = COMPOSITES,
) -> list[int]:
    """Ids of one date's roots, by the policy's rules.

    Args:
        candidates: id and change of what is flagged, by name.
        explained: series that the calendar explains on that date.
        composites: the composite rates, from the one that a leak is reported as first.
    """
    impossible = [number for name, (number, _) in candidates.items() if "_lte_" in name]
    if impossible:
        return impossible
    flagged = {name: each for name, each in candidates.items() if _series(name) not in explained}
    steps = [step if step in flagged else brk for step, brk in zip(STEPS, BREAKS, strict=True)]
    found = [MIX] if MIX in flagged else []
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


def _series(name: str) -> str:
    """The series that a candidate is about: of a funnel step, its rate."""
    return STEPS[BREAKS.index(name)] if name in BREAKS else name
