"""Worlds with one fault at a chosen kind of place, and trials of its repairs and mitigations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from firewatch_next.changes.change import Change, ChangeKind, Migration, UndoEffect
from firewatch_next.changes.make_change import (
    ChangeTexts,
    deploy_change,
    index_change,
    job_change,
    revision_change,
    setting_change,
)
from firewatch_next.changes.platform_changes import certificate_change
from firewatch_next.faults.fault_type import (
    Fault,
    FaultType,
    Origin,
    Place,
    Repair,
    Severity,
    Thing,
)
from firewatch_next.grading.replay import TimedCall
from firewatch_next.simulation.build_world import build_world
from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream

MIN_HARM, MAX_HARM = 0.03, 0.6
LEVEL_TICKS = 30
SEEDS = tuple(f"trial {number}" for number in range(12))
SIZES = (0.5, 0.2, 0.9)


class FaultyWorld(NamedTuple):
    """A world at the reset with one fault, and the same world without it."""

    world: World
    fault: Fault
    healthy_world: World
    seed: str


class Wanted(NamedTuple):
    """Which place a trial is about.

    `key` is the changed setting, without its callee, or "". `name` is the name of the thing, or ""
    for any.
    """

    thing: Thing
    origin: Origin
    change_kind: ChangeKind | None
    key: str = ""
    start_tick: int = -12
    name: str = ""
    services: int = 12
    deployed_kind: ServiceKind = ServiceKind.APPLICATION


def build_faulty_world(fault_type: FaultType, wanted: Wanted) -> FaultyWorld:
    """Return the first world of the seeds in which the fault hurts 3 to 60 % at the reset."""
    for seed in SEEDS:
        for place in find_wanted_places(fault_type, make_world(seed, wanted), wanted):
            for size in SIZES:
                faulty = start_fault(fault_type, seed, place, wanted, size)
                if MIN_HARM <= faulty.world.harm <= MAX_HARM:
                    return faulty
    raise AssertionError(f"no world with {fault_type.name} at {wanted} has the wanted harm")


def make_world(seed: str, wanted: Wanted) -> World:
    """Return a world at its first tick with one change of the wanted kind per service."""
    world = build_world(BitStream(seed), wanted.services)
    for number, service in enumerate(world.ordered):
        texts = ChangeTexts(f"CHG-{4400 + number}", "Release", "Routine release", "m.okafor")
        for change in _make_changes(service, texts, wanted):
            world.add_change(change)
    return world


def _make_changes(service: Service, texts: ChangeTexts, wanted: Wanted) -> list[Change]:
    """Return the changes of the wanted kind that a service of its kind can have."""
    tick, name = wanted.start_tick, service.name
    if wanted.change_kind is ChangeKind.MIGRATION:
        if wanted.thing is Thing.JOB:
            return [
                job_change(texts, tick, name, job.name, ChangeKind.MIGRATION)
                for job in list(service.jobs.values())[:1]
            ]
        indexes = [statement.index for statement in service.statements.values()]
        return [index_change(texts, tick, name, index, drops=True) for index in indexes[:1]]
    if wanted.change_kind is ChangeKind.JOB:
        return [job_change(texts, tick, name, job) for job in list(service.jobs)[:1]]
    if wanted.change_kind is ChangeKind.CERTIFICATE:
        certificate = service.certificate
        assert certificate is not None
        return [certificate_change(texts, tick, name, certificate, certificate)]
    if wanted.key:
        keys = [k for k in service.settings if wanted.key in (k, k.partition(".")[0])]
        return [
            setting_change(
                replace(texts, id=f"{texts.id}-{number}"),
                tick, name, key, service.settings[key], service.settings[key],
            )
            for number, key in enumerate(keys)
        ]  # fmt: skip
    if service.kind is not wanted.deployed_kind or wanted.change_kind is None:
        return []
    if wanted.change_kind is ChangeKind.DEPLOY:
        is_safe = wanted.origin in (Origin.SAFE_CHANGE, Origin.CHANGE_ELSEWHERE)
        undo = UndoEffect.SAFE if is_safe else UndoEffect.BREAKS_SERVICE
        migration = Migration.NONE if is_safe else Migration.CONTRACT
        major, minor, _ = service.version.split(".")
        after = f"{major}.{int(minor) + 1}.0"
        return [deploy_change(texts, tick, name, service.version, after, migration, undo)]
    after = f"r{int(service.revision[1:]) + 1}"
    return [revision_change(texts, tick, name, service.revision, after)]


def find_wanted_places(fault_type: FaultType, world: World, wanted: Wanted) -> list[Place]:
    """Return at most four places of the wanted thing and origin, of different services."""
    found: dict[str, Place] = {}
    for place in fault_type.find_places(world):
        has_kind = (place.change.kind if place.change else None) is wanted.change_kind
        has_name = wanted.name in ("", place.name, place.name.partition(".")[0])
        is_wanted = place.thing is wanted.thing and place.origin is wanted.origin
        if is_wanted and has_kind and has_name:
            found.setdefault(place.service, place)
    return list(found.values())[:4]


def start_fault(
    fault_type: FaultType, seed: str, place: Place, wanted: Wanted, size: float
) -> FaultyWorld:
    """Return the seed's world with a fault at a place, and without it, both at the reset."""
    world = make_world(seed, wanted)
    world.advance_to(wanted.start_tick - 2)
    healthy = world.fork()
    fault = fault_type.start(world, place, Severity(size, wanted.start_tick, seed))
    if fault.change is not None and place.change is not None and fault.change != place.change:
        world.replace_change(place.change, fault.change)
    world.add_fault(fault)
    world.advance_to(0)
    return FaultyWorld(world, fault, healthy, seed)


def plan_calls(world: World, fault: Fault, steps: Sequence[Repair]) -> list[TimedCall] | None:
    """Return the calls of a repair from tick 2 on, or None where a step does not apply."""
    calls, tick = [], 2
    for step in steps:
        call = step.make_call(world, fault)
        if call is None:
            return None
        calls.append(TimedCall(tick, call))
        tick += step.wait_ticks
    return calls
