"""Tools that lessen an incident: more capacity, and traffic away from a part."""

from __future__ import annotations

from firewatch_next.actions.action import (
    ActionError,
    ActionPlan,
    ActionTool,
    Arguments,
    PlannedEdit,
)
from firewatch_next.actions.arguments import (
    require_name,
    require_number,
    require_service,
    require_text,
)
from firewatch_next.simulation.edits import Edit, ScalePods, SetSetting, ShiftTraffic
from firewatch_next.simulation.pods import AWAY_TICKS
from firewatch_next.simulation.repair_edits import SetReplicaUse
from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.simulation.settings import BYTES_PER_MEGABYTE
from firewatch_next.simulation.world import World

ALL_SERVICES = "all"
REPLICAS = ("replicas", "minority")
MAX_REPLICAS_FACTOR = 3.0
MAX_MEMORY_FACTOR = 2.5
MAX_CPU_FACTOR = 3.0
MAX_CACHE_FACTOR = 4.0


def plan_scale_service(world: World, name: str, arguments: Arguments) -> ActionPlan:
    """Set replicas, CPU cores or memory of a service's pods, or the size of a cache."""
    service = require_service(world, name)
    edits: list[Edit] = []
    if "replicas" in arguments:
        most_pods = int(MAX_REPLICAS_FACTOR * service.usual_pods)
        edits.append(ScalePods(name, int(require_number(arguments, "replicas", 1, most_pods))))
    if "cpu_cores" in arguments:
        most = MAX_CPU_FACTOR * service.usual_cpu_cores
        cores = require_number(arguments, "cpu_cores", 0.25, most)
        edits.append(SetSetting(name, "cpu_cores", f"{cores:g}"))
    if "memory_mb" in arguments:
        most_mb = int(MAX_MEMORY_FACTOR * service.usual_memory_limit_bytes / BYTES_PER_MEGABYTE)
        megabytes = int(require_number(arguments, "memory_mb", 64, most_mb))
        edits.append(SetSetting(name, "memory_limit_mb", str(megabytes)))
    if "cache_mb" in arguments and service.kind is ServiceKind.CACHE:
        most_mb = int(MAX_CACHE_FACTOR * service.usual_cache_megabytes)
        megabytes = int(require_number(arguments, "cache_mb", 16, most_mb))
        edits.append(SetSetting(name, "cache_mb", str(megabytes)))
    if not edits:
        raise ActionError(
            f"scale_service has no size for {name}; allowed: replicas, cpu_cores, memory_mb, and "
            "cache_mb for a cache"
        )
    reply = f"Scaling {name}: new pods get traffic after {AWAY_TICKS} ticks."
    return ActionPlan(tuple(PlannedEdit(0, edit) for edit in edits), reply)


def plan_shift_traffic(world: World, name: str, arguments: Arguments) -> ActionPlan:
    """Send traffic to a zone, version or node elsewhere, for one service or "all"."""
    chosen = require_name(name, {ALL_SERVICES, *world.services}, "service")
    services = world.ordered if chosen == ALL_SERVICES else [world.services[chosen]]
    values = {
        **{pod.zone: "zone" for service in services for pod in service.pods},
        **{pod.version: "version" for service in services for pod in service.pods},
        **{pod.node: "node" for service in services for pod in service.pods},
    }
    replicas = REPLICAS if any(one.kind is ServiceKind.STORE for one in services) else ()
    allowed = {*values, "none", *replicas}
    value = require_name(require_text(arguments, "away_from"), allowed, "away_from")
    if value in replicas:
        stores = [one.name for one in services if one.kind is ServiceKind.STORE]
        edits = tuple(PlannedEdit(0, SetReplicaUse(store, False)) for store in stores)
        return ActionPlan(edits, f"{', '.join(stores)}: reads go to the primary.")
    if value == "none":
        even = [edit for one in services for edit in _even_traffic(one)]
        return ActionPlan(tuple(PlannedEdit(0, edit) for edit in even), "Traffic is even.")
    percent = require_number({"percent": 100, **arguments}, "percent", 0, 100)
    label, factor = values[value], 1.0 - percent / 100.0
    shifts = tuple(
        PlannedEdit(0, ShiftTraffic(service.name, label, value, factor))
        for service in services
        if any(value in (pod.zone, pod.version, pod.node) for pod in service.pods)
    )
    reply = f"Moving {percent:g} % of the traffic of {chosen} away from {value}."
    return ActionPlan(shifts, reply)


def _even_traffic(service: Service) -> list[Edit]:
    weights = (service.zone_weights, service.version_weights, service.node_weights)
    return [
        ShiftTraffic(service.name, label, key, 1.0)
        for label, by_key in zip(("zone", "version", "node"), weights, strict=True)
        for key in sorted(by_key)
    ] + ([] if service.uses_all_replicas else [SetReplicaUse(service.name, True)])


TOOLS = (
    ActionTool("scale_service", plan_scale_service),
    ActionTool("shift_traffic", plan_shift_traffic),
)
