"""The calls that each remediation of existing clients stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from firewatch_next.changes.change import Change, ChangeKind
from firewatch_next.simulation.platform_settings import USUAL_PROBE_TIMEOUT_MS, usual_endpoint
from firewatch_next.simulation.service import BreakerState, PodGroup, Service, ServiceKind
from firewatch_next.simulation.settings import format_number
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

PlanCalls = Callable[[World, Service, Mapping[str, Any]], list[ToolCall]]

_TIMEOUT_FACTOR = 4.0
_CPU_FACTOR = 1.5
_FULL = 0.8  # share of a pool or of threads from which more of them are of use
_MISSES_PER_LOAD = 0.1


def read_number(parameters: Mapping[str, Any], name: str) -> float | None:
    """Return a parameter as a number of at least 0; None if it is absent or is not one."""
    value = parameters.get(name)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e12 else None


def _call(name: str, service: Service | str, **arguments: Any) -> ToolCall:
    text = service if isinstance(service, str) else service.name
    return ToolCall(name, {"service": text, **arguments})


# Changes, rollouts and restarts.


def _undo_newest(*kinds: ChangeKind) -> PlanCalls:
    """Return the plan that undoes the service's newest change of some kinds before the reset."""

    def plan(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
        listed = [
            change
            for change in cast("list[Change]", world.changes)
            if change.service == service.name
            and change.kind in kinds
            and change.tick <= 0
            and not change.is_of_player
        ]
        if not listed:
            return []
        newest = max(listed, key=lambda change: (change.tick, change.id))
        return [_call("undo_change", service, change_id=newest.id)]

    return plan


def _simple(name: str, **arguments: Any) -> PlanCalls:
    """Return the plan that is one call of a tool, whatever the state of the service."""

    def plan(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
        return [_call(name, service, **arguments)]

    return plan


# Capacity and traffic.


def _scale_replicas(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> list[ToolCall]:
    """Half as many pods again, or what the parameters say within the tool's limits."""
    memory, replicas = (
        read_number(parameters, "memory_limit_mb"), read_number(parameters, "replicas")
    )  # fmt: skip
    sizes: dict[str, Any] = {}
    if memory is not None:
        most = int(2.5 * service.usual_memory_limit_bytes / 1e6)
        sizes["memory_mb"] = int(min(max(memory, 64.0), most))
    if replicas is not None:
        sizes["replicas"] = int(min(max(replicas, 1.0), int(3.0 * service.usual_pods)))
    elif memory is None:
        sizes["replicas"] = service.usual_pods + (service.usual_pods + 1) // 2
    return [_call("scale_service", service, **sizes)]


def _more_cpu(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
    cores = max(service.usual_cpu_cores, _CPU_FACTOR * service.cpu_cores)
    cores = min(cores, 3.0 * service.usual_cpu_cores)
    return [_call("scale_service", service, cpu_cores=cores)]


def _more_cache(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
    if service.kind is not ServiceKind.CACHE:
        return []
    size = max(service.usual_cache_megabytes, 2.0 * service.cache_megabytes)
    size = min(size, 4.0 * service.usual_cache_megabytes)
    return [_call("scale_service", service, cache_mb=int(size))]


def _harm_of_group(group: PodGroup) -> float:
    delay = group.extra_latency_seconds + group.slow_share * group.slow_seconds
    return group.own_error_ratio + group.cpu_stolen_share + delay


def _shift_zone(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
    """Move traffic away from the zone whose pods do worst, or from the first one."""
    harm: dict[str, float] = {}
    for group in service.groups:
        harm[group.zone] = max(harm.get(group.zone, 0.0), _harm_of_group(group))
    if len(harm) < 2:
        return []
    zone = max(sorted(harm), key=lambda name: harm[name])
    percent = read_number(parameters, "drain_percentage")
    share = 100.0 if percent is None else min(percent, 100.0)
    return [_call("shift_traffic", service, away_from=zone, percent=share)]


def _even_traffic(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
    if service.zone_weights or service.version_weights or service.node_weights:
        return [_call("shift_traffic", service, away_from="none")]
    return []


def _read_primary(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
    if service.kind is not ServiceKind.STORE:
        return []
    return [_call("shift_traffic", service, away_from="replicas")]


def _leave_minority(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> list[ToolCall]:
    """Move traffic away from zones that disagree on the leader."""
    zones = {pod.zone for pod in service.pods}
    names = [key.partition(".")[2] for key in service.settings if key.startswith("term.")]
    return [_call("shift_traffic", service, away_from=zone) for zone in names if zone in zones]


def _leave_noisy_node(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> list[ToolCall]:
    stolen = {group.node: group.cpu_stolen_share for group in service.groups}
    node = max(sorted(stolen), key=lambda name: stolen[name], default="")
    return [_call("move_pods", "all", away_from=node)] if stolen.get(node, 0.0) > 0.0 else []


# Clients.


def _set_callers_breakers(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> list[ToolCall]:
    """Open (or close) the breakers of all callers of the service."""
    state = BreakerState.CLOSED if parameters.get("state") == "closed" else BreakerState.OPEN
    return [
        _call("set_breaker", client.caller, state=state.value, callee=service.name)
        for client in world.incoming[service.name]
        if client.breaker is not state
    ]


def _close_breakers(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> list[ToolCall]:
    calls = [
        _call("set_config", service, key=key, value="auto")
        for key, value in service.settings.items()
        if key.startswith("breaker.") and value != "auto"
    ]
    if not calls and any(client.breaker is BreakerState.OPEN for client in service.clients):
        calls.append(_call("set_breaker", service, state="closed"))
    return calls


def _extend_timeouts(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> list[ToolCall]:
    return [
        _call(
            "set_client", service, callee=client.callee,
            timeout_ms=min(60_000.0, 1000.0 * _TIMEOUT_FACTOR * client.timeout_seconds),
        )
        for client in service.clients
    ]  # fmt: skip


def _set_retries(**arguments: Any) -> PlanCalls:
    """Return the plan that sets the clients to and from a service where that changes something."""

    def plan(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
        return [
            _call("set_client", client.caller, callee=client.callee, **arguments)
            for client in (*service.clients, *world.incoming[service.name])
            if client.max_attempts > 1
        ]

    return plan


def _stagger(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
    return [
        _call("set_client", client.caller, callee=client.callee, backoff=True)
        for client in world.incoming[service.name]
        if not client.is_backed_off
    ]


def _throttle(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
    limit = int(1.1 * service.usual_load) + 1
    return [_call("set_limit", service, kind="rate", value=limit)]


def _limit_misses(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
    if service.kind is not ServiceKind.CACHE:
        return []
    value = int(_MISSES_PER_LOAD * service.usual_load) + 1
    return [_call("set_limit", service, kind="cache_misses", value=value)]


def _raise_quota(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
    names = [service.name, *(client.callee for client in service.clients)]
    return [
        _call("set_limit", name, kind="quota", value=int(4.0 * world.services[name].load) + 1)
        for name in names
        if world.services[name].kind is ServiceKind.THIRD_PARTY
    ]


def _more_streams(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
    """Twice the threads and pools that are nearly full, of the service and to it."""
    calls = []
    if service.threads and service.threads_in_use > _FULL:
        calls.append(_call("set_config", service, key="threads", value=str(2 * service.threads)))
    for client in (*service.clients, *world.incoming[service.name]):
        if client.pool_size and client.pool_in_use > _FULL:
            size = str(2 * client.pool_size)
            key = f"pool_size.{client.callee}"
            calls.append(_call("set_config", client.caller, key=key, value=size))
    return calls


def _propagate_deadlines(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> list[ToolCall]:
    """Nothing: every client of the system gives its deadline to its callee already."""
    return []


# Settings and data.


def _restore_settings(prefix: str, usual: Callable[[World, str], str]) -> PlanCalls:
    """Return the plan that gives every setting with a prefix its usual value where it differs."""

    def plan(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
        return [
            _call("set_config", service, key=key, value=usual(world, key))
            for key, value in service.settings.items()
            if key.partition(".")[0] == prefix and value != usual(world, key)
        ]

    return plan


def _usual_endpoint(world: World, key: str) -> str:
    """Return a callee's address; that of a third party is its other region's."""
    callee = key.partition(".")[2]
    if world.services[callee].kind is ServiceKind.THIRD_PARTY:
        return f"us.{callee}.example"
    return usual_endpoint(callee)


def _set_log_level(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
    """Set the level, and free the disk that logs have filled."""
    level = str(parameters.get("level", "INFO")).upper()
    level = level if level in ("DEBUG", "INFO", "WARN", "ERROR") else "INFO"
    if service.settings.get("log_level") == level:
        return []
    return [
        _call("set_config", service, key="log_level", value=level),
        _call("repair_data", service, what="disk"),
    ]


def _more_time_for_probes(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> list[ToolCall]:
    value = service.settings.get("probe_timeout_ms")
    if value is None or float(value) >= USUAL_PROBE_TIMEOUT_MS:
        return []
    usual = format_number(float(USUAL_PROBE_TIMEOUT_MS))
    return [_call("set_config", service, key="probe_timeout_ms", value=usual)]


def _add_variable(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
    return [
        _call("set_config", service, key=key, value="set")
        for key, value in service.settings.items()
        if key.startswith("env.") and value == ""
    ]


def _repair(what: str, *kinds: ServiceKind) -> PlanCalls:
    """Return the plan that repairs a kind of data, at services of these kinds only."""

    def plan(world: World, service: Service, parameters: Mapping[str, Any]) -> list[ToolCall]:
        if kinds and service.kind not in kinds:
            return []
        return [_call("repair_data", service, what=what)]

    return plan


_CONFIG_KINDS = (ChangeKind.CONFIG, ChangeKind.FLAG, ChangeKind.MIGRATION, ChangeKind.JOB)
_undo_deploy = _undo_newest(ChangeKind.DEPLOY)
_finish = _simple("finish_rollout")
_restart = _simple("restart_pods")
_renew_certificate = _simple("renew", what="certificate")
_KEPT = (ServiceKind.STORE, ServiceKind.CACHE)

REMEDIATION_PLANS: dict[str, PlanCalls] = {
    "restart_service": _restart,
    "rollback_deploy": _undo_deploy,
    "revert_config": _undo_newest(*_CONFIG_KINDS),
    "scale_replicas": _scale_replicas,
    "circuit_break": _set_callers_breakers,
    "traffic_shift": _shift_zone,
    "drain_availability_zone": _shift_zone,
    "rebalance_az_traffic": _even_traffic,
    "redirect_reads_to_primary": _read_primary,
    "isolate_minority_nodes": _leave_minority,
    "redirect_config_reads_to_majority": _leave_minority,
    "force_replica_resync": _repair("replica", ServiceKind.STORE),
    "force_leader_election": _repair("leader", ServiceKind.STORE),
    "force_cluster_resync": _repair("leader", ServiceKind.STORE),
    "flush_diverged_keys": _repair("records", *_KEPT),
    "evict_cache_by_pattern": _repair("records"),
    "revert_network_policy": _undo_newest(ChangeKind.INFRA, ChangeKind.CONFIG),
    "rebalance_load": _even_traffic,
    "scale_az_capacity": _scale_replicas,
    "increase_cpu_limit": _more_cpu,
    "extend_timeout": _extend_timeouts,
    "disable_retries": _set_retries(max_attempts=1),
    "configure_retry_backoff": _set_retries(backoff=True),
    "enable_connection_throttle": _throttle,
    "enable_deadline_propagation": _propagate_deadlines,
    "disable_fallback_mode": _close_breakers,
    "set_log_level": _set_log_level,
    "adjust_probe_timing": _more_time_for_probes,
    "inject_missing_env_var": _add_variable,
    "pre_warm_service": _scale_replicas,
    "rollback_canary": _undo_deploy,
    "promote_canary": _finish,
    "rollback_deployment_rollout": _undo_deploy,
    "rotate_tls_certificate": _renew_certificate,
    "force_cert_rotation": _renew_certificate,
    "force_ntp_sync": _simple("renew", what="clock"),
    "grant_rbac_permission": _restore_settings("policy", lambda _world, _key: "read_write"),
    "update_service_endpoint": _restore_settings("endpoint", _usual_endpoint),
    "deregister_stale_instances": _repair("instances"),
    "complete_traffic_switch": _finish,
    "request_quota_increase": _raise_quota,
    "increase_max_streams": _more_streams,
    "restart_thread_pool": _restart,
    "stagger_connection_pool_reconnect": _stagger,
    "optimize_query": _repair("index", ServiceKind.STORE),
    "increase_cache_memory": _more_cache,
    "enable_cache_warming": _repair("warm_up", ServiceKind.CACHE),
    "rate_limit_cache_misses": _limit_misses,
    "evict_noisy_pod": _leave_noisy_node,
    "rollback_proxy_upgrade": _undo_deploy,
    "force_complete_proxy_upgrade": _finish,
    "restart_pipeline_job": _restart,
    "flush_pipeline_stage": _repair("queue", ServiceKind.QUEUE),
    "scale_pipeline_workers": _scale_replicas,
}
