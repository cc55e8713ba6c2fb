"""Edits: the ways in which changes and actions alter the world.

An edit is immutable data with `apply(world, tick)`. It names a thing of the world, never a fault.
A change carries edits and their inverses; an action plans edits with delays. Both are put on the
world's schedule with `World.schedule`, so a fork repeats them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from firewatch_next.simulation.service import BreakerState
from firewatch_next.simulation.settings import apply_setting

if TYPE_CHECKING:
    from firewatch_next.simulation.world import World


class Edit(Protocol):
    """An alteration of the world that takes place at a tick."""

    def apply(self, world: World, tick: int) -> None:
        """Alter the world at the start of that tick."""


@dataclass(frozen=True)
class RollOut:
    """Replace a service's pods by pods of another version or revision, a quarter per minute.

    Pods that are not of the target are replaced, those of the newest build first. An empty version
    or revision keeps each pod's. `max_pods_share` below 1 stops the rollout at that share.
    """

    service: str
    version: str = ""
    revision: str = ""
    max_pods_share: float = 1.0

    def apply(self, world: World, tick: int) -> None:
        world.start_rollout(self.service, tick, self.version, self.revision, self.max_pods_share)


@dataclass(frozen=True)
class RestartPods:
    """Restart all pods of a service in place, a quarter per minute; `zone` restarts that zone's."""

    service: str
    zone: str = ""

    def apply(self, world: World, tick: int) -> None:
        world.start_restart(self.service, tick, self.zone)


@dataclass(frozen=True)
class SetVersionErrors:
    """Let a share of the requests fail on one version, for example after a contract migration."""

    service: str
    version: str
    share: float

    def apply(self, world: World, tick: int) -> None:
        world.services[self.service].version_errors[self.version] = self.share
        world.wake(self.service)


@dataclass(frozen=True)
class SetSetting:
    """Set a configuration key. Limits of memory, CPU and threads restart the pods."""

    service: str
    key: str
    value: str

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.service]
        if apply_setting(service, self.key, self.value):
            world.start_restart(self.service, tick, "")
        world.wake(self.service)


@dataclass(frozen=True)
class SetFlag:
    """Set the percentage of requests that run a flag's code."""

    service: str
    flag: str
    percent: float

    def apply(self, world: World, tick: int) -> None:
        world.services[self.service].flags[self.flag].percent = self.percent
        world.wake(self.service)


@dataclass(frozen=True)
class SetJob:
    """Start or stop a batch job."""

    service: str
    job: str
    is_running: bool

    def apply(self, world: World, tick: int) -> None:
        job = world.services[self.service].jobs[self.job]
        if self.is_running and not job.is_running:
            job.started_tick = tick
        job.is_running = self.is_running
        world.wake(self.service)


@dataclass(frozen=True)
class ScalePods:
    """Set the number of pods. New pods get traffic two ticks later; the newest pods go first."""

    service: str
    pods: int

    def apply(self, world: World, tick: int) -> None:
        world.scale_pods(self.service, tick, self.pods)


@dataclass(frozen=True)
class ShiftTraffic:
    """Set the factor of the traffic to a zone, version or node of a service.

    `label` is "zone", "version" or "node". A factor of 1 is even, 0 sends nothing there.
    """

    service: str
    label: str
    value: str
    factor: float

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.service]
        weights = {
            "zone": service.zone_weights,
            "version": service.version_weights,
            "node": service.node_weights,
        }[self.label]
        if self.factor == 1.0:
            weights.pop(self.value, None)
        else:
            weights[self.value] = self.factor
        world.wake(self.service)


@dataclass(frozen=True)
class SetBotLimit:
    """Let at most so many requests per second of robots into an entry."""

    service: str
    per_second: float

    def apply(self, world: World, tick: int) -> None:
        world.services[self.service].bot_limit = self.per_second
        world.wake(self.service)


@dataclass(frozen=True)
class SetAdmissionLimit:
    """Let a service admit at most so many requests per second, 0 without a limit."""

    service: str
    per_second: float

    def apply(self, world: World, tick: int) -> None:
        world.services[self.service].admission_limit = self.per_second
        world.wake(self.service)


@dataclass(frozen=True)
class SetCallLimit:
    """Let one caller's client send at most so many calls per second, 0 without a limit."""

    caller: str
    callee: str
    per_second: float

    def apply(self, world: World, tick: int) -> None:
        client = world.services[self.caller].client_of(self.callee)
        client.rate_limit, client.limited_share = self.per_second, 0.0
        world.wake(self.caller)


@dataclass(frozen=True)
class SetJobLimit:
    """Let a job run at most so many requests per second."""

    service: str
    job: str
    per_second: float

    def apply(self, world: World, tick: int) -> None:
        world.services[self.service].jobs[self.job].load_limit = self.per_second
        world.wake(self.service)


@dataclass(frozen=True)
class SetIndex:
    """Build a statement's index with new statistics, or drop it."""

    service: str
    index: str
    is_present: bool

    def apply(self, world: World, tick: int) -> None:
        for statement in world.services[self.service].statements.values():
            if statement.index == self.index:
                statement.has_index = self.is_present
                statement.index_built_tick = tick
        world.wake(self.service)


@dataclass(frozen=True)
class SetBackOff:
    """Space a client's retries so widely that they add no load, or stop doing so."""

    caller: str
    callee: str
    is_backed_off: bool

    def apply(self, world: World, tick: int) -> None:
        world.services[self.caller].client_of(self.callee).is_backed_off = self.is_backed_off
        world.wake(self.caller)


@dataclass(frozen=True)
class SetBreaker:
    """Open or close the breaker of one caller's client for a callee."""

    caller: str
    callee: str
    state: BreakerState

    def apply(self, world: World, tick: int) -> None:
        caller = world.services[self.caller]
        caller.client_of(self.callee).breaker = self.state
        key = f"breaker.{self.callee}"
        if self.state is BreakerState.CLOSED and key in caller.settings:
            caller.settings[key] = "auto"
        world.wake(self.caller)
