"""What faults of nodes and zones share: which pods of which services are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from firewatch_next.simulation.service import PodGroup, Service, ServiceKind
from firewatch_next.simulation.world import World


class GroupAtPlace(NamedTuple):
    """A pod group that runs on a node or in a zone, with its service."""

    service: Service
    group: PodGroup


def groups_at(world: World, name: str) -> Iterator[GroupAtPlace]:
    """Yield the groups on a node or in a zone. Third parties run elsewhere.

    The services are marked as affected, because their groups get effects.
    """
    for service in world.ordered:
        if service.kind is ServiceKind.THIRD_PARTY:
            continue
        found = [group for group in service.groups if name in (group.zone, group.node)]
        if found:
            world.mark_affected(service)
            for group in found:
                yield GroupAtPlace(service, group)


def busiest_service_at(world: World, name: str) -> str:
    """Return the application that has the largest load on a node or in a zone, or ""."""
    most, found = 0.0, ""
    for service in world.ordered:
        pods = [pod for pod in service.pods if name in (pod.node, pod.zone)]
        load = service.load * len(pods) / len(service.pods)
        if service.kind is ServiceKind.APPLICATION and load > most:
            most, found = load, service.name
    return found
