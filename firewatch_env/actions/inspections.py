"""Investigations of one kind of object each: network, quotas, consensus, pods, certificates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.actions.registry import Outcome, investigation
from firewatch_env.engine.levers import family, felt
from firewatch_env.engine.motion import zone_share
from firewatch_env.engine.service import Service
from firewatch_env.engine.world import World
from firewatch_env.evidence.measuring import share
from firewatch_env.evidence.meters import count, pods


def _figures(service: Service, **levers: str) -> dict[str, float]:
    return {
        said: round(felt(service, name), 4) if name in service.levers else 0.0
        for said, name in levers.items()
    }


def _told(figures: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in figures.items())


@investigation("inspect_network_policy")
def inspect_network_policy(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> Outcome:
    """Share of calls that never arrive, and shares dropped by where they are dropped."""
    figures = _figures(
        service, by_policy="denied", wrong_host="endpoint", idle_slot="slots_switch",
        proxy_version="proxies",
    )  # fmt: skip
    lost = round(count(service).lost, 2)
    # What no figure here explains: routes of a feature, instances, certificates, a zone.
    figures["otherwise"] = 0.0 if any(figures.values()) else lost
    return Outcome(
        f"calls lost {lost:g}, of which {_told(figures)}", None, {"lost": lost, **figures}
    )


@investigation("inspect_quota_usage")
def inspect_quota_usage(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Rates allowed, by feature and by the provider, to the usual load."""
    allowed = {
        name.partition(".")[2]: round(share(service, name, felt(service, name)), 4)
        for name in sorted(service.levers)
        if family(name) == "limit"
    }
    figures = {"provider": service.levers.get("quota", 9.0), **allowed}
    return Outcome(
        f"rate allowed, to the service's usual load (9: no limit): {_told(figures)}", None, figures
    )


@investigation("inspect_consensus_state")
def inspect_consensus_state(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> Outcome:
    """Leaders, quorum, replication lag, keys that differ, unreadable entries, clock."""
    figures = {
        "leaders": 2.0 if "leaders" in service.levers else 1.0,
        **_figures(
            service, no_quorum_zone_b="minority", lagging_reads_zone_b="zone_lag",
            differing_keys="bad_keys", unreadable_entries="bad_cache", clock_refusals="clock",
        ),
    }  # fmt: skip
    return Outcome(_told(figures), None, figures)


_TICKS_SHOWN = 2
# What pods that are not ready wait for, by the lever that keeps them.
_WAIT_FOR = {
    "environment": "variable", "cold": "loading", "probes": "answering", "backoff": "delay",
    "rollout": "scheduling",
}  # fmt: skip


@investigation("inspect_cluster_topology")
def inspect_cluster_topology(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> Outcome:
    """Pods ready, what the others wait for, the hottest pod, and zone b's share, now and before."""
    ready, whole = pods(service)
    waiting = {
        _WAIT_FOR.get(family(name), name.partition(".")[2]): round(felt(service, name), 4)
        for name in sorted(service.levers)
        if (family(name) == "pods" or family(name) in _WAIT_FOR) and ready < whole
    }
    hot = {
        name.partition(".")[2] or "every key": round(felt(service, name), 4)
        for name in sorted(service.levers)
        if family(name) == "hot"
    }
    canary = service.levers.get("canary", 0.0) + service.levers.get("mixed", 0.0)
    ticks = [world.tick - back for back in range(_TICKS_SHOWN)]
    zone = [round(share(service, "zone b", zone_share(service, t), t), 3) for t in ticks]
    text = (
        f"ready {ready}/{whole}; wait: {_told(waiting) or 'none'}; hot: {_told(hot) or 'none'}; "
        f"b gets {' '.join(f'{each:.3f}' for each in zone)}; two builds {canary:g}"
    )
    return Outcome(
        text, None, {"waiting": waiting, "hot": hot, "zone_b_gets": zone, "canary": canary}
    )


@investigation("inspect_mtls_status")
def inspect_mtls_status(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Handshakes that fail, and roles and clocks that do not fit."""
    figures = _figures(service, handshakes_failed="certificate", clock="clock", role="role")
    return Outcome(_told(figures), None, figures)


@investigation("inspect_pipeline_topology")
def inspect_pipeline_topology(
    world: World, service: Service, parameters: Mapping[str, Any]
) -> Outcome:
    """A pipeline's waiting items, workers and speed."""
    figures = {
        "waiting_items": round(service.backlog, 1),
        "workers": round(service.size * service.pods, 1),
        "speed": round(service.stalled, 4),
    }
    return Outcome(_told(figures), None, figures)
