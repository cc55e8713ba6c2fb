"""What a task is, and how its world comes to tick 0."""

from __future__ import annotations

from dataclasses import dataclass, field

from firewatch_env.engine.randomness import BitStream
from firewatch_env.engine.service import Release
from firewatch_env.engine.world import Circumstance, World, build

BEFORE = 70  # ticks that a world has passed at reset
AFTER = 30  # ticks beyond the last step that the grade looks at
POWERS = {"easy": 2, "medium": 16, "hard": 40}  # of impact: how dear each tick of harm is
MAX_TICKS = {"easy": 20, "medium": 30, "hard": 40}


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
        task_id: public name; seed: public number.
        draws: identity of the bits from which sizes and demand are drawn.
        services, entry: which services there are, and where customers come in.
        features: what each service's requests are about, by share.
        masks: services that pass failures on without counting them as their own.
        unalerted: services without alert rules.
        puts, circumstances: everything that happens to the world.
        faults: how many of the first `circumstances` and `puts` belong to the fault: the rest
            is there in the world without it, too.
        injected: a log line that gives an order, by service.
        label: name of the hidden cause, for reports about tasks; nothing else reads it.
        calm: customers are to go unharmed although something pages; admission reads it.
        dual: two faults, the second of which is the last of the fault's `puts`; so does it.
        burning: customers are to be let down at tick 0 already; so does it.
        meters: which errors the meters have; 0 in all that is played, others in certificates.
    """

    task_id: str
    difficulty: str
    seed: int
    description: str
    draws: str
    services: tuple[str, ...]
    entry: str
    features: dict[str, dict[str, float]]
    puts: tuple[Put, ...] = ()
    circumstances: tuple[Circumstance, ...] = ()
    faults: tuple[int, int] = (0, 0)
    masks: tuple[str, ...] = ()
    unalerted: tuple[str, ...] = ()
    injected: dict[str, str] = field(default_factory=dict)
    label: str = ""
    calm: bool = False
    dual: bool = False
    burning: bool = False
    meters: int = 0

    @property
    def max_ticks(self) -> int:
        return MAX_TICKS[self.difficulty]

    @property
    def power(self) -> int:
        return POWERS[self.difficulty]

    @property
    def horizon(self) -> int:
        """Ticks from reset that the grade looks at."""
        return self.max_ticks + AFTER

    def without_fault(self) -> Task:
        """The same task on a day on which nothing went wrong."""
        puts, circumstances = self.faults
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["puts"] = self.puts[puts:]
        values["circumstances"] = self.circumstances[circumstances:]
        values["faults"] = (0, 0)
        return Task(**values)


def open_world(task: Task) -> World:
    """The task's world at tick 0, after its past."""
    first = -BEFORE
    world = build(set(task.services), task.entry, BitStream(task.draws), first, task.horizon + 1)
    for name, features in task.features.items():
        world.by_name[name].features = features
    for service in world.services:
        service.noise += task.meters
    for name in task.masks:
        world.by_name[name].masks = True
    for name in task.unalerted:
        world.by_name[name].alerted = False
    world.injected = task.injected
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
    for _ in range(BEFORE + 1):
        world.step()
    return world
