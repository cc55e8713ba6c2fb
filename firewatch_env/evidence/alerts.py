"""Alerts: rules over meters, for services that have rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from operator import attrgetter, ge
from typing import Any

from firewatch_env.engine.world import World
from firewatch_env.evidence.meters import ERRORS, HIGH_CPU, HIGH_MEMORY, SLOW, Meters

_RANK = {"page": 0, "critical": 1, "warning": 2}


@dataclass(frozen=True, slots=True, eq=False)
class _Rule:
    alertname: str
    meter: str
    threshold: float
    severity: str
    text: Callable[[float], str]


_RULES = (
    _Rule("ServiceDown", "seen", 0.9, "page", lambda v: f"{v:.0%} of probes fail"),
    _Rule("HighErrorRate", "own", ERRORS, "critical", lambda v: f"{v:.1%} of requests end in 5xx"),
    _Rule("HighLatency", "p99", SLOW, "critical", lambda v: f"p99 is {v:.2f} s"),
    _Rule("RequestBacklog", "active", 100.0, "warning", lambda v: f"{v:.0f} requests in flight"),
    _Rule(
        "MemoryPressure",
        "memory",
        HIGH_MEMORY,
        "warning",
        lambda v: f"{v:.0%} of the memory limit in use",
    ),
    _Rule("HighCPU", "cpu", HIGH_CPU, "warning", lambda v: f"CPU at {v:.0%} of its limit"),
)
_watched = attrgetter(*(rule.meter for rule in _RULES))
_THRESHOLDS = tuple(rule.threshold for rule in _RULES)
CUSTOMERS = 0.02
_LET_DOWN = _Rule(
    "HighErrorRate",
    "customer_error_ratio",
    CUSTOMERS,
    "page",
    lambda v: f"{v:.1%} of customers are let down",
)


def fire(world: World, since: dict[str, int], meters: Mapping[str, Meters]) -> list[dict[str, Any]]:
    """Alerts active now, worst first.

    Args:
        world: the world at the end of a tick.
        since: tick at which each active alert fired; brought up to date.
        meters: of every service now.
    """
    found: list[tuple[int, float, str, _Rule, str, float]] = []
    for service in world.services:
        if service.entry and world.let_down >= CUSTOMERS:
            found.append(_ranked(_LET_DOWN, service.name, world.let_down))
        if service.alerted:
            values = _watched(meters[service.name])
            if any(map(ge, values, _THRESHOLDS)):
                for rule, value in zip(_RULES, values, strict=True):
                    if value >= rule.threshold:
                        found.append(_ranked(rule, service.name, float(value)))
    found.sort()
    ids = {each[2] for each in found}
    if not since.keys() <= ids:
        for gone in since.keys() - ids:
            del since[gone]
    return [
        {
            "alert_id": alert_id,
            "alertname": rule.alertname,
            "service_name": name,
            "severity": rule.severity,
            "description": f"{name}: {rule.text(value)}",
            "metric_name": rule.meter,
            "metric_value": round(value, 4),
            "threshold_value": rule.threshold,
            "fired_at_tick": since.setdefault(alert_id, world.tick),
        }
        for _, _, alert_id, rule, name, value in found
    ]


def _ranked(rule: _Rule, service: str, value: float) -> tuple[int, float, str, _Rule, str, float]:
    """An alert, beginning with what it is sorted by."""
    rank, alert_id = _known(rule, service)
    return rank, -value / rule.threshold, alert_id, rule, service, value


@cache
def _known(rule: _Rule, service: str) -> tuple[int, str]:
    """What stays the same of an alert: how bad it is, and its id."""
    return _RANK[rule.severity], f"{rule.alertname}-{service}-{rule.meter}"
