"""A version or flag that keeps memory of its requests until the pod is restarted or killed."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.changes.change import Change
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
    Thing,
    levels,
)
from firewatch_next.faults.numbers import strongest_group, values_at_latest_time
from firewatch_next.faults.places import affected_pods, flag_places, reach_of, version_places
from firewatch_next.faults.questions import (
    ask_diagnostic,
    ask_metrics,
    flag_off,
    suspect_at,
    undo_deploy_before_onset,
)
from firewatch_next.faults.repairs import FLAG_OFF, RESTART, UNDO_CHANGE
from firewatch_next.simulation.memory import (
    in_flight_bytes,
    mean_base_memory_bytes,
    pod_memory_share,
)
from firewatch_next.simulation.service import Pod, Service, ServiceKind
from firewatch_next.simulation.settings import BYTES_PER_MEGABYTE
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

# Ticks in which a pod's memory fills. With 2.5 times the memory, the largest raise, it takes about
# 4.3 times as long, which has to end before the ticks that decide on resolved.
SLOWEST_FILL_TICKS, FASTEST_FILL_TICKS = 18.0, 12.0
# Pods get unequal shares of the requests that leak, so that they die one after the other.
_SPREAD = 20.0
_LOGGED_FROM_SHARE = 0.7

HEAP = LogEvent(
    "memory_leak.heap",
    LogLevel.WARN,
    ("used_mb", "limit_mb", "objects"),
    {
        "java_spring": Phrasings(
            ("GC (Allocation Failure) old gen {used_mb}M of {limit_mb}M, {objects} objects survive",
             "Heap after full collection {used_mb} MB / {limit_mb} MB; live objects {objects}"),
            "[gc,heap] survivors {objects}, occupancy {used_mb}M({limit_mb}M)",
            "Tenured space: {objects} instances, {used_mb} MB used, capacity {limit_mb} MB",
        ),
        "go_logfmt": Phrasings(
            ('msg="memstats" heap_inuse_mb={used_mb} limit_mb={limit_mb} heap_objects={objects}',
             'heap_objects={objects} sys_mb={used_mb} max_mb={limit_mb} msg="gc cycle"'),
            'msg="gc done" objects={objects} inuse={used_mb}MB bound={limit_mb}MB',
            "event=memstats live={objects} resident={used_mb}MB ceiling={limit_mb}MB",
        ),
        "python_uvicorn": Phrasings(
            ("gc: collected generation 2, {objects} tracked, rss {used_mb} MB (max {limit_mb} MB)",
             "rss {used_mb} MB of {limit_mb} MB, gc tracks {objects} objects"),
            "{objects} objects tracked after collection; memory {used_mb}/{limit_mb} MB",
            "worker memory {used_mb} MB (ceiling {limit_mb} MB), live {objects}",
        ),
        "any": Phrasings(
            ("heap {used_mb} MB of {limit_mb} MB, {objects} objects alive",
             "{objects} live objects, {used_mb} MB used, maximum {limit_mb} MB"),
            "memory {used_mb}/{limit_mb} MB, objects {objects}",
            "live={objects} used={used_mb}MB ceiling={limit_mb}MB",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class MemoryLeak:
    """A leak of memory per pod.

    Attributes:
        bytes_per_tick: leaked per pod and tick while all its requests run the code.
    """

    place: Place
    start_tick: int
    change: Change | None
    bytes_per_tick: float

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        reach = reach_of(service, self.place)
        if not reach.is_empty:
            for pod in affected_pods(service, reach, tick):
                factor = 1.0 + _SPREAD * (pod.memory_noise - 1.0)
                pod.leaked_bytes += self.bytes_per_tick * reach.share * factor
        leaked = 0.0
        for pod in service.pods:
            leaked += pod.leaked_bytes
        if leaked <= 0.0:
            return
        world.mark_affected(service)
        if self.place.thing is Thing.FLAG:
            service.flags[self.place.name].leaked_bytes = leaked
        for pod in service.pods:
            share = pod_memory_share(service, pod, tick)
            if share > _LOGGED_FROM_SHARE and pod.ready_at_tick <= tick:
                world.emit_log(service, HEAP, 1.0, _heap_fields(service, pod, share), pod=pod.name)


def _heap_fields(service: Service, pod: Pod, share: float) -> dict[str, str | int | float]:
    limit = service.memory_limit_bytes / BYTES_PER_MEGABYTE
    return {
        "used_mb": int(min(share, 1.0) * limit),
        "limit_mb": int(limit),
        "objects": 1000 * int(pod.leaked_bytes / 180_000.0) + 412_000,
    }


def _may_leak(service: Service) -> bool:
    return service.kind is ServiceKind.APPLICATION


def find_places(world: World) -> list[Place]:
    """Return safe deploys and flags of applications."""
    return version_places(world, _may_leak) + flag_places(world, _may_leak)


def start(world: World, place: Place, severity: Severity) -> MemoryLeak:
    """Return a leak that fills a pod in 18 (size 0) to 12 (size 1) ticks."""
    service = world.services[place.service]
    fill_ticks = SLOWEST_FILL_TICKS - (SLOWEST_FILL_TICKS - FASTEST_FILL_TICKS) * severity.size
    share = service.flags[place.name].percent / 100.0 if place.thing is Thing.FLAG else 1.0
    usual = mean_base_memory_bytes(service) + in_flight_bytes(service)
    free = service.memory_limit_bytes - usual
    tick = place.change.tick if place.change is not None else severity.start_tick
    return MemoryLeak(place, tick, place.change, free / fill_ticks / share)


def _more_memory_call(world: World, fault: Fault) -> ToolCall | None:
    service = world.services[fault.place.service]
    megabytes = int(2.0 * service.usual_memory_limit_bytes / BYTES_PER_MEGABYTE)
    return ToolCall("scale_service", {"service": service.name, "memory_mb": megabytes})


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_metrics(suspect.service, "memory_ratio", "pod", minutes=8),
        ask_metrics(suspect.service, "pods_killed", minutes=20),
        ask_diagnostic(suspect.service, "heap"),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if the memory of the pods differs widely at one time."""
    spread = _measure_spread(replies[0], Place(suspect.service, Thing.VERSION, "", Origin.UNLISTED))
    if spread < 0.2:
        return None
    flag = strongest_group(replies[2].rows, "flag", "bytes_with", "bytes_without")
    if flag is not None and flag.excess > 0.0:
        return Verdict(spread, (flag_off(suspect.service, flag.name),))
    call = undo_deploy_before_onset(suspect)
    return Verdict(spread, (call,)) if call is not None else None


def _question_pods(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_spread(reply: ParsedReply, place: Place) -> float:
    """Return the difference of the fullest and the emptiest pod, as a share of the limit."""
    shares = values_at_latest_time(reply.find_series("memory_ratio"))
    return max(shares) - min(shares) if shares else 0.0


FAULT_TYPE = FaultType(
    name="memory_leak",
    levels=levels("emhx"),
    origins={Origin.SAFE_CHANGE: 0.35, Origin.UNSAFE_CHANGE: 0.3, Origin.UNLISTED: 0.35},
    find_places=find_places,
    start=start,
    has_smooth_severity=False,  # the harm at the reset depends on which pods die then
    log_events=(HEAP,),
    repairs=((UNDO_CHANGE,), (FLAG_OFF,)),  # pods that have leaked die once more and are clean
    mitigations=(RESTART, Repair("twice the memory", _more_memory_call, wait_ticks=8)),
    decisive=(
        EvidenceCheck(
            "memory differs between pods", _question_pods, _measure_spread, 0.2,
            ("resource_limit", "pods_not_ready", "cpu_regression"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
