"""A version or flag whose requests need more CPU than before."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.changes.change import Change
from firewatch_next.faults.capacity import cpu_use
from firewatch_next.faults.evidence import Hypothesis, ParsedReply, Question, Suspect, Verdict
from firewatch_next.faults.fault_type import (
    EvidenceCheck,
    FaultType,
    LogEvent,
    LogFields,
    LogLevel,
    Origin,
    Phrasings,
    Place,
    Severity,
    Thing,
    levels,
)
from firewatch_next.faults.numbers import strongest_group
from firewatch_next.faults.places import flag_places, reach_of, version_places
from firewatch_next.faults.questions import (
    ask_diagnostic,
    ask_metrics,
    flag_off,
    growth,
    suspect_at,
    undo_at_onset,
)
from firewatch_next.faults.repairs import FLAG_OFF, MORE_PODS, SHIFT_FROM_VERSION, UNDO_CHANGE
from firewatch_next.simulation.service import SECONDS_PER_TICK, Service, ServiceKind
from firewatch_next.simulation.world import World

# CPU that an ordinary load needs, to what the pods have.
MIN_OVERLOAD, MAX_OVERLOAD = 1.03, 2.0
_LOGGED_SHARE = 0.005

SLOW_HANDLER = LogEvent(
    "cpu_regression.slow_handler",
    LogLevel.WARN,
    ("handler", "milliseconds"),
    {
        "java_spring": Phrasings(
            ("Slow request: {handler} completed in {milliseconds} ms",
             "StopWatch '{handler}': running time = {milliseconds} ms"),
            "{handler} exceeded its soft limit, took {milliseconds} ms",
            "Long-running call {handler}, {milliseconds} ms of wall time",
        ),
        "go_logfmt": Phrasings(
            ('msg="slow handler" handler={handler} took_ms={milliseconds}',
             'handler={handler} duration_ms={milliseconds} msg="request above threshold"'),
            'elapsed_ms={milliseconds} msg="long request" fn={handler}',
            "event=slow fn={handler} wall_ms={milliseconds}",
        ),
        "python_uvicorn": Phrasings(
            ("Executing <Task {handler}> took {milliseconds} ms",
             "{handler} finished after {milliseconds} ms (slow)"),
            "event loop was held {milliseconds} ms by {handler}",
            "{milliseconds} ms spent in {handler}",
        ),
        "any": Phrasings(
            ("slow request {handler}: {milliseconds} ms",
             "{handler} took {milliseconds} ms, above the threshold"),
            "long request: {milliseconds} ms in {handler}",
            "{handler} wall={milliseconds}ms",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class CpuRegression:
    """Code that needs `cpu_factor` times the CPU of the code before it."""

    place: Place
    start_tick: int
    change: Change | None
    cpu_factor: float

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        reach = reach_of(service, self.place)
        if reach.is_empty:
            return
        world.mark_affected(service)
        share = 0.0
        for group in reach.groups:
            group.cpu_factor *= 1.0 + reach.share * (self.cpu_factor - 1.0)
            share += group.traffic_share
        if self.place.thing is Thing.FLAG:
            service.flags[self.place.name].cpu_factor = 1.0 + share * (self.cpu_factor - 1.0)
        busy_ms = 1000.0 * service.cpu_seconds_per_request * self.cpu_factor
        waiting_ms = 1000.0 * max(0.0, service.modes[-1].median - service.modes[0].median)
        fields: LogFields = {
            "handler": _handler_of(self.place),
            "milliseconds": int(1000.0 * service.base_latency_seconds + busy_ms + waiting_ms + 1.0),
        }
        lines = service.load * share * reach.share * _LOGGED_SHARE * SECONDS_PER_TICK
        world.emit_log(service, SLOW_HANDLER, lines, fields)


def _handler_of(place: Place) -> str:
    name = place.name if place.thing is Thing.FLAG else place.service.replace("-", "_")
    return f"{name}.handle" if place.thing is not Thing.FLAG else name


def _runs_own_code(service: Service) -> bool:
    return service.kind is ServiceKind.APPLICATION and cpu_use(service) > 0.2


def find_places(world: World) -> list[Place]:
    """Return safe deploys and flags of applications."""
    return version_places(world, _runs_own_code) + flag_places(world, _runs_own_code)


def start(world: World, place: Place, severity: Severity) -> CpuRegression:
    """Return code with which an ordinary load needs 1.03 to 2 times the CPU of the pods."""
    service = world.services[place.service]
    share = service.flags[place.name].percent / 100.0 if place.thing is Thing.FLAG else 1.0
    overload = MIN_OVERLOAD + (MAX_OVERLOAD - MIN_OVERLOAD) * severity.size
    factor = 1.0 + (overload / cpu_use(service) - 1.0) / share
    tick = place.change.tick if place.change is not None else severity.start_tick
    return CpuRegression(place, tick, place.change, factor)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_metrics(suspect.service, "cpu_ms_per_request,request_rate", minutes=90),
        ask_diagnostic(suspect.service, "cpu_profile"),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if the CPU of a request has risen while the load has not."""
    service, profile = replies
    rise = growth(service, "cpu_ms_per_request")
    if rise < 1.3:
        return None
    flag = strongest_group(profile.rows, "flag", "cpu_ms_with", "cpu_ms_without")
    if flag is not None and flag.excess > 0.0:
        return Verdict(rise, (flag_off(suspect.service, flag.name),))
    call = undo_at_onset(suspect, suspect.service, ("deploy",), slack_minutes=6.0)
    return Verdict(rise, (call,)) if call is not None else None


def _question_cost(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_cost_rise(reply: ParsedReply, place: Place) -> float:
    return growth(reply, "cpu_ms_per_request")


FAULT_TYPE = FaultType(
    name="cpu_regression",
    levels=levels("emhx"),
    origins={Origin.SAFE_CHANGE: 0.4, Origin.UNSAFE_CHANGE: 0.3, Origin.UNLISTED: 0.3},
    find_places=find_places,
    start=start,
    # Rejected requests fail sooner than late ones, so more overload can harm less.
    has_smooth_severity=True,
    log_events=(SLOW_HANDLER,),
    repairs=((UNDO_CHANGE,), (FLAG_OFF,)),
    mitigations=(MORE_PODS, SHIFT_FROM_VERSION),
    decisive=(
        EvidenceCheck(
            "CPU of a request rises", _question_cost, _measure_cost_rise, 1.3,
            ("traffic_growth", "resource_limit", "excess_calls"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
