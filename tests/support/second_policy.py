"""Second implementation of the reporting policy, written from its text alone.

Plain Python on hourly counts: no array library and no code of the product, so that a mistake
would have to be made twice to go unnoticed. Only the names and numbers that the text and the
tools publish are repeated here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date as Date
from statistics import median
from types import MappingProxyType
from typing import Any, NamedTuple

Row = dict[str, Any]
Hours = Sequence[Sequence[int]]
"""One day: 24 hours of five counts."""

COUNTS = (
    "app_opens",
    "menu_opens",
    "product_added_to_cart",
    "orders_placed",
    "payment_successful",
)
STEP_RATES = (
    "app_open_to_menu_open",
    "menu_open_to_product_added_to_cart",
    "product_added_to_cart_to_order_placed",
    "order_placed_to_payment_successful",
)
COMPOSITES = {"app_open_to_order_placed": 3, "app_open_to_payment_successful": 4}
SHARE = "app_opens:daytime_share"


class Policy(NamedTuple):
    """What may differ: from which deviation on a series is flagged, and all that is drawn."""

    count: float
    rate: float
    share: float
    funnel_break: float = 0.35
    severity_from: Mapping[str, Sequence[float]] = MappingProxyType({})
    daytime: Sequence[int] = (8, 19)
    by_weekday: bool = False
    longest_leak: bool = False


POLICIES = {
    "easy": Policy(0.30, 0.20, 0.08),
    "medium": Policy(0.25, 0.15, 0.06),
    "hard": Policy(0.20, 0.10, 0.04),
    "expert": Policy(0.25, 0.10, 0.04),
}
SEVERITY_FROM = {
    "event_count": (0.25, 0.35, 0.50),
    "conversion_rate": (0.18, 0.30, 0.45),
    "funnel_step": (0.18, 0.30, 0.45),
    "hourly_mix": (0.06, 0.10, 0.15),
    "data_quality": (20, 60, 120),
}
DETECTED_BY = {
    "event_count": "compare_count_to_median",
    "conversion_rate": "compare_rate_to_median",
    "funnel_step": "detect_funnel_break",
    "hourly_mix": "hourly_rows_for_date",
    "data_quality": "check_impossible_counts",
}


def policy_of(config: Mapping[str, Any]) -> Policy:
    """Return the policy stated in the configuration of a reset observation."""
    limits = config["thresholds"]
    return Policy(
        limits["count_relative"],
        limits["rate_relative"],
        limits["daytime_share_absolute"],
        limits["funnel_break_relative_drop"],
        config["severity_bands"],
        config.get("daytime_hours", (8, 19)),
        config.get("baseline") == "same_weekday_median",
        config.get("leak_reports") == "longest_composite",
    )


def report(
    days: Mapping[str, Hours], policy: Policy, explained: Mapping[str, set[str]] | None = None
) -> list[Row]:
    """Return the expected report.

    Args:
        days: hourly counts by date.
        policy: that of a level, or one that an opening told.
        explained: by date, the series that the calendar explains.
    """
    shown = {date: daily_values(hours, policy.daytime) for date, hours in days.items()}
    groups: dict[int, list[dict[str, float]]] = {}
    for date, values in shown.items():
        groups.setdefault(group_of(date, policy), []).append(values)
    usual = {
        group: {name: typical(name, alike) for name in alike[0]} for group, alike in groups.items()
    }
    rows: list[Row] = []
    for date, hours in days.items():
        impossible = impossible_counts(hours)
        if impossible:
            rows += [row(date, policy, "data_quality", *found) for found in impossible]
            continue
        known = (explained or {}).get(date, set())
        baselines = usual[group_of(date, policy)]
        rows += Day(date, shown[date], baselines, policy, known).rows()
    return rows


def group_of(date: str, policy: Policy) -> int:
    """Return the group of a date; dates of one group share a baseline."""
    return Date.fromisoformat(date).weekday() if policy.by_weekday else 0


def daily_values(hours: Hours, daytime_hours: Sequence[int] = (8, 19)) -> dict[str, float]:
    """Return the values of a day by series, as the tools show them."""
    c = [sum(hour[k] for hour in hours) for k in range(5)]
    first, last = daytime_hours
    daytime = sum(hours[hour][0] for hour in range(first, last + 1))
    values: dict[str, float] = dict(zip(COUNTS, c, strict=True))
    for k, name in enumerate(STEP_RATES, start=1):
        values[name] = percent(c[k], c[k - 1])
    for name, k in COMPOSITES.items():
        values[name] = percent(c[k], c[0])
    values[SHARE] = round(daytime / (c[0] or 1), 6)
    return values


def percent(part: int, whole: int) -> float:
    return round(100 * part / (whole or 1), 4)


def typical(name: str, shown: Any) -> float:
    decimals = 6 if name == SHARE else 4
    return round(median(values[name] for values in shown), decimals)


def impossible_counts(hours: Hours) -> list[tuple[str, str, float, float, float]]:
    """Apply rule 1: return name, anomaly type, baseline, observed value and size of each pair."""
    found = []
    for k in range(1, 5):
        excess = sum(max(0, hour[k] - hour[k - 1]) for hour in hours)
        if excess:
            name = f"{COUNTS[k]}_lte_{COUNTS[k - 1]}"
            found.append((name, "instrumentation_data_quality_issue", 0.0, excess, excess))
    return found


class Day:
    """Applies rules 2 to 6 to one day without impossible counts."""

    def __init__(
        self,
        date: str,
        values: Mapping[str, float],
        baselines: Mapping[str, float],
        policy: Policy,
        known: set[str],
    ) -> None:
        self.date, self.values, self.baselines = date, values, baselines
        self.policy, self.known = policy, known

    def deviation(self, name: str) -> float:
        observed, baseline = self.values[name], self.baselines[name]
        if name == SHARE:
            return round(observed - baseline, 6)
        return (observed - baseline) / baseline if baseline else observed

    def flagged(self, name: str) -> bool:
        limit = self.policy.count if name in COUNTS else self.policy.rate
        if name == SHARE:
            limit = self.policy.share
        return name not in self.known and abs(self.deviation(name)) >= limit

    def rows(self) -> list[Row]:
        found = []
        if self.flagged(SHARE):
            found.append(self.row("hourly_mix", SHARE, SHARE, "hourly_traffic_mix_shift"))
        echoes: set[str] = set()
        for k in (1, 2, 3):
            into, out_of = STEP_RATES[k - 1], STEP_RATES[k]
            opposite = (self.deviation(into) > 0) != (self.deviation(out_of) > 0)
            neighbours = self.flagged(COUNTS[k - 1]) or self.flagged(COUNTS[k + 1])
            moved = all(self.flagged(name) for name in (COUNTS[k], into, out_of))
            if moved and opposite and not neighbours:
                found.append(self.count(COUNTS[k]))
                echoes |= {into, out_of}
        for k, name in enumerate(STEP_RATES, start=1):
            if not self.flagged(name) or name in echoes:
                continue
            if self.deviation(name) <= -self.policy.funnel_break:
                step = f"{COUNTS[k]}_from_{COUNTS[k - 1]}"
                found.append(self.row("funnel_step", step, name, "funnel_break"))
            else:
                found.append(self.rate(name))
        if not any(self.flagged(name) for name in STEP_RATES):
            leaks = [name for name in COMPOSITES if self.flagged(name)]
            longest = self.policy.longest_leak
            found += [self.rate(name) for name in (leaks[-1:] if longest else leaks[:1])]
        if self.flagged(COUNTS[0]):
            found.append(self.count(COUNTS[0]))
        return found

    def count(self, name: str) -> Row:
        way = "spike" if self.deviation(name) > 0 else "drop"
        return self.row("event_count", name, name, f"absolute_{way}_in_event_count")

    def rate(self, name: str) -> Row:
        way = "spike" if self.deviation(name) > 0 else "drop"
        return self.row("conversion_rate", name, name, f"rate_{way}_from_median")

    def row(self, entity_type: str, entity_name: str, series: str, anomaly_type: str) -> Row:
        size = abs(self.deviation(series))
        observed, baseline = self.values[series], self.baselines[series]
        found = (entity_type, entity_name, anomaly_type, baseline, observed, size)
        return row(self.date, self.policy, *found)


def row(
    date: str,
    policy: Policy,
    entity_type: str,
    entity_name: str,
    anomaly_type: str,
    baseline: float,
    observed: float,
    size: float,
) -> Row:
    bounds = (policy.severity_from or SEVERITY_FROM)[entity_type]
    reached = sum(size >= bound for bound in bounds)
    return {
        "date": date,
        "entity_type": entity_type,
        "entity_name": entity_name,
        "anomaly_type": anomaly_type,
        "detection_method": DETECTED_BY[entity_type],
        "baseline_value": baseline,
        "observed_value": observed,
        "delta_value": observed - baseline,
        "severity": ("low", "medium", "high", "critical")[reached],
    }
