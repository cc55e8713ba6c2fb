"""The observation with every key of the wire contract, computed from a world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from firewatch_next.simulation.latency import quantile_of_modes
from firewatch_next.simulation.rows import Column, modes_of_row
from firewatch_next.simulation.service import SECONDS_PER_TICK, Service
from firewatch_next.simulation.world import World
from firewatch_next.telemetry.alerts import Alert

BUDGET_TICKS = 10.0  # of full outage
ALLOWED_SHARE = 0.005
HISTORY_LENGTH = 10
IMPACT_TICKS = 3


class ServiceStatus:
    """Verdict of probes from outside on a service, by its failed share and p99 in seconds."""

    HEALTHY, DEGRADED, CRITICAL, DOWN = "healthy", "degraded", "critical", "down"


def judge_status(failed_share: float, p99_seconds: float, ready_pods: float) -> str:
    """Return the verdict of probes, which also see 4xx, relayed failures and lost calls."""
    if ready_pods < 1.0 or failed_share >= 0.9:
        return ServiceStatus.DOWN
    if failed_share >= 0.5 or p99_seconds >= 2.0:
        return ServiceStatus.CRITICAL
    if failed_share >= 0.1 or p99_seconds >= 0.5:
        return ServiceStatus.DEGRADED
    return ServiceStatus.HEALTHY


def build_service_map(world: World, service: Service, logs: Sequence[str]) -> dict[str, Any]:
    """Return the nine keys of a service at the world's present tick.

    The error rate counts failures that arise in the service itself. Active requests are per pod.
    """
    values = list(world.history.service_values(service.name, world.tick))
    own = values[Column.EXCEPTION] + values[Column.REJECTED] + values[Column.POOL_TIMEOUT]
    relayed = values[Column.BAD_GATEWAY] + values[Column.TIMEOUT] + values[Column.CLIENT_ERRORS]
    lost = max((client.attempt_failed_share for client in world.incoming[service.name]
                if client.errors), default=0.0)  # fmt: skip
    modes = modes_of_row(values, service.latency_step)
    p50, p95, p99 = (quantile_of_modes(modes, share) for share in (0.5, 0.95, 0.99))
    pods = values[Column.PODS]
    failed = max(lost, min(1.0, own + relayed))
    return {
        "http_server_error_rate": round(min(1.0, own), 4),
        "http_server_request_duration_p50": round(p50, 4),
        "http_server_request_duration_p95": round(p95, 4),
        "http_server_request_duration_p99": round(p99, 4),
        "http_server_active_requests": int(values[Column.LOAD] * p50 / max(1.0, pods)),
        "process_cpu_utilization": round(min(1.0, values[Column.UTILIZATION]), 2),
        "process_memory_utilization": round(min(1.0, values[Column.MEMORY]), 2),
        "status": judge_status(failed, p99, pods),
        "recent_logs": list(logs),
    }


def is_active_for_clients(values: Mapping[str, Any]) -> bool:
    """Return whether existing clients let a model act on a service with these nine values."""
    return bool(
        values["status"] != ServiceStatus.HEALTHY
        or values["http_server_error_rate"] >= 0.05
        or values["http_server_request_duration_p99"] >= 0.5
        or values["process_memory_utilization"] >= 0.7
        or values["http_server_active_requests"] >= 100
    )


def build_services(world: World, logs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the maps of all services in alphabetical order."""
    return {
        name: build_service_map(world, world.services[name], logs.get(name, ()))
        for name in sorted(world.services)
    }


def build_dependency_graph(world: World) -> dict[str, list[str]]:
    """Return the callees of every service."""
    return {
        name: sorted(client.callee for client in world.services[name].clients)
        for name in sorted(world.services)
    }


def build_alert(alert: Alert) -> dict[str, Any]:
    """Return an alert with the keys of the contract."""
    return {
        "alert_id": alert.alert_id,
        "alertname": alert.alertname,
        "service_name": alert.service_name,
        "severity": alert.severity.value,
        "description": alert.description,
        "metric_name": alert.metric_name,
        "metric_value": round(alert.metric_value, 4),
        "threshold_value": alert.threshold_value,
        "fired_at_tick": alert.fired_at_tick,
    }


def build_empty_observation() -> dict[str, Any]:
    """Return the observation before any episode."""
    return {
        "services": {}, "active_alerts": [], "dependency_graph": {},
        "slo_budget_remaining_pct": 100.0, "bad_customer_minutes": 0.0, "sim_tick": 0,
        "sim_time_elapsed_seconds": 0, "action_history": [], "incident_declared": False,
        "user_impact_active": False, "current_slo_burn_rate": 0.0, "mttm_achieved_tick": None,
        "episode_score": None, "tool_result": None,
    }  # fmt: skip


def build_clock_fields(world: World) -> dict[str, Any]:
    """Return tick and seconds since the reset."""
    return {"sim_tick": world.tick, "sim_time_elapsed_seconds": SECONDS_PER_TICK * world.tick}
