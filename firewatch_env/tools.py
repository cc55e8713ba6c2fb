"""The actions as at most 30 tools in four groups: what a model is offered, over every door.

All 72 names are answered. Those that are not offered do what an offered one does, or are kinds of
`run_runbook`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from firewatch_env.actions import ACTIONS
from openenv_kit.catalogue import Catalogue
from openenv_kit.tool import Action, Tool, ToolCall

RUNBOOK = "run_runbook"
GROUPS: dict[str, tuple[str, ...]] = {
    "look": (
        "trace_dependencies", "trace_distributed_request", "get_metrics_detail", "fetch_logs",
        "inspect_commit_diff", "thread_dump", "profiler_dump", "check_gc_pressure",
        "inspect_cluster_topology", "inspect_network_policy", "inspect_consensus_state",
    ),
    "mitigate": (
        "scale_replicas", "increase_cpu_limit", "traffic_shift", "circuit_break",
        "enable_connection_throttle", "extend_timeout", "disable_retries",
        "configure_retry_backoff",
    ),
    "repair": ("rollback_deploy", "revert_config", "restart_service", RUNBOOK),
    "close": ("declare_resolved", "escalate"),
}  # fmt: skip
"""The tools that are offered, by what they are for."""
ALIASES = {
    "inspect_thread_pool": "thread_dump",
    "strace_process": "profiler_dump",
    "inspect_mtls_status": "inspect_network_policy",
    "inspect_quota_usage": "fetch_logs",
    "inspect_pipeline_topology": "inspect_cluster_topology",
    "scale_az_capacity": "scale_replicas",
    "drain_availability_zone": "traffic_shift",
}
"""What existing clients call and models are not offered, each with the tool that does as much."""
RUNBOOKS = tuple(name for name, action in ACTIONS.items() if action.runbook)
TARGET = "target_service"


def _parameter(kind: str, description: str, **more: Any) -> Any:
    """An optional argument of which the action makes what it can."""
    schema = {"type": kind, **({"description": description} if description else {}), **more}
    return Field(default=None, json_schema_extra=schema)


class Nothing(BaseModel):
    """No arguments; any that are given are ignored and named in the feedback."""


class Target(BaseModel):
    """A service; further parameters are ignored and named in the feedback."""

    target_service: str = Field(description="name of a service")


class Scale(Target):
    """How many pods, of which size."""

    replicas: Any = _parameter("number", "pods; at most three times the usual")
    memory_limit_mb: Any = _parameter("number", "limit of each pod; this lasts")


class Shift(Target):
    """How much of a zone to drain."""

    drain_percentage: Any = _parameter("number", "0 to 100; 100 by default")


class Breaker(Target):
    """Open or closed."""

    state: Any = _parameter("string", "", enum=["open", "closed"])


class Undo(Target):
    """Back, or forth again."""

    undo: Any = _parameter("boolean", "bring the newer one out again")


class Runbook(Target):
    """Which kind of thing to put right."""

    runbook: str = Field(json_schema_extra={"enum": list(RUNBOOKS)})


ARGUMENTS: Mapping[str, type[BaseModel]] = {
    "scale_replicas": Scale,
    "traffic_shift": Shift,
    "circuit_break": Breaker,
    "rollback_deploy": Undo,
    "revert_config": Undo,
    "declare_resolved": Nothing,
    "escalate": Nothing,
}
"""Arguments of the tools that take others than a service."""
MORE = {
    "scale_replicas": " Pods are lent; a higher memory limit lasts.",
    "traffic_shift": " Ends after 10 minutes.",
    "circuit_break": " A part of the answers without it count as bad.",
    "rollback_deploy": " Ends all that the build brought; scratch volumes stay.",
    "disable_retries": " Ordinary retries are spaced and add no load.",
}


def _tool(name: str) -> Tool:
    if name == RUNBOOK:
        summary = (
            "Put one kind of thing right at a service, for good; charged where nothing is off. "
            "enable_cache_warming cures in three runs; rate_limit_cache_misses spares the store."
        )
        return Tool(RUNBOOK, summary, Runbook, is_read_only=False)
    action = ACTIONS[name]
    return Tool(
        name,
        action.summary + MORE.get(name, ""),
        ARGUMENTS.get(name, Target),
        is_read_only=action.group == "look",
        is_final=name == "declare_resolved",
    )


def to_action(name: str, arguments: Mapping[str, Any]) -> Action:
    """The action of a tool call."""
    if name == RUNBOOK:
        return {"action_type": arguments["runbook"], TARGET: arguments[TARGET]}
    parameters = {key: value for key, value in arguments.items() if key != TARGET}
    made: Action = {"action_type": name}
    if TARGET in arguments:
        made[TARGET] = arguments[TARGET]
    return {**made, "parameters": parameters} if parameters else made


def called(action: Mapping[str, Any]) -> ToolCall:
    """Name and arguments of the tool call that an action stands for."""
    name, arguments = str(action.get("action_type")), dict(action.get("parameters") or {})
    name, target = ALIASES.get(name, name), action.get(TARGET)
    if name in RUNBOOKS:
        return ToolCall(RUNBOOK, {TARGET: target, "runbook": name})
    return ToolCall(name, arguments if target is None else {TARGET: target, **arguments})


def answer(observation: Mapping[str, Any]) -> dict[str, Any]:
    """What a model is told of an observation."""
    return {"status": observation["status"], "message": observation["message"]}


CATALOGUE = Catalogue(
    tuple(_tool(name) for names in GROUPS.values() for name in names),
    format_tool_result=answer,
    action_of_tool_call=to_action,
    tool_call_of_action=called,
    prose_fields=("description", "feedback_string", "message"),
)
