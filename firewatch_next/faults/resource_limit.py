"""A memory or CPU limit that is too low: it was cut, or a tenant's data has grown."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.changes.change import Change, ChangeKind
from firewatch_next.changes.make_change import with_setting
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
from firewatch_next.faults.numbers import final_level, values_at_latest_time
from firewatch_next.faults.places import listed_changes
from firewatch_next.faults.questions import (
    ask_diagnostic,
    ask_metrics,
    growth,
    setting_value,
    suspect_at,
    undo_of_key,
)
from firewatch_next.faults.repairs import MORE_PODS, RAISE_LIMIT, UNDO_CHANGE
from firewatch_next.simulation.memory import in_flight_bytes, mean_base_memory_bytes
from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.simulation.settings import BYTES_PER_MEGABYTE
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

MEMORY_KEY, CPU_KEY = "memory_limit_mb", "cpu_cores"
# Mean memory to the limit. From 0.97 on the fluctuation of a pod reaches the limit at times.
MIN_MEMORY_SHARE, MAX_MEMORY_SHARE = 0.98, 1.01
# CPU that the load of an ordinary day needs, to the cut limit.
MIN_CPU_SHARE, MAX_CPU_SHARE = 1.03, 2.2
GROWTH_TICKS = 4

MEMORY_PRESSURE = LogEvent(
    "resource_limit.memory_pressure",
    LogLevel.WARN,
    ("used_mb", "limit_mb"),
    {
        "java_spring": Phrasings(
            open=(
                "GC pause (G1 Evacuation) heap {used_mb}M of {limit_mb}M after collection",
                "Concurrent cycle ended, live set {used_mb} MB, maximum {limit_mb} MB",
            ),
            test="[gc] Pause Full: {used_mb}M->{used_mb}M({limit_mb}M)",
            sealed="Heap after GC: occupancy {used_mb} MB, capacity {limit_mb} MB",
        ),
        "go_logfmt": Phrasings(
            open=(
                'msg="gc" heap_alloc_mb={used_mb} memory_limit_mb={limit_mb}',
                'msg="runtime memory" rss_mb={used_mb} cgroup_max_mb={limit_mb}',
            ),
            test='cgroup_max_mb={limit_mb} in_use_mb={used_mb} msg="memstats"',
            sealed="event=memstats resident={used_mb}MB ceiling={limit_mb}MB",
        ),
        "any": Phrasings(
            open=(
                "resident memory {used_mb} MB of {limit_mb} MB",
                "memory: {used_mb} MB in use, cgroup maximum {limit_mb} MB",
            ),
            test="cgroup maximum {limit_mb} MB; resident set size {used_mb} MB",
            sealed="rss={used_mb}MB ceiling={limit_mb}MB",
        ),
    },
)
CPU_PRESSURE = LogEvent(
    "resource_limit.cpu_pressure",
    LogLevel.WARN,
    ("delay_ms",),
    {
        "java_spring": Phrasings(
            open=(
                "Executor queue delay {delay_ms} ms exceeds 50 ms",
                "Thread starvation or clock leap detected (housekeeper delta={delay_ms}ms)",
            ),
            test="Scheduled task started {delay_ms} ms late",
            sealed="Event loop blocked: wake-up {delay_ms} ms after its deadline",
        ),
        "go_logfmt": Phrasings(
            open=(
                'msg="slow tick" late_ms={delay_ms}',
                'msg="scheduler latency high" p99_ms={delay_ms}',
            ),
            test='timer_drift_ms={delay_ms} msg="timer fired late"',
            sealed="event=late_wakeup by_ms={delay_ms}",
        ),
        "any": Phrasings(
            open=(
                "event loop lag {delay_ms} ms",
                "timer fired {delay_ms} ms late",
            ),
            test="callback ran {delay_ms} ms after it was due",
            sealed="loop delay above threshold: {delay_ms} ms",
        ),
    },
)


@dataclass(frozen=True)
class ResourceLimit:
    """A limit that is too low.

    A cut limit acts through the setting itself. A grown tenant adds memory to each pod.

    Attributes:
        grown_bytes: memory per pod that the tenant reaches after `GROWTH_TICKS`; 0 without one.
    """

    place: Place
    start_tick: int
    change: Change | None
    grown_bytes: float

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        if self.place.thing is Thing.TENANT:
            age = tick - self.start_tick + 1
            share = age / GROWTH_TICKS if age < GROWTH_TICKS else 1.0
            service.tenants[self.place.name].memory_bytes = self.grown_bytes * share
            world.mark_affected(service)
        if service.memory_used_share > 0.9:
            used = service.memory_used_share * service.memory_limit_bytes / BYTES_PER_MEGABYTE
            limit = service.memory_limit_bytes / BYTES_PER_MEGABYTE
            fields = {"used_mb": min(int(used), int(limit)), "limit_mb": int(limit)}
            world.emit_log(service, MEMORY_PRESSURE, 2.0 * len(service.pods), fields)
        elif service.utilization > 0.9:
            queue_ms = 1000.0 * service.queue_length * service.cpu_seconds_per_request
            delay = {"delay_ms": int(queue_ms / service.cpu_cores)}
            world.emit_log(service, CPU_PRESSURE, 2.0 * len(service.pods), delay)


def find_places(world: World) -> list[Place]:
    """Return changes of a memory or CPU limit, and tenants of applications."""
    places = [
        Place(change.service, Thing.SETTING, change.key, Origin.SAFE_CHANGE, change)
        for change in listed_changes(world, ChangeKind.CONFIG)
        if change.key in (MEMORY_KEY, CPU_KEY) and _may_starve(world.services[change.service])
    ]
    for service in world.ordered:
        if _may_starve(service):
            for tenant in service.tenants:
                places.append(Place(service.name, Thing.TENANT, tenant, Origin.UNLISTED))
    return places


def _may_starve(service: Service) -> bool:
    return service.kind is ServiceKind.APPLICATION


def start(world: World, place: Place, severity: Severity) -> ResourceLimit:
    """Return a fault whose change cuts the limit, or whose tenant grows, as far as size says."""
    service = world.services[place.service]
    usual = mean_base_memory_bytes(service) + in_flight_bytes(service)
    memory_share = MIN_MEMORY_SHARE + (MAX_MEMORY_SHARE - MIN_MEMORY_SHARE) * severity.size
    if place.change is None:
        grown = service.memory_limit_bytes * memory_share - usual
        return ResourceLimit(place, severity.start_tick, None, grown)
    if place.name == MEMORY_KEY:
        value = str(int(usual / memory_share / BYTES_PER_MEGABYTE))
    else:
        busy = service.load * service.cpu_seconds_per_request / len(service.pods)
        share = MIN_CPU_SHARE + (MAX_CPU_SHARE - MIN_CPU_SHARE) * severity.size
        value = f"{busy / share:.3f}"
    change = with_setting(place.change, value)
    return ResourceLimit(place, change.tick, change, 0.0)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    metrics = "cpu_utilization,cpu_ms_per_request,request_rate,pods_killed"
    return (
        ask_metrics(suspect.service, "memory_ratio", "pod", minutes=8),
        ask_metrics(suspect.service, metrics),
        ask_diagnostic(suspect.service, "settings"),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if all pods are near the memory limit alike, or CPU is full at usual cost and load."""
    pods, service, settings = replies
    levels_now = values_at_latest_time(pods.find_series("memory_ratio"))
    if levels_now and min(levels_now) > 0.9 and max(levels_now) - min(levels_now) < 0.09:
        return Verdict(min(levels_now), (_raise_call(suspect, settings, MEMORY_KEY),))
    used = final_level(service.find_series("cpu_utilization"), points=1)
    rates = service.find_series("request_rate")
    costs = service.find_series("cpu_ms_per_request")
    if used > 0.93 and rates and costs:
        is_usual = rates[0].values[-1] < 1.3 * rates[0].values[0]
        is_usual = is_usual and costs[0].values[-1] < 1.2 * costs[0].values[0]
        if is_usual:
            return Verdict(used, (_raise_call(suspect, settings, CPU_KEY),))
    return None


def _raise_call(suspect: Suspect, settings: ParsedReply, key: str) -> ToolCall:
    """Undo the listed change of the key, or raise the limit by half."""
    call = undo_of_key(suspect, suspect.service, key)
    if call is not None:
        return call
    value = setting_value(settings, key)
    size = "memory_mb" if key == MEMORY_KEY else "cpu_cores"
    return ToolCall("scale_service", {"service": suspect.service, size: 1.5 * value})


def _question_memory(place: Place) -> Question:
    return _questions(suspect_at(place))[1 if place.name == CPU_KEY else 0]


def _measure_lowest_pod(reply: ParsedReply, place: Place) -> float:
    """Return the memory of the emptiest pod, or the CPU in use if a request costs the usual."""
    if place.name == CPU_KEY:
        is_usual = growth(reply, "cpu_ms_per_request") < 1.2
        used = final_level(reply.find_series("cpu_utilization"), points=1)
        return used if is_usual and growth(reply, "request_rate") < 1.3 else 0.0
    return min(values_at_latest_time(reply.find_series("memory_ratio")), default=0.0)


FAULT_TYPE = FaultType(
    name="resource_limit",
    levels=levels("remh"),
    origins={Origin.SAFE_CHANGE: 0.6, Origin.UNLISTED: 0.4},
    find_places=find_places,
    start=start,
    has_smooth_severity=False,
    log_events=(MEMORY_PRESSURE, CPU_PRESSURE),
    repairs=((UNDO_CHANGE,), (RAISE_LIMIT,)),
    mitigations=(MORE_PODS,),
    decisive=(
        EvidenceCheck(
            "all pods near the limit", _question_memory, _measure_lowest_pod, 0.9,
            ("memory_leak", "cpu_regression"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
