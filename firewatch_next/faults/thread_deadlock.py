"""A version whose pods stop answering one by one, because their threads block each other."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.changes.change import Change
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
)
from firewatch_next.faults.places import affected_pods, reach_of, version_places
from firewatch_next.faults.questions import ask_diagnostic, suspect_at, undo_deploy_before_onset
from firewatch_next.faults.repairs import RESTART, UNDO_CHANGE
from firewatch_next.simulation.service import Pod, PodGroup, Service, ServiceKind
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream

# Ticks from a pod's start until its threads block each other.
SLOWEST_TICKS, FASTEST_TICKS = 24.0, 10.0
_SPREAD = 30.0  # of that time between pods, by their number

STUCK = LogEvent(
    "thread_deadlock.stuck",
    LogLevel.WARN,
    ("first", "second", "seconds"),
    {
        "java_spring": Phrasings(
            ("Thread {first} has been active for {seconds} s without result, waiting to lock a "
             "monitor owned by {second}",
             "Stuck thread detected: {first} ({seconds} s), monitor owner {second}"),
            "{first} parked {seconds} s; lock held by {second}",
            "Monitor of {second} not released in {seconds} s, requested by {first}",
        ),
        "go_logfmt": Phrasings(
            ('msg="goroutine blocked" id={first} for_s={seconds} mutex_owner={second}',
             'id={first} state=semacquire seconds={seconds} holder={second}'),
            'holder={second} waiter={first} wait_s={seconds} msg="mutex wait"',
            "event=blocked waiter={first} owner={second} age={seconds}s",
        ),
        "any": Phrasings(
            ("{first} waits {seconds} s for a lock of {second}",
             "worker {first} made no progress for {seconds} s (lock owner {second})"),
            "lock of {second} wanted by {first} for {seconds} s",
            "blocked={first} owner={second} age={seconds}s",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class ThreadDeadlock:
    """A deadlock that each pod of a version runs into some time after its start.

    Attributes:
        mean_ticks: mean time from a pod's start to its deadlock.
        first, second: names of the two threads in the logs.
    """

    place: Place
    start_tick: int
    change: Change | None
    mean_ticks: float
    first: str
    second: str

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        pods = affected_pods(service, reach_of(service, self.place), tick)
        for pod in pods:
            pod.is_frozen |= tick - pod.started_tick >= self._freezing_age(pod)
        frozen = [pod for pod in pods if pod.is_frozen]
        if not frozen:
            return
        world.mark_affected(service)
        for group in service.groups:
            count = len([pod for pod in frozen if _is_in_group(pod, group)])
            service.frozen_share += group.traffic_share * min(1.0, count / group.pods)
        for pod in frozen:
            seconds = 30 * int(tick - pod.started_tick - self._freezing_age(pod) + 1.0)
            fields: LogFields = {"first": self.first, "second": self.second, "seconds": seconds}
            world.emit_log(service, STUCK, 1.0, fields, pod=pod.name)

    def _freezing_age(self, pod: Pod) -> float:
        """Return the age in ticks, between half of the mean and one and a half times it."""
        return self.mean_ticks * (1.0 + _SPREAD * (pod.memory_noise - 1.0))


def _is_in_group(pod: Pod, group: PodGroup) -> bool:
    key = (group.zone, group.version, group.revision, group.node)
    return (pod.zone, pod.version, pod.revision, pod.node) == key


def _has_threads(service: Service) -> bool:
    return service.kind is ServiceKind.APPLICATION and service.threads > 0


def find_places(world: World) -> list[Place]:
    """Return safe deploys of applications with threads."""
    return version_places(world, _has_threads)


def start(world: World, place: Place, severity: Severity) -> ThreadDeadlock:
    """Return a deadlock after 24 (size 0) to 10 (size 1) ticks on average."""
    draws = BitStream(f"{severity.seed}/thread_deadlock")
    first = 1 + draws.integer_below(40)
    return ThreadDeadlock(
        place,
        place.change.tick if place.change is not None else severity.start_tick,
        place.change,
        SLOWEST_TICKS - (SLOWEST_TICKS - FASTEST_TICKS) * severity.size,
        f"worker-{first}",
        f"worker-{first + 1 + draws.integer_below(20)}",
    )


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (ask_diagnostic(suspect.service, "threads"),)


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if a pod has threads that wait for each other."""
    blocked = _measure_blocked(replies[0], Place(suspect.service, Thing.VERSION, "",
                                                 Origin.SAFE_CHANGE))  # fmt: skip
    if blocked < 2.0:
        return None
    call = undo_deploy_before_onset(suspect)
    return Verdict(blocked, (call,)) if call is not None else None


def _question_threads(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_blocked(reply: ParsedReply, place: Place) -> float:
    return max((float(row.get("blocked", 0.0)) for row in reply.rows), default=0.0)


FAULT_TYPE = FaultType(
    name="thread_deadlock",
    levels=frozenset(),
    origins={Origin.SAFE_CHANGE: 1.0},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(STUCK,),
    repairs=((UNDO_CHANGE,),),  # undoing replaces every pod, so it is also the restart
    mitigations=(RESTART,),
    decisive=(
        EvidenceCheck(
            "threads block each other", _question_threads, _measure_blocked, 2.0,
            ("concurrency_limit", "lock_contention"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
