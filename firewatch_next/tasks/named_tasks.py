"""The 60 named tasks: public numbers, and the fault types and places that fit their names."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.faults.fault_type import Origin, Thing
from firewatch_next.faults.registry import fault_types
from firewatch_next.tasks.splits import VERSION, stored_draws
from firewatch_next.tasks.task import FaultPlan, TaskSpec
from openenv_kit.errors import require_name

DEFAULT_TASK_ID = "task_easy_oom_baseline"
# name, number, then one fault after another: type, and after a colon what its thing's name begins
# with. "/thing" asks for a kind of thing and "@origin" for a relation to the listed changes.
_TABLE = {
    "easy": """
        oom_baseline 42 resource_limit:memory_limit_mb
        pool_restart_cycle 210 connection_leak/version
        quota_runaway 315 excess_calls
        fail_slow_memleak 178 memory_leak
        alert_fatigue 168 code_error
        thundering_herd 336 retry_storm
        timeout_propagation 378 timeout_too_short
        lb_hotspot 420 load_imbalance
        liveness_probe_flap 462 pods_not_ready:probe
        log_debug_disk 504 disk_full:log_level
        rate_limiter_misconfig 672 rate_limit@safe_change
        crashloop_backoff 252 pods_not_ready/revision
        thread_deadlock 294 thread_deadlock
        log_storm_disk 336 disk_full
        dns_nxdomain 546 wrong_endpoint:endpoint
        image_pull_backoff 588 pods_not_ready/version
        jwt_clock_skew 630 clock_skew
        cpu_throttling 714 resource_limit:cpu_cores
        slow_db_query 756 slow_query
        rbac_403 798 permission
        cronjob_spike 840 batch_job
        http2_streams 882 concurrency_limit
        cert_expiry 924 certificate
        rollout_stuck 966 pods_not_ready/version
        noisy_neighbor 1008 noisy_neighbor
    """,
    "medium": """
        cascade_memleak 295 memory_leak
        asymmetric_blast 463 zone_failure
        ntp_clock_drift 421 clock_skew
        corrupted_external_dep 337 provider_failure
        rollout_quota_exhaustion 379 pods_not_ready:pod_quota
        retry_storm 1134 retry_storm
        canary_false_alert 1176 -
        replica_lag 1218 store_replication
        circuit_breaker_masking 1260 breaker_open
        cache_eviction_storm 1302 cache_miss
        configmap_reload 1470 code_error/revision
        gateway_rate_limit 1512 rate_limit@safe_change
        bg_traffic_leak 1554 wrong_endpoint
        stale_registry 1596 wrong_endpoint
        grpc_deadline 1638 timeout_too_short
        hpa_cold_start 1050 traffic_growth:customers
        config_race 1092 code_error/revision
        mtls_rotation 1344 certificate
        db_connection_herd 1386 retry_storm
        single_az_partition 1428 zone_failure
    """,
    "hard": """
        config_drift_noise 2560 concurrency_limit@safe_change
        adversarial_triple 2048 cpu_regression code_error lock_contention
        partial_infra_asymmetric 768 zone_failure
        multiteam_dual_fault 1024 excess_calls lock_contention
        cache_corruption 512 incompatible_data
        dual_fault_shared_cascade 3072 connection_leak slow_query
        gray_failure 4096 zone_failure
        metastable_failure 5120 retry_storm
        quota_cascade 6144 provider_failure
        consensus_degradation 7168 store_replication
        redis_split_brain 9216 store_replication
        stampeding_herd 10240 cache_miss
        multiz_failover 11264 zone_failure
        pipeline_freshness 8192 queue_backlog
        mesh_proxy_upgrade 12288 wrong_endpoint
    """,
}


@dataclass(frozen=True)
class NamedTask:
    """A named task.

    Attributes:
        task_id: such as "task_easy_oom_baseline".
        level_name: its level.
        number: public number, which is its usual seed.
        plans: its faults; empty for a false alert.
    """

    task_id: str
    level_name: str
    number: int
    plans: tuple[FaultPlan, ...]

    @property
    def missing_fault_types(self) -> tuple[str, ...]:
        """Names of its fault types that do not exist."""
        return tuple(p.fault_type for p in self.plans if p.fault_type not in fault_types())


def _parse_plan(text: str) -> FaultPlan:
    text, _, origin = text.partition("@")
    text, _, name = text.partition(":")
    fault_type, _, thing = text.partition("/")
    return FaultPlan(
        fault_type, Origin(origin) if origin else None, Thing(thing) if thing else None, name
    )


def _parse_table() -> dict[str, NamedTask]:
    found = {}
    for level_name, text in _TABLE.items():
        for line in text.strip().splitlines():
            name, number, *plans = line.split()
            task_id = f"task_{level_name}_{name}"
            parsed = tuple(_parse_plan(plan) for plan in plans if plan != "-")
            found[task_id] = NamedTask(task_id, level_name, int(number), parsed)
    return found


NAMED_TASKS: dict[str, NamedTask] = _parse_table()


def list_playable_names() -> list[str]:
    """Return the ids of the named tasks whose fault types all exist."""
    return [name for name, task in NAMED_TASKS.items() if not task.missing_fault_types]


def make_named_spec(task_id: str, seed: int | None = None) -> TaskSpec:
    """Return what a named task is drawn from.

    Args:
        task_id: its name.
        seed: another seed than its number draws another world for the same name.

    Raises:
        UnknownNameError: there is no such task, or a fault type of it does not exist.
    """
    named = NAMED_TASKS[require_name("task_id", task_id, list_playable_names())]
    number = named.number if seed is None else seed
    return TaskSpec(
        task_id,
        f"firewatch/{VERSION}/{task_id}/{number}",
        named.level_name,
        reset_arguments={"task_id": task_id, "seed": number},
        plans=named.plans,
        is_false_alert=not named.plans,
        stored=stored_draws().get(task_id) if number == named.number else None,
    )
