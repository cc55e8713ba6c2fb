"""Diagnostics of certificates, addresses, disks, records and pods, as `direct_replies` needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from firewatch_next.simulation.service import CalleeClient, ErrorReason, Service
from firewatch_next.simulation.world import World

Row = Mapping[str, str | float]


def _certificates(world: World, service: Service) -> list[Row]:
    clients: list[CalleeClient] = [*world.incoming[service.name], *service.clients]
    return [
        {
            "caller": client.caller, "callee": client.callee,
            "tls_failed_ratio": client.errors.get(ErrorReason.TLS, 0.0),
            "old_connections": client.old_connections_share,
        }
        for client in clients
    ]  # fmt: skip


def _dns(world: World, service: Service) -> list[Row]:
    return [
        {
            "callee": client.callee, "name": service.settings[f"endpoint.{client.callee}"],
            "nxdomain": client.errors.get(ErrorReason.DNS, 0.0),
            "refused": client.errors.get(ErrorReason.REFUSED, 0.0),
            "reset": client.errors.get(ErrorReason.RESET, 0.0),
        }
        for client in service.clients
    ]  # fmt: skip


def _network_policy(world: World, service: Service) -> list[Row]:
    rows: list[Row] = [
        {
            "caller": client.caller, "callee": service.name,
            "reset_ratio": client.errors.get(ErrorReason.RESET, 0.0),
            "denied_ratio": client.errors.get(ErrorReason.FORBIDDEN, 0.0),
            "unauthorized_ratio": client.errors.get(ErrorReason.UNAUTHORIZED, 0.0),
        }
        for client in world.incoming[service.name]
    ]  # fmt: skip
    keys = [item for item in service.settings.items() if item[0].startswith("policy.")]
    return [*rows, *({"key": key, "value": value} for key, value in keys)]


def _disk(world: World, service: Service) -> list[Row]:
    row: Row = {
        "mount": "/var/lib", "used_ratio": service.disk_used_share,
        "log_level": service.settings["log_level"],
    }  # fmt: skip
    flags: list[Row] = [
        {"flag": flag.name, "gb_with": 40.0 * flag.disk_growth, "gb_without": 0.0}
        for flag in service.flags.values()
    ]
    return [row, *flags]


def _records(world: World, service: Service) -> list[Row]:
    stores = [service, *(world.services[client.callee] for client in service.clients)]
    return [
        {"store": store.name, "layout": r.layout, "writer": r.writer, "share": r.share}
        for store in stores
        for r in store.records
    ]


def _kube_events(world: World, service: Service) -> list[Row]:
    return [{"pod": pod.name, "node": pod.node} for pod in service.pods]


def _clock(world: World, service: Service) -> list[Row]:
    return [
        {"pod": pod.name, "node": pod.node, "offset_seconds": pod.clock_offset_seconds}
        for pod in service.pods
    ]


def _consensus(world: World, store: Service) -> list[Row]:
    zones = sorted({pod.zone for pod in store.pods})
    term = store.settings.get("term", "7")
    return [
        {
            "zone": zone, "term": store.settings.get(f"term.{zone}", term),
            "lag_seconds": store.replica_lag_seconds if number else 0.0,
        }
        for number, zone in enumerate(zones)
    ]  # fmt: skip


PLATFORM_DIAGNOSTICS: dict[str, Callable[[World, Service], list[Row]]] = {
    "certificates": _certificates,
    "clock": _clock,
    "consensus": _consensus,
    "disk": _disk,
    "dns": _dns,
    "kube_events": _kube_events,
    "network_policy": _network_policy,
    "records": _records,
}
