"""A version or flag whose error path takes a connection from a pool and never returns it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from firewatch_next.changes.change import Change
from firewatch_next.faults.evidence import Hypothesis, ParsedReply, Question, Suspect, Verdict
from firewatch_next.faults.fault_type import (
    EvidenceCheck,
    FaultType,
    LogEvent,
    LogLevel,
    Origin,
    Phrasings,
    Place,
    Severity,
    Thing,
    levels,
)
from firewatch_next.faults.numbers import final_level, mean, strongest_group
from firewatch_next.faults.places import affected_pods, flag_places, reach_of, version_places
from firewatch_next.faults.questions import growth, undo_deploy_before_onset
from firewatch_next.faults.repairs import BIGGER_POOL, FLAG_OFF, RESTART, UNDO_CHANGE
from firewatch_next.simulation.service import CalleeClient, Service, ServiceKind
from firewatch_next.simulation.world import World
from openenv_kit.float_sum import sum_left_to_right
from openenv_kit.tool import ToolCall

# Ticks in which the pool of an ordinary day fills. It has to fill again within the graded time.
SLOWEST_FILL_TICKS, FASTEST_FILL_TICKS = 35.0, 12.0

ERROR_PATH = LogEvent(
    "connection_leak.error_path",
    LogLevel.WARN,
    ("callee", "operation"),
    {
        "java_spring": Phrasings(
            open=(
                "{operation} skipped after validation failure, continuing without result "
                "(datasource {callee})",
                "Early return from {operation}: input rejected; data source {callee}",
            ),
            test="Validation of input failed inside {operation} [{callee}], falling through",
            sealed="[{callee}] {operation} left before commit point: constraint check negative",
        ),
        "go_logfmt": Phrasings(
            open=(
                'msg="validation failed, returning early" op={operation} db={callee}',
                'op={operation} msg="skipping row after check" store={callee}',
            ),
            test='store={callee} msg="input not accepted" handler={operation} action=return',
            sealed='handler={operation} outcome=abandoned reason="precondition" target={callee}',
        ),
        "python_uvicorn": Phrasings(
            open=(
                "{operation}: input rejected, returning early ({callee})",
                "validation error in {operation}, nothing written to {callee}",
            ),
            test="nothing to store for {callee}: check in {operation} was negative",
            sealed="{callee} | {operation} | aborted on failed precondition",
        ),
        "any": Phrasings(
            open=(
                "{operation} returned early after a failed check ({callee})",
                "check failed in {operation}, no write to {callee}",
            ),
            test="{callee}: {operation} did not pass its check",
            sealed="precondition of {operation} not met, {callee} untouched",
        ),
    },
)
POOL_STATE = LogEvent(
    "connection_leak.pool_state",
    LogLevel.INFO,
    ("callee", "total", "active", "idle", "waiting"),
    {
        "java_spring": Phrasings(
            open=(
                "HikariPool-{callee} - Pool stats (total={total}, active={active}, idle={idle}, "
                "waiting={waiting})",
                "pool {callee}: {active} of {total} active, {idle} idle, {waiting} threads waiting",
            ),
            test="{callee} data source usage: borrowed {active}/{total}, queue {waiting}, free "
            "{idle}",
            sealed="datasource[{callee}] in-use {active} free {idle} max {total} pending {waiting}",
        ),
        "go_logfmt": Phrasings(
            open=(
                'msg="sql.DBStats" db={callee} open={total} in_use={active} idle={idle} '
                "wait_count={waiting}",
                'db={callee} msg="pool" in_use={active} max_open={total} waiters={waiting} '
                "idle={idle}",
            ),
            test="store={callee} conns_busy={active} conns_free={idle} cap={total} "
            "blocked={waiting}",
            sealed="target={callee} capacity={total} taken={active} pending={waiting} free={idle}",
        ),
        "any": Phrasings(
            open=(
                "pool {callee}: size {total}, in use {active}, idle {idle}, waiting {waiting}",
                "{callee} connections: {active} checked out of {total}, {waiting} waiting, {idle} "
                "idle",
            ),
            test="{active}/{total} checked out for {callee} (overflow {waiting}, free {idle})",
            sealed="checkouts {callee} {active} max {total} queue {waiting} free {idle}",
        ),
    },
)


@dataclass(frozen=True)
class ConnectionLeak:
    """A leak of connections to one callee.

    Attributes:
        connections_per_tick: leaked per pod and tick while all requests run the code.
        operation: name of the code path in the logs.
    """

    place: Place
    start_tick: int
    change: Change | None
    connections_per_tick: float
    operation: str

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        client = service.client_of(self.place.callee)
        reach = reach_of(service, self.place)
        if not reach.is_empty:
            for pod in affected_pods(service, reach, tick):
                leaked = pod.leaked_connections.get(client.callee, 0.0)
                leaked += self.connections_per_tick * reach.share
                pod.leaked_connections[client.callee] = min(leaked, float(client.pool_size))
        leaked = sum_left_to_right(
            p.leaked_connections.get(client.callee, 0.0) for p in service.pods
        )
        if leaked <= 0.0:
            return
        world.mark_affected(service)
        if self.place.thing is Thing.FLAG:
            service.flags[self.place.name].leaked_connections = leaked
        if not reach.is_empty:
            fields = {"callee": client.callee, "operation": self.operation}
            lines = self.connections_per_tick * reach.share * len(service.pods)
            world.emit_log(service, ERROR_PATH, lines, fields)
        world.emit_log(service, POOL_STATE, len(service.pods), _pool_fields(service, client))


def _pool_fields(service: Service, client: CalleeClient) -> dict[str, str | int | float]:
    active = int(client.pool_in_use * client.pool_size + 0.5)
    waiting = int(client.offered * (1.0 - client.pool_passed_share) * 0.1 / len(service.pods))
    return {
        "callee": client.callee,
        "total": client.pool_size,
        "active": active,
        "idle": client.pool_size - active,
        "waiting": waiting,
    }


def find_places(world: World) -> list[Place]:
    """Return places of versions and flags, once for each mandatory store with a pool."""

    def has_pool(service: Service) -> bool:
        return service.kind is ServiceKind.APPLICATION and bool(_pooled_stores(world, service))

    return [
        replace(place, callee=callee)
        for place in version_places(world, has_pool) + flag_places(world, has_pool)
        for callee in _pooled_stores(world, world.services[place.service])
    ]


def _pooled_stores(world: World, service: Service) -> list[str]:
    return [
        client.callee
        for client in service.clients
        if client.pool_size
        and not client.is_optional
        and world.services[client.callee].kind is ServiceKind.STORE
    ]


def start(world: World, place: Place, severity: Severity) -> ConnectionLeak:
    """Return a leak that fills the pool in 35 (size 0) to 12 (size 1) ticks."""
    service = world.services[place.service]
    fill_ticks = SLOWEST_FILL_TICKS - (SLOWEST_FILL_TICKS - FASTEST_FILL_TICKS) * severity.size
    share = service.flags[place.name].percent / 100.0 if place.thing is Thing.FLAG else 1.0
    operation = place.name if place.thing is Thing.FLAG else f"{place.service}.store"
    return ConnectionLeak(
        place,
        place.change.tick if place.change is not None else severity.start_tick,
        place.change,
        service.client_of(place.callee).pool_size / fill_ticks / share,
        operation.partition(".")[2],
    )


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    metrics = {
        "service": suspect.service,
        "metrics": "pool_in_use,pool_size,latency_p95_ms",
        "group_by": "callee",
        "window_minutes": 30,
        "points": 12,
    }
    connections = {"service": suspect.service, "kind": "connections"}
    return (
        Question(ToolCall("query_metrics", metrics)),
        Question(ToolCall("run_diagnostic", connections)),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if a pool of constant size fills gradually and its connections are idle in use."""
    pools, connections = replies
    for series in pools.find_series("pool_in_use"):
        callee = series.labels["callee"]
        sizes = pools.find_series("pool_size", callee=callee)
        if not sizes or min(sizes[0].values) < max(sizes[0].values):
            continue
        rise = mean(series.values[-2:]) - mean(series.values[:2])
        if rise < 0.25:
            continue
        restart = ToolCall("restart_pods", {"service": suspect.service})
        flag = strongest_group(connections.rows, "flag", "idle_with", "idle_without")
        if flag is not None and flag.excess > 0.5:
            arguments = {"service": suspect.service, "flag": flag.name, "percent": 0}
            return Verdict(rise, (ToolCall("set_flag", arguments), restart))
        call = undo_deploy_before_onset(suspect)
        if call is not None:
            return Verdict(rise, (call,))
    return None


def _question_pool(place: Place) -> Question:
    return _questions(Suspect(place.service, (), (), place.callee, 0.0, ()))[0]


def _measure_fill(reply: ParsedReply, place: Place) -> float:
    """Return the use of the pool, 0 if it was made smaller or the callee has become slower."""
    sizes = reply.find_series("pool_size", callee=place.callee)
    is_smaller = bool(sizes) and sizes[0].values[-1] < max(sizes[0].values)
    if is_smaller or growth(reply, "latency_p95_ms", callee=place.callee) > 2.0:
        return 0.0
    return final_level(reply.find_series("pool_in_use", callee=place.callee))


FAULT_TYPE = FaultType(
    name="connection_leak",
    levels=levels("emhx"),
    origins={Origin.SAFE_CHANGE: 0.35, Origin.UNSAFE_CHANGE: 0.3, Origin.UNLISTED: 0.35},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(ERROR_PATH, POOL_STATE),
    repairs=((UNDO_CHANGE,), (FLAG_OFF, RESTART)),
    mitigations=(RESTART, BIGGER_POOL),
    decisive=(
        EvidenceCheck(
            "pool fills", _question_pool, _measure_fill, 0.8, ("slow_query", "concurrency_limit")
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)
