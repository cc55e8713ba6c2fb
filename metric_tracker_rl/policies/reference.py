"""Reference: reads tool results and applies the reporting policy to them.

Written from the policy's text alone, on what the tools show, and shares no code with the
generator or the labels. That it scores 1.0 on an episode therefore proves the episode
solvable from the tools. In the lean profile and with raw disclosure the reference is
another one, which plays here in its place.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from metric_tracker_rl.engine.configuration.play_rules import mode_of
from metric_tracker_rl.engine.definitions.names import GUIDED, LEAN, RAW, STANDARD
from metric_tracker_rl.policies.base import (
    Action,
    Observed,
    Play,
    Row,
    analyse,
    policy,
    result_of,
    submit,
)
from metric_tracker_rl.policies.lean_reference import (
    COMPOSITES,
    MIX,
    STAGES,
    STEPS,
    lean_reference,
)
from metric_tracker_rl.policies.policy_from_text import FIELDS, FunnelDay, mix_row, usual_on
from metric_tracker_rl.policies.raw_reference import raw_lean_reference, raw_reference

SHARES = ("observed_value", "baseline_value")
DATES_A_PAGE = 10
"""Dates of a call of `list_suspicious_dates`."""


@policy("reference")
def reference(opening: Observed) -> Play:
    """Applies the reporting policy to what the tools show; the ceiling of every scale."""
    yield from BY_MODE[mode_of(opening)](opening)


def guided_reference(_: Observed) -> Play:
    """The same in the standard profile, where tools tell what is flagged."""
    overview = result_of((yield analyse("task_overview")))
    terms = overview["config"]
    limits = terms["thresholds"]
    medians = {
        each["metric_name"]: each.get("weekday_medians", each["median_value"])
        for each in result_of((yield analyse("get_metric_median")))["results"]
    }
    ranked = yield from _suspicious()
    least = 100.0 * limits["daytime_share_absolute"]
    shifted: dict[str, Row] = {}
    if any(hint["hourly_mix_delta_pct"] >= least for hint in ranked):
        asked = analyse("get_hourly_traffic_mix_shift_rows", threshold_multiplier=0)
        for row in result_of((yield asked))["generated_rows"]:
            shifted[row["date"]] = row
    explained: dict[str, set[str]] = {}
    if terms.get("calendar"):
        for event in result_of((yield analyse("list_calendar")))["events"]:
            explained.setdefault(event["date"], set()).update(event["explains"])
    report: list[Row] = []
    for hint in sorted(ranked, key=lambda each: each["date"]):
        date = hint["date"]
        if hint["impossible_issue_count"]:
            found = result_of((yield analyse("check_impossible_counts", date=date)))
            report += [
                {"date": date, **{name: issue[name] for name in FIELDS[1:]}}
                for issue in found["issues"]
            ]
            continue
        known = explained.get(date, set())
        if date in shifted and MIX not in known:
            share, usual = (shifted[date][name] for name in SHARES)
            report.append(mix_row(date, share, usual, terms))
        counts_moved = hint["max_count_delta_pct"] >= 100.0 * limits["count_relative"]
        rates_moved = hint["max_rate_delta"] >= 100.0 * limits["rate_relative"]
        if (counts_moved and not known.issuperset(STAGES)) or (
            rates_moved and not known.issuperset((*STEPS, *COMPOSITES))
        ):
            found = result_of((yield analyse("rows_for_date", date=date)))
            values = {**found["daily_metrics"], **found["derived_rates"]}
            report += FunnelDay(date, values, usual_on(date, medians), terms, known).rows()
    yield submit(report)


def _suspicious() -> Generator[Action, Observed, list[dict[str, Any]]]:
    """Every date on which anything reaches its threshold, a page at a time."""
    found: list[dict[str, Any]] = []
    while len(found) % DATES_A_PAGE == 0 and (not found or found[-1]["suspicion_score"] >= 1.0):
        asked = analyse("list_suspicious_dates", limit=DATES_A_PAGE, offset=len(found))
        page = result_of((yield asked))["dates"]
        if not page:
            break
        found += page
    return found


BY_MODE = {
    (STANDARD, GUIDED): guided_reference,
    (LEAN, GUIDED): lean_reference,
    (STANDARD, RAW): raw_reference,
    (LEAN, RAW): raw_lean_reference,
}
"""The reference of each profile and disclosure."""
