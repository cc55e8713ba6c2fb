"""What `repair_data` can repair beside indexes: disks, records, replicas and instances."""

from __future__ import annotations

from collections.abc import Callable

from firewatch_next.actions.action import ActionPlan, Arguments, PlannedEdit
from firewatch_next.simulation.edits import Edit
from firewatch_next.simulation.repair_edits import (
    CleanDisk,
    DeregisterInstances,
    ElectLeader,
    PurgeRecords,
    ResynchronizeReplicas,
    SkipRecords,
    WarmCache,
)
from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.simulation.stored_records import usual_layout
from firewatch_next.simulation.world import World

CLEAN_DISK_SHARE = 0.4
_NOTHING = ActionPlan((), "Nothing to change here.")


def _plan_after(ticks: int, edit: Edit, reply: str) -> ActionPlan:
    return ActionPlan((PlannedEdit(ticks, edit),), f"{reply}: done in {ticks} ticks.")


def _clean_disk(world: World, service: str, arguments: Arguments) -> ActionPlan:
    if world.services[service].disk_used_share <= CLEAN_DISK_SHARE:
        return _NOTHING
    return _plan_after(1, CleanDisk(service, CLEAN_DISK_SHARE), f"Cleaning the disk of {service}")


def _purge_records(world: World, service: str, arguments: Arguments) -> ActionPlan:
    """Purge what the service keeps, or what the stores that it calls keep."""
    names = (service, *(client.callee for client in world.services[service].clients))
    kinds = (ServiceKind.STORE, ServiceKind.CACHE)
    stores = [
        name
        for name in names
        if world.services[name].kind in kinds and _has_other_layout(world.services[name])
    ]
    if not stores:
        return _NOTHING
    edits = tuple(PlannedEdit(1, PurgeRecords(name)) for name in stores)
    return ActionPlan(edits, f"Purging records of {', '.join(stores)}: done in 1 tick.")


def _has_other_layout(store: Service) -> bool:
    return any(record.layout != usual_layout(store) for record in store.records)


def _skip_records(world: World, service: str, arguments: Arguments) -> ActionPlan:
    if world.services[service].kind is not ServiceKind.QUEUE:
        return _NOTHING
    return _plan_after(0, SkipRecords(service), f"Skipping the records that block {service}")


def _is_replicated(service: Service) -> bool:
    return service.kind is ServiceKind.STORE


def _resynchronize(world: World, service: str, arguments: Arguments) -> ActionPlan:
    if not _is_replicated(world.services[service]):
        return _NOTHING
    return _plan_after(2, ResynchronizeReplicas(service), f"Copying {service} to its replicas")


def _elect(world: World, service: str, arguments: Arguments) -> ActionPlan:
    if not _is_replicated(world.services[service]):
        return _NOTHING
    return _plan_after(1, ElectLeader(service), f"Electing a leader of {service}")


def _deregister(world: World, service: str, arguments: Arguments) -> ActionPlan:
    if not world.services[service].stale_instances:
        return _NOTHING
    return _plan_after(0, DeregisterInstances(service), f"Removing stale instances of {service}")


def _warm_up(world: World, service: str, arguments: Arguments) -> ActionPlan:
    cache = world.services[service]
    if cache.kind is not ServiceKind.CACHE or cache.cache_hit_share >= cache.cache_hit_target:
        return _NOTHING
    return _plan_after(1, WarmCache(service), f"Loading entries into {service}")


DATA_REPAIRS: dict[str, Callable[[World, str, Arguments], ActionPlan]] = {
    "disk": _clean_disk,
    "instances": _deregister,
    "leader": _elect,
    "queue": _skip_records,
    "records": _purge_records,
    "replica": _resynchronize,
    "warm_up": _warm_up,
}
