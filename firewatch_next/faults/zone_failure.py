"""A zone whose network or disks are slow, for all services that run there."""

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
    levels,
)
from firewatch_next.faults.infrastructure_repairs import MOVE_PODS, SHIFT_FROM_PLACE
from firewatch_next.faults.numbers import final_level, mean
from firewatch_next.faults.place_fault import busiest_service_at, groups_at
from firewatch_next.faults.questions import ask_metrics, suspect_at
from firewatch_next.simulation.service import SECONDS_PER_TICK
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream
from openenv_kit.tool import ToolCall

# Share of the requests in the zone that lose packets and are sent again, and for how long.
MIN_SLOW_SHARE, MAX_SLOW_SHARE = 0.02, 0.35
DELAYS_SECONDS = (0.8, 1.2, 2.0, 3.2)

LOST_PACKETS = LogEvent(
    "zone_failure.lost_packets",
    LogLevel.WARN,
    ("milliseconds",),
    {
        "java_spring": Phrasings(
            ("Write to channel completed after {milliseconds} ms",
             "Slow socket: flush took {milliseconds} ms"),
            "Netty flush latency {milliseconds} ms on one channel",
            "Channel write was pending for {milliseconds} ms",
        ),
        "go_logfmt": Phrasings(
            ('msg="slow write" took_ms={milliseconds}',
             'msg="tcp retransmission" waited_ms={milliseconds}'),
            'duration={milliseconds}ms msg="conn write"',
            "event=slow_socket elapsed_ms={milliseconds}",
        ),
        "postgres": Phrasings(
            ("could not send data to client within {milliseconds} ms",
             "fsync took {milliseconds} ms"),
            "checkpoint sync: longest {milliseconds} ms",
            "sync of one file needed {milliseconds} ms",
        ),
        "any": Phrasings(
            ("write took {milliseconds} ms", "I/O wait of {milliseconds} ms"),
            "slow socket write: {milliseconds} ms",
            "send completed in {milliseconds} ms",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class ZoneFailure:
    """A zone in which a share of the requests is slow. Its pods stay ready.

    Attributes:
        slow_share: share of the requests of each pod there. slow_seconds: their delay.
    """

    place: Place
    start_tick: int
    change: Change | None
    slow_share: float
    slow_seconds: float

    def apply(self, world: World, tick: int) -> None:
        for service, group in groups_at(world, self.place.name):
            group.slow_share, group.slow_seconds = self.slow_share, self.slow_seconds
            slow = service.load * group.traffic_share * self.slow_share
            fields = {"milliseconds": int(1000.0 * self.slow_seconds)}
            # A program reports few of its slow writes.
            world.emit_log(service, LOST_PACKETS, 0.01 * slow * SECONDS_PER_TICK, fields)


def find_places(world: World) -> list[Place]:
    """Return the zones in which applications run, each with its busiest application."""
    return [
        Place(service, Thing.ZONE, zone, Origin.UNLISTED)
        for zone in world.zones
        if zone and (service := busiest_service_at(world, zone))
    ]


def start(world: World, place: Place, severity: Severity) -> ZoneFailure:
    """Return a fault that delays 2 to 35 % of the requests to the zone's pods."""
    draws = BitStream(f"{severity.seed}/zone_failure")
    share = MIN_SLOW_SHARE + (MAX_SLOW_SHARE - MIN_SLOW_SHARE) * severity.size
    delay = draws.choose(DELAYS_SECONDS)
    return ZoneFailure(place, severity.start_tick, None, share, delay)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    services = (suspect.service, *suspect.callees[:2], *suspect.callers[:1])
    return tuple(
        ask_metrics(service, "latency_p99_ms,cpu_stolen_share", "zone") for service in services
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if one zone is much slower than the others in at least two services."""
    votes: dict[str, list[float]] = {}
    for reply in replies:
        zone, ratio = _slowest_zone(reply)
        if ratio > 2.0 and _stolen(reply, zone) < 0.1:
            votes.setdefault(zone, []).append(ratio)
    zone = max(votes, key=lambda name: len(votes[name]), default="")
    if not zone or len(votes[zone]) < 2:
        return None
    call = ToolCall("move_pods", {"service": "all", "away_from": zone})
    return Verdict(mean(votes[zone]), (call,))


def _slowest_zone(reply: ParsedReply) -> tuple[str, float]:
    """Return the zone with the longest p99 and its ratio to the shortest."""
    by_zone = {
        series.labels["zone"]: mean(series.values[-3:])
        for series in reply.find_series("latency_p99_ms")
    }
    if len(by_zone) < 2:
        return "", 0.0
    slowest = max(by_zone, key=lambda zone: by_zone[zone])
    return slowest, by_zone[slowest] / max(0.001, min(by_zone.values()))


def _stolen(reply: ParsedReply, zone: str) -> float:
    return final_level(reply.find_series("cpu_stolen_share", zone=zone))


def _question_zones(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_ratio(reply: ParsedReply, place: Place) -> float:
    """Return how much slower the zone is than another, or 0 if its CPU is taken by others."""
    zone, ratio = _slowest_zone(reply)
    return ratio if zone == place.name and _stolen(reply, zone) < 0.1 else 0.0


FAULT_TYPE = FaultType(
    name="zone_failure",
    levels=levels("mhx"),
    origins={Origin.UNLISTED: 1.0},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(LOST_PACKETS,),
    repairs=((MOVE_PODS,),),
    mitigations=(SHIFT_FROM_PLACE,),
    decisive=(
        EvidenceCheck(
            "one zone is slow", _question_zones, _measure_ratio, 2.0,
            ("noisy_neighbor", "slow_query", "wrong_endpoint"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
