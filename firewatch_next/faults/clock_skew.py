"""A node whose clock drifts, so that its pods reject valid tokens."""

from __future__ import annotations

from dataclasses import dataclass

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
)
from firewatch_next.faults.infrastructure_repairs import SHIFT_FROM_PLACE, SYNCHRONIZE_CLOCKS
from firewatch_next.faults.place_fault import busiest_service_at
from firewatch_next.faults.questions import ask_diagnostic, suspect_at
from firewatch_next.simulation.service import SECONDS_PER_TICK, ErrorReason, ServiceKind
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

# Tokens are valid for a while before and after their time; beyond that, a growing share fails.
ALLOWED_SECONDS, ALL_FAIL_SECONDS = 30.0, 120.0
SLOWEST_DRIFT, FASTEST_DRIFT = 2.0, 12.0  # seconds per tick

TOKEN_REJECTED = LogEvent(
    "clock_skew.token_rejected",
    LogLevel.WARN,
    ("seconds",),
    {
        "java_spring": Phrasings(
            ("JwtValidationException: Jwt used before {seconds} s from now",
             "Bearer token rejected: nbf claim is {seconds} s in the future"),
            "An error occurred while attempting to decode the Jwt: issued {seconds} s ahead",
            "InvalidBearerTokenException, iat exceeds local time by {seconds} s",
        ),
        "go_logfmt": Phrasings(
            ('err="token is not valid yet" ahead_s={seconds}',
             'msg="jwt rejected" reason="iat after now" delta_s={seconds}'),
            'delta={seconds}s err="token used before issued"',
            "event=auth_denied claim=nbf ahead={seconds}s",
        ),
        "any": Phrasings(
            ("token rejected: issued {seconds} s in the future",
             "jwt.exceptions.ImmatureSignatureError: not yet valid ({seconds} s)"),
            "iat of the token is {seconds} s ahead",
            "denied, nbf lies {seconds} s ahead",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class ClockSkew:
    """A clock that drifts on one node until somebody sets it.

    The offset is that of the node's pods. A pod that starts there takes it over.

    Attributes:
        drift_seconds: per tick.
    """

    place: Place
    start_tick: int
    change: Change | None
    drift_seconds: float

    def apply(self, world: World, tick: int) -> None:
        pods = [
            pod for service in world.ordered for pod in service.pods if pod.node == self.place.name
        ]
        offset = max((pod.clock_offset_seconds for pod in pods), default=0.0)
        if tick > self.start_tick and offset == 0.0:
            return
        offset += self.drift_seconds
        for pod in pods:
            pod.clock_offset_seconds = offset
        failing = (offset - ALLOWED_SECONDS) / (ALL_FAIL_SECONDS - ALLOWED_SECONDS)
        if failing <= 0.0:
            return
        failing = failing if failing < 1.0 else 1.0
        for service in world.ordered:
            if service.kind is not ServiceKind.APPLICATION:
                continue
            for group in service.groups:
                if group.node == self.place.name:
                    world.mark_affected(service)
                    group.add_errors(ErrorReason.UNAUTHORIZED, failing)
                    count = service.load * group.traffic_share * failing * SECONDS_PER_TICK
                    world.emit_log(service, TOKEN_REJECTED, count, {"seconds": int(offset)})


def find_places(world: World) -> list[Place]:
    """Return the nodes on which applications run, each with its busiest application."""
    return [
        Place(service, Thing.NODE, node, Origin.UNLISTED)
        for node in world.nodes
        if node and (service := busiest_service_at(world, node))
    ]


def start(world: World, place: Place, severity: Severity) -> ClockSkew:
    """Return a clock that drifts by 2 to 12 seconds in a tick."""
    drift = SLOWEST_DRIFT + (FASTEST_DRIFT - SLOWEST_DRIFT) * severity.size
    return ClockSkew(place, severity.start_tick, None, drift)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (ask_diagnostic(suspect.service, "clock"),)


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if the clock of a pod is further off than tokens allow."""
    offset = _largest_offset(replies[0])
    if offset < ALLOWED_SECONDS:
        return None
    call = ToolCall("renew", {"service": suspect.service, "what": "clock"})
    return Verdict(offset / ALLOWED_SECONDS, (call,))


def _largest_offset(reply: ParsedReply) -> float:
    offsets = [abs(float(row["offset_seconds"])) for row in reply.rows if "offset_seconds" in row]
    return max(offsets, default=0.0)


def _question_clock(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_offset(reply: ParsedReply, place: Place) -> float:
    return _largest_offset(reply)


FAULT_TYPE = FaultType(
    name="clock_skew",
    levels=frozenset(),
    origins={Origin.UNLISTED: 1.0},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(TOKEN_REJECTED,),
    repairs=((SYNCHRONIZE_CLOCKS,),),
    mitigations=(SHIFT_FROM_PLACE,),
    decisive=(
        EvidenceCheck("a clock is off", _question_clock, _measure_offset, ALLOWED_SECONDS, ()),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)
