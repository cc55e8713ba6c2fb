"""The rules that existing clients carry: rank by the graph, read logs, repair by keyword."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.policies.reference import Script, order

_KEYWORDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("oomkilled", "exit code 137", "memory limit"), "restart_service"),
    (("nullpointerexception", "deploy", "version"), "rollback_deploy"),
    (("hikaripool", "connection pool", "timed out after"), "revert_config"),
    (("connection refused", "circuit breaker"), "circuit_break"),
    (("memory leak", "high latency"), "scale_replicas"),
)
_TURN = (
    "restart_service", "rollback_deploy", "revert_config", "circuit_break", "scale_replicas",
)  # fmt: skip


def is_active(view: Mapping[str, Any]) -> bool:
    """Whether such a client calls a service active; only those are legal targets for it."""
    return bool(
        view["status"] != "healthy"
        or view["http_server_error_rate"] >= 0.05
        or view["http_server_request_duration_p99"] >= 0.5
        or view["process_memory_utilization"] >= 0.7
        or view["http_server_active_requests"] >= 100
    )


def ranked(seen: Mapping[str, Any]) -> list[str]:
    """Active services, those that call no other active service first, then by their errors."""
    active = {name: view for name, view in seen["services"].items() if is_active(view)}

    def key(name: str) -> tuple[int, float, float, str]:
        below = sum(callee in active for callee in seen["dependency_graph"][name])
        view = active[name]
        return (
            below,
            -float(view["http_server_error_rate"]),
            -float(view["http_server_request_duration_p99"]),
            name,
        )

    return sorted(active, key=key)


def keyword_rules(opening: Mapping[str, Any]) -> Script:
    """Two looks at logs, one at the calls, then repairs by keyword until nothing is active."""
    seen, step = opening, 0
    done: list[tuple[str, str]] = []
    while ranks := ranked(seen):
        step += 1
        root, *others = ranks
        failing = (n for n in others if seen["services"][n]["http_server_error_rate"] >= 0.1)
        second = next(failing, None)
        if step == 1 or (step == 2 and second is not None):
            action = order("fetch_logs", root if step == 1 else second)
        elif step <= 3:
            action = order("trace_dependencies", root)
        else:
            name = _repair(seen["services"][root]["recent_logs"][-4:], root, done)
            done.append((name, root))
            action = order(name, root)
        seen = yield action
    yield order("declare_resolved")


def _repair(lines: list[str], root: str, done: list[tuple[str, str]]) -> str:
    text = " ".join(lines).lower()
    found = next((action for words, action in _KEYWORDS if any(w in text for w in words)), None)
    name = found or "restart_service"
    if [each for each in done if each[1] == root][-3:] == [(name, root)] * 3:
        return _TURN[len([each for each in done if each[1] == root]) % len(_TURN)]
    return name
