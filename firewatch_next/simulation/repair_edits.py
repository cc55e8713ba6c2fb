"""Edits of certificates, clocks, disks, records, instances and the places where pods run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firewatch_next.simulation.platform_settings import STREAMING
from firewatch_next.simulation.pods import start_pod
from firewatch_next.simulation.service import PodEvent
from firewatch_next.simulation.stored_records import purge_other_layouts
from firewatch_next.simulation.things import Certificate, RecordSet

if TYPE_CHECKING:
    from firewatch_next.simulation.world import World


@dataclass(frozen=True)
class SetCertificate:
    """Replace a service's certificate by one of that issuer, valid until a tick."""

    service: str
    issuer: str
    expires_tick: int

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.service]
        name = service.certificate.name if service.certificate else f"{self.service}.internal"
        # Forks share the certificate, so it is replaced and never altered.
        service.certificate = Certificate(name, self.issuer, self.expires_tick)
        world.wake(self.service)


@dataclass(frozen=True)
class SynchronizeClocks:
    """Set the clocks of all pods on a service's nodes to the reference time."""

    service: str

    def apply(self, world: World, tick: int) -> None:
        nodes = {pod.node for pod in world.services[self.service].pods}
        for service in world.ordered:
            for pod in service.pods:
                if pod.node in nodes:
                    pod.clock_offset_seconds = 0.0
            world.wake(service.name)


@dataclass(frozen=True)
class CleanDisk:
    """Delete what has piled up on a service's disk."""

    service: str
    used_share: float = 0.4

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.service]
        service.disk_used_share = min(service.disk_used_share, self.used_share)
        world.wake(self.service)


@dataclass(frozen=True)
class PurgeRecords:
    """Delete a store's records of every layout but the usual one, which its readers know."""

    store: str

    def apply(self, world: World, tick: int) -> None:
        purge_other_layouts(world.services[self.store])
        world.wake(self.store)


@dataclass(frozen=True)
class WarmCache:
    """Load a cache's most wanted entries, so that its hit ratio reaches its target at once."""

    cache: str

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.cache]
        service.cache_hit_share = max(service.cache_hit_share, service.cache_hit_target)
        world.wake(self.cache)


@dataclass(frozen=True)
class StoreRecords:
    """Let a service keep further records of a layout, as a share of all."""

    service: str
    layout: str
    writer: str
    share: float

    def apply(self, world: World, tick: int) -> None:
        records = world.services[self.service].records
        records.append(RecordSet(self.layout, self.writer, self.share))


@dataclass(frozen=True)
class SkipRecords:
    """Let a queue's consumers skip the records at which they are stuck."""

    queue: str

    def apply(self, world: World, tick: int) -> None:
        world.services[self.queue].records.clear()
        world.wake(self.queue)


@dataclass(frozen=True)
class ResynchronizeReplicas:
    """Copy a store's data to its replicas anew, which ends their lag."""

    store: str

    def apply(self, world: World, tick: int) -> None:
        store = world.services[self.store]
        store.replica_lag_seconds = 0.0
        store.settings["replication"] = STREAMING
        world.wake(self.store)


@dataclass(frozen=True)
class ElectLeader:
    """Let all zones of a store agree on one leader in a new term."""

    store: str

    def apply(self, world: World, tick: int) -> None:
        settings = world.services[self.store].settings
        for key in [key for key in settings if key.startswith("term.")]:
            del settings[key]
        settings["term"] = str(int(settings["term"]) + 1)
        world.wake(self.store)


@dataclass(frozen=True)
class SetReplicaUse:
    """Let a store's clients ask all replicas, or only the primary and its majority."""

    store: str
    uses_all: bool

    def apply(self, world: World, tick: int) -> None:
        world.services[self.store].uses_all_replicas = self.uses_all
        world.wake(self.store)


@dataclass(frozen=True)
class DeregisterInstances:
    """Remove the pods that are gone from the registry of a service."""

    service: str

    def apply(self, world: World, tick: int) -> None:
        world.services[self.service].stale_instances = 0
        world.wake(self.service)


@dataclass(frozen=True)
class RegisterInstances:
    """Register pods of a service that do not exist."""

    service: str
    count: int

    def apply(self, world: World, tick: int) -> None:
        world.services[self.service].stale_instances = self.count
        world.wake(self.service)


@dataclass(frozen=True)
class MovePods:
    """Start the pods of a service that are on a node or in a zone elsewhere.

    Attributes:
        away_from: a node or zone. The other nodes with pods of the world take them in turn.
    """

    service: str
    away_from: str

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.service]
        places = sorted(
            {
                (pod.zone, pod.node)
                for other in world.ordered
                for pod in other.pods
                if pod.node and self.away_from not in (pod.zone, pod.node)
            }
        )
        if not places:
            return
        moved = 0
        for position, pod in enumerate(service.pods):
            if self.away_from not in (pod.zone, pod.node):
                continue
            zone, node = places[moved % len(places)]
            moved += 1
            service.pods[position] = start_pod(
                world, service, zone, node, pod.version, pod.revision, tick
            )
            world.pod_events.append(PodEvent(tick, service.name, pod.name, "stopped"))
        world.wake(service.name)
