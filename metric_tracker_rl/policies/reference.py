"""Reference policy, which applies the reporting policy to tool results.

The implementation is based only on the policy's text, reads only tool results, and shares no code
with the generator or the computation of labels. A score of 1.0 therefore proves that an episode can
be solved with its tools. The lean profile and raw disclosure have their own reference policies.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence, Set
from typing import Any

from metric_tracker_rl.engine.configuration.modes import (
    GUIDED_MODE,
    LEAN_MODE,
    LEAN_RAW_MODE,
    RAW_MODE,
    read_play_mode,
)
from metric_tracker_rl.policies.base import (
    Action,
    ObservationJson,
    PolicySteps,
    RowFields,
    RowSteps,
    build_analysis_action,
    build_submit_action,
    register_policy,
    require_analysis_result,
)
from metric_tracker_rl.policies.lean_reference import scan_flagged_series_and_submit_root_ids
from metric_tracker_rl.policies.policy_from_text import (
    DAYTIME_SHARE_RULE,
    REPORT_ROW_FIELDS,
    FunnelDay,
    build_daytime_share_row,
    select_baselines_for_date,
)
from metric_tracker_rl.policies.policy_numbers import PolicyNumbers
from metric_tracker_rl.policies.raw_reference import (
    request_lean_raw_data_and_submit_root_rows,
    request_standard_raw_data_and_submit_root_rows,
)

DATES_PER_PAGE = 10
"""Number of dates in one call of `list_suspicious_dates`."""


@register_policy("reference")
def submit_root_rows_with_tools_of_play_mode(reset_observation: ObservationJson) -> PolicySteps:
    """Submit the rows that the reporting policy asks for. Scores 1.0 on every episode."""
    yield from REFERENCE_BY_MODE[read_play_mode(reset_observation)](reset_observation)


def request_guided_tool_results_and_submit_root_rows(_: ObservationJson) -> PolicySteps:
    """Submit the rows that the reporting policy asks for, with the tools of the default mode."""
    overview = require_analysis_result((yield build_analysis_action("task_overview")))
    config = overview["config"]
    policy = PolicyNumbers(config)
    medians = require_analysis_result((yield build_analysis_action("get_metric_median")))["results"]
    baselines = {
        median["metric_name"]: median.get("weekday_medians", median["median_value"])
        for median in medians
    }
    suspicious_dates = yield from _request_suspicious_dates_past_threshold()
    mix_rows = yield from _request_daytime_share_rows_by_date(suspicious_dates, policy)
    explained_by_date: dict[str, set[str]] = {}
    if config.get("calendar"):
        calendar = require_analysis_result((yield build_analysis_action("list_calendar")))
        for event in calendar["events"]:
            explained_by_date.setdefault(event["date"], set()).update(event["explains"])
    report: list[RowFields] = []
    for suspicious_date in sorted(suspicious_dates, key=lambda fields: fields["date"]):
        date = suspicious_date["date"]
        if suspicious_date["impossible_issue_count"]:
            report += yield from _request_impossible_counts_rows(date)
            continue
        explained = explained_by_date.get(date, set())
        if date in mix_rows and policy.names.daytime_share not in explained:
            share, baseline = mix_rows[date]["observed_value"], mix_rows[date]["baseline_value"]
            report.append(build_daytime_share_row(date, share, baseline, config))
        if _may_have_unexplained_flagged_count_or_rate(suspicious_date, explained, policy):
            action = build_analysis_action("rows_for_date", date=date)
            day_result = require_analysis_result((yield action))
            values = {**day_result["daily_metrics"], **day_result["derived_rates"]}
            day_baselines = select_baselines_for_date(date, baselines)
            report += FunnelDay(
                date, values, day_baselines, config, explained
            ).build_rows_of_root_counts_and_rates()
    yield build_submit_action(report)


def _request_daytime_share_rows_by_date(
    suspicious_dates: Sequence[Mapping[str, Any]], policy: PolicyNumbers
) -> Generator[Action, ObservationJson, dict[str, RowFields]]:
    """Request the report rows of flagged daytime shares and return them by date.

    No request is made if the funnel has no daytime share, or if none of the given dates reaches its
    threshold.
    """
    if policy.names.daytime_share is None or policy.suspended_rule == DAYTIME_SHARE_RULE:
        return {}
    min_delta = 100.0 * policy.get_threshold(policy.names.daytime_share)
    if all(fields["hourly_mix_delta_pct"] < min_delta for fields in suspicious_dates):
        return {}
    action = build_analysis_action("get_hourly_traffic_mix_shift_rows", threshold_multiplier=0)
    rows = require_analysis_result((yield action))["generated_rows"]
    return {row["date"]: row for row in rows}


def _request_impossible_counts_rows(date: str) -> RowSteps:
    """Request the impossible counts of a date and return a report row for each of them."""
    action = build_analysis_action("check_impossible_counts", date=date)
    issues = require_analysis_result((yield action))["issues"]
    return [
        {"date": date, **{name: issue[name] for name in REPORT_ROW_FIELDS if name != "date"}}
        for issue in issues
    ]


def _may_have_unexplained_flagged_count_or_rate(
    suspicious_date: Mapping[str, Any], explained_series: Set[str], policy: PolicyNumbers
) -> bool:
    """Return whether a date may have a flagged count or rate that the calendar does not explain."""
    counts = policy.names.stages
    rates = (*policy.names.step_rates, *policy.names.composite_rates)
    smallest_count_threshold = min(map(policy.get_threshold, counts))
    smallest_rate_threshold = min(map(policy.get_threshold, rates))
    is_count_flagged = suspicious_date["max_count_delta_pct"] >= 100.0 * smallest_count_threshold
    is_rate_flagged = suspicious_date["max_rate_delta"] >= 100.0 * smallest_rate_threshold
    are_counts_explained = explained_series >= {*counts}
    are_rates_explained = explained_series >= {*rates}
    return (is_count_flagged and not are_counts_explained) or (
        is_rate_flagged and not are_rates_explained
    )


def _request_suspicious_dates_past_threshold() -> Generator[
    Action, ObservationJson, list[dict[str, Any]]
]:
    """Return all dates on which at least one series reaches its threshold.

    Pages of suspicious dates are requested until a page is incomplete or ends with a date that
    reaches no threshold, so the result may include some dates on which nothing is flagged.
    """
    dates: list[dict[str, Any]] = []
    while len(dates) % DATES_PER_PAGE == 0 and (not dates or dates[-1]["suspicion_score"] >= 1.0):
        action = build_analysis_action(
            "list_suspicious_dates", limit=DATES_PER_PAGE, offset=len(dates)
        )
        page = require_analysis_result((yield action))["dates"]
        if not page:
            break
        dates += page
    return dates


REFERENCE_BY_MODE = {
    GUIDED_MODE: request_guided_tool_results_and_submit_root_rows,
    LEAN_MODE: scan_flagged_series_and_submit_root_ids,
    RAW_MODE: request_standard_raw_data_and_submit_root_rows,
    LEAN_RAW_MODE: request_lean_raw_data_and_submit_root_rows,
}
"""Reference policies by mode."""
