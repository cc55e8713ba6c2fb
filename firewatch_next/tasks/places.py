"""Chooses the kind of a fault, the place where it occurs, and changes near it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from firewatch_next.changes.change import Change, ChangeKind
from firewatch_next.changes.innocent_changes import (
    FIRST_RECENT_TICK,
    LAST_RECENT_TICK,
    ChangeSlot,
    draw_slot,
    list_all_slots,
)
from firewatch_next.faults.fault_type import Level, Origin, Place
from firewatch_next.faults.registry import fault_types
from firewatch_next.simulation.world import World
from firewatch_next.tasks.task import FaultPlan
from openenv_kit.bitstream import BitStream
from openenv_kit.float_sum import sum_left_to_right

T = TypeVar("T")
ORIGIN_SHARES = {
    Origin.SAFE_CHANGE: 0.28,
    Origin.CHANGE_ELSEWHERE: 0.17,
    Origin.UNSAFE_CHANGE: 0.20,
    Origin.UNLISTED: 0.35,
}
LONGEST_ONSET, SHORTEST_ONSET = -36, -8
MIN_REACH = 0.1  # calls of a service per request of a customer
NEAR_TICKS = 20  # ten minutes
NEWER_CHANCE = 0.5


def draw_plan(draws: BitStream, level: Level, used: set[str]) -> FaultPlan:
    """Return an origin with the shares of the design, and a type that has it on the level.

    Args:
        draws: stream of the task.
        level: level of the fault types.
        used: names of types that are not drawn again.
    """
    types = [k for k in fault_types().values() if level in k.levels and k.name not in used]
    shares = {
        origin: share
        for origin, share in ORIGIN_SHARES.items()
        if any(kind.origins.get(origin) for kind in types)
    }
    origin = _choose_weighted(draws, shares)
    weights = {kind.name: kind.origins.get(origin, 0.0) for kind in types}
    return FaultPlan(_choose_weighted(draws, weights), origin)


def _choose_weighted(draws: BitStream, weights: Mapping[T, float]) -> T:
    """Return a key with a chance in proportion to its weight."""
    point = draws.uniform(0.0, sum_left_to_right(weights.values()))
    last = None
    for key, weight in weights.items():
        if weight > 0.0:
            last = key
            point -= weight
            if point < 0.0:
                return key
    assert last is not None, "no weight is above 0"
    return last


def measure_reach(world: World) -> dict[str, float]:
    """Return how often a customer's request needs each service, without optional callees."""
    reach = {service.name: 0.0 for service in world.ordered}
    customers = sum_left_to_right(entry.entry_rate for entry in world.entries)
    for entry in world.entries:
        reach[entry.name] = entry.entry_rate / customers
    for service in world.ordered:  # callers come before callees
        for client in service.clients:
            if client.is_optional:
                continue
            calls = min(1.0, client.calls_per_request)
            if client.cache and client.cache in world.services:
                calls *= 1.0 - world.services[client.cache].cache_hit_share
            reach[client.callee] = min(1.0, reach[client.callee] + reach[service.name] * calls)
    return reach


def find_ancestors(world: World, name: str) -> list[str]:
    """Return a service and those that cannot do without it, directly or not, in world order."""
    found = {name}
    for service in reversed(world.ordered):
        if any(c.callee in found and not c.is_optional for c in service.clients):
            found.add(service.name)
    return [service.name for service in world.ordered if service.name in found]


def list_places(
    world: World, plan: FaultPlan, reach: dict[str, float], excluded: set[str]
) -> list[Place]:
    """Return the places of a planned fault that customers need and whose change is recent."""
    return [
        place
        for place in fault_types()[plan.fault_type].find_places(world)
        if place.service not in excluded
        and plan.origin in (None, place.origin)
        and plan.thing in (None, place.thing)
        and place.name.startswith(plan.name)
        and reach[place.service] >= MIN_REACH
        and (not place.callee or not reach.get(place.callee, 0.0) < MIN_REACH / 4.0)
        and (place.change is None or _is_recent(place.change))
    ]


def choose_place(draws: BitStream, places: Sequence[Place]) -> Place:
    """Return a place. Each service is as likely as the next, however many places it has."""
    service = draws.choose(sorted({place.service for place in places}))
    return draws.choose([place for place in places if place.service == service])


class ListedPlace(NamedTuple):
    """A place of a fault, and the slot of the change that brought it."""

    slot: ChangeSlot
    place: Place


def find_listed_place(
    draws: BitStream,
    make_changes: Callable[[World, dict[int, ChangeSlot]], Mapping[int, Change]],
    world: World,
    plan: FaultPlan,
    reach: dict[str, float],
    excluded: set[str],
    first_number: int,
) -> ListedPlace | None:
    """Return a place on one of all changes that the world could have, or None without one.

    Args:
        draws: stream of the task.
        make_changes: makes slots into changes and adds them to a world.
        world: before any change. It is not changed.
        plan: the fault.
        reach: of each service; see `measure_reach`.
        excluded: services that are no place.
        first_number: number of the first slot that is tried.
    """
    tick = LONGEST_ONSET + draws.integer_below(SHORTEST_ONSET - LONGEST_ONSET + 1)
    for with_flags in (False, True):  # a flag that changed itself is no place for other changes
        trial = world.fork()
        tried = list_all_slots(world, first_number, tick, with_flags=with_flags)
        slots = {slot.number: slot for slot in tried}
        numbers = {change.id: number for number, change in make_changes(trial, slots).items()}
        places = [p for p in list_places(trial, plan, reach, excluded) if p.change is not None]
        if places:
            place = choose_place(draws, places)
            assert place.change is not None
            return ListedPlace(slots[numbers[place.change.id]], place)
    return None


def _is_recent(change: Change) -> bool:
    return FIRST_RECENT_TICK <= change.tick <= LAST_RECENT_TICK - 3


def add_changes_near(
    draws: BitStream, world: World, slots: dict[int, ChangeSlot], place: Place, taken: set[int],
    onset: int,
) -> None:  # fmt: skip
    """Move some slots to where a fault is: on the failing path, on its service, and a twin.

    Args:
        draws: stream of the task.
        world: before any change.
        slots: of the task, by number; altered in place.
        place: of the fault.
        taken: numbers of the slots that must stay. Those that are moved are added.
        onset: first tick of the fault.
    """
    free = [
        slot.number
        for slot in draws.shuffled_copy(list(slots.values()))
        if slot.number not in taken
    ]

    def move(service: str, tick: int, kind: ChangeKind | None = None, family: str = "") -> None:
        if not free:
            return
        number = free.pop()
        taken.add(number)
        slot = draw_slot(draws, world, number, world.services[service])
        if kind is not None:
            slot = replace(slot, kind=kind, family=family)
        slots[number] = replace(slot, tick=min(LAST_RECENT_TICK, tick))

    path = find_ancestors(world, place.service)
    if not any(abs(s.tick - onset) <= NEAR_TICKS and s.service in path for s in slots.values()
               if s.number not in taken):  # fmt: skip
        near = onset - NEAR_TICKS + draws.integer_below(2 * NEAR_TICKS + 1)
        move(draws.choose(path), max(FIRST_RECENT_TICK, near))
    if draws.uniform() < NEWER_CHANCE and onset < LAST_RECENT_TICK:
        move(place.service, onset + 1 + draws.integer_below(LAST_RECENT_TICK - onset))
    change = place.change
    if change is not None and change.kind is ChangeKind.CONFIG and change.key:
        family = change.key.partition(".")[0]
        others = [
            service.name
            for service in world.ordered
            if service.name != place.service
            and any(k.partition(".")[0] == family and v != "0" for k, v in service.settings.items())
        ]
        if others:
            span = LAST_RECENT_TICK - FIRST_RECENT_TICK + 1
            tick = FIRST_RECENT_TICK + draws.integer_below(span)
            move(draws.choose(others), tick, ChangeKind.CONFIG, family)
