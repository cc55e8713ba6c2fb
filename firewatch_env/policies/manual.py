"""The manual: which settings can do what, and which repair belongs to which figure."""

from __future__ import annotations

FEATURE_KEYS: dict[str, tuple[str, ...]] = {
    "grow": ("keep", "size", "cap", "ttl"),
    "errors": ("mode", "v", "ttl"),
    "cpu": ("level", "mode"),
    "slots": ("cap", "n"),
    "pods": ("init", "v"),
    "refuse": ("scope", "v", "size"),
    "limit": ("rate", "n"),
    "path": ("route", "v"),
    "hits": ("ttl", "size"),
    "hot": ("key", "mode"),
}
EDGE_KEYS: dict[str, tuple[str, ...]] = {
    "timeout": ("wait", "n"),
    "calls": ("size", "n"),
    "tries": ("tries", "n"),
}
DROPPED = {
    "by policy": "revert_network_policy",
    "wrong host": "update_service_endpoint",
    "idle slot": "complete_traffic_switch",
    "proxy version": "rollback_proxy_upgrade",
}
CONSENSUS = {
    "no quorum zone b": "rebalance_az_traffic",
    "lagging reads zone b": "rebalance_az_traffic",
    "differing keys": "flush_diverged_keys",
    "unreadable entries": "evict_cache_by_pattern",
}
IDENTITY = {
    "handshakes failed": "rotate_tls_certificate",
    "clock": "force_ntp_sync",
    "role": "grant_rbac_permission",
}
WAITING = {
    "variable": "inject_missing_env_var",
    "loading": "pre_warm_service",
    "answering": "adjust_probe_timing",
    "delay": "restart_service",
    "scheduling": "rollback_deployment_rollout",
}
