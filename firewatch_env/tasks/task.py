"""What a task is, and how its world comes to tick 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from firewatch_env.engine.service import Release
from firewatch_env.engine.world import Circumstance, World, build
from firewatch_env.tasks.levels import EVERY_LEVEL, Level
from openenv_kit.bitstream import BitStream

BEFORE = 40  # most ticks that a world has passed at reset
SETTLE = 4  # ticks after the end in which repairs under way still arrive
QUIET = 30  # ticks without harm after that: then the incident is over for good
AFTER = SETTLE + QUIET
TRIGGER = "cpu_limit"  # what is off for a while only, and starts a storm


@dataclass(frozen=True, slots=True)
class Put:
    """A build or a revision of a service, and when it comes out."""

    service: str
    which: str
    release: Release


@dataclass(frozen=True, slots=True)
class Task:
    """An incident, complete: the world, what is wrong with it, and what only looks wrong.

    Attributes:
        task_id: public name; difficulty: name of its level.
        arguments: of the reset that plays it.
        draws: identity of the bits from which sizes and demand are drawn.
        services, entry: which services there are, and where customers come in.
        minute: time of day at tick 0.
        features: what each service's requests are about, by share.
        puts, circumstances: everything that happens to the world.
        faults: how many of the first `puts` and `circumstances` are at fault.
        roots: the services at fault and what causes it, for reports about tasks; nothing else
            reads it.
        unalerted: services without alert rules.
        advice: a bad piece of advice, by the service whose log holds it.
        calm: customers go unharmed although something pages.
    """

    task_id: str
    difficulty: str
    arguments: Mapping[str, Any]
    draws: str
    services: tuple[str, ...]
    entry: str
    minute: int
    features: Mapping[str, Mapping[str, float]]
    puts: tuple[Put, ...] = ()
    circumstances: tuple[Circumstance, ...] = ()
    faults: tuple[int, int] = (0, 0)
    roots: tuple[tuple[str, str], ...] = ()
    unalerted: tuple[str, ...] = ()
    advice: Mapping[str, str] = field(default_factory=dict)
    calm: bool = False

    @property
    def level(self) -> Level:
        return EVERY_LEVEL[self.difficulty]

    @property
    def max_ticks(self) -> int:
        return self.level.ticks

    @property
    def horizon(self) -> int:
        """Ticks from reset that the grade looks at."""
        return self.max_ticks + AFTER

    def with_fault_of(self, *services: str) -> Task:
        """The same task with these services' faults alone; on an ordinary day if there are none.

        What triggers a storm befalls another service, and stays.
        """
        puts = [put for put in self.puts[: self.faults[0]] if put.service in services]
        circumstances = [
            each
            for each in self.circumstances[: self.faults[1]]
            if each.service in services or each.lever == TRIGGER
        ]
        return replace(
            self,
            puts=(*puts, *self.puts[self.faults[0] :]),
            circumstances=(*circumstances, *self.circumstances[self.faults[1] :]),
            faults=(len(puts), len(circumstances)),
        )


def open_world(task: Task) -> World:
    """The task's world at tick 0, after its past; a copy of the caller's own."""
    world = _opened(Key(task))
    copy = world.copy()
    copy.history = list(world.history or ())
    return copy


def opening_harm(task: Task) -> float:
    """Share of customers let down at tick 0 beyond what is allowed."""
    return _opened(Key(task)).harm


class Key:
    """A task as a key: what it is made of holds mappings, which have no hash."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __hash__(self) -> int:
        return hash(self.task.draws)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.task == other.task


@lru_cache(maxsize=64)
def _opened(key: Key) -> World:
    task = key.task
    first = _beginning(task)
    world = build(set(task.services), task.entry, BitStream(task.draws), first, task.horizon + 1)
    world.minute, world.advice = task.minute, dict(task.advice)
    world.blamed = task.level.blamed
    world.history = []
    for name, features in task.features.items():
        world.by_name[name].features = dict(features)
    for name in task.unalerted:
        world.by_name[name].alerted = False
    for put in task.puts:
        service = world.by_name[put.service]
        if put.release.tick < first:
            world.release(service, put.which, put.release)
        else:
            world.releases.setdefault(put.release.tick, []).append(
                (put.service, put.which, put.release)
            )
    for each in task.circumstances:
        world.changes.setdefault(max(each.tick, first), []).append(each)
    for _ in range(-first + 1):
        world.step()
    return world


def _beginning(task: Task) -> int:
    """The first tick of a task's past: shortly before anything goes wrong."""
    puts, circumstances = task.faults
    ticks = [put.release.tick for put in task.puts[:puts]]
    ticks += [each.tick for each in task.circumstances[:circumstances]]
    return max(min(ticks, default=-8) - 4, -BEFORE)
