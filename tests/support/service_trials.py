"""Trials of the faults of code, load, latency, memory, limits and calls."""

from __future__ import annotations

from firewatch_next.changes.change import ChangeKind
from firewatch_next.faults.fault_type import Origin, Thing
from support.fault_trials import Wanted

SERVICE_TRIALS = {
    ("load_imbalance", "listed"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "session_affinity"
    ),
    ("load_imbalance", "by hand"): Wanted(Thing.SETTING, Origin.UNLISTED, None),
    ("thread_deadlock", "version"): Wanted(
        Thing.VERSION, Origin.SAFE_CHANGE, ChangeKind.DEPLOY, start_tick=-24
    ),
    ("lock_contention", "session"): Wanted(Thing.JOB, Origin.UNLISTED, None),
    ("lock_contention", "migration"): Wanted(Thing.JOB, Origin.SAFE_CHANGE, ChangeKind.MIGRATION),
    ("timeout_too_short", "listed"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "timeout_ms"
    ),
    ("timeout_too_short", "by hand"): Wanted(Thing.SETTING, Origin.UNLISTED, None),
    ("retry_storm", "listed"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "max_attempts", -20
    ),
    ("retry_storm", "by hand"): Wanted(Thing.SETTING, Origin.UNLISTED, None, start_tick=-20),
    ("batch_job", "schedule"): Wanted(Thing.JOB, Origin.UNLISTED, None),
    ("batch_job", "started"): Wanted(Thing.JOB, Origin.CHANGE_ELSEWHERE, ChangeKind.JOB),
    ("memory_leak", "version"): Wanted(
        Thing.VERSION, Origin.SAFE_CHANGE, ChangeKind.DEPLOY, start_tick=-30
    ),
    ("memory_leak", "flag"): Wanted(Thing.FLAG, Origin.UNLISTED, None, start_tick=-30),
    ("excess_calls", "version"): Wanted(Thing.VERSION, Origin.CHANGE_ELSEWHERE, ChangeKind.DEPLOY),
    ("excess_calls", "flag"): Wanted(Thing.FLAG, Origin.UNLISTED, None),
    ("cache_miss", "size"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "cache_mb", -20
    ),
    ("cache_miss", "lifetime by hand"): Wanted(
        Thing.SETTING, Origin.UNLISTED, None, start_tick=-20, name="cache_ttl_s"
    ),
    ("cache_miss", "keys"): Wanted(
        Thing.VERSION, Origin.CHANGE_ELSEWHERE, ChangeKind.DEPLOY, start_tick=-20
    ),
    ("cache_miss", "more data"): Wanted(Thing.TENANT, Origin.UNLISTED, None, start_tick=-30),
    ("slow_query", "migration"): Wanted(Thing.STATEMENT, Origin.SAFE_CHANGE, ChangeKind.MIGRATION),
    ("slow_query", "statistics"): Wanted(Thing.STATEMENT, Origin.UNLISTED, None),
    ("slow_query", "version"): Wanted(Thing.VERSION, Origin.CHANGE_ELSEWHERE, ChangeKind.DEPLOY),
    ("slow_query", "flag"): Wanted(Thing.FLAG, Origin.UNLISTED, None),
    ("cpu_regression", "version"): Wanted(Thing.VERSION, Origin.SAFE_CHANGE, ChangeKind.DEPLOY),
    ("cpu_regression", "flag"): Wanted(Thing.FLAG, Origin.UNLISTED, None),
    ("cpu_regression", "unsafe"): Wanted(Thing.FLAG, Origin.UNSAFE_CHANGE, ChangeKind.DEPLOY),
    ("concurrency_limit", "pool"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "pool_size"
    ),
    ("concurrency_limit", "pool by hand"): Wanted(
        Thing.SETTING, Origin.UNLISTED, None, name="pool_size"
    ),
    ("concurrency_limit", "threads"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "threads"
    ),
    ("traffic_growth", "customers"): Wanted(Thing.TRAFFIC, Origin.UNLISTED, None, name="customers"),
    ("traffic_growth", "robots"): Wanted(Thing.TRAFFIC, Origin.UNLISTED, None, name="robots"),
    ("rate_limit", "listed"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "rate_limit"
    ),
    ("rate_limit", "by hand"): Wanted(Thing.SETTING, Origin.UNLISTED, None),
    ("code_error", "version"): Wanted(Thing.VERSION, Origin.SAFE_CHANGE, ChangeKind.DEPLOY),
    ("code_error", "half rolled out"): Wanted(
        Thing.VERSION, Origin.SAFE_CHANGE, ChangeKind.DEPLOY, start_tick=-3
    ),
    ("code_error", "revision"): Wanted(Thing.REVISION, Origin.SAFE_CHANGE, ChangeKind.CONFIG),
    ("code_error", "flag"): Wanted(Thing.FLAG, Origin.UNLISTED, None),
    ("code_error", "unsafe"): Wanted(Thing.FLAG, Origin.UNSAFE_CHANGE, ChangeKind.DEPLOY),
    ("connection_leak", "version"): Wanted(
        Thing.VERSION, Origin.SAFE_CHANGE, ChangeKind.DEPLOY, start_tick=-30
    ),
    ("connection_leak", "flag"): Wanted(Thing.FLAG, Origin.UNLISTED, None, start_tick=-30),
    ("connection_leak", "unsafe"): Wanted(
        Thing.FLAG, Origin.UNSAFE_CHANGE, ChangeKind.DEPLOY, start_tick=-30
    ),
    ("resource_limit", "memory"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "memory_limit_mb", -16
    ),
    ("resource_limit", "cpu"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "cpu_cores"
    ),
    ("resource_limit", "tenant"): Wanted(Thing.TENANT, Origin.UNLISTED, None, start_tick=-20),
}
