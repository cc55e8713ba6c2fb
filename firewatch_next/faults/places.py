"""Places that several fault types share: versions, flags, and settings of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from firewatch_next.changes.change import Change, ChangeKind, UndoEffect
from firewatch_next.faults.fault_type import Origin, Place, Thing
from firewatch_next.simulation.service import Pod, PodGroup, Service
from firewatch_next.simulation.world import World


def listed_changes(world: World, *kinds: ChangeKind) -> Iterator[Change]:
    """Yield the world's changes of these kinds which do something, in the order of time."""
    for change in world.changes:
        if isinstance(change, Change) and change.kind in kinds and change.edits:
            yield change


def version_places(world: World, is_possible: Callable[[Service], bool]) -> list[Place]:
    """Return a place for each deploy that is safe to undo, and living on its version."""
    return [
        Place(change.service, Thing.VERSION, change.after, Origin.SAFE_CHANGE, change)
        for change in listed_changes(world, ChangeKind.DEPLOY)
        if change.undo is UndoEffect.SAFE and is_possible(world.services[change.service])
    ]


def flag_places(world: World, is_possible: Callable[[Service], bool]) -> list[Place]:
    """Return places that live on flags.

    For each deploy that is unsafe to undo: a flag of the service that was on before, whose code is
    new in the build. Without a change: a flag that is on and was not changed, which meets new data.
    """
    changed_flags = {change.key for change in listed_changes(world, ChangeKind.FLAG)}
    places = []
    for change in listed_changes(world, ChangeKind.DEPLOY):
        service = world.services[change.service]
        if change.undo is not UndoEffect.SAFE and is_possible(service):
            for flag in active_flags(service, changed_flags):
                places.append(Place(service.name, Thing.FLAG, flag, Origin.UNSAFE_CHANGE, change))
    for service in world.ordered:
        if is_possible(service):
            for flag in active_flags(service, changed_flags):
                places.append(Place(service.name, Thing.FLAG, flag, Origin.UNLISTED))
    return places


def active_flags(service: Service, excluded: set[str]) -> list[str]:
    """Return the flags with at least a quarter of the requests that are not excluded."""
    return [
        flag.name
        for flag in service.flags.values()
        if flag.percent >= 25.0 and flag.name not in excluded
    ]


@dataclass(frozen=True)
class Reach:
    """The requests that a fault of a version or flag can affect in a tick.

    Attributes:
        groups: pod groups that run the faulty code.
        share: share of these groups' requests that does, 0–1.
    """

    groups: list[PodGroup]
    share: float

    @property
    def is_empty(self) -> bool:
        """Whether no request is affected."""
        return not self.groups or self.share <= 0.0


def reach_of(service: Service, place: Place) -> Reach:
    """Return which pod groups run the code of a place and for which share of the requests.

    A version's fault is in every later build too. A flag's fault of a deploy needs that build or a
    later one; without a change it is in all builds.
    """
    groups = service.groups
    if place.change is not None and place.change.kind is ChangeKind.DEPLOY:
        first_bad = place.change.after
        if first_bad not in service.builds:
            return Reach([], 0.0)
        groups = [group for group in groups if service.has_build_since(group.version, first_bad)]
    elif place.thing is Thing.REVISION:
        if place.name not in service.revisions:
            return Reach([], 0.0)
        groups = [g for g in groups if service.has_revision_since(g.revision, place.name)]
    share = 1.0
    if place.thing is Thing.FLAG:
        share = service.flags[place.name].percent / 100.0
    return Reach(groups, share)


def affected_pods(service: Service, reach: Reach, tick: int) -> list[Pod]:
    """Return the ready pods of the groups that a fault can affect."""
    keys = {(group.zone, group.version, group.revision, group.node) for group in reach.groups}
    return [
        pod
        for pod in service.pods
        if pod.ready_at_tick <= tick and (pod.zone, pod.version, pod.revision, pod.node) in keys
    ]


def reach_share(reach: Reach) -> float:
    """Return the share of all requests of the service that a fault can affect, 0–1."""
    share = 0.0
    for group in reach.groups:
        share += group.traffic_share
    return share * reach.share
