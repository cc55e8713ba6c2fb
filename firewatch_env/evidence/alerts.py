"""Alerts: rules over meters, for services that have rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from firewatch_env.engine.world import World
from firewatch_env.evidence.meters import (
    ERRORS,
    HIGH_CPU,
    HIGH_MEMORY,
    MOST_FAIL,
    NEARLY_FULL,
    SLOW,
    VERY_SLOW,
    Meters,
)

_RANK = {"page": 0, "critical": 1, "warning": 2}
_NEVER = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class _Rule:
    """When an alert fires, and from which value on it is critical or, if 0, a page."""

    alertname: str
    meter: str
    threshold: float
    critical: float
    text: Callable[[float], str]


_MEMORY = _Rule(
    "MemoryPressure",
    "memory",
    HIGH_MEMORY,
    NEARLY_FULL,
    lambda v: f"{v:.0%} of the memory limit in use",
)
_RULES = (
    _Rule("ServiceDown", "seen", 0.9, 0.0, lambda v: f"own failures {v:.0%}"),
    _Rule("HighErrorRate", "own", ERRORS, MOST_FAIL, lambda v: f"5xx {v:.0%}"),
    _Rule("HighLatency", "p99", SLOW, VERY_SLOW, lambda v: f"p99 {v:.2f} s"),
    _Rule("RequestBacklog", "active", 100.0, _NEVER, lambda v: f"{v:.0f} requests in flight"),
    _MEMORY,
    _Rule("HighCPU", "cpu", HIGH_CPU, _NEVER, lambda v: f"CPU at {v:.0%} of its limit"),
)
_watched = attrgetter(*(rule.meter for rule in _RULES))
CUSTOMERS = 0.02
_LET_DOWN = _Rule(
    "HighErrorRate",
    "customer_error_ratio",
    CUSTOMERS,
    0.0,
    lambda v: f"{v:.1%} of customers are let down",
)


def fire(world: World, since: dict[str, int], meters: Mapping[str, Meters]) -> list[dict[str, Any]]:
    """Alerts active now, worst first.

    Args:
        world: the world at the end of a tick.
        since: tick at which each active alert fired; brought up to date.
        meters: of every service now.
    """
    found: list[tuple[Any, ...]] = []
    for service in world.services:
        now = meters[service.name]
        if service.entry and world.let_down >= CUSTOMERS:
            found.append(_fired(_LET_DOWN, service.name, world.let_down))
        if service.alerted:
            for rule, value in zip(_RULES, _watched(now), strict=True):
                if value >= rule.threshold:
                    found.append(_fired(rule, service.name, float(value)))
        elif now.memory >= NEARLY_FULL:
            # Pods about to be killed are the cluster's alert, whoever owns them.
            found.append(_fired(_MEMORY, service.name, now.memory))
    found.sort()  # by rank, how far over, and id, which no two share
    before = since.copy()
    since.clear()
    for _, _, alert_id, alert in found:
        alert["fired_at_tick"] = since[alert_id] = before.get(alert_id, world.tick)
    return [alert for _, _, _, alert in found]


def _fired(rule: _Rule, service: str, value: float) -> tuple[int, float, str, dict[str, Any]]:
    """An alert, after what it is sorted by."""
    severity = "page"
    if rule.critical:
        severity = "critical" if value >= rule.critical else "warning"
    alert_id = f"{rule.alertname}-{service}-{rule.meter}"
    alert = {
        "alert_id": alert_id,
        "alertname": rule.alertname,
        "service_name": service,
        "severity": severity,
        "description": f"{service}: {rule.text(value)}",
        "metric_name": rule.meter,
        "metric_value": round(value, 4),
        "threshold_value": rule.threshold,
    }
    return _RANK[severity], -value / rule.threshold, alert_id, alert
