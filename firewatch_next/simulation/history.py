"""Past of a world: what was recorded in each tick.

A calm service stores its load only; its row is computed when read, from constants of its calm time
and with the same formulas. Rows are never altered after they are written, so forks of a world share
them. Values are exact; `series.py` reads them as metrics and adds noise.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from firewatch_next.simulation.log_event import LogRecord
from firewatch_next.simulation.memory import pod_memory_share
from firewatch_next.simulation.rows import (
    CALL_COLUMNS,
    SERVICE_COLUMNS,
    CalmProfile,
    call_row,
    calm_call_row,
    calm_profile,
    calm_service_row,
    service_row,
)
from firewatch_next.simulation.service import ErrorReason, PodEvent, PodGroup, Service
from openenv_kit.float_sum import sum_left_to_right

if TYPE_CHECKING:
    from firewatch_next.simulation.world import World

PODS_FROM_MEMORY_SHARE = 0.8


class GroupRow(NamedTuple):
    """A pod group in one tick. Stored only while groups of the service differ."""

    zone: str
    version: str
    revision: str
    node: str
    pods: int
    load: float
    own_error_ratio: float
    slow_share: float
    slow_seconds: float
    extra_latency_seconds: float
    utilization: float
    cpu_factor: float
    stolen_share: float


class PodRow(NamedTuple):
    """A pod in one tick. Stored only while leaks or a memory limit act on the service."""

    name: str
    memory_share: float
    leaked_connections: float
    age_ticks: int
    is_ready: bool


class FlagRow(NamedTuple):
    """What requests with a flag did in one tick. Stored only while the flag has an effect."""

    flag: str
    percent: float
    error_share: float
    leaked_bytes: float
    leaked_connections: float


@dataclass(slots=True)
class ServiceDetails:
    """Rows of one service and tick that exist only while something acts on it."""

    groups: tuple[GroupRow, ...] = ()
    pods: tuple[PodRow, ...] = ()
    flags: tuple[FlagRow, ...] = ()
    errors: tuple[tuple[ErrorReason, float], ...] = ()


@dataclass(slots=True)
class TickRow:
    """All that is recorded of one tick.

    Attributes:
        loads: requests per second of each service, in the world's order.
        full: by service, position in `values` of its row, which its calls' rows follow.
    """

    harm: float
    failing_share: float
    loads: array[float]
    full: dict[str, int] = field(default_factory=dict)
    values: array[float] = field(default_factory=lambda: array("f"))
    details: dict[str, ServiceDetails] = field(default_factory=dict)
    logs: tuple[LogRecord, ...] = ()
    pod_events: tuple[PodEvent, ...] = ()


class Limits(NamedTuple):
    """Limits of a service's pods from one tick on."""

    first_tick: int
    memory_bytes: float
    cpu_cores: float


class History:
    """Rows of all ticks of a world, from its first tick on.

    Args:
        first_tick: tick of the first row.
        services: in the world's order.
        callees: by service, in the order of its clients.
    """

    def __init__(
        self, first_tick: int, services: Sequence[str], callees: dict[str, list[str]]
    ) -> None:
        self.first_tick = first_tick
        self.positions = {name: position for position, name in enumerate(services)}
        self.callees = callees
        self.callers = {
            name: [caller for caller in services if name in callees[caller]] for name in services
        }
        self._rows: list[TickRow] = []
        self._profiles: dict[str, list[tuple[int, CalmProfile]]] = {n: [] for n in services}
        self._limits: dict[str, list[Limits]] = {name: [] for name in services}

    def fork(self) -> History:
        """Return a history that can go on independently. The rows are shared."""
        copy = History.__new__(History)
        copy.__dict__.update(self.__dict__)
        copy._rows = self._rows.copy()
        copy._profiles = {name: items.copy() for name, items in self._profiles.items()}
        copy._limits = {name: items.copy() for name, items in self._limits.items()}
        return copy

    @property
    def last_tick(self) -> int:
        """Tick of the newest row."""
        return self.first_tick + len(self._rows) - 1

    def record(self, world: World, now: int) -> None:
        """Add the row of a tick."""
        row = TickRow(world.harm, world.failing_share, array("f"))
        row.loads.extend([service.load for service in world.ordered])
        row.logs, row.pod_events = tuple(world.logs), tuple(world.pod_events)
        for service in world.computed_services:
            name = service.name
            if service.is_calm:
                profile = calm_profile(service)
                profiles = self._profiles[name]
                if not profiles or profiles[-1][1] != profile:
                    profiles.append((now, profile))
            else:
                row.full[name] = len(row.values)
                row.values.extend(service_row(service))
                for client in service.clients:
                    row.values.extend(call_row(client))
                details = _details_of(service, now)
                if details is not None:
                    row.details[name] = details
            self._note_limits(service, now)
        self._rows.append(row)

    def _note_limits(self, service: Service, now: int) -> None:
        limits = self._limits[service.name]
        new = Limits(now, service.memory_limit_bytes, service.cpu_cores)
        if not limits or limits[-1][1:] != new[1:]:
            limits.append(new)

    # Reading.

    def row(self, tick: int) -> TickRow:
        """Return the row of a tick. Raises IndexError outside the recorded ticks."""
        if tick < self.first_tick or tick > self.last_tick:
            raise IndexError(f"tick {tick} is not recorded ({self.first_tick} to {self.last_tick})")
        return self._rows[tick - self.first_tick]

    def harm_at(self, tick: int) -> float:
        """Return the harm of a tick."""
        return self.row(tick).harm

    def service_values(self, service: str, tick: int) -> Sequence[float]:
        """Return the columns `rows.SERVICE_COLUMNS` of a service in a tick."""
        row = self.row(tick)
        position = row.full.get(service)
        if position is not None:
            return row.values[position : position + SERVICE_COLUMNS]
        load = row.loads[self.positions[service]]
        return array("f", calm_service_row(self._profile(service, tick), load))

    def call_values(self, service: str, callee: str, tick: int) -> Sequence[float]:
        """Return the columns `rows.CALL_COLUMNS` of a service's calls to a callee in a tick."""
        row = self.row(tick)
        index = self.callees[service].index(callee)
        position = row.full.get(service)
        if position is not None:
            start = position + SERVICE_COLUMNS + index * CALL_COLUMNS
            return row.values[start : start + CALL_COLUMNS]
        load = row.loads[self.positions[service]]
        return array("f", calm_call_row(self._profile(service, tick).calls[index], load))

    def details(self, service: str, tick: int) -> ServiceDetails:
        """Return groups, pods and flags of a service; empty where they do not differ."""
        return self.row(tick).details.get(service) or ServiceDetails()

    def limits(self, service: str, tick: int) -> Limits:
        """Return the limits of a service's pods in a tick."""
        found = self._limits[service][0]
        for limits in self._limits[service]:
            if limits.first_tick <= tick:
                found = limits
        return found

    def log_records(self, service: str, first_tick: int, last_tick: int) -> Iterator[LogRecord]:
        """Yield the log records of a service from the first to the last tick."""
        for tick in range(max(first_tick, self.first_tick), min(last_tick, self.last_tick) + 1):
            for record in self.row(tick).logs:
                if record.service == service:
                    yield record

    def pod_events(self, service: str, first_tick: int, last_tick: int) -> Iterator[PodEvent]:
        """Yield starts and ends of a service's pods from the first to the last tick."""
        for tick in range(max(first_tick, self.first_tick), min(last_tick, self.last_tick) + 1):
            for event in self.row(tick).pod_events:
                if event.service == service:
                    yield event

    def _profile(self, service: str, tick: int) -> CalmProfile:
        found = self._profiles[service][0][1]
        for first_tick, profile in self._profiles[service]:
            if first_tick > tick:
                break
            found = profile
        return found


def _details_of(service: Service, now: int) -> ServiceDetails | None:
    details = ServiceDetails(errors=tuple(service.errors.items()))
    if len(service.groups) > 1 and _groups_differ(service):
        details.groups = tuple(_group_row(service, group) for group in service.groups)
    has_leak = any(pod.leaked_bytes or pod.leaked_connections for pod in service.pods)
    if has_leak or service.memory_used_share > PODS_FROM_MEMORY_SHARE:
        details.pods = tuple(
            PodRow(
                pod.name,
                pod_memory_share(service, pod, now),
                sum_left_to_right(pod.leaked_connections.values()),
                now - pod.started_tick,
                pod.ready_at_tick <= now,
            )
            for pod in service.pods
        )
    details.flags = tuple(
        FlagRow(f.name, f.percent, f.error_share, f.leaked_bytes, f.leaked_connections)
        for f in service.flags.values()
        if f.error_share or f.leaked_bytes or f.leaked_connections
    )
    return details


def _group_row(service: Service, group: PodGroup) -> GroupRow:
    version_errors = service.version_errors.get(group.version, 0.0)
    return GroupRow(
        group.zone,
        group.version,
        group.revision,
        group.node,
        group.pods,
        service.load * group.traffic_share,
        group.own_error_ratio + version_errors,
        group.slow_share,
        group.slow_seconds,
        group.extra_latency_seconds,
        group.utilization if service.has_effects else service.utilization,
        group.cpu_factor,
        group.cpu_stolen_share,
    )


def _groups_differ(service: Service) -> bool:
    """Return whether the service's groups have to be stored one by one."""
    first = service.groups[0]
    return (
        service.has_effects
        or bool(service.version_errors)
        or any(
            group.version != first.version or group.revision != first.revision
            for group in service.groups
        )
    )
