"""The reporting policy's rules on one date's values, as the references apply them.

Written from the policy's text alone; it shares no code with the generator or the labels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from metric_tracker_rl.policies.lean_reference import MIX, STAGES, STEPS, composites_in_order

Row = dict[str, Any]
Values = Mapping[str, float]
Usual = Mapping[str, float | Mapping[str, float]]
"""Baselines by name, and by weekday where each has its own."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FIELDS = (
    *("date", "entity_type", "entity_name", "anomaly_type", "detection_method"),
    *("baseline_value", "observed_value", "delta_value", "severity"),
)


def funnel_rows(
    day: str, values: Values, usual: Values, terms: Mapping[str, Any], known: Collection[str]
) -> list[Row]:
    """Rules 3 to 6.

    Args:
        day: YYYY-MM-DD.
        values: counts and rates of that date by name.
        usual: their baselines.
        terms: the numbers of the policy, among the fields of the episode's configuration.
        known: what the calendar explains, which is not flagged.
    """
    limits, bands = terms["thresholds"], terms["severity_bands"]
    change = {name: (values[name] - usual[name]) / (usual[name] or 1.0) for name in values}

    def flagged(name: str) -> bool:
        kind = "count_relative" if name in STAGES else "rate_relative"
        return name not in known and abs(change[name]) >= limits[kind]

    def row(name: str, *words: str) -> Row:
        delta = round(values[name] - usual[name], 4)
        severity = _severity(abs(change[name]), bands[words[0]])
        return _row(day, *words, usual[name], values[name], delta, severity)

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
        order = composites_in_order(terms)
        rows.extend([metric_row(name) for name in order if flagged(name)][:1])
    if flagged(STAGES[0]):
        rows.append(metric_row(STAGES[0]))
    return rows


def weekday_of(day: str) -> str:
    """Name of a date's weekday."""
    return WEEKDAYS[date.fromisoformat(day).weekday()]


def usual_on(day: str, usual: Usual) -> Values:
    """The baselines of a date."""
    weekday = weekday_of(day)
    return {name: of[weekday] if isinstance(of, Mapping) else of for name, of in usual.items()}


def mix_row(day: str, share: float, usual: float, terms: Mapping[str, Any]) -> Row:
    """The row of a shifted daytime share."""
    words = ("hourly_mix", MIX, "hourly_traffic_mix_shift", "hourly_rows_for_date")
    severity = _severity(abs(share - usual), terms["severity_bands"]["hourly_mix"])
    return _row(day, *words, usual, share, round(share - usual, 6), severity)


def quality_row(day: str, stage: int, excess: float, terms: Mapping[str, Any]) -> Row:
    """The row of a stage, from 1 on, that has more events than the one before it."""
    name = f"{STAGES[stage]}_lte_{STAGES[stage - 1]}"
    words = ("data_quality", name, "instrumentation_data_quality_issue", "check_impossible_counts")
    severity = _severity(excess, terms["severity_bands"]["data_quality"])
    return _row(day, *words, 0.0, excess, excess, severity)


def _row(*values: Any) -> Row:
    return dict(zip(FIELDS, values, strict=True))


def _severity(size: float, bands: list[float]) -> str:
    """Last band whose lower bound is reached; bands are those of medium, high, critical."""
    return ("low", "medium", "high", "critical")[sum(size >= bound for bound in bands)]
