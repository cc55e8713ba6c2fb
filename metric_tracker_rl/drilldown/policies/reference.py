"""The reference by slices: an analyst with a budget who reads tool replies only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from metric_tracker_rl.drilldown.policies.comparison import Finding
from metric_tracker_rl.drilldown.policies.desk import Asking, Desk, RefusedError, ask
from metric_tracker_rl.drilldown.policies.hidden_search import HiddenSearch


def search(desk: Desk) -> Asking[list[dict[str, Any]]]:
    """The rows of a report: pairs of values by week, then the days of what they point to."""
    entries = (yield from ask("change_log"))["entries"]
    analyst = HiddenSearch(desk, (yield from desk.read_totals()))
    with suppress(RefusedError):  # a spent budget ends the search, not the play
        yield from analyst.work()
    return list(rows_of(desk, analyst.findings, entries))


def rows_of(
    desk: Desk, findings: Sequence[Finding], entries: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The report: rates that fall and rise by the inverse are one tracking loss."""
    factors = {(found.channel, found.days, found.cell): found.factor for found in findings}
    mixes = {(found.channel, found.days, found.cell) for found in findings if found.mix}
    taken = set()
    for channel, days, cell in sorted(factors, key=lambda key: (key[0], key[1].start, key[2])):
        if (channel, days, cell) in taken:
            continue
        kind = "rate_change" if channel else "traffic_change"
        following = (channel + 1, days, cell)
        product = factors[channel, days, cell] * factors.get(following, 0.0)
        if (channel, days, cell) in mixes:
            kind = "mix_shift"
        elif channel and abs(product - 1.0) < 0.12:
            kind = "tracking_loss"
            taken.add(following)
        stage = desk.stages[channel]
        component = desk.components.get(kind, desk.components[stage])
        yield {
            "kind": kind,
            "stage": stage,
            "segment": desk.where(cell),
            "date_from": desk.dates[days.start],
            "date_to": desk.dates[days.stop - 1],
            "change": _change(desk, component, cell, days.start, entries),
        }


def _change(
    desk: Desk, component: str, cell: int, first: int, entries: Sequence[Mapping[str, Any]]
) -> str:
    """The entry that answers a root, by the rule of the overview."""
    segment = desk.where(cell)
    window = desk.dates[max(first - 2, 0) : first + 1]
    fitting = [
        entry
        for entry in entries
        if entry["component"] == component
        and entry["date"] in window
        and all(segment.get(name) == value for name, value in entry["scope"].items())
    ]
    if not fitting:
        return "unattributed"
    latest = max(entry["date"] for entry in fitting)
    return str(next(entry["id"] for entry in fitting if entry["date"] == latest))
