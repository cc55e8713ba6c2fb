"""Runbooks: each puts one kind of thing right, where that thing is off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.actions.registry import STEPS, Outcome, action, as_asked, no_use
from firewatch_env.engine.catalogue import USUAL_HITS
from firewatch_env.engine.levers import LEVERS, family
from firewatch_env.engine.service import PROMOTED, Service
from firewatch_env.engine.world import World
from firewatch_env.evidence.meters import MISSES

# action: (families of levers that it puts right, what the target has otherwise, a summary)
_REPAIRS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "rebalance_az_traffic": (
        ("zone_lost", "zone_fails", "zone_lag", "minority", "neighbour"), "zones are even",
        "Move its pods in zone b to other nodes.",
    ),
    "redirect_reads_to_primary": (
        ("zone_lag",), "replicas are level", "Read from the primary while replicas catch up.",
    ),
    "isolate_minority_nodes": (
        ("minority",), "no node is in a minority", "Fence the minority, let it join again.",
    ),
    "redirect_config_reads_to_majority": (
        ("minority",), "no node is in a minority", "Read from the majority, let the rest rejoin.",
    ),
    "force_replica_resync": (("zone_lag",), "replicas are level", "Re-seed lagging replicas."),
    "force_leader_election": (("leaders",), "one leader", "Elect one leader."),
    "force_cluster_resync": (("leaders",), "one leader", "Make the nodes agree again."),
    "flush_diverged_keys": (("bad_keys", "bad_cache"), "keys agree", "Drop diverged keys."),
    "evict_cache_by_pattern": (("bad_keys", "bad_cache"), "keys agree", "Drop bad entries."),
    "revert_network_policy": (("denied",), "no path denied", "Open denied paths."),
    "rebalance_load": (("hot",), "pods are even", "Spread requests evenly over pods."),
    "set_log_level": (("logging",), "log level is info", "Back to the usual log level."),
    "adjust_probe_timing": (("probes",), "probes pass", "Give pods longer to answer probes."),
    "inject_missing_env_var": (("environment",), "no variable missing", "Set what pods miss."),
    "pre_warm_service": (("cold",), "pods are warm", "Warm cold pods up."),
    "rollback_canary": (("canary", "mixed"), "no canary", "Remove the canary."),
    "rollback_deployment_rollout": (("rollout",), "no rollout under way", "Undo a rollout."),
    "rotate_tls_certificate": (("certificate",), "handshakes succeed", "Issue a certificate."),
    "force_cert_rotation": (("certificate",), "handshakes succeed", "Rotate certificates now."),
    "force_ntp_sync": (("clock",), "clock within 5 ms", "Set the clock."),
    "grant_rbac_permission": (("role",), "no role missing", "Grant the missing role."),
    "update_service_endpoint": (("endpoint",), "endpoint answers", "Point to the right host."),
    "deregister_stale_instances": (("stale_instances",), "all instances live", "Drop dead ones."),
    "complete_traffic_switch": (("slots_switch",), "one slot in use", "Finish the switch."),
    "request_quota_increase": (("quota",), "quota not reached", "Raise the provider's quota."),
    "increase_max_streams": (
        ("streams", "slots"), "stream limit and pools as usual", "Restore streams and pools.",
    ),
    "restart_thread_pool": (
        ("blocked", "streams", "reconnects"), "no thread or connection blocked",
        "Fresh threads and connections.",
    ),
    "stagger_connection_pool_reconnect": (
        ("reconnects",), "no reconnects queue", "Spread reconnects out.",
    ),
    "optimize_query": (("queries",), "one query a request", "Send one query, not many."),
    "increase_cache_memory": (("small_cache",), "cache not full", "Give the cache its memory."),
    "evict_noisy_pod": (("neighbour",), "no CPU stolen", "Move the busy neighbour away."),
    "rollback_proxy_upgrade": (("proxies",), "one proxy version", "Undo the proxy upgrade."),
    "force_complete_proxy_upgrade": (("proxies",), "one proxy version", "Finish the upgrade."),
    "enable_deadline_propagation": (("orphans",), "no expired work", "Drop expired work."),
}  # fmt: skip
_LEVELS_THAT_FLOOD = ("debug", "trace")


def off(service: Service, families: tuple[str, ...]) -> list[str]:
    """Levers of these families that are not at their usual value."""
    return [name for name in service.levers if family(name) in families]


def _repair(name: str, families: tuple[str, ...], otherwise: str, summary: str) -> None:
    parameters = ("level",) if name == "set_log_level" else ()

    def do(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
        level = str(parameters.get("level", "")).strip().lower()
        if level in _LEVELS_THAT_FLOOD:
            return no_use(service, f"{level} logging is no repair")
        found = off(service, families)
        if not found:
            return no_use(service, f"{otherwise} here")
        if all(each in service.easing for each in found):
            return as_asked(service, "under way")
        for each in found:
            world.ease(service, each, LEVERS[family(each)].usual)
        return Outcome(f"{service.name}: {summary[0].lower()}{summary[1:-1]}: under way {STEPS}")

    do.__doc__ = summary
    action(name, "repair", *parameters, runbook=True)(do)


for _name, (_families, _otherwise, _summary) in _REPAIRS.items():
    _repair(_name, _families, _otherwise, _summary)


@action("promote_canary", "repair", runbook=True)
def promote_canary(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Give the canary's build all the traffic; two builds no longer answer side by side."""
    if not off(service, ("canary", "mixed")):
        return no_use(service, "no canary here")
    world.set_lever(service, "mixed", 0.0)
    service.moved.add(PROMOTED)
    if "canary" in service.levers:
        world.set_lever(service, "canary", min(service.levers["canary"] * 4, 0.95))
    return Outcome(f"{service.name}: the canary's build gets all requests at once")


@action("enable_cache_warming", "repair", runbook=True)
def enable_cache_warming(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Load a cold cache's keys ahead of requests: twice half of those missing, then the rest."""
    if "cold_cache" not in service.levers:
        return no_use(service, "no cold cache here")
    to = (service.levers["cold_cache"] + 1) / 2
    world.set_lever(service, "cold_cache", to if to < 0.88 else 1.0)
    loaded = "half of the missing keys" if "cold_cache" in service.levers else "all other keys"
    return Outcome(
        f"{service.name}: {loaded} loaded from the last snapshot, "
        f"hits {service.hits:.0%} (usual {USUAL_HITS:.0%})"
    )


@action("rate_limit_cache_misses", "repair", runbook=True)
def rate_limit_cache_misses(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> Outcome:
    """Stopgap: twice the usual misses go through; of the rest half get an old value, half fail."""
    if service.kind != "cache" or not off(service, MISSES):
        return no_use(service, "hits as usual here")
    world.ease(service, "miss_cap", 2.0)
    return Outcome(
        f"{service.name}: at most twice the usual misses go on to the store, {STEPS}; half of the "
        "others fail, so this is a stopgap"
    )
