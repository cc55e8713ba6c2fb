"""A version or flag of one caller that calls a service far more often for each request."""

from __future__ import annotations

from dataclasses import dataclass, replace

from firewatch_next.changes.change import Change
from firewatch_next.faults.capacity import cpu_use, pool_use
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
from firewatch_next.faults.numbers import strongest_group
from firewatch_next.faults.places import flag_places, reach_of, reach_share, version_places
from firewatch_next.faults.questions import (
    ask_diagnostic,
    ask_metrics,
    flag_off,
    growth,
    suspect_at,
    undo_at_onset,
)
from firewatch_next.faults.repairs import FLAG_OFF, UNDO_CHANGE
from firewatch_next.simulation.service import SECONDS_PER_TICK, CalleeClient, Service, ServiceKind
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

# Load of the callee, or use of the caller's pool, to what it can take.
MIN_OVERLOAD, MAX_OVERLOAD = 1.05, 1.8
_LOGGED_SHARE = 0.004

CALLS = LogEvent(
    "excess_calls.calls",
    LogLevel.INFO,
    ("callee", "calls", "operation"),
    {
        "java_spring": Phrasings(
            ("{operation} finished, {calls} requests to {callee}",
             "Completed {operation}: remote calls={calls} target={callee}"),
            "{callee} was asked {calls} times within {operation}",
            "Summary of {operation}: {callee} x {calls}",
        ),
        "go_logfmt": Phrasings(
            ('msg="done" op={operation} upstream={callee} upstream_calls={calls}',
             'op={operation} fanout={calls} to={callee} msg="request complete"'),
            'rpc_count={calls} peer={callee} msg="handler finished" fn={operation}',
            "event=finished fn={operation} peer={callee} rpcs={calls}",
        ),
        "python_uvicorn": Phrasings(
            ("{operation}: {calls} calls to {callee}",
             "{callee} called {calls} times by {operation}"),
            "finished {operation} after {calls} round trips to {callee}",
            "{calls} x {callee} in {operation}",
        ),
        "any": Phrasings(
            ("{operation} made {calls} calls to {callee}",
             "{calls} calls to {callee} for one {operation}"),
            "{callee}: {calls} round trips ({operation})",
            "{operation} fan-out {callee}={calls}",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class ExcessCalls:
    """Code that makes `calls_factor` times the calls of the code before it."""

    place: Place
    start_tick: int
    change: Change | None
    calls_factor: float

    def apply(self, world: World, tick: int) -> None:
        caller = world.services[self.place.service]
        client = caller.client_of(self.place.callee)
        share = reach_share(reach_of(caller, self.place))
        if share <= 0.0:
            return
        world.mark_affected(caller)
        client.calls_factor *= 1.0 + share * (self.calls_factor - 1.0)
        if self.place.thing is Thing.FLAG:
            caller.flags[self.place.name].calls_factor = self.calls_factor
        calls = int(client.calls_per_request * self.calls_factor + 1.0)
        operation = "lookup"
        if self.place.thing is Thing.FLAG:
            operation = self.place.name.partition(".")[2]
        fields: LogFields = {"callee": client.callee, "calls": calls, "operation": operation}
        lines = _LOGGED_SHARE * caller.load * share * SECONDS_PER_TICK
        world.emit_log(caller, CALLS, lines, fields)


def _callees(world: World, service: Service) -> list[str]:
    return [
        client.callee
        for client in service.clients
        if not client.is_optional
        and not client.cache
        and world.services[client.callee].kind in (ServiceKind.APPLICATION, ServiceKind.STORE)
    ]


def find_places(world: World) -> list[Place]:
    """Return safe deploys and flags of callers, once for each callee that they must have."""

    def has_callee(service: Service) -> bool:
        return service.kind is ServiceKind.APPLICATION and bool(_callees(world, service))

    versions = [
        replace(place, origin=Origin.CHANGE_ELSEWHERE)
        for place in version_places(world, has_callee)
    ]
    return [
        replace(place, callee=callee)
        for place in versions + flag_places(world, has_callee)
        for callee in _callees(world, world.services[place.service])
    ]


def start(world: World, place: Place, severity: Severity) -> ExcessCalls:
    """Return calls that overload the callee or the caller's pool, whichever fills first."""
    caller, callee = world.services[place.service], world.services[place.callee]
    client = caller.client_of(place.callee)
    overload = MIN_OVERLOAD + (MAX_OVERLOAD - MIN_OVERLOAD) * severity.size
    factor = _filling_factor(caller, client, callee, overload)
    share = caller.flags[place.name].percent / 100.0 if place.thing is Thing.FLAG else 1.0
    tick = place.change.tick if place.change is not None else severity.start_tick
    return ExcessCalls(place, tick, place.change, 1.0 + (factor - 1.0) / share)


def _filling_factor(
    caller: Service, client: CalleeClient, callee: Service, overload: float
) -> float:
    """Return the factor of the calls at which the callee's CPU or the pool has that use."""
    share = client.flow / callee.load
    factor = 1.0 + (overload / cpu_use(callee) - 1.0) / share
    used = pool_use(caller, client)
    return min(factor, overload / used) if used > 0.0 else factor


def _limit_caller_call(world: World, fault: Fault) -> ToolCall | None:
    callee = world.services[fault.place.callee]
    client = world.services[fault.place.service].client_of(callee.name)
    usual = world.services[fault.place.service].usual_load * client.calls_per_request
    arguments = {
        "service": callee.name,
        "kind": "caller",
        "caller": fault.place.service,
        "value": int(1.3 * usual + 1.0),
    }
    return ToolCall("set_limit", arguments)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    callers = (suspect.service, *suspect.callers)
    return (
        *(ask_metrics(c, "calls_per_request,attempts", "callee", minutes=90) for c in callers),
        *(ask_diagnostic(caller, "flags") for caller in callers),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if one caller makes far more calls for each request, and no more attempts."""
    callers = (suspect.service, *suspect.callers)
    for caller, clients, flags in zip(
        callers, replies[: len(callers)], replies[len(callers) :], strict=True
    ):
        for series in clients.find_series("calls_per_request"):
            callee = series.labels["callee"]
            rise = growth(clients, "calls_per_request", callee=callee)
            if rise < 1.4 or growth(clients, "attempts", callee=callee) > 1.2:
                continue
            flag = strongest_group(flags.rows, "flag", "calls_with", "calls_without")
            if flag is not None and flag.excess > 0.0:
                return Verdict(rise, (flag_off(caller, flag.name),))
            call = undo_at_onset(suspect, caller, ("deploy",), slack_minutes=6.0)
            if call is not None:
                return Verdict(rise, (call,))
    return None


def _question_calls(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_rise(reply: ParsedReply, place: Place) -> float:
    return growth(reply, "calls_per_request", callee=place.callee)


FAULT_TYPE = FaultType(
    name="excess_calls",
    levels=levels("emhx"),
    origins={
        Origin.CHANGE_ELSEWHERE: 0.4,
        Origin.UNSAFE_CHANGE: 0.25,
        Origin.UNLISTED: 0.35,
    },
    find_places=find_places,
    start=start,
    # Rejected requests fail sooner than late ones, so more overload can harm less.
    has_smooth_severity=False,
    log_events=(CALLS,),
    repairs=((UNDO_CHANGE,), (FLAG_OFF,)),
    mitigations=(Repair("limit the caller", _limit_caller_call, wait_ticks=1),),
    decisive=(
        EvidenceCheck(
            "more calls for a request", _question_calls, _measure_rise, 1.3,
            ("traffic_growth", "cache_miss", "retry_storm"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
