"""Thresholds and severity bounds of a reporting policy, read from an episode's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metric_tracker_rl.policies.funnel_names import FunnelNames, read_funnel_names

SEVERITIES = ("low", "medium", "high", "critical")


class PolicyNumbers:
    """Thresholds and severity bounds of a reporting policy.

    A product's policy has a threshold for every series, and its severity bounds are multiples of
    this threshold. Other policies have one threshold and one set of bounds for every kind of
    series.

    Args:
        config: thresholds and other parameters, with the field names of the episode's public
            configuration.

    Attributes:
        names: names of the daily series.
        suspended_rule: number of the rule that reports nothing; None if there is none.
        is_zero_baseline_flagged: whether a series can be flagged if its baseline is 0.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.names: FunnelNames = read_funnel_names(config)
        self._thresholds: Mapping[str, float] = config["thresholds"]
        self._break_thresholds: Mapping[str, float] | None = config.get("break_thresholds")
        self._severity_bands: Mapping[str, Sequence[float]] = config["severity_bands"]
        self._severity_multiples: Sequence[float] = config.get("severity_multiples", ())
        self.suspended_rule: int | None = config.get("suspended_rule")
        self.is_zero_baseline_flagged = self._break_thresholds is None

    def get_threshold(self, series_name: str) -> float:
        """Return the deviation from which a count, a rate or the daytime share is flagged."""
        if self._break_thresholds is not None:
            return self._thresholds[series_name]
        if series_name == self.names.daytime_share:
            return self._thresholds["daytime_share_absolute"]
        is_count = series_name in self.names.stages
        return self._thresholds["count_relative" if is_count else "rate_relative"]

    def get_break_threshold(self, step_rate: str) -> float:
        """Return the smallest relative drop of a step rate that is reported as a funnel break."""
        if self._break_thresholds is None:
            return self._thresholds["funnel_break_relative_drop"]
        step = self.names.step_rates.index(step_rate)
        return self._break_thresholds[self.names.funnel_breaks[step]]

    def find_severity(self, entity_type: str, series_name: str, deviation_size: float) -> str:
        """Return the severity of a report row from the size of its deviation.

        Args:
            entity_type: entity type of the row.
            series_name: name of the row's series, which for a funnel step is its step rate.
            deviation_size: absolute value of the deviation; for impossible counts, the number of
                excess events.
        """
        bounds: Sequence[float]
        if self._severity_multiples and entity_type != "data_quality":
            threshold = self.get_threshold(series_name)
            bounds = [multiple * threshold for multiple in self._severity_multiples]
        else:
            bounds = self._severity_bands[entity_type]
        return SEVERITIES[sum(deviation_size >= bound for bound in bounds)]
