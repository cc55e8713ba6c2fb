"""A balancer that keeps sending a large part of the requests to the pods of one node."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.faults.capacity import cpu_use
from firewatch_next.faults.evidence import Hypothesis, ParsedReply, Question, Suspect, Verdict
from firewatch_next.faults.fault_type import (
    EvidenceCheck,
    Fault,
    FaultType,
    LogEvent,
    LogLevel,
    Origin,
    Phrasings,
    Place,
    Repair,
    Severity,
)
from firewatch_next.faults.questions import ask_metrics, set_config, suspect_at, undo_of_key
from firewatch_next.faults.repairs import MORE_PODS, RESTORE_SETTING, UNDO_CHANGE
from firewatch_next.faults.setting_fault import SettingFault, give_faulty_value, setting_places
from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

KEY, STICKY = "session_affinity", "client_ip"
# CPU that the requests of the hot node need, to what its pods have.
MIN_OVERLOAD, MAX_OVERLOAD = 1.1, 2.2
MAX_HOT_SHARE = 0.9

BUSY = LogEvent(
    "load_imbalance.busy",
    LogLevel.WARN,
    ("node", "active"),
    {
        "java_spring": Phrasings(
            ("Connector on {node} has {active} requests in progress",
             "Request backlog {active} on host {node}"),
            "{active} exchanges open, host {node}",
            "Host {node}: unfinished requests {active}",
        ),
        "go_logfmt": Phrasings(
            ('msg="in-flight high" node={node} inflight={active}',
             'node={node} msg="accept queue grows" open={active}'),
            'open_requests={active} host={node} msg="busy"',
            "event=busy host={node} pending={active}",
        ),
        "any": Phrasings(
            ("{active} requests in flight on {node}",
             "{node} is busy: {active} open requests"),
            "open requests on host {node}: {active}",
            "host={node} pending={active}",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class LoadImbalance(SettingFault):
    """Requests that stick to pods while the setting says so.

    Attributes:
        node: whose pods get `factor` times the traffic of others.
    """

    node: str
    factor: float

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        is_sticky = service.settings[KEY] == STICKY
        factor = self.factor if is_sticky else 1.0
        if service.hot_factor != factor:
            service.hot_node, service.hot_factor = self.node, factor
            world.wake(service.name)
        if not is_sticky:
            return
        world.mark_affected(service)
        hot = [group for group in service.groups if group.node == self.node]
        share = 0.0
        for group in hot:
            share += group.traffic_share
        if hot:
            active = int(service.load * share * service.modes[-1].median + 1.0)
            world.emit_log(service, BUSY, 2.0, {"node": self.node, "active": active})


def _has_unequal_nodes(service: Service, key: str) -> bool:
    nodes = {pod.node for pod in service.pods}
    return service.kind is ServiceKind.APPLICATION and len(nodes) > 2 and cpu_use(service) > 0.2


def find_places(world: World) -> list[Place]:
    """Return the session affinity of applications on more than two nodes."""
    return setting_places(world, (KEY,), _has_unequal_nodes)


def start(world: World, place: Place, severity: Severity) -> LoadImbalance:
    """Return an imbalance with which one node's pods get 1.1 to 2.2 times what they can serve."""
    service = world.services[place.service]
    counts: dict[str, int] = {}
    for pod in service.pods:
        counts[pod.node] = counts.get(pod.node, 0) + 1
    node = min(counts, key=lambda name: (counts[name], name))
    pods_share = counts[node] / len(service.pods)
    overload = MIN_OVERLOAD + (MAX_OVERLOAD - MIN_OVERLOAD) * severity.size
    share = min(MAX_HOT_SHARE, overload * pods_share / cpu_use(service))
    factor = share / (1.0 - share) * (1.0 - pods_share) / pods_share
    faulty = give_faulty_value(world, place, severity, STICKY)
    return LoadImbalance(place, *faulty, node, factor)


def _shift_from_node_call(world: World, fault: Fault) -> ToolCall | None:
    if not isinstance(fault, LoadImbalance):
        return None
    arguments = {"service": fault.place.service, "away_from": fault.node, "percent": 80}
    return ToolCall("shift_traffic", arguments)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (ask_metrics(suspect.service, "cpu_utilization", "pod", minutes=20),)


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if some pods are full and others half as busy or less."""
    ratio = _ratio_of_pods(replies[0])
    if ratio < 2.0:
        return None
    call = undo_of_key(suspect, suspect.service, KEY)
    return Verdict(ratio, (call or set_config(suspect.service, KEY, "none"),))


def _ratio_of_pods(reply: ParsedReply) -> float:
    """Return the CPU of the busiest pod to that of the least busy, 1 if none is full."""
    uses = [series.values[-1] for series in reply.find_series("cpu_utilization")]
    return max(uses) / max(0.01, min(uses)) if uses and max(uses) > 0.9 else 1.0


def _question_pods(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_ratio(reply: ParsedReply, place: Place) -> float:
    return _ratio_of_pods(reply)


FAULT_TYPE = FaultType(
    name="load_imbalance",
    levels=frozenset(),
    origins={Origin.SAFE_CHANGE: 0.6, Origin.UNLISTED: 0.4},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(BUSY,),
    repairs=((UNDO_CHANGE,), (RESTORE_SETTING,)),
    mitigations=(
        MORE_PODS,
        Repair("shift traffic from the node", _shift_from_node_call, wait_ticks=1),
    ),
    decisive=(
        EvidenceCheck(
            "pods are unequally busy", _question_pods, _measure_ratio, 2.0,
            ("resource_limit", "noisy_neighbor"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
