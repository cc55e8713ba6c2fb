"""The rules that existing clients carry: rank by the graph, read logs, repair by keyword."""

from __future__ import annotations

from typing import Any

from firewatch_env.policies.seen import Script, Seen, order

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


def is_active(view: dict[str, Any]) -> bool:
    """Whether such a client calls a service active; only those are legal targets for it."""
    return bool(
        view["status"] != "healthy"
        or view["http_server_error_rate"] >= 0.05
        or view["http_server_request_duration_p99"] >= 0.5
        or view["process_memory_utilization"] >= 0.7
        or view["http_server_active_requests"] >= 100
    )


def ranked(seen: Seen) -> list[str]:
    """Active services, those that call no other active service first, then by their errors."""
    active = {name: view for name, view in seen.services.items() if is_active(view)}
    graph = seen.graph

    def key(name: str) -> tuple[int, float, float, str]:
        below = sum(callee in active for callee in graph[name])
        view = active[name]
        return (
            below,
            -float(view["http_server_error_rate"]),
            -float(view["http_server_request_duration_p99"]),
            name,
        )

    return sorted(active, key=key)


def keyword_rules(seen: Seen) -> Script:
    """Two looks at logs, one at the calls, then repairs until nothing is active."""
    step = 0
    done: list[tuple[str, str]] = []
    while True:
        step += 1
        ranks = ranked(seen)
        if not ranks:
            yield order("declare_resolved")
            return
        root = ranks[0]
        second = next(
            (n for n in ranks[1:] if seen.services[n]["http_server_error_rate"] >= 0.1), None
        )
        if step == 1:
            action = order("fetch_logs", root)
        elif step == 2 and second is not None:
            action = order("fetch_logs", second)
        elif step <= 3:
            action = order("trace_dependencies", root)
        else:
            name = _repair(seen, root, done)
            done.append((name, root))
            action = order(name, root)
        seen = yield action


def _repair(seen: Seen, root: str, done: list[tuple[str, str]]) -> str:
    text = " ".join(seen.lines(root)).lower()
    found = next((action for words, action in _KEYWORDS if any(w in text for w in words)), None)
    name = found or "restart_service"
    if [each for each in done if each[1] == root][-3:] == [(name, root)] * 3:
        tried = len([each for each in done if each[1] == root]) - 3
        return _TURN[tried % len(_TURN)]
    if done[-3:].count((name, root)) == 3:
        return _TURN[len(done) % len(_TURN)]
    return name
