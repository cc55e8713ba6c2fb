"""The observation: every key of the wire contract, from the world and the play so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from firewatch_env.engine.world import World
from firewatch_env.evidence.meters import Meters


def service_view(meters: Meters, logs: Sequence[str]) -> dict[str, Any]:
    """The nine keys of a service.

    Figures are never negative, so adding a half rounds them; `round` takes five times as long, and
    every service has six of them in every tick.
    """
    own, _, p50, p95, p99, cpu, memory, active, status = meters
    return {
        "http_server_error_rate": (own * 1e4 + 0.5) // 1 / 1e4,
        "http_server_request_duration_p50": (p50 * 1e4 + 0.5) // 1 / 1e4,
        "http_server_request_duration_p95": (p95 * 1e4 + 0.5) // 1 / 1e4,
        "http_server_request_duration_p99": (p99 * 1e4 + 0.5) // 1 / 1e4,
        "http_server_active_requests": active,
        "process_cpu_utilization": (cpu * 1e2 + 0.5) // 1 / 1e2,
        "process_memory_utilization": (memory * 1e2 + 0.5) // 1 / 1e2,
        "status": status,
        "recent_logs": list(logs),
    }


def services_view(
    meters: Mapping[str, Meters], logs: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """All services in alphabetical order: the order says nothing about the incident."""
    return {name: service_view(meters[name], logs.get(name, ())) for name in sorted(meters)}


def graph(world: World) -> dict[str, list[str]]:
    """Every service with those that it calls."""
    return {
        name: sorted(call.callee.name for call in world.by_name[name].calls)
        for name in sorted(world.by_name)
    }


def nothing() -> dict[str, Any]:
    """The observation before any episode."""
    return {
        "services": {}, "active_alerts": [], "dependency_graph": {},
        "slo_budget_remaining_pct": 100.0, "bad_customer_minutes": 0.0, "sim_tick": 0,
        "sim_time_elapsed_seconds": 0, "action_history": [], "incident_declared": False,
        "user_impact_active": False, "current_slo_burn_rate": 0.0, "mttm_achieved_tick": None,
        "episode_score": None, "tool_result": None,
    }  # fmt: skip
