"""Trials of the faults of third parties, certificates, addresses, pods, disks, queues and zones."""

from __future__ import annotations

from firewatch_next.changes.change import ChangeKind
from firewatch_next.faults.fault_type import Origin, Thing
from firewatch_next.simulation.service import ServiceKind
from support.fault_trials import Wanted

INFRASTRUCTURE_TRIALS = {
    ("provider_failure", "third party"): Wanted(
        Thing.THIRD_PARTY, Origin.UNLISTED, None, services=24
    ),
    ("certificate", "expired"): Wanted(Thing.CERTIFICATE, Origin.UNLISTED, None),
    ("certificate", "other authority"): Wanted(
        Thing.CERTIFICATE, Origin.CHANGE_ELSEWHERE, ChangeKind.CERTIFICATE
    ),
    ("wrong_endpoint", "listed address"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "endpoint"
    ),
    ("wrong_endpoint", "address by hand"): Wanted(Thing.SETTING, Origin.UNLISTED, None),
    ("wrong_endpoint", "stale instances"): Wanted(Thing.RECORD, Origin.UNLISTED, None),
    ("wrong_endpoint", "half a rollout"): Wanted(
        Thing.REVISION, Origin.SAFE_CHANGE, ChangeKind.CONFIG
    ),
    ("pods_not_ready", "build"): Wanted(Thing.VERSION, Origin.SAFE_CHANGE, ChangeKind.DEPLOY),
    ("pods_not_ready", "variable"): Wanted(Thing.REVISION, Origin.SAFE_CHANGE, ChangeKind.CONFIG),
    ("pods_not_ready", "probe"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "probe_timeout_ms"
    ),
    ("pods_not_ready", "quota"): Wanted(Thing.SETTING, Origin.UNLISTED, None, name="pod_quota"),
    ("disk_full", "log level"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "log_level", -40
    ),
    ("disk_full", "log level by hand"): Wanted(
        Thing.SETTING, Origin.UNLISTED, None, start_tick=-40
    ),
    ("disk_full", "version"): Wanted(
        Thing.VERSION, Origin.SAFE_CHANGE, ChangeKind.DEPLOY, start_tick=-40
    ),
    ("disk_full", "flag"): Wanted(Thing.FLAG, Origin.UNLISTED, None, start_tick=-40),
    ("disk_full", "unsafe"): Wanted(
        Thing.FLAG, Origin.UNSAFE_CHANGE, ChangeKind.DEPLOY, start_tick=-40
    ),
    ("queue_backlog", "records"): Wanted(
        Thing.RECORD, Origin.UNLISTED, None, start_tick=-16, services=20
    ),
    ("queue_backlog", "consumers"): Wanted(
        Thing.VERSION,
        Origin.SAFE_CHANGE,
        ChangeKind.DEPLOY,
        start_tick=-24,
        services=20,
        deployed_kind=ServiceKind.WORKER,
    ),
    ("incompatible_data", "version"): Wanted(
        Thing.VERSION, Origin.CHANGE_ELSEWHERE, ChangeKind.DEPLOY, start_tick=-24, services=20
    ),
    ("incompatible_data", "flag"): Wanted(
        Thing.FLAG, Origin.UNLISTED, None, start_tick=-24, services=20
    ),
    ("incompatible_data", "unsafe"): Wanted(
        Thing.FLAG, Origin.UNSAFE_CHANGE, ChangeKind.DEPLOY, start_tick=-24, services=20
    ),
    ("noisy_neighbor", "node"): Wanted(Thing.NODE, Origin.UNLISTED, None),
    ("zone_failure", "zone"): Wanted(Thing.ZONE, Origin.UNLISTED, None),
    ("store_replication", "replica"): Wanted(
        Thing.RECORD, Origin.UNLISTED, None, start_tick=-24, name="replica"
    ),
    ("store_replication", "leader"): Wanted(Thing.RECORD, Origin.UNLISTED, None, name="leader"),
    ("clock_skew", "node"): Wanted(Thing.NODE, Origin.UNLISTED, None, start_tick=-20),
    ("permission", "listed"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "policy"
    ),
    ("permission", "by hand"): Wanted(Thing.SETTING, Origin.UNLISTED, None),
    ("breaker_open", "listed"): Wanted(
        Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "breaker"
    ),
    ("breaker_open", "by hand"): Wanted(Thing.SETTING, Origin.UNLISTED, None),
}
