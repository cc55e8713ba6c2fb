"""Alerts: rules over meters, for services that have rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from firewatch_env.engine.world import World
from firewatch_env.evidence.meters import Meters, read_all

_RANK = {"page": 0, "critical": 1, "warning": 2}
# alertname, meter, threshold, severity, how it reads
_RULES: tuple[tuple[str, str, float, str, str], ...] = (
    ("ServiceDown", "seen", 0.9, "page", "{v:.0%} of probes fail"),
    ("HighErrorRate", "own", 0.05, "critical", "{v:.1%} of requests end in 5xx"),
    ("HighLatency", "p99", 0.5, "critical", "p99 is {v:.2f} s"),
    ("RequestBacklog", "active", 100.0, "warning", "{v:.0f} requests in flight"),
    ("MemoryPressure", "memory", 0.7, "warning", "{v:.0%} of the memory limit in use"),
    ("HighCPU", "cpu", 0.95, "warning", "CPU at {v:.0%} of its limit"),
)
CUSTOMERS = 0.02


def fire(
    world: World, since: dict[str, int], meters: Mapping[str, Meters] | None = None
) -> list[dict[str, Any]]:
    """Alerts active now, worst first.

    Args:
        world: the world at the end of a tick.
        since: tick at which each active alert fired; brought up to date.
        meters: of every service now; None to read them.
    """
    active = []
    for found in _found(world, meters or read_all(world)):
        since.setdefault(found["alert_id"], world.tick)
        found["fired_at_tick"] = since[found["alert_id"]]
        active.append(found)
    ids = {found["alert_id"] for found in active}
    for gone in [each for each in since if each not in ids]:
        del since[gone]
    active.sort(key=lambda a: (_RANK[a["severity"]], -a["ratio"], a["alert_id"]))
    for each in active:
        del each["ratio"]
    return active


def _found(world: World, meters: Mapping[str, Meters]) -> Iterator[dict[str, Any]]:
    for service in world.services:
        if service.entry:
            let_down = world.harm + 0.005 if world.harm else 0.0
            if let_down >= CUSTOMERS:
                text = f"{let_down:.1%} of customers are let down"
                yield _alert(
                    "HighErrorRate", service.name, "page", text,
                    "customer_error_ratio", let_down, CUSTOMERS,
                )  # fmt: skip
        if service.alerted:
            yield from _by_rule(service.name, meters[service.name])


def _by_rule(name: str, meters: Meters) -> Iterator[dict[str, Any]]:
    for alertname, meter, threshold, severity, text in _RULES:
        value = getattr(meters, meter)
        if value >= threshold:
            yield _alert(alertname, name, severity, text.format(v=value), meter, value, threshold)


def _alert(
    alertname: str,
    service: str,
    severity: str,
    text: str,
    metric: str,
    value: float,
    threshold: float,
) -> dict[str, Any]:
    return {
        "alert_id": f"{alertname}-{service}-{metric}",
        "alertname": alertname,
        "service_name": service,
        "severity": severity,
        "description": f"{service}: {text}",
        "metric_name": metric,
        "metric_value": round(float(value), 4),
        "threshold_value": threshold,
        "ratio": float(value) / threshold,
    }
