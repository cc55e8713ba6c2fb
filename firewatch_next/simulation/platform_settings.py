"""Settings of addresses, quotas, probes and policies, which are the same in every world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.simulation.settings import format_number

if TYPE_CHECKING:
    from firewatch_next.simulation.world import World

USUAL_PROBE_TIMEOUT_MS = 1000
POD_QUOTA_FACTOR = 4  # to the usual number of pods
STREAMING, STALLED = "streaming", "stalled"  # values of a store's setting "replication"
THIRD_PARTY_QUOTA_FACTOR = 4.0  # to the load of an ordinary day


def list_platform_settings(world: World, service: Service) -> dict[str, str]:
    """Return the settings of a service that have to do with its platform and callees.

    `endpoint.CALLEE` is the address that the client uses, `second_endpoint.CALLEE` that of a third
    party's other region. `policy.CALLER` of a store says what a caller may do. `breaker.CALLEE` is
    "auto", or "forced_open" after somebody has opened the breaker by hand. `probe_timeout_ms`
    belongs to the readiness probe, and `pod_quota` is the most pods that may run. A store lists the
    state of its `replication` and the `term` of its leader; `term.ZONE` is that of a zone which
    disagrees.
    """
    settings: dict[str, str] = {}
    for client in service.clients:
        callee = world.services[client.callee]
        if callee.kind is ServiceKind.THIRD_PARTY:
            settings[f"endpoint.{callee.name}"] = f"eu.{callee.name}.example"
            settings[f"second_endpoint.{callee.name}"] = f"us.{callee.name}.example"
        else:
            settings[f"endpoint.{callee.name}"] = usual_endpoint(callee.name)
        if client.is_optional:
            settings[f"breaker.{callee.name}"] = "auto"
    if service.kind is ServiceKind.THIRD_PARTY:
        quota = THIRD_PARTY_QUOTA_FACTOR * service.load
        settings["quota_per_second"] = format_number(int(quota) + 1.0)
    if service.kind is ServiceKind.APPLICATION:
        settings["probe_timeout_ms"] = str(USUAL_PROBE_TIMEOUT_MS)
        settings["pod_quota"] = str(POD_QUOTA_FACTOR * service.usual_pods)
    if service.kind is ServiceKind.STORE:
        settings["replication"] = STREAMING
        settings["term"] = str(3 + len(service.name))
        for client in world.incoming[service.name]:
            settings[f"policy.{client.caller}"] = "read_write"
    return settings


def usual_endpoint(service: str) -> str:
    """Return the address of a service inside the system."""
    return f"{service}.internal"
