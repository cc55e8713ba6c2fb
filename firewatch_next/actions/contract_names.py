"""The action names of existing clients, as calls of the tools.

An investigation is one call of a tool that observes. A remediation is a list of calls, chosen from
the world at its tick; it is empty where there is nothing to change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from firewatch_next.actions.contract_repairs import REMEDIATION_PLANS, PlanCalls
from openenv_kit.tool import ToolCall

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Remediation:
    """An action of existing clients that changes something.

    Attributes:
        parameters: names that it reads; others are ignored.
        plan: returns the calls for a service of a world.
    """

    name: str
    parameters: tuple[str, ...]
    plan: PlanCalls


def _diagnostic(kind: str) -> Callable[[str], ToolCall]:
    return lambda service: ToolCall("run_diagnostic", {"service": service, "kind": kind})


def _map(service: str) -> ToolCall:
    return ToolCall("show_service_map", {"service": service})


def _logs(service: str) -> ToolCall:
    arguments = {"service": service, "level": "WARN", "window_minutes": 10, "limit": 8}
    return ToolCall("search_logs", arguments)


def _metrics(service: str) -> ToolCall:
    metrics = ["error_ratio", "request_rate", "latency_p99_ms", "cpu_utilization"]
    return ToolCall("query_metrics", {"service": service, "metrics": metrics})


def _traces(service: str) -> ToolCall:
    return ToolCall("find_traces", {"service": service, "limit": 2})


def _changes(service: str) -> ToolCall:
    return ToolCall("list_changes", {"service": service})


INVESTIGATIONS: dict[str, Callable[[str], ToolCall]] = {
    "fetch_logs": _logs,
    "get_metrics_detail": _metrics,
    "trace_dependencies": _map,
    "inspect_commit_diff": _changes,
    "thread_dump": _diagnostic("threads"),
    "inspect_thread_pool": _diagnostic("connections"),
    "check_gc_pressure": _diagnostic("heap"),
    "profiler_dump": _diagnostic("cpu_profile"),
    "strace_process": _diagnostic("syscalls"),
    "trace_distributed_request": _traces,
    "inspect_network_policy": _diagnostic("network_policy"),
    "inspect_quota_usage": _diagnostic("quota"),
    "inspect_consensus_state": _diagnostic("consensus"),
    "inspect_cluster_topology": _map,
    "inspect_mtls_status": _diagnostic("certificates"),
    "inspect_pipeline_topology": _diagnostic("queue"),
}
_PARAMETERS: dict[str, tuple[str, ...]] = {
    "scale_replicas": ("replicas", "memory_limit_mb"),
    "circuit_break": ("state",),
    "traffic_shift": ("drain_percentage",),
    "set_log_level": ("level",),
}
REMEDIATIONS: dict[str, Remediation] = {
    name: Remediation(name, _PARAMETERS.get(name, ()), plan)
    for name, plan in REMEDIATION_PLANS.items()
}
CLOSING_NAMES = ("declare_resolved", "escalate")
CONTRACT_NAMES: tuple[str, ...] = (*INVESTIGATIONS, *REMEDIATIONS, *CLOSING_NAMES)
