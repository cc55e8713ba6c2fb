"""Applies the reporting policy to one date, for the reference policies that submit report rows.

The implementation is based only on the policy's text and shares no code with the generator or the
computation of labels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from metric_tracker_rl.policies.policy_numbers import PolicyNumbers

RowFields = dict[str, Any]
"""Fields of a report row by name."""
ValuesByName = Mapping[str, float]
BaselinesByName = Mapping[str, float | Mapping[str, float]]
"""Baselines by series name; a mapping by weekday name if each weekday has its own baseline."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DAYTIME_SHARE_RULE = 2
"""Number of the rule that reports the daytime share."""
REPORT_ROW_FIELDS = (
    "date",
    "entity_type",
    "entity_name",
    "anomaly_type",
    "detection_method",
    "baseline_value",
    "observed_value",
    "delta_value",
    "severity",
)


class FunnelDay:
    """Counts and rates of one date, to which the reporting policy can be applied.

    Args:
        iso_date: date in the format YYYY-MM-DD.
        values: counts and rates of the date by name.
        baselines: baselines of the counts and rates by name.
        policy_numbers: thresholds and other parameters of the reporting policy, with the field
            names of the episode's public configuration.
        explained_series: names of the series that the calendar explains on the date.

    Attributes:
        deviations: relative deviations from the baselines by name.
    """

    def __init__(
        self,
        iso_date: str,
        values: ValuesByName,
        baselines: ValuesByName,
        policy_numbers: Mapping[str, Any],
        explained_series: Collection[str] = (),
    ) -> None:
        self._day = iso_date
        self._values = values
        self._baselines = baselines
        self._explained = explained_series
        self._policy = PolicyNumbers(policy_numbers)
        self._composites = self._policy.names.order_composite_rates_by_leak_preference(
            policy_numbers
        )
        self.deviations = {name: self._compute_deviation(name) for name in values}

    def is_flagged_and_unexplained(self, series_name: str) -> bool:
        """Return whether a series reaches its threshold and the calendar does not explain it."""
        threshold = self._policy.get_threshold(series_name)
        return abs(self.deviations[series_name]) >= threshold and series_name not in self._explained

    def build_row_of_count_or_rate(self, series_name: str) -> RowFields:
        """Create the report row of a count or rate.

        If a step rate drops far enough to be a funnel break, the row names the funnel step instead
        of the rate.
        """
        names = self._policy.names
        direction = "drop" if self.deviations[series_name] < 0 else "spike"
        if series_name in names.stages:
            return self._build_report_row_of_series(
                series_name,
                entity_type="event_count",
                entity_name=series_name,
                anomaly_type=f"absolute_{direction}_in_event_count",
                detection_method="compare_count_to_median",
            )
        is_broken = series_name in names.step_rates and (
            self.deviations[series_name] <= -self._policy.get_break_threshold(series_name)
        )
        if is_broken:
            return self._build_report_row_of_series(
                series_name,
                entity_type="funnel_step",
                entity_name=names.funnel_breaks[names.step_rates.index(series_name)],
                anomaly_type="funnel_break",
                detection_method="detect_funnel_break",
            )
        return self._build_report_row_of_series(
            series_name,
            entity_type="conversion_rate",
            entity_name=series_name,
            anomaly_type=f"rate_{direction}_from_median",
            detection_method="compare_rate_to_median",
        )

    def build_rows_of_root_counts_and_rates(self) -> list[RowFields]:
        """Return the report rows of the counts and rates that are root anomalies on this date.

        These are found with rules 3 to 6 of the reporting policy.
        """
        stages, step_rates = self._policy.names.stages, self._policy.names.step_rates
        lost_stages: list[str] = []
        consequences: set[str] = set()
        for above, stage, below, into, out_of in zip(
            stages, stages[1:], stages[2:], step_rates, step_rates[1:], strict=False
        ):
            are_opposite = self.deviations[into] * self.deviations[out_of] < 0
            is_neighbour_flagged = self.is_flagged_and_unexplained(
                above
            ) or self.is_flagged_and_unexplained(below)
            are_all_flagged = all(
                self.is_flagged_and_unexplained(name) for name in (stage, into, out_of)
            )
            if are_all_flagged and are_opposite and not is_neighbour_flagged:
                lost_stages.append(stage)
                consequences |= {into, out_of}
        flagged_steps = [step for step in step_rates if self.is_flagged_and_unexplained(step)]
        leaks = [name for name in self._composites if self.is_flagged_and_unexplained(name)]
        roots_by_rule = {
            3: lost_stages,
            4: [step for step in flagged_steps if step not in consequences],
            5: [] if flagged_steps else leaks[:1],
            6: [name for name in stages[:1] if self.is_flagged_and_unexplained(name)],
        }
        return [
            self.build_row_of_count_or_rate(name)
            for rule, roots in roots_by_rule.items()
            if rule != self._policy.suspended_rule
            for name in roots
        ]

    def _build_report_row_of_series(
        self,
        series_name: str,
        *,
        entity_type: str,
        entity_name: str,
        anomaly_type: str,
        detection_method: str,
    ) -> RowFields:
        """Create a report row with the given names and with the values and severity of a series."""
        observed = self._values[series_name]
        baseline = self._baselines[series_name]
        return {
            "date": self._day,
            "entity_type": entity_type,
            "entity_name": entity_name,
            "anomaly_type": anomaly_type,
            "detection_method": detection_method,
            "baseline_value": baseline,
            "observed_value": observed,
            "delta_value": round(observed - baseline, 4),
            "severity": self._policy.find_severity(
                entity_type, series_name, abs(self.deviations[series_name])
            ),
        }

    def _compute_deviation(self, series_name: str) -> float:
        baseline = self._baselines[series_name]
        if not baseline and not self._policy.is_zero_baseline_flagged:
            return 0.0
        return (self._values[series_name] - baseline) / (baseline or 1.0)


def get_weekday_name(iso_date: str) -> str:
    """Return the English name of a date's weekday."""
    return WEEKDAYS[date.fromisoformat(iso_date).weekday()]


def select_baselines_for_date(iso_date: str, baselines: BaselinesByName) -> ValuesByName:
    """Return the baseline of each series for a date, by series name.

    If a series has a baseline for each weekday, the one of the date's weekday is returned.
    """
    weekday = get_weekday_name(iso_date)
    return {
        name: baseline[weekday] if isinstance(baseline, Mapping) else baseline
        for name, baseline in baselines.items()
    }


def build_daytime_share_row(
    iso_date: str, daytime_share: float, baseline: float, policy_numbers: Mapping[str, Any]
) -> RowFields:
    """Create the report row of a day whose daytime share differs too much from its baseline.

    Args:
        iso_date: date in the format YYYY-MM-DD.
        daytime_share: daytime share of the date, as a fraction.
        baseline: baseline of the daytime share.
        policy_numbers: numbers of the reporting policy.
    """
    policy = PolicyNumbers(policy_numbers)
    share_name = policy.names.daytime_share or ""
    return {
        "date": iso_date,
        "entity_type": "hourly_mix",
        "entity_name": share_name,
        "anomaly_type": "hourly_traffic_mix_shift",
        "detection_method": "hourly_rows_for_date",
        "baseline_value": baseline,
        "observed_value": daytime_share,
        "delta_value": round(daytime_share - baseline, 6),
        "severity": policy.find_severity("hourly_mix", share_name, abs(daytime_share - baseline)),
    }


def build_impossible_counts_row(
    iso_date: str, later_stage_index: int, excess_events: float, policy_numbers: Mapping[str, Any]
) -> RowFields:
    """Create the report row of a day on which a stage has more events than the previous stage.

    Args:
        iso_date: date in the format YYYY-MM-DD.
        later_stage_index: index of the later stage, at least 1.
        excess_events: number of events by which the later stage exceeds the earlier one, summed
            over the hours in which it does.
        policy_numbers: numbers of the reporting policy.
    """
    policy = PolicyNumbers(policy_numbers)
    name = policy.names.quality_checks[later_stage_index - 1]
    return {
        "date": iso_date,
        "entity_type": "data_quality",
        "entity_name": name,
        "anomaly_type": "instrumentation_data_quality_issue",
        "detection_method": "check_impossible_counts",
        "baseline_value": 0.0,
        "observed_value": excess_events,
        "delta_value": excess_events,
        "severity": policy.find_severity("data_quality", name, excess_events),
    }
