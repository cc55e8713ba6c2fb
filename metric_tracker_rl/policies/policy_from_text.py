"""The reporting policy's rules on one date's values, as the references apply them.

Written from the policy's text alone; it shares no code with the generator or the labels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from metric_tracker_rl.policies.lean_reference import (
    DAYTIME_SHARE,
    STAGES,
    STEP_RATES,
    composites_by_priority,
)

RowFields = dict[str, Any]
ValuesByName = Mapping[str, float]
BaselinesByName = Mapping[str, float | Mapping[str, float]]
"""Baselines by name, and by weekday where each has its own."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
REPORT_ROW_FIELDS = (
    *("date", "entity_type", "entity_name", "anomaly_type", "detection_method"),
    *("baseline_value", "observed_value", "delta_value", "severity"),
)


class FunnelDay:
    """Counts and rates of one date, held against their baselines.

    Args:
        day: YYYY-MM-DD.
        values: counts and rates of that date by name.
        baselines: their baselines.
        policy_numbers: the numbers of the policy, among the fields of the episode's configuration.
        explained: what the calendar explains, which is not flagged.
    """

    def __init__(
        self,
        day: str,
        values: ValuesByName,
        baselines: ValuesByName,
        policy_numbers: Mapping[str, Any],
        explained: Collection[str] = (),
    ) -> None:
        self._day, self._values, self._usual = day, values, baselines
        self._terms, self._known = policy_numbers, explained
        self.deviations = {
            name: (values[name] - baselines[name]) / (baselines[name] or 1.0) for name in values
        }

    def is_flagged(self, name: str) -> bool:
        """Whether a series reaches its threshold."""
        kind = "count_relative" if name in STAGES else "rate_relative"
        reached = abs(self.deviations[name]) >= self._terms["thresholds"][kind]
        return reached and name not in self._known

    def build_row(self, name: str) -> RowFields:
        """The row of a series; of a step that broke, as that funnel step."""
        way = "drop" if self.deviations[name] < 0 else "spike"
        if name in STAGES:
            anomaly = f"absolute_{way}_in_event_count"
            return self._fill_row(name, "event_count", name, anomaly, "compare_count_to_median")
        limit = self._terms["thresholds"]["funnel_break_relative_drop"]
        if name in STEP_RATES and self.deviations[name] <= -limit:
            stage = STEP_RATES.index(name) + 1
            broken = f"{STAGES[stage]}_from_{STAGES[stage - 1]}"
            return self._fill_row(
                name, "funnel_step", broken, "funnel_break", "detect_funnel_break"
            )
        anomaly = f"rate_{way}_from_median"
        return self._fill_row(name, "conversion_rate", name, anomaly, "compare_rate_to_median")

    def find_root_rows(self) -> list[RowFields]:
        """What rules 3 to 6 ask for."""
        found: list[str] = []
        echoes: set[str] = set()
        for above, stage, below, into, out_of in zip(
            STAGES, STAGES[1:], STAGES[2:], STEP_RATES, STEP_RATES[1:], strict=False
        ):
            opposite = self.deviations[into] * self.deviations[out_of] < 0
            neighbours = self.is_flagged(above) or self.is_flagged(below)
            moved = self.is_flagged(stage) and self.is_flagged(into) and self.is_flagged(out_of)
            if moved and opposite and not neighbours:
                found.append(stage)
                echoes |= {into, out_of}
        steps = [step for step in STEP_RATES if self.is_flagged(step)]
        found += [step for step in steps if step not in echoes]
        if not steps:
            order = composites_by_priority(self._terms)
            found += [name for name in order if self.is_flagged(name)][:1]
        if self.is_flagged(STAGES[0]):
            found.append(STAGES[0])
        return [self.build_row(name) for name in found]

    def _fill_row(self, name: str, *text_fields: str) -> RowFields:
        observed, usual = self._values[name], self._usual[name]
        severity = _severity_of_size(
            abs(self.deviations[name]), self._terms["severity_bands"][text_fields[0]]
        )
        return _row_from_values(
            self._day, *text_fields, usual, observed, round(observed - usual, 4), severity
        )


def weekday_name(day: str) -> str:
    """Name of a date's weekday."""
    return WEEKDAYS[date.fromisoformat(day).weekday()]


def baselines_on(day: str, baselines: BaselinesByName) -> ValuesByName:
    """The baselines of a date."""
    weekday = weekday_name(day)
    return {name: of[weekday] if isinstance(of, Mapping) else of for name, of in baselines.items()}


def build_mix_row(
    day: str, share: float, baseline: float, policy_numbers: Mapping[str, Any]
) -> RowFields:
    """The row of a shifted daytime share."""
    words = ("hourly_mix", DAYTIME_SHARE, "hourly_traffic_mix_shift", "hourly_rows_for_date")
    severity = _severity_of_size(
        abs(share - baseline), policy_numbers["severity_bands"]["hourly_mix"]
    )
    return _row_from_values(day, *words, baseline, share, round(share - baseline, 6), severity)


def build_quality_row(
    day: str, stage: int, excess: float, policy_numbers: Mapping[str, Any]
) -> RowFields:
    """The row of a stage, from 1 on, that has more events than the one before it."""
    name = f"{STAGES[stage]}_lte_{STAGES[stage - 1]}"
    words = ("data_quality", name, "instrumentation_data_quality_issue", "check_impossible_counts")
    severity = _severity_of_size(excess, policy_numbers["severity_bands"]["data_quality"])
    return _row_from_values(day, *words, 0.0, excess, excess, severity)


def _row_from_values(*values: Any) -> RowFields:
    return dict(zip(REPORT_ROW_FIELDS, values, strict=True))


def _severity_of_size(size: float, lower_bounds: list[float]) -> str:
    """Last band whose lower bound is reached; bands are those of medium, high, critical."""
    return ("low", "medium", "high", "critical")[sum(size >= bound for bound in lower_bounds)]
