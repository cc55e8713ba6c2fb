"""A node whose CPU a foreign workload takes, so that all pods on it are slow."""

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
from firewatch_next.faults.numbers import mean
from firewatch_next.faults.place_fault import busiest_service_at, groups_at
from firewatch_next.faults.questions import ask_diagnostic, ask_metrics, suspect_at
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

MIN_STOLEN, MAX_STOLEN = 0.5, 0.97

LATE_TIMERS = LogEvent(
    "noisy_neighbor.late_timers",
    LogLevel.WARN,
    ("delay_ms",),
    {
        "java_spring": Phrasings(
            ("Thread starvation or clock leap detected (housekeeper delta={delay_ms}ms)",
             "Heartbeat thread woke up {delay_ms} ms late"),
            "Scheduled executor lag: {delay_ms} ms",
            "Wake-up jitter of {delay_ms} ms in timer wheel",
        ),
        "go_logfmt": Phrasings(
            ('msg="scheduler latency" p99_ms={delay_ms}',
             'msg="ticker drift" late_ms={delay_ms}'),
            'drift_ms={delay_ms} msg="deadline of timer passed"',
            "event=late_wakeup by_ms={delay_ms}",
        ),
        "any": Phrasings(
            ("event loop lag {delay_ms} ms", "timer fired {delay_ms} ms late"),
            "callback ran {delay_ms} ms after it was due",
            "loop delay {delay_ms} ms",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class NoisyNeighbor:
    """A workload of another team on a node. It takes CPU from every pod there.

    Attributes:
        stolen_share: share of the node's CPU.
    """

    place: Place
    start_tick: int
    change: Change | None
    stolen_share: float

    def apply(self, world: World, tick: int) -> None:
        for service, group in groups_at(world, self.place.name):
            group.cpu_stolen_share = self.stolen_share
            delay = {"delay_ms": int(20.0 + 400.0 * self.stolen_share * group.utilization)}
            world.emit_log(service, LATE_TIMERS, 2.0 * group.pods * self.stolen_share, delay)


def find_places(world: World) -> list[Place]:
    """Return the nodes on which applications run, each with its busiest application."""
    return [
        Place(service, Thing.NODE, node, Origin.UNLISTED)
        for node in world.nodes
        if node and (service := busiest_service_at(world, node))
    ]


def start(world: World, place: Place, severity: Severity) -> NoisyNeighbor:
    """Return a workload that takes 50 to 97 % of the node's CPU."""
    stolen = MIN_STOLEN + (MAX_STOLEN - MIN_STOLEN) * severity.size
    return NoisyNeighbor(place, severity.start_tick, None, stolen)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_metrics(suspect.service, "cpu_stolen_share", "pod"),
        ask_diagnostic(suspect.service, "kube_events"),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if the pods of one node lose CPU to others: move all pods away from it."""
    stolen, pods = replies
    nodes = {str(row["pod"]): str(row["node"]) for row in pods.rows if "node" in row}
    by_node: dict[str, list[float]] = {}
    for series in stolen.find_series("cpu_stolen_share"):
        node = nodes.get(series.labels["pod"])
        if node is not None:
            by_node.setdefault(node, []).append(mean(series.values[-3:]))
    worst = max(by_node, key=lambda node: mean(by_node[node]), default="")
    if not worst or mean(by_node[worst]) < 0.2:
        return None
    call = ToolCall("move_pods", {"service": "all", "away_from": worst})
    return Verdict(mean(by_node[worst]), (call,))


def _question_stolen(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_stolen(reply: ParsedReply, place: Place) -> float:
    """Return the largest share of a pod's CPU that others take."""
    series = reply.find_series("cpu_stolen_share")
    return max((mean(one.values[-3:]) for one in series), default=0.0)


FAULT_TYPE = FaultType(
    name="noisy_neighbor",
    levels=levels("emh"),
    origins={Origin.UNLISTED: 1.0},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(LATE_TIMERS,),
    repairs=((MOVE_PODS,),),
    mitigations=(SHIFT_FROM_PLACE,),
    decisive=(
        EvidenceCheck(
            "CPU is stolen", _question_stolen, _measure_stolen, 0.2,
            ("zone_failure", "cpu_regression", "resource_limit"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
