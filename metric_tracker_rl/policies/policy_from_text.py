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


class FunnelDay:
    """Counts and rates of one date, held against their baselines.

    Args:
        day: YYYY-MM-DD.
        values: counts and rates of that date by name.
        usual: their baselines.
        terms: the numbers of the policy, among the fields of the episode's configuration.
        known: what the calendar explains, which is not flagged.
    """

    def __init__(
        self,
        day: str,
        values: Values,
        usual: Values,
        terms: Mapping[str, Any],
        known: Collection[str] = (),
    ) -> None:
        self._day, self._values, self._usual = day, values, usual
        self._terms, self._known = terms, known
        self.change = {name: (values[name] - usual[name]) / (usual[name] or 1.0) for name in values}

    def flagged(self, name: str) -> bool:
        """Whether a series reaches its threshold."""
        kind = "count_relative" if name in STAGES else "rate_relative"
        reached = abs(self.change[name]) >= self._terms["thresholds"][kind]
        return reached and name not in self._known

    def row(self, name: str) -> Row:
        """The row of a series; of a step that broke, as that funnel step."""
        way = "drop" if self.change[name] < 0 else "spike"
        if name in STAGES:
            anomaly = f"absolute_{way}_in_event_count"
            return self._row(name, "event_count", name, anomaly, "compare_count_to_median")
        limit = self._terms["thresholds"]["funnel_break_relative_drop"]
        if name in STEPS and self.change[name] <= -limit:
            stage = STEPS.index(name) + 1
            broken = f"{STAGES[stage]}_from_{STAGES[stage - 1]}"
            return self._row(name, "funnel_step", broken, "funnel_break", "detect_funnel_break")
        anomaly = f"rate_{way}_from_median"
        return self._row(name, "conversion_rate", name, anomaly, "compare_rate_to_median")

    def rows(self) -> list[Row]:
        """What rules 3 to 6 ask for."""
        found: list[str] = []
        echoes: set[str] = set()
        for above, stage, below, into, out_of in zip(
            STAGES, STAGES[1:], STAGES[2:], STEPS, STEPS[1:], strict=False
        ):
            opposite = self.change[into] * self.change[out_of] < 0
            neighbours = self.flagged(above) or self.flagged(below)
            moved = self.flagged(stage) and self.flagged(into) and self.flagged(out_of)
            if moved and opposite and not neighbours:
                found.append(stage)
                echoes |= {into, out_of}
        steps = [step for step in STEPS if self.flagged(step)]
        found += [step for step in steps if step not in echoes]
        if not steps:
            order = composites_in_order(self._terms)
            found += [name for name in order if self.flagged(name)][:1]
        if self.flagged(STAGES[0]):
            found.append(STAGES[0])
        return [self.row(name) for name in found]

    def _row(self, name: str, *words: str) -> Row:
        observed, usual = self._values[name], self._usual[name]
        severity = _severity(abs(self.change[name]), self._terms["severity_bands"][words[0]])
        return _row(self._day, *words, usual, observed, round(observed - usual, 4), severity)


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
