"""Reference: reads tool results and applies the reporting policy to them.

Written from the policy's text alone, on what the tools show, and shares no code with the
generator or the labels. That it scores 1.0 on an episode therefore proves the episode
solvable from the tools. In the lean profile and with raw disclosure the reference is
another one, which plays here in its place.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from metric_tracker_rl.engine.configuration.modes import (
    GUIDED_MODE,
    LEAN_MODE,
    LEAN_RAW_MODE,
    RAW_MODE,
    play_mode,
)
from metric_tracker_rl.policies.base import (
    Action,
    ObservationJson,
    PolicySteps,
    RowFields,
    build_analysis_action,
    build_submit_action,
    register_policy,
    require_analysis_result,
)
from metric_tracker_rl.policies.lean_reference import (
    COMPOSITE_RATES,
    DAYTIME_SHARE,
    STAGES,
    STEP_RATES,
    lean_reference,
)
from metric_tracker_rl.policies.policy_from_text import (
    REPORT_ROW_FIELDS,
    FunnelDay,
    baselines_on,
    build_mix_row,
)
from metric_tracker_rl.policies.raw_reference import raw_lean_reference, raw_reference

SHARE_FIELDS = ("observed_value", "baseline_value")
DATES_PER_PAGE = 10
"""Dates of a call of `list_suspicious_dates`."""


@register_policy("reference")
def reference(reset_observation: ObservationJson) -> PolicySteps:
    """Applies the reporting policy to what the tools show; the ceiling of every scale."""
    yield from REFERENCE_BY_MODE[play_mode(reset_observation)](reset_observation)


def guided_reference(_: ObservationJson) -> PolicySteps:
    """The same in the standard profile, where tools tell what is flagged."""
    overview = require_analysis_result((yield build_analysis_action("task_overview")))
    terms = overview["config"]
    limits = terms["thresholds"]
    medians = {
        each["metric_name"]: each.get("weekday_medians", each["median_value"])
        for each in require_analysis_result((yield build_analysis_action("get_metric_median")))[
            "results"
        ]
    }
    ranked = yield from _request_suspicious_dates()
    least = 100.0 * limits["daytime_share_absolute"]
    shifted: dict[str, RowFields] = {}
    if any(hint["hourly_mix_delta_pct"] >= least for hint in ranked):
        asked = build_analysis_action("get_hourly_traffic_mix_shift_rows", threshold_multiplier=0)
        for row in require_analysis_result((yield asked))["generated_rows"]:
            shifted[row["date"]] = row
    explained: dict[str, set[str]] = {}
    if terms.get("calendar"):
        for event in require_analysis_result((yield build_analysis_action("list_calendar")))[
            "events"
        ]:
            explained.setdefault(event["date"], set()).update(event["explains"])
    report: list[RowFields] = []
    for hint in sorted(ranked, key=lambda each: each["date"]):
        date = hint["date"]
        if hint["impossible_issue_count"]:
            found = require_analysis_result(
                (yield build_analysis_action("check_impossible_counts", date=date))
            )
            report += [
                {"date": date, **{name: issue[name] for name in REPORT_ROW_FIELDS[1:]}}
                for issue in found["issues"]
            ]
            continue
        known = explained.get(date, set())
        if date in shifted and DAYTIME_SHARE not in known:
            share, usual = (shifted[date][name] for name in SHARE_FIELDS)
            report.append(build_mix_row(date, share, usual, terms))
        counts_moved = hint["max_count_delta_pct"] >= 100.0 * limits["count_relative"]
        rates_moved = hint["max_rate_delta"] >= 100.0 * limits["rate_relative"]
        if (counts_moved and not known.issuperset(STAGES)) or (
            rates_moved and not known.issuperset((*STEP_RATES, *COMPOSITE_RATES))
        ):
            found = require_analysis_result(
                (yield build_analysis_action("rows_for_date", date=date))
            )
            values = {**found["daily_metrics"], **found["derived_rates"]}
            report += FunnelDay(
                date, values, baselines_on(date, medians), terms, known
            ).find_root_rows()
    yield build_submit_action(report)


def _request_suspicious_dates() -> Generator[Action, ObservationJson, list[dict[str, Any]]]:
    """Every date on which anything reaches its threshold, a page at a time."""
    found: list[dict[str, Any]] = []
    while len(found) % DATES_PER_PAGE == 0 and (not found or found[-1]["suspicion_score"] >= 1.0):
        asked = build_analysis_action(
            "list_suspicious_dates", limit=DATES_PER_PAGE, offset=len(found)
        )
        page = require_analysis_result((yield asked))["dates"]
        if not page:
            break
        found += page
    return found


REFERENCE_BY_MODE = {
    GUIDED_MODE: guided_reference,
    LEAN_MODE: lean_reference,
    RAW_MODE: raw_reference,
    LEAN_RAW_MODE: raw_lean_reference,
}
"""The reference policy of each mode."""
