"""Reference: reads tool results and applies the reporting policy to them.

Written from the policy's text alone, on what the tools show, and shares no code with the
generator or the labels. That it scores 1.0 on an episode therefore proves the episode
solvable from the tools. In the lean profile, and of a drill-down episode, the reference is another
one, which plays here in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from metric_tracker_rl.drilldown.policies import drill_reference
from metric_tracker_rl.drilldown.tasks import is_drill
from metric_tracker_rl.engine.rules import profile_of
from metric_tracker_rl.engine.vocabulary import LEAN
from metric_tracker_rl.policies.base import Observed, Play, analyse, policy, result_of, submit
from metric_tracker_rl.policies.lean_reference import (
    COMPOSITES,
    MIX,
    STAGES,
    STEPS,
    lean_reference,
)

Row = dict[str, Any]
FIELDS = (
    *("date", "entity_type", "entity_name", "anomaly_type", "detection_method"),
    *("baseline_value", "observed_value", "delta_value", "severity"),
)


@policy("reference")
def reference(opening: Observed) -> Play:
    """Applies the reporting policy to what the tools show; the ceiling of every scale."""
    if is_drill(opening):
        yield from drill_reference(opening)
        return
    if profile_of(opening) == LEAN:
        yield from lean_reference(opening)
        return
    overview = result_of((yield analyse("task_overview")))
    dates, limits = overview["dates"], overview["thresholds"]
    bands = overview["severity_bands"]
    medians = {
        each["metric_name"]: each["median_value"]
        for each in result_of((yield analyse("get_metric_median")))["results"]
    }
    ranked = result_of((yield analyse("list_suspicious_dates", limit=len(dates))))["dates"]
    explained: dict[str, set[str]] = {}
    if overview["config"].get("calendar"):
        for event in result_of((yield analyse("list_calendar")))["events"]:
            explained.setdefault(event["date"], set()).update(event["explains"])
    report: list[Row] = []
    for hint in sorted(ranked, key=lambda each: each["date"]):
        date = hint["date"]
        if hint["impossible_issue_count"]:
            found = result_of((yield analyse("check_impossible_counts", date=date)))
            report.extend(_quality_rows(date, found["issues"]))
            continue
        known = explained.get(date, set())
        mix_moved = hint["hourly_mix_delta_pct"] >= 100.0 * limits["daytime_share_absolute"]
        if mix_moved and MIX not in known:
            found = result_of((yield analyse("hourly_rows_for_date", date=date)))
            report.append(_mix_row(date, found["summary"], bands["hourly_mix"]))
        if (
            hint["max_count_delta_pct"] >= 100.0 * limits["count_relative"]
            or hint["max_rate_delta"] >= 100.0 * limits["rate_relative"]
        ):
            found = result_of((yield analyse("rows_for_date", date=date)))
            values = {**found["daily_metrics"], **found["derived_rates"]}
            report.extend(_funnel_rows(date, values, medians, limits, bands, known))
    yield submit(report)


def _funnel_rows(
    date: str,
    values: Mapping[str, float],
    medians: Mapping[str, float],
    limits: Mapping[str, float],
    bands: Mapping[str, list[float]],
    known: Collection[str],
) -> list[Row]:
    """Rules 3 to 6 for one date; what the calendar explains (`known`) is not flagged."""
    change = {name: (values[name] - medians[name]) / (medians[name] or 1.0) for name in values}

    def flagged(name: str) -> bool:
        kind = "count_relative" if name in STAGES else "rate_relative"
        return name not in known and abs(change[name]) >= limits[kind]

    def row(name: str, *words: str) -> Row:
        delta = round(values[name] - medians[name], 4)
        severity = _severity(abs(change[name]), bands[words[0]])
        return _row(date, *words, medians[name], values[name], delta, severity)

    def metric_row(name: str) -> Row:
        way = "drop" if change[name] < 0 else "spike"
        if name in STAGES:
            anomaly = f"absolute_{way}_in_event_count"
            return row(name, "event_count", name, anomaly, "compare_count_to_median")
        anomaly = f"rate_{way}_from_median"
        return row(name, "conversion_rate", name, anomaly, "compare_rate_to_median")

    rows: list[Row] = []
    explained: set[str] = set()
    for above, stage, below, into, out_of in zip(
        STAGES, STAGES[1:], STAGES[2:], STEPS, STEPS[1:], strict=False
    ):
        opposite = change[into] * change[out_of] < 0
        alone = flagged(stage) and not flagged(above) and not flagged(below)
        if alone and opposite and flagged(into) and flagged(out_of):
            rows.append(metric_row(stage))
            explained |= {into, out_of}
    for index, step in enumerate(STEPS):
        if not flagged(step) or step in explained:
            continue
        if change[step] <= -limits["funnel_break_relative_drop"]:
            name = f"{STAGES[index + 1]}_from_{STAGES[index]}"
            rows.append(row(step, "funnel_step", name, "funnel_break", "detect_funnel_break"))
        else:
            rows.append(metric_row(step))
    if not any(flagged(step) for step in STEPS):
        rows.extend([metric_row(name) for name in COMPOSITES if flagged(name)][:1])
    if flagged(STAGES[0]):
        rows.append(metric_row(STAGES[0]))
    return rows


def _mix_row(date: str, summary: Mapping[str, Any], bands: list[float]) -> Row:
    share, usual = summary["daytime_share"], summary["baseline_daytime_share"]
    words = ("hourly_mix", MIX, "hourly_traffic_mix_shift", "hourly_rows_for_date")
    severity = _severity(abs(share - usual), bands)
    return _row(date, *words, usual, share, round(share - usual, 6), severity)


def _quality_rows(date: str, issues: list[Mapping[str, Any]]) -> list[Row]:
    return [_row(date, *(issue[name] for name in FIELDS[1:])) for issue in issues]


def _row(*values: Any) -> Row:
    return dict(zip(FIELDS, values, strict=True))


def _severity(size: float, bands: list[float]) -> str:
    """Last band whose lower bound is reached; bands are those of medium, high, critical."""
    return ("low", "medium", "high", "critical")[sum(size >= bound for bound in bands)]
