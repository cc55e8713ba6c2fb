"""Text of a reporting policy in which every series has its own threshold.

Episodes about a user's product have such a policy. Rules that cannot apply to the funnel are
omitted, but the remaining rules keep their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable

from metric_tracker_rl.engine.definitions.anomaly_types import list_anomaly_types_of_entity_type
from metric_tracker_rl.engine.definitions.entity_types import DETECTION_METHODS, HOURLY_MIX
from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.thresholds import (
    SEVERITY_MULTIPLES,
    PolicyLimits,
    get_policy_limits,
)
from metric_tracker_rl.engine.reporting_policy.clauses import (
    BASELINE_CLAUSES,
    CALENDAR_CLAUSE,
    ENTITY_TYPES_BY_RULE,
)
from metric_tracker_rl.engine.reporting_policy.clauses_for_ids import SCAN_CLAUSES


def format_series_policy_text(
    funnel: Funnel, level: FunnelLevel, *, calendar_tool: str, is_for_report_of_ids: bool
) -> str:
    """Return the text of a reporting policy in which every series has its own threshold.

    Args:
        funnel: funnel that provides names and determines which rules apply.
        level: level that provides thresholds, severity bounds and baseline.
        calendar_tool: name of the tool that returns the calendar.
        is_for_report_of_ids: whether players submit ids that `scan` has listed. The text then omits
            baselines, deviations and thresholds, which `scan` has already applied, and does not
            describe the fields of a row.
    """
    limits = get_policy_limits(funnel, level)
    clauses = [SCAN_CLAUSES[level.scan_lists]] if is_for_report_of_ids else []
    clauses += [
        "Report the root of each anomaly, not its consequences.",
        *_list_definitions(funnel),
    ]
    if not is_for_report_of_ids:
        clauses.append(BASELINE_CLAUSES[level.baseline].default)
        clauses += _list_deviation_clauses(funnel)
        clauses += _list_threshold_clauses(funnel, limits)
    clauses += ["For each day, in this order:", *_list_rules(funnel)]
    if not is_for_report_of_ids:
        clauses.append(_describe_row_fields(funnel, limits))
    if level.decoys:
        clauses.append(CALENDAR_CLAUSE.default.format(calendar=calendar_tool))
    return " ".join(clauses)


def _list_definitions(funnel: Funnel) -> list[str]:
    counts = ", ".join(f"c{stage} {name}" for stage, name in enumerate(funnel.event_count_names))
    clauses = [
        f"Stages in funnel order are {counts}.",
        "Step rates r_k = 100 * c_k / c_(k-1) are, from r_1 on, "
        f"{', '.join(funnel.step_rate_names)}.",
    ]
    composites = " and ".join(
        f"{name} = 100 * c{end} / c0"
        for name, end in zip(funnel.composite_rate_names, funnel.composite_ends, strict=True)
    )
    if composites:
        heading = (
            "The composite rate is" if len(funnel.composite_ends) == 1 else "Composite rates are"
        )
        clauses.append(f"{heading} {composites}.")
    if funnel.daytime is not None:
        clauses.append(
            f"Daytime share is the share of a day's {funnel.event_count_names[0]} in hours "
            f"{funnel.daytime.start} to {funnel.daytime.stop - 1}, both included."
        )
    return [*clauses, "A denominator of 0 counts as 1."]


def _list_deviation_clauses(funnel: Funnel) -> list[str]:
    relative = "The deviation of a count or rate is relative, (observed - baseline) / baseline"
    if funnel.daytime is None:
        return [f"{relative}.", "Where a baseline is 0, nothing is flagged."]
    return [
        f"{relative}; that of the daytime share is absolute, observed - baseline.",
        "Where a baseline is 0, nothing is flagged.",
    ]


def _list_threshold_clauses(funnel: Funnel, limits: PolicyLimits) -> list[str]:
    thresholds = [
        f"{name} {_format_percent(threshold)}"
        for name, threshold in zip(funnel.count_and_rate_names, limits.thresholds, strict=False)
    ]
    if funnel.daytime is not None:
        thresholds.append(f"daytime share {limits.thresholds[-1]:g}")
    breaks = ", ".join(
        f"r_{step} {_format_percent(threshold)}"
        for step, threshold in enumerate(limits.break_thresholds, start=1)
    )
    return [
        "A series is flagged on a day when its deviation, up or down, reaches its threshold: "
        f"{', '.join(thresholds)}.",
        f"A step rate that drops by its break threshold or more is a funnel break: {breaks}.",
    ]


def _list_rules(funnel: Funnel) -> list[str]:
    if funnel.compares_daily_totals:
        excess = (
            "for each adjacent pair with c_k > c_(k-1), one data_quality row named "
            "c_k_lte_c_(k-1), baseline 0, observed = the pair's excess, c_k - c_(k-1);"
        )
    else:
        excess = (
            "for each adjacent pair with c_k > c_(k-1) in any hour, one data_quality row named "
            "c_k_lte_c_(k-1), baseline 0, observed = the pair's excess, c_k - c_(k-1) summed over "
            "the hours where it is positive;"
        )
    rules = [
        f"(1) Impossible counts: {excess} if any pair has one, report nothing else for that day."
    ]
    has_inner_stage, has_composite = bool(funnel.inner_stage_indices), bool(funnel.composite_ends)
    if funnel.daytime is not None:
        rules.append("(2) Traffic mix: daytime share flagged: one hourly_mix row.")
    if has_inner_stage:
        rules.append(
            "(3) One stage's events lost or doubled: for a stage k that is neither first nor last, "
            "c_k flagged, r_k and r_(k+1) flagged with opposite signs, c_(k-1) and c_(k+1) not "
            "flagged: one event_count row for c_k; those two rates are its consequences."
        )
    flagged = (
        "each flagged r_k that is not a consequence" if has_inner_stage else "each flagged r_k"
    )
    later = "later counts and composites are" if has_composite else "the later count is"
    rules.append(
        f"(4) A step moved: {flagged}: a drop of at least its break threshold is one funnel_step "
        "row named c_k_from_c_(k-1), anything else one conversion_rate row for r_k; "
        f"{later} its {'consequences' if has_composite else 'consequence'}."
    )
    if has_composite:
        rules.append(
            "(5) A slow leak: if no r_k is flagged that day, not even as a consequence, the "
            "flagged composite that spans the fewest stages is one conversion_rate row."
        )
    rules.append(
        "(6) Traffic: c0 flagged: one event_count row for it; all later counts are its "
        "consequences."
    )
    return rules


def _describe_row_fields(funnel: Funnel, limits: PolicyLimits) -> str:
    has_share = funnel.daytime is not None
    kinds = "; ".join(
        f"{name}: {' or '.join(list_anomaly_types_of_entity_type(name))}, {DETECTION_METHODS[name]}"
        for name in ENTITY_TYPES_BY_RULE
        if has_share or name != HOURLY_MIX
    )
    share = " and the share as a fraction to six" if has_share else ""
    excess = _join_numbers(limits.bounds[-1])
    return (
        f"anomaly_type and detection_method follow from entity_type: {kinds}. Values are what the "
        f"tools show, rates in percent to four decimals{share}; delta_value = observed - baseline. "
        f"Severity (medium, high, critical from): {_join_numbers(SEVERITY_MULTIPLES)} times the "
        "threshold of the row's series (for a break, of its step rate); data_quality by the row's "
        f"own excess, not the day's total_excess, {excess}; below the first, low."
    )


def _join_numbers(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _format_percent(threshold: float) -> str:
    return f"{round(100.0 * threshold, 4):g}%"
