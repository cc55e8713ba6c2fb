"""A world of services in time: how it is built, copied, changed and let go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from firewatch_env.engine.catalogue import CATALOGUE, OPTIONAL_CALLS, ordered
from firewatch_env.engine.families import no_customers
from firewatch_env.engine.levers import LEVERS, derive, family, forget, moves
from firewatch_env.engine.motion import EASE
from firewatch_env.engine.service import USUAL_QUEUE, Call, Release, Service
from firewatch_env.engine.tick import ALLOWED, tick
from openenv_kit.bitstream import BitStream

DAY = 2880  # ticks
_SLOTS = 10.0  # slots on an ordinary day, to those in use
_CUSTOMERS = 240.0


@dataclass(frozen=True, slots=True)
class Circumstance:
    """A lever that something other than a build or a revision moves, and when."""

    tick: int
    service: str
    lever: str
    value: float


class World:
    """Services, the demand they meet, and what is still to come.

    Attributes:
        services: every caller before its callees; backwards: the other way round.
        entries: services at which customers come in.
        tick: the last tick that has passed; the first one is `first`.
        harm: share of customers let down in the last tick beyond what is allowed.
        customers: requests a second at the entries in the last tick.
        killed: last tick in which a pod ran out of memory.
        history: share of each service's requests that it fails itself and, last, of customers let
            down, by tick since the first; None where nobody will ask.
        minute, advice, blamed: see Task and Level.
    """

    def __init__(self, services: Sequence[Service], first: int, demand: Sequence[float]) -> None:
        self.services = list(services)
        self.first = first
        self.tick = first - 1
        self.demand = demand
        self.changes: dict[int, list[Circumstance]] = {}
        self.releases: dict[int, list[tuple[str, str, Release]]] = {}
        self.harm = 0.0
        self.customers = 0.0
        self.killed = first - 1000
        self.history: list[tuple[float, ...]] | None = None
        self.minute = 0  # of the day, at tick 0
        self.advice: dict[str, str] = {}  # what a service's log tells its reader to do
        self.logs: dict[str, list[tuple[int, str]]] = {}  # lines that were read, by service
        self.blamed = False  # log lines name the release that wrote them
        self._join()

    def _join(self) -> None:
        self.by_name = {service.name: service for service in self.services}
        self.backwards = self.services[::-1]
        self.entries = [service for service in self.services if service.entry > 0]
        self.moving = [service for service in self.services if moves(service)]

    @property
    def let_down(self) -> float:
        """Share of customers let down in the last tick; 0 where it is no more than is allowed."""
        return min(self.harm + ALLOWED, 1.0) if self.harm else 0.0

    def clock(self, tick: int) -> str:
        """Time of day at a tick, such as "14:02"."""
        minute = (self.minute + tick // 2) % 1440
        return f"{minute // 60:02}:{minute % 60:02}"

    def copy(self) -> World:
        """The same world with a future of its own."""
        other = World.__new__(World)
        other.__dict__.update(self.__dict__)
        other.history, other.logs = None, {}
        other.services = [service.copy() for service in self.services]
        other._join()
        copied: dict[Call, Call] = {}
        for service in other.services:
            for call in service.calls:
                copied[call] = call.copy(service, other.by_name[call.callee.name])
        for service in other.services:
            # In the order of the original: sums of floats depend on it.
            service.calls = [copied[call] for call in service.calls]
            service.callers = [copied[call] for call in service.callers]
        return other

    def step(self) -> None:
        tick(self)
        if self.history is not None:
            own = [1 - (1 - s.now.seen) * (1 - no_customers(s)) for s in self.services]
            self.history.append((*own, self.let_down))

    def set_lever(self, service: Service, name: str, value: float) -> None:
        """Move a lever; at its usual value it is off no longer."""
        if value == LEVERS[family(name)].usual:
            forget(service, name)
        else:
            service.easing.pop(name, None)
            service.levers[name] = value
        self.refresh(service)

    def ease(self, service: Service, name: str, value: float) -> None:
        """Move a lever as a repair does: over the next ticks, pod by pod."""
        usual = LEVERS[family(name)].usual
        now = usual
        if name in service.levers:
            now = service.levers[name]
            if name in service.easing:
                to, since = service.easing[name]
                now += (to - now) * (service.clock - since) / EASE
        if now != value:
            service.levers[name] = now
            service.easing[name] = (value, self.tick)
        self.refresh(service)

    def refresh(self, service: Service) -> None:
        """Bring what follows from a service's levers up to date, its cache's readers included."""
        derive(service, self.tick)
        self.moving = [each for each in self.services if moves(each)]

    def come_due(self, now: int) -> None:
        """Releases and circumstances that begin now, and what moves with time alone."""
        for name, which, release in self.releases.get(now, ()):
            self.release(self.by_name[name], which, release)
        for each in self.changes.get(now, ()):
            service = self.by_name[each.service]
            self.set_lever(service, each.lever, each.value)
        for service in self.moving:
            derive(service, now)

    def release(self, service: Service, which: str, release: Release) -> None:
        """Bring out a build or a revision: its settings hold from now on."""
        setattr(service, which, release)
        self.remember(service, release)
        for setting in release.settings:
            if setting.lever:  # nothing moves where only words changed
                self.set_lever(service, setting.lever, setting.after)

    def remember(self, service: Service, release: Release) -> None:
        """Where a release's settings matter."""
        if release.staged:
            service.staged.update(setting.lever for setting in release.settings)

    def take_back(self) -> None:
        """Whatever is only lent to a service ends.

        That is pods and CPU beyond the usual, a drained zone, a throttle, a breaker that somebody
        opened, and longer timeouts. What an action mended stays mended.
        """
        for service in self.services:
            service.size, service.sizing, service.queue = 1.0, None, USUAL_QUEUE
            service.drain = None
            to, _ = service.easing.get("cpu_limit", (service.levers.get("cpu_limit", 1.0), 0))
            if to > 1:
                forget(service, "cpu_limit")
            service.moved.discard("timeout")
            for call in service.calls:
                call.breaker = False
        for service in self.services:
            self.refresh(service)


def build(names: set[str], entry: str, draws: BitStream, first: int, last: int) -> World:
    """A world on an ordinary day.

    Args:
        names: services in it; calls to others are part of a service's own time.
        entry: where customers come in.
        draws: for sizes and demand.
        first: first tick of which the demand is known.
        last: last such tick.
    """
    services = {name: Service(name, CATALOGUE[name].kind) for name in ordered(names)}
    for service in services.values():
        _equip(service, services, draws)
    services[entry].entry = _CUSTOMERS * draws.uniform(0.7, 1.3)
    _size(services, draws)
    world = World(list(services.values()), first, _demand(draws, last - first + 1))
    for service in world.services:
        derive(service, first)
    return world


def _equip(service: Service, services: Mapping[str, Service], draws: BitStream) -> None:
    blueprint = CATALOGUE[service.name]
    service.base, service.work = blueprint.base, blueprint.cpu
    service.memory = draws.uniform(0.40, 0.58)
    service.memory_mb = blueprint.memory
    service.masks = service.kind == "proxy"
    for callee, calls in blueprint.calls:
        if callee not in services:
            continue
        optional = (service.name, callee) in OPTIONAL_CALLS
        call = Call(service, services[callee], calls, optional)
        call.tries = call.usual_tries = 2 if service.kind == "app" else 1
        service.calls.append(call)
        services[callee].callers.append(call)


def _size(services: Mapping[str, Service], draws: BitStream) -> None:
    """Room for an ordinary day: how busy a service is says nothing about its size."""
    for service in services.values():
        called = 0.0
        for call in service.callers:
            called += call.caller.usual_load * call.usual_calls
        service.usual_load = service.entry + called
    for service in reversed(list(services.values())):
        use = draws.uniform(0.34, 0.48)
        service.usual_cores = service.usual_load * service.work / use
        hold = service.base + service.work / (1 - use)
        for call in service.calls:
            hold += call.usual_calls * call.callee.usual_lat
        service.usual_lat = hold
        service.usual_slots = service.usual_load * hold * _SLOTS
        service.pods = 4 + draws.integer_below(3) * 2 + int(service.usual_cores / 4) % 7
        service.slow_after = max(1.0, 5 * hold)
        service.lat = hold
    for service in services.values():
        for call in service.calls:
            usual = 8 * call.callee.usual_lat
            call.timeout = call.usual_timeout = usual if usual > 0.5 else 0.5


def _demand(draws: BitStream, ticks: int) -> list[float]:
    """Demand to its usual level: a slow swing of ±4 % and ±1 % of noise."""
    level, slope, result = 1.0, 0.004, []
    for _ in range(ticks):
        level += slope
        if level > 1.04 or level < 0.96:
            slope = -slope
            level += 2 * slope
        result.append(level * draws.uniform(0.99, 1.01))
    return result
