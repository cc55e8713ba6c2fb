"""A statement that costs a database far more time than usual: its index or statistics, or a build.

Where an index was dropped or its statistics have aged, the fault lives on the statement and its
index. Where a caller's build or flag asks in a new way that no index serves, it lives there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from firewatch_next.changes.change import Change, ChangeKind
from firewatch_next.faults.capacity import cpu_use
from firewatch_next.faults.evidence import Hypothesis, ParsedReply, Question, Suspect, Verdict
from firewatch_next.faults.fault_type import (
    EvidenceCheck,
    Fault,
    FaultType,
    LogEvent,
    LogFields,
    LogLevel,
    Origin,
    Phrasings,
    Place,
    Repair,
    Severity,
    Thing,
    levels,
)
from firewatch_next.faults.places import (
    flag_places,
    listed_changes,
    reach_of,
    reach_share,
    version_places,
)
from firewatch_next.faults.questions import (
    ask_diagnostic,
    ask_metrics,
    flag_off,
    suspect_at,
    undo_at_onset,
    undo_of_key,
)
from firewatch_next.faults.repairs import FLAG_OFF, UNDO_CHANGE
from firewatch_next.simulation.service import SECONDS_PER_TICK, Service, ServiceKind
from firewatch_next.simulation.things import Statement
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

# CPU that the database needs, to what it has.
MIN_OVERLOAD, MAX_OVERLOAD = 1.03, 1.9
_LOGGED_SHARE = 0.01  # of the statements, as log_min_duration_sample does

SLOW_STATEMENT = LogEvent(
    "slow_query.slow_statement",
    LogLevel.WARN,
    ("milliseconds", "statement", "user"),
    {
        "postgres": Phrasings(
            ("duration: {milliseconds} ms  execute {statement}: user={user}",
             'user={user} LOG:  duration: {milliseconds} ms  statement: /* {statement} */ SELECT'),
            "auto_explain: /* {statement} */ by {user} ran {milliseconds} ms",
            "slow: {user} {statement} elapsed={milliseconds}ms",
        ),
        "any": Phrasings(
            ("statement {statement} of {user} took {milliseconds} ms",
             "{user}: {milliseconds} ms for {statement}"),
            "{statement} ran for {milliseconds} ms (session user {user})",
            "elapsed {milliseconds} ms, user {user}, query {statement}",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class SlowQuery:
    """A statement that needs more database time.

    Attributes:
        store, statement: where it runs. cost_factor: time of the statement to the usual.
    """

    place: Place
    start_tick: int
    change: Change | None
    store: str
    statement: str
    cost_factor: float

    def apply(self, world: World, tick: int) -> None:
        store = world.services[self.store]
        statement = store.statements[self.statement]
        reach = self._reach(world, statement)
        if reach <= 0.0 or store.load <= 0.0:
            return
        world.mark_affected(store)
        factor = 1.0 + reach * (self.cost_factor - 1.0)
        share = request_share(world, store, statement)
        statement.cost_factor = factor
        if self.place.thing is Thing.FLAG:
            caller = world.services[self.place.service]
            world.mark_affected(caller)
            caller.flags[self.place.name].query_factor = self.cost_factor
        extra_seconds = store.cpu_seconds_per_request * (self.cost_factor - 1.0)
        for group in store.groups:
            group.cpu_factor *= 1.0 + share * (factor - 1.0)
            group.slow_share = share * reach
            group.slow_seconds = extra_seconds
        mean = store.base_latency_seconds + store.cpu_seconds_per_request + extra_seconds
        fields: LogFields = {
            "milliseconds": int(1000.0 * (mean + store.utilization * 0.2) + 1.0),
            "statement": statement.name,
            "user": statement.user,
        }
        lines = _LOGGED_SHARE * store.load * share * reach * SECONDS_PER_TICK
        world.emit_log(store, SLOW_STATEMENT, lines, fields)

    def _reach(self, world: World, statement: Statement) -> float:
        """Return the share of the statement's runs that are slow."""
        if self.place.thing is Thing.STATEMENT:
            if self.change is not None:
                return 0.0 if statement.has_index else 1.0
            return 1.0 if statement.index_built_tick < self.start_tick else 0.0
        return reach_share(reach_of(world.services[self.place.service], self.place))


def request_share(world: World, store: Service, statement: Statement) -> float:
    """Return the share of a store's requests that are runs of a statement."""
    flow = world.services[statement.user].client_of(store.name).flow
    return statement.share * flow / store.load if store.load > 0.0 else 0.0


def _is_mandatory(world: World, store: Service, statement: Statement) -> bool:
    return not world.services[statement.user].client_of(store.name).is_optional


def find_places(world: World) -> list[Place]:
    """Return statements whose index was dropped or has aged, and builds and flags of callers."""
    places = []
    for change in listed_changes(world, ChangeKind.MIGRATION):
        for statement in world.services[change.service].statements.values():
            if statement.index == change.key:
                places.append(Place(change.service, Thing.STATEMENT, statement.name,
                                    Origin.SAFE_CHANGE, change))  # fmt: skip
    for store in world.ordered:
        for statement in store.statements.values():
            if _is_mandatory(world, store, statement):
                places.append(Place(store.name, Thing.STATEMENT, statement.name, Origin.UNLISTED))
    has_store = _stores_of(world)
    elsewhere = [
        replace(place, origin=Origin.CHANGE_ELSEWHERE)
        for place in version_places(world, lambda service: bool(has_store(service)))
    ]
    elsewhere += flag_places(world, lambda service: bool(has_store(service)))
    return places + [
        replace(place, callee=store)
        for place in elsewhere
        for store in has_store(world.services[place.service])
    ]


def _stores_of(world: World) -> Callable[[Service], list[str]]:
    def stores(service: Service) -> list[str]:
        return [
            client.callee
            for client in service.clients
            if world.services[client.callee].kind is ServiceKind.STORE and not client.is_optional
        ]

    return stores


def start(world: World, place: Place, severity: Severity) -> SlowQuery:
    """Return a statement that lets the database need 1.03 to 1.9 times its CPU."""
    store = world.services[place.callee or place.service]
    if place.thing is Thing.STATEMENT:
        statement, reach = store.statements[place.name], 1.0
    else:
        of_caller = (s for s in store.statements.values() if s.user == place.service)
        statement = next(of_caller)
        flags = world.services[place.service].flags
        reach = flags[place.name].percent / 100.0 if place.thing is Thing.FLAG else 1.0
    overload = MIN_OVERLOAD + (MAX_OVERLOAD - MIN_OVERLOAD) * severity.size
    share = request_share(world, store, statement) * reach
    factor = 1.0 + (overload / cpu_use(store) - 1.0) / share
    tick = place.change.tick if place.change is not None else severity.start_tick
    return SlowQuery(place, tick, place.change, store.name, statement.name, factor)


def _build_index_call(world: World, fault: Fault) -> ToolCall | None:
    if fault.place.thing is not Thing.STATEMENT:
        return None
    statement = world.services[fault.place.service].statements[fault.place.name]
    arguments = {"service": fault.place.service, "what": "index", "name": statement.index}
    return ToolCall("repair_data", arguments)


def _more_replicas_call(world: World, fault: Fault) -> ToolCall | None:
    store = fault.place.callee or fault.place.service
    pods = world.services[store].usual_pods
    return ToolCall("scale_service", {"service": store, "replicas": pods + (pods + 1) // 2})


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_metrics(suspect.service, "cpu_utilization,cpu_ms_per_request"),
        ask_diagnostic(suspect.service, "slow_queries"),
        *(ask_diagnostic(caller, "flags") for caller in suspect.callers),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if one statement takes half of the database's time and several times its usual one."""
    queries, flags = replies[1], replies[2:]
    for row in queries.rows:
        share = float(row.get("time_share", 0.0))
        slower = float(row.get("mean_ms", 0.0)) / max(0.001, float(row.get("usual_mean_ms", 0.0)))
        if share < 0.4 or slower < 1.5:
            continue
        user = str(row["user"])
        for reply in flags:
            for flag in reply.rows:
                if float(flag.get("query_ms_with", 0.0)) > 1.5 * float(
                    flag.get("query_ms_without", 1e9)
                ):
                    return Verdict(share, (flag_off(user, str(flag["flag"])),))
        call = undo_of_key(suspect, suspect.service, str(row.get("index", "")))
        call = call or undo_at_onset(suspect, user, ("deploy",))
        if call is None:
            arguments = {"service": suspect.service, "what": "index", "name": str(row["index"])}
            call = ToolCall("repair_data", arguments)
        return Verdict(share, (call,))
    return None


def _question_queries(place: Place) -> Question:
    return ask_diagnostic(suspect_at(place, place.callee).service, "slow_queries")


def _measure_slower(reply: ParsedReply, place: Place) -> float:
    ratios = [
        float(row["mean_ms"]) / max(0.001, float(row["usual_mean_ms"]))
        for row in reply.rows
        if "mean_ms" in row and "usual_mean_ms" in row
    ]
    return max(ratios, default=1.0)


FAULT_TYPE = FaultType(
    name="slow_query",
    levels=levels("emhx"),
    origins={
        Origin.SAFE_CHANGE: 0.25,
        Origin.CHANGE_ELSEWHERE: 0.25,
        Origin.UNSAFE_CHANGE: 0.15,
        Origin.UNLISTED: 0.35,
    },
    find_places=find_places,
    start=start,
    # Rejected requests fail sooner than late ones, so more overload can harm less.
    has_smooth_severity=False,
    log_events=(SLOW_STATEMENT,),
    repairs=(
        (UNDO_CHANGE,),
        (FLAG_OFF,),
        (Repair("build the index", _build_index_call, wait_ticks=6),),
    ),
    mitigations=(Repair("more replicas", _more_replicas_call, wait_ticks=2),),
    decisive=(
        EvidenceCheck(
            "a statement is slower", _question_queries, _measure_slower, 1.5,
            ("batch_job", "lock_contention", "cache_miss"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
