"""What an engineer knows by heart: which change could explain a trouble, and what mends what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# What a change that explains a trouble is about.
COULD: dict[str, str] = {
    "500": "parser|default values|message format|handle an empty",
    "403": "permission|access",
    "429": "rate limit",
    "no connection": "route",
    "cpu": "scored|compression|validated|regular expressions",
    "pool": "worker pool",
    "pods": "built at start|warm-up",
    "memory": "kept|memory|cache for",
    "late": "timeout|new client",
    "calls": "each item|batch",
    "tries": "tries|tried",
    "hits": "expiry|time to live",
    "skew": "partition key|balancing key",
}
MENDS = "handle an empty|off → on|dead route|retire|grant new|staff →|batch the|1 → 50"
"""What a change says that put something right."""
# What a line of a log or a look says, and what puts that right.
REMEDIES: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("record of a newer build", "rollback_deploy", {"undo": True}),
    ("not in this config", "revert_config", {"undo": True}),
    ("two primaries", "force_leader_election", {}),
    ("keys diverged", "flush_diverged_keys", {}),
    ("cache entry is corrupt", "evict_cache_by_pattern", {}),
    ("scratch volume is corrupt", "restart_service", {}),
    ("canary pods", "rollback_canary", {}),
    ("replica in zone b", "force_replica_resync", {}),
    ("no majority", "isolate_minority_nodes", {}),
    ("error on disks", "rebalance_az_traffic", {}),
    ("in zone b unreachable", "rebalance_az_traffic", {}),
    ("clock is", "force_ntp_sync", {}),
    ("lacks role", "grant_rbac_permission", {}),
    ("account quota", "request_quota_increase", {}),
    ("by network policy", "revert_network_policy", {}),
    ("certificate expired", "rotate_tls_certificate", {}),
    ("endpoint 10", "update_service_endpoint", {}),
    ("registered instance", "deregister_stale_instances", {}),
    ("sidecars", "rollback_proxy_upgrade", {}),
    ("blue slot", "complete_traffic_switch", {}),
    ("another team", "evict_noisy_pod", {}),
    ("writing logs", "set_log_level", {"level": "info"}),
    ("request body follows", "set_log_level", {"level": "info"}),
    ("one query for each", "optimize_query", {}),
    ("abandoned requests|client closed", "enable_deadline_propagation", {}),
    (r"CPU limit 0\.", "increase_cpu_limit", {}),
    ("threads blocked", "restart_thread_pool", {}),
    ("concurrent streams", "increase_max_streams", {}),
    ("reconnect all at once", "stagger_connection_pool_reconnect", {}),
    ("API_KEY not set", "inject_missing_env_var", {}),
    ("data still loading", "pre_warm_service", {}),
    ("readiness probe timed out", "adjust_probe_timing", {}),
    ("CrashLoopBackOff", "restart_service", {}),
    ("rollout stuck", "rollback_deployment_rollout", {}),
    ("memory leak", "restart_service", {}),
    ("cold after a restart", "enable_cache_warming", {}),
    ("evicting keys", "increase_cache_memory", {}),
    ("job stalled", "restart_pipeline_job", {}),
    ("zone b drained", "traffic_shift", {"drain_percentage": 0}),
)


class Entry(NamedTuple):
    """A release in a change log."""

    which: str
    taken_back: bool
    texts: tuple[str, ...]


def change_log(text: str) -> Iterator[Entry]:
    """The releases that `inspect_commit_diff` tells, the newest first."""
    for kind, about, texts in re.findall(r"\d\d:\d\d (build|config) \S+ \(([^)]*)\): (.*)", text):
        which = "rollback_deploy" if kind == "build" else "revert_config"
        yield Entry(which, "rolled back" in about, tuple(texts.split("; ")))


def explains(text: str, trouble: str, about: str, entry: Entry) -> bool:
    """Whether a line of a change log could have caused a trouble with a feature or a callee."""
    mends = re.search(MENDS, text) is not None
    could = re.search(COULD[trouble], text) is not None
    return could and about in text and mends == entry.taken_back


def remedy(text: str) -> tuple[str, dict[str, object]] | None:
    """What puts right the first thing that a text names; None where it names nothing known."""
    for line in text.splitlines():
        for pattern, action, parameters in REMEDIES:
            if re.search(pattern, line):
                return action, parameters
    return None


class Call(NamedTuple):
    """A callee in a trace."""

    callee: str
    text: str


def troubled(text: str) -> list[Call]:
    """Callees whose calls do not go as usual, the worst first."""
    return [Call(*found) for found in re.findall(r"^(?!Fine)([\w-]+): (.*)\.$", text, re.M)]


def percent(pattern: str, text: str) -> float:
    """The share that a pattern's group holds in per cent; 0 where the text has none."""
    found = re.search(pattern, text)
    return float(found[1]) / 100 if found else 0.0
