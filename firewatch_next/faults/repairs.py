"""Repairs and mitigations that several fault types share.

Each call is None where the step does not apply to the fault's place.
"""

from __future__ import annotations

from firewatch_next.faults.fault_type import Fault, Repair, Thing
from firewatch_next.faults.setting_fault import SettingFault
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall


def _shift_call(world: World, fault: Fault) -> ToolCall | None:
    """Move traffic away from the faulty version, which only helps while both versions run."""
    if fault.place.thing is not Thing.VERSION:
        return None
    versions = {pod.version for pod in world.services[fault.place.service].pods}
    if len(versions) < 2 or fault.place.name not in versions:
        return None
    arguments = {"service": fault.place.service, "away_from": fault.place.name, "percent": 100}
    return ToolCall("shift_traffic", arguments)


def _undo_call(world: World, fault: Fault) -> ToolCall | None:
    if fault.change is None or fault.place.thing is Thing.FLAG:
        return None
    return ToolCall("undo_change", {"service": fault.place.service, "change_id": fault.change.id})


def _flag_off_call(world: World, fault: Fault) -> ToolCall | None:
    if fault.place.thing is not Thing.FLAG:
        return None
    arguments = {"service": fault.place.service, "flag": fault.place.name, "percent": 0}
    return ToolCall("set_flag", arguments)


def _restart_call(world: World, fault: Fault) -> ToolCall | None:
    return ToolCall("restart_pods", {"service": fault.place.service})


def _more_pods_call(world: World, fault: Fault) -> ToolCall | None:
    pods = world.services[fault.place.service].usual_pods
    arguments = {"service": fault.place.service, "replicas": pods + (pods + 1) // 2}
    return ToolCall("scale_service", arguments)


def _bigger_pool_call(world: World, fault: Fault) -> ToolCall | None:
    callee = fault.place.callee
    size = world.services[fault.place.service].client_of(callee).pool_size
    arguments = {
        "service": fault.place.service,
        "key": f"pool_size.{callee}",
        "value": str(2 * size),
    }
    return ToolCall("set_config", arguments)


def _raise_limit_call(world: World, fault: Fault) -> ToolCall | None:
    """Raise a cut limit to its usual value, or memory to twice that for a grown tenant."""
    service = world.services[fault.place.service]
    memory_mb = int(service.usual_memory_limit_bytes / 1e6)
    if fault.place.thing is Thing.TENANT:
        sizes: dict[str, float] = {"memory_mb": 2 * memory_mb}
    elif fault.place.name == "memory_limit_mb":
        sizes = {"memory_mb": memory_mb}
    else:
        sizes = {"cpu_cores": service.usual_cpu_cores}
    return ToolCall("scale_service", {"service": service.name, **sizes})


def _restore_setting_call(world: World, fault: Fault) -> ToolCall | None:
    """Give a setting its usual value."""
    if not isinstance(fault, SettingFault) or fault.place.thing is not Thing.SETTING:
        return None
    arguments = {
        "service": fault.place.service,
        "key": fault.place.name,
        "value": fault.usual_value,
    }
    return ToolCall("set_config", arguments)


UNDO_CHANGE = Repair("undo the change", _undo_call, wait_ticks=8)
FLAG_OFF = Repair("turn the flag off", _flag_off_call, wait_ticks=1)
RESTART = Repair("restart the pods", _restart_call, wait_ticks=8)
MORE_PODS = Repair("half as many pods again", _more_pods_call, wait_ticks=2)
SHIFT_FROM_VERSION = Repair("shift traffic from the version", _shift_call, wait_ticks=1)
BIGGER_POOL = Repair("twice the pool", _bigger_pool_call, wait_ticks=1)
RAISE_LIMIT = Repair("raise the limit", _raise_limit_call, wait_ticks=8)
RESTORE_SETTING = Repair("restore the setting", _restore_setting_call, wait_ticks=2)
