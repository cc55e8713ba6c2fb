"""Worlds with chosen effects, and views of them, for tests of telemetry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from firewatch_next.faults.fault_type import Origin, Place, Severity, Thing
from firewatch_next.faults.registry import fault_types
from firewatch_next.simulation.build_world import build_world
from firewatch_next.simulation.log_event import Wording
from firewatch_next.simulation.service import ErrorReason, Service, ServiceKind
from firewatch_next.simulation.world import World
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.bitstream import BitStream

FIRST_TICK_OF_EFFECTS = -20


@dataclass(frozen=True)
class Effect:
    """Applies a function to the world in each tick from -20 on, as a fault does."""

    apply_to: Callable[[World, int], None]
    start_tick: int = FIRST_TICK_OF_EFFECTS

    def apply(self, world: World, tick: int) -> None:
        self.apply_to(world, tick)


def first_of_kind(world: World, kind: ServiceKind) -> Service:
    """Return the first service of a kind that is called by an application."""
    return next(
        service
        for service in world.ordered
        if service.kind is kind
        and any(
            world.services[name].kind is ServiceKind.APPLICATION
            for name in world.callers[service.name]
        )
    )


def _slow_store(world: World, tick: int) -> None:
    store = first_of_kind(world, ServiceKind.STORE)
    world.mark_affected(store)
    for group in store.groups:
        group.slow_share, group.slow_seconds = 0.3, 5.0


def _unreachable_store(world: World, tick: int) -> None:
    store = first_of_kind(world, ServiceKind.STORE)
    for client in world.incoming[store.name]:
        world.mark_affected(world.services[client.caller])
        client.max_attempts = 2
        client.add_errors(ErrorReason.REFUSED, 0.4)


def _memory_of_application(world: World, tick: int) -> None:
    service = first_of_kind(world, ServiceKind.APPLICATION)
    world.mark_affected(service)
    for pod in service.ready_pods(tick):
        pod.leaked_bytes += 0.05 * service.memory_limit_bytes


def _busy_application(world: World, tick: int) -> None:
    service = first_of_kind(world, ServiceKind.APPLICATION)
    world.mark_affected(service)
    for group in service.groups:
        group.cpu_factor = 6.0


EFFECTS = {
    "calm": None,
    "slow store": _slow_store,
    "unreachable store": _unreachable_store,
    "memory": _memory_of_application,
    "busy": _busy_application,
}


@cache
def world_with_effect(name: str, services: int = 12) -> World:
    """Return a world at the reset. Tests share it and must not advance it."""
    world = build_world(BitStream("telemetry"), services)
    effect = EFFECTS[name]
    if effect is not None:
        world.add_fault(Effect(effect))
    world.advance_to(0)
    return world


@cache
def world_with_bad_flag() -> World:
    """Return a world whose `catalog-api` or the like fails with a flag at 50 percent."""
    world = build_world(BitStream("telemetry"), 12)
    world.advance_to(FIRST_TICK_OF_EFFECTS - 2)
    service = first_of_kind(world, ServiceKind.APPLICATION)
    flag = next(iter(service.flags.values()))
    flag.percent = 50.0
    place = Place(service.name, Thing.FLAG, flag.name, Origin.UNLISTED)
    severity = Severity(0.3, FIRST_TICK_OF_EFFECTS, "telemetry")
    world.add_fault(fault_types()["code_error"].start(world, place, severity))
    world.advance_to(0)
    return world


def view_of(
    world: World, wording: Wording = Wording.OPEN, max_characters: int = 2_000
) -> TelemetryView:
    """Return a view of a world."""
    return TelemetryView(world, "task", wording, max_characters=max_characters)
