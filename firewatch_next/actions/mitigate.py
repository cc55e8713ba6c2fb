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
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.simulation.settings import BYTES_PER_MEGABYTE
from firewatch_next.simulation.world import World

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
    """Send a share of a zone's, version's or node's traffic elsewhere."""
    service = require_service(world, name)
    values = {
        **{pod.zone: "zone" for pod in service.pods},
        **{pod.version: "version" for pod in service.pods},
        **{pod.node: "node" for pod in service.pods},
    }
    value = require_name(require_text(arguments, "away_from"), {*values, "none"}, "away_from")
    if value == "none":
        weights = (service.zone_weights, service.version_weights, service.node_weights)
        labels = ("zone", "version", "node")
        even: list[Edit] = [
            ShiftTraffic(name, label, key, 1.0)
            for label, by_key in zip(labels, weights, strict=True)
            for key in sorted(by_key)
        ]
        return ActionPlan(tuple(PlannedEdit(0, edit) for edit in even), "Traffic is even.")
    percent = require_number({"percent": 100, **arguments}, "percent", 0, 100)
    edit = ShiftTraffic(name, values[value], value, 1.0 - percent / 100.0)
    reply = f"Moving {percent:g} % of the traffic of {name} away from {value}."
    return ActionPlan((PlannedEdit(0, edit),), reply)


TOOLS = (
    ActionTool("scale_service", plan_scale_service),
    ActionTool("shift_traffic", plan_shift_traffic),
)
