"""An observation read back from the words that a model is told: a policy can stand in for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from firewatch_env.tools import STANDS_OUT

CALLS = re.compile(r"Customers come in at (?P<entries>[^.]+)\. Calls: (?P<calls>[^\n]*)\.$", re.M)
SITUATION = re.compile(
    r"Tick (?P<tick>\d+), burn rate (?P<burn>[\d.]+), budget (?P<budget>[\d.]+) %\. "
    r"Alerts: (?P<alerts>.*)\. Not healthy: (?P<unwell>[^.]*)\. (?P<meters>Memory: .*)"
)
ALERT = re.compile(r"(page|critical|warning) (\w+) ([\w-]+): ")
LOG_LINE = re.compile(r"t=\d+ (?P<service>\S+) ")

HEALTHY = {
    "http_server_error_rate": 0.0,
    "http_server_request_duration_p50": 0.0,
    "http_server_request_duration_p95": 0.0,
    "http_server_request_duration_p99": 0.0,
    "http_server_active_requests": 0,
    "process_cpu_utilization": 0.0,
    "process_memory_utilization": 0.0,
    "status": "healthy",
    "recent_logs": [],
}
"""A service that nothing was said of."""


def told(introduction: str, answer: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a model knows of an incident, in the form of an observation.

    Args:
        introduction: text with the first user message in it.
        answer: to the last tool call; None for the situation at the start.

    Raises:
        ValueError: the text holds no introduction.
    """
    found = CALLS.search(introduction)
    if found is None:
        raise ValueError("the text has no introduction of an incident")
    graph: dict[str, list[str]] = {name: [] for name in found["entries"].split(", ")}
    for part in found["calls"].split("; "):
        caller, _, callees = part.partition(" → ")
        graph[caller] = callees.split(", ")
    for callees in list(graph.values()):
        for callee in callees:
            graph.setdefault(callee, [])
    graph = {name: graph[name] for name in sorted(graph)}  # as in an observation
    services = {name: dict(HEALTHY) for name in graph}
    said = {} if answer is None else answer
    observation = {
        "status": said.get("status", "running"),
        "message": said.get("message", ""),
        "dependency_graph": graph,
        "services": services,
        "tool_result": said.get("figures"),
        **_situation(introduction if answer is None else said.get("now", ""), services),
    }
    for line in said.get("log_lines", ()):
        if (spoken := LOG_LINE.match(line)) and spoken["service"] in services:
            services[spoken["service"]]["recent_logs"] = list(said["log_lines"])
    return observation


def _situation(text: str, services: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Meters and alerts of the last sentence; what is said of services goes into them."""
    now = SITUATION.search(text)
    if now is None:  # the answer to a mistake says nothing of it
        return {"sim_tick": 0, "current_slo_burn_rate": 0.0, "active_alerts": []}
    for part in now["unwell"].split(", "):
        name, _, status = part.partition(" ")
        if name in services:
            services[name]["status"] = status
    for said, meter, least, _ in STANDS_OUT:
        beyond = rf" above {least}" if least else ""
        told = re.search(rf"{said}: (.*?){beyond}\.(?= |$)", now["meters"])
        for part in told[1].split(", ") if told else ():
            name, _, value = part.partition(" ")
            if name in services:
                services[name][meter] = float(value)
    alerts = [
        {"severity": severity, "alertname": alert, "service_name": service, "description": ""}
        for severity, alert, service in ALERT.findall(now["alerts"])
    ]
    return {
        "sim_tick": int(now["tick"]),
        "current_slo_burn_rate": float(now["burn"]),
        "slo_budget_remaining_pct": float(now["budget"]),
        "active_alerts": alerts,
    }
