"""The world: services, time, the schedule of edits, changes and faults."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol, TypeVar

from firewatch_next.simulation import pods, tick
from firewatch_next.simulation.edits import Edit
from firewatch_next.simulation.history import History
from firewatch_next.simulation.log_event import LogEvent, LogRecord
from firewatch_next.simulation.service import (
    CalleeClient,
    Pod,
    PodEvent,
    PodGroup,
    Service,
)
from firewatch_next.simulation.things import Flag, Job, RecordSet, Statement, Tenant

PAST_TICKS = 180
T = TypeVar("T")


class ActiveFault(Protocol):
    """The part of a fault that the world needs (`faults/fault_type.py`)."""

    @property
    def start_tick(self) -> int: ...

    def apply(self, world: World, tick: int) -> None: ...


class ListedChange(Protocol):
    """The part of a change that the world needs (`changes/change.py`)."""

    @property
    def id(self) -> str: ...
    @property
    def tick(self) -> int: ...
    @property
    def service(self) -> str: ...
    @property
    def edits(self) -> tuple[Edit, ...]: ...
    @property
    def undo_edits(self) -> tuple[Edit, ...]: ...


class World:
    """A simulated system at the end of `tick`.

    Args:
        services: callers before callees.
        demand: factor of the customers' requests in each tick from `first_tick` on.
        first_tick: the first tick that can be computed; the world starts one tick before it.

    Attributes:
        tick: last tick computed. 0 is the reset, negative ticks are the past.
        services: by name, callers before callees.
        callers: by service, the services that call it.
        changes: listed changes in the order of their ticks.
        undone_changes: ids of changes that were undone.
        faults: active and future faults.
        schedule: edits by the tick at whose start they are applied.
        rollouts: replacements and restarts of pods that are under way.
        harm: of the last tick: max(0, failed + ½ slow − 0.005) over all customers.
        customers: requests of customers per second in the last tick.
        failing_share: share of them that failed or were answered incompletely.
        slow_share: share of them that took longer than `slow_after_seconds`.
        history: what was recorded of each tick.
        uses_calm_shortcut: False computes every service in full (for tests).
        computed_services: services that the last tick computed in full.
        records_history: False keeps the harm of each tick only (for trials and replays).
    """

    def __init__(
        self, services: Sequence[Service], demand: Sequence[float], first_tick: int
    ) -> None:
        self.tick = first_tick - 1
        self.first_tick = first_tick
        self.demand = array("d", demand)
        self.services = {service.name: service for service in services}
        self.changes: list[ListedChange] = []
        self.undone_changes: set[str] = set()
        self.faults: list[ActiveFault] = []
        self.schedule_by_tick: dict[int, list[Edit]] = {}
        self.rollouts: list[pods.Rollout] = []
        self.pods_started = 0
        self.affected: set[str] = set()
        self.computed_services: list[Service] = []
        self.logs: list[LogRecord] = []
        self.pod_events: list[PodEvent] = []
        self.harm = self.customers = self.failing_share = self.slow_share = 0.0
        self.uses_calm_shortcut = True
        self.records_history = True
        self.history = History(first_tick, [service.name for service in services], {
            service.name: [client.callee for client in service.clients] for service in services
        })  # fmt: skip
        self._link_services()

    def _link_services(self) -> None:
        self.ordered = list(self.services.values())
        self.incoming: dict[str, list[CalleeClient]] = {name: [] for name in self.services}
        for service in self.ordered:
            for client in service.clients:
                self.incoming[client.callee].append(client)
        self.entries = [service for service in self.ordered if service.entry_rate > 0.0]
        self.links = tick.link_services(self)

    @property
    def callers(self) -> dict[str, list[str]]:
        """The services that call each service."""
        return {name: [c.caller for c in clients] for name, clients in self.incoming.items()}

    @property
    def zones(self) -> list[str]:
        """Zones with pods, sorted."""
        return sorted({pod.zone for service in self.ordered for pod in service.pods})

    @property
    def nodes(self) -> list[str]:
        """Nodes with pods, sorted."""
        return sorted({pod.node for service in self.ordered for pod in service.pods})

    # Time.

    def advance(self) -> None:
        """Compute the next tick."""
        self.tick += 1
        now = self.tick
        self.logs, self.pod_events = [], []
        for edit in self.schedule_by_tick.pop(now, ()):
            edit.apply(self, now)
        if self.rollouts:
            pods.continue_rollouts(self, now)
        tick.reset_effects(self)
        for fault in self.faults:
            if fault.start_tick <= now:
                fault.apply(self, now)
        tick.compute_tick(self, now)
        if self.records_history:
            self.history.record(self, now)

    def advance_to(self, last_tick: int) -> None:
        """Compute every tick up to and including `last_tick`."""
        while self.tick < last_tick:
            self.advance()

    def fork(self) -> World:
        """Return an independent copy. Rows of the history are shared, since they never change."""
        copy = World.__new__(World)
        copy.__dict__.update(self.__dict__)
        copy.services = {name: _copy_service(service) for name, service in self.services.items()}
        copy.changes = self.changes.copy()
        copy.undone_changes = self.undone_changes.copy()
        copy.faults = self.faults.copy()
        copy.schedule_by_tick = {t: edits.copy() for t, edits in self.schedule_by_tick.items()}
        copy.rollouts = [pods.copy_rollout(rollout) for rollout in self.rollouts]
        copy.affected = self.affected.copy()
        copy.logs, copy.pod_events = self.logs.copy(), self.pod_events.copy()
        copy.history = self.history.fork()
        copy._link_services()
        return copy

    # Changes, faults and edits.

    def schedule(self, tick: int, edit: Edit) -> None:
        """Apply an edit at the start of a tick. Raises ValueError if that tick is past."""
        if tick <= self.tick:
            raise ValueError(f"an edit is scheduled for tick {tick}; the world is at {self.tick}")
        self.schedule_by_tick.setdefault(tick, []).append(edit)

    def add_change(self, change: ListedChange) -> None:
        """List a change and schedule its edits.

        A change older than the world's first tick is listed only: the world was built with it.
        """
        self.changes.append(change)
        self.changes.sort(key=lambda listed: (listed.tick, listed.id))
        if change.tick > self.tick:
            for edit in change.edits:
                self.schedule(change.tick, edit)

    def replace_change(self, old: ListedChange, new: ListedChange) -> None:
        """Replace a change that has not happened yet, for example by one with another value."""
        self.changes[self.changes.index(old)] = new
        edits = self.schedule_by_tick.get(old.tick, [])
        for edit in old.edits:
            edits.remove(edit)
        for edit in new.edits:
            self.schedule(new.tick, edit)

    def find_change(self, change_id: str) -> ListedChange:
        """Return a listed change. Raises KeyError for an unknown id."""
        for change in self.changes:
            if change.id == change_id:
                return change
        raise KeyError(change_id)

    def undo_change(self, change_id: str, tick: int) -> None:
        """Schedule the edits that undo a change, with the side effects that this has."""
        for edit in self.find_change(change_id).undo_edits:
            self.schedule(tick, edit)
        self.undone_changes.add(change_id)

    def add_fault(self, fault: ActiveFault) -> None:
        """Let a fault act from its start tick on."""
        self.faults.append(fault)

    def mark_affected(self, service: Service) -> None:
        """Compute a service in full in this tick because a fault has an effect on it."""
        service.has_effects = True
        service.is_calm = False
        for client in service.clients:
            client.is_settled = False
        self.affected.add(service.name)

    def wake(self, service_name: str) -> None:
        """Compute a service in full, with new pod groups, because something of it has changed."""
        service = self.services[service_name]
        service.is_calm = False
        service.groups_expire_tick = self.tick
        for client in service.clients:
            client.is_settled = False

    def emit_log(
        self,
        service: Service,
        event: LogEvent,
        count: float,
        fields: Mapping[str, str | int | float],
        *,
        version: str = "",
        pod: str = "",
    ) -> None:
        """Record log lines of a service in this tick. A count below 0.05 is left out.

        Args:
            service: the service that writes them.
            event: kind of log line.
            count: number of lines in the tick.
            fields: values of all fields of the event.
            version: only pods of that version write it; "" is all.
            pod: only that pod writes it; "" is all.
        """
        if count >= 0.05 and self.records_history:
            self.logs.append(LogRecord(self.tick, service.name, event, count, fields, version, pod))

    # Pods.

    def start_rollout(
        self, service: str, tick: int, version: str, revision: str, max_pods_share: float = 1.0
    ) -> None:
        """Begin to replace a service's pods; see `edits.RollOut`."""
        pods.start_rollout(self, self.services[service], tick, version, revision, max_pods_share)

    def start_restart(self, service: str, tick: int, zone: str = "") -> None:
        """Begin to restart a service's pods in place; see `edits.RestartPods`."""
        pods.start_restart(self, self.services[service], tick, zone)

    def scale_pods(self, service: str, tick: int, count: int) -> None:
        """Set the number of a service's pods; see `edits.ScalePods`."""
        pods.scale_pods(self, self.services[service], tick, count)


def _field_getter(kind: type) -> Any:
    return attrgetter(*kind.__slots__)  # type: ignore[attr-defined]


# Calling a class with a tuple of its fields takes a quarter of the time of `copy.copy`.
_FIELDS_OF: dict[type, Any] = {
    kind: _field_getter(kind)
    for kind in (Service, Pod, PodGroup, CalleeClient, Flag, Job, Tenant, Statement, RecordSet)
}


def _copy(item: T) -> T:
    kind = type(item)
    return kind(*_FIELDS_OF[kind](item))


def _copy_service(service: Service) -> Service:
    copy = _copy(service)
    copy.pods = []
    for pod in service.pods:
        new_pod = _copy(pod)
        new_pod.leaked_connections = pod.leaked_connections.copy()
        copy.pods.append(new_pod)
    copy.clients = [_copy(client) for client in service.clients]
    for client in copy.clients:
        client.errors = client.errors.copy()
    copy.groups = [_copy(group) for group in service.groups]
    for group in copy.groups:
        group.own_errors = group.own_errors.copy()
    copy.flags = {name: _copy(flag) for name, flag in service.flags.items()}
    copy.jobs = {name: _copy(job) for name, job in service.jobs.items()}
    copy.statements = {name: _copy(item) for name, item in service.statements.items()}
    copy.tenants = {name: _copy(tenant) for name, tenant in service.tenants.items()}
    copy.records = [_copy(record) for record in service.records]
    copy.builds, copy.revisions = service.builds.copy(), service.revisions.copy()
    copy.version_errors = service.version_errors.copy()
    copy.zone_weights = service.zone_weights.copy()
    copy.version_weights = service.version_weights.copy()
    copy.node_weights = service.node_weights.copy()
    copy.settings = service.settings.copy()
    return copy
