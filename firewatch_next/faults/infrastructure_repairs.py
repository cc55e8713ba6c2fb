"""Repairs and mitigations of faults of certificates, addresses, disks, queues, nodes and zones."""

from __future__ import annotations

from collections.abc import Callable

from firewatch_next.faults.fault_type import Fault, Repair, Thing
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall


def repair_data(name: str, what: str, wait_ticks: int, *, at_callee: bool = False) -> Repair:
    """Return a step that repairs one kind of data of the fault's service, or of its callee."""

    def make_call(world: World, fault: Fault) -> ToolCall | None:
        service = fault.place.callee if at_callee else fault.place.service
        return ToolCall("repair_data", {"service": service, "what": what})

    return Repair(name, make_call, wait_ticks)


def only_for(step: Repair, *things: Thing) -> Repair:
    """Return the step restricted to faults that live on one of these kinds of things."""

    def make_call(world: World, fault: Fault) -> ToolCall | None:
        return step.make_call(world, fault) if fault.place.thing in things else None

    return Repair(step.name, make_call, step.wait_ticks)


def _renew(what: str) -> Callable[[World, Fault], ToolCall | None]:
    def make_call(world: World, fault: Fault) -> ToolCall | None:
        return ToolCall("renew", {"service": fault.place.service, "what": what})

    return make_call


def _move_call(world: World, fault: Fault) -> ToolCall | None:
    return ToolCall("move_pods", {"service": "all", "away_from": fault.place.name})


def _shift_call(world: World, fault: Fault) -> ToolCall | None:
    arguments = {"service": "all", "away_from": fault.place.name, "percent": 100}
    return ToolCall("shift_traffic", arguments)


def _breaker_call(world: World, fault: Fault) -> ToolCall | None:
    arguments = {"service": fault.place.service, "callee": fault.place.callee, "state": "open"}
    return ToolCall("set_breaker", arguments)


def _retry_call(world: World, fault: Fault) -> ToolCall | None:
    """Let the caller try each call to the fault's callee twice, unless it does so already."""
    client = world.services[fault.place.service].client_of(fault.place.callee)
    if client.max_attempts > 1:
        return None
    arguments = {"service": client.caller, "callee": client.callee, "max_attempts": 2}
    return ToolCall("set_client", arguments)


RENEW_CERTIFICATE = Repair("renew the certificate", _renew("certificate"), wait_ticks=2)
SYNCHRONIZE_CLOCKS = Repair("synchronize the clocks", _renew("clock"), wait_ticks=1)
MOVE_PODS = Repair("move the pods", _move_call, wait_ticks=3)
SHIFT_FROM_PLACE = Repair("shift traffic from the place", _shift_call, wait_ticks=1)
OPEN_BREAKER = Repair("open the breaker", _breaker_call, wait_ticks=1)
RETRY_ONCE = Repair("retry once", _retry_call, wait_ticks=1)
