"""The 60 named tasks: their numbers, and the cause that fits each name."""

from __future__ import annotations

from dataclasses import dataclass

# name, number, cause
_TABLE = {
    "easy": """
        oom_baseline 42 big_tenant, pool_restart_cycle 210 slots_build, quota_runaway 315 quota,
        fail_slow_memleak 178 leak, alert_fatigue 168 errors_revision,
        thundering_herd 336 metastable, timeout_propagation 378 timeout_revision,
        lb_hotspot 420 hot, liveness_probe_flap 462 probes, log_debug_disk 504 logging,
        rate_limiter_misconfig 672 limit_revision, crashloop_backoff 252 environment,
        thread_deadlock 294 blocked, log_storm_disk 336 cpu_build, dns_nxdomain 546 endpoint,
        image_pull_backoff 588 backoff, jwt_clock_skew 630 clock, cpu_throttling 714 cpu_limit,
        slow_db_query 756 queries, rbac_403 798 role, cronjob_spike 840 cpu_revision,
        http2_streams 882 streams, cert_expiry 924 certificate, rollout_stuck 966 rollout,
        noisy_neighbor 1008 neighbour""",
    "medium": """
        cascade_memleak 295 grow_revision, asymmetric_blast 463 zone_lost,
        ntp_clock_drift 421 clock, corrupted_external_dep 337 bad_process,
        rollout_quota_exhaustion 379 pods_unready_build, retry_storm 1134 tries_revision,
        canary_false_alert 1176 false_alert, replica_lag 1218 zone_lag,
        circuit_breaker_masking 1260 masking, cache_eviction_storm 1302 small_cache,
        configmap_reload 1470 refuse_revision, gateway_rate_limit 1512 limit_build,
        bg_traffic_leak 1554 slots_switch, stale_registry 1596 stale_instances,
        grpc_deadline 1638 timeout_build, hpa_cold_start 1050 cold,
        config_race 1092 errors_revision, mtls_rotation 1344 certificate,
        db_connection_herd 1386 reconnects, single_az_partition 1428 minority""",
    "hard": """
        config_drift_noise 2560 errors_revision, adversarial_triple 2048 cpu_revision,
        partial_infra_asymmetric 768 zone_lost, multiteam_dual_fault 1024 refuse_build,
        cache_corruption 512 bad_cache, dual_fault_shared_cascade 3072 slots_revision,
        gray_failure 4096 zone_fails, metastable_failure 5120 metastable,
        quota_cascade 6144 quota, consensus_degradation 7168 leaders,
        redis_split_brain 9216 bad_keys, stampeding_herd 10240 hits_build,
        multiz_failover 11264 minority, pipeline_freshness 8192 pipeline,
        mesh_proxy_upgrade 12288 proxies""",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Named:
    """A named task: `seed` is its public number; `dual` asks for a second fault."""

    task_id: str
    difficulty: str
    seed: int
    cause: str

    @property
    def dual(self) -> bool:
        return "dual_fault" in self.task_id or "triple" in self.task_id


NAMED: dict[str, Named] = {}
for _difficulty, _rows in _TABLE.items():
    for _row in _rows.split(","):
        _name, _seed, _cause = _row.split()
        _id = f"task_{_difficulty}_{_name}"
        NAMED[_id] = Named(_id, _difficulty, int(_seed), _cause)
