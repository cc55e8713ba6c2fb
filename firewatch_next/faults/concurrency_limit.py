"""A pool of connections or threads that is too small for the ordinary load."""

from __future__ import annotations

from dataclasses import dataclass

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
    levels,
)
from firewatch_next.faults.numbers import final_level
from firewatch_next.faults.questions import (
    ask_diagnostic,
    ask_metrics,
    set_config,
    setting_value,
    suspect_at,
    undo_of_key,
)
from firewatch_next.faults.repairs import MORE_PODS, RESTORE_SETTING, UNDO_CHANGE
from firewatch_next.faults.setting_fault import SettingFault, give_faulty_value, setting_places
from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.simulation.world import World

POOL, THREADS = "pool_size", "threads"
# Connections or threads that the ordinary load asks for, to those that are left.
MIN_DEMAND, MAX_DEMAND = 1.0, 2.4
MIN_BUSY = 2.0  # smaller pools cannot be cut in small steps
_RAISE = 4.0

WAITING = LogEvent(
    "concurrency_limit.waiting",
    LogLevel.WARN,
    ("pool", "size", "waiting"),
    {
        "java_spring": Phrasings(
            ("{pool}: all {size} permits in use, {waiting} callers queued",
             "Executor {pool} saturated (max={size}, queued={waiting})"),
            "{waiting} callers parked for {pool}; maximum {size} reached",
            "{pool} at its ceiling of {size}; pending acquisitions {waiting}",
        ),
        "go_logfmt": Phrasings(
            ('msg="waiting for slot" pool={pool} max={size} waiting={waiting}',
             'pool={pool} in_use={size} max_open={size} msg="wait" waiters={waiting}'),
            'waiters={waiting} cap={size} msg="semaphore full" name={pool}',
            "event=saturated name={pool} slots={size} pending={waiting}",
        ),
        "any": Phrasings(
            ("{pool}: {size} of {size} in use, {waiting} waiting",
             "{waiting} requests wait for {pool} (maximum {size})"),
            "{pool} exhausted at {size}, queue {waiting}",
            "slots {size} taken in {pool}; {waiting} pending",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class ConcurrencyLimit(SettingFault):
    """A pool or a number of threads that is too small. It acts through the setting."""

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        if self.place.name == THREADS:
            use, size, pool = service.threads_in_use, service.threads, "workers"
            demand = service.load * service.held_seconds / len(service.pods)
        else:
            client = service.client_of(self.place.callee)
            use, size, pool = client.pool_in_use, client.pool_size, client.callee
            demand = client.offered * client.held_seconds / len(service.pods)
        if use < 0.95:
            return
        fields: LogFields = {"pool": pool, "size": size, "waiting": max(1, int(demand - size))}
        world.emit_log(service, WAITING, 2.0 * len(service.pods), fields)


def _busy_places(service: Service, key: str) -> float:
    """Return how many connections or threads of a pod the present load keeps busy."""
    if key == THREADS:
        return service.load * service.held_seconds / len(service.pods) if service.threads else 0.0
    client = service.client_of(key.partition(".")[2])
    if not client.pool_size or client.is_optional:
        return 0.0
    return client.offered * client.held_seconds / len(service.pods)


def _may_be_small(service: Service, key: str) -> bool:
    return service.kind is ServiceKind.APPLICATION and _busy_places(service, key) >= MIN_BUSY


def find_places(world: World) -> list[Place]:
    """Return pools and threads of applications, changed or edited by hand."""
    return setting_places(world, (POOL, THREADS), _may_be_small)


def start(world: World, place: Place, severity: Severity) -> ConcurrencyLimit:
    """Return a limit of which the ordinary load asks for 1 to 2.4 times as much."""
    busy = _busy_places(world.services[place.service], place.name)
    demand = MIN_DEMAND + (MAX_DEMAND - MIN_DEMAND) * severity.size
    value = str(max(1, int(busy / demand)))
    return ConcurrencyLimit(place, *give_faulty_value(world, place, severity, value))


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_metrics(suspect.service, "pool_in_use,pool_size", "callee"),
        ask_metrics(suspect.service, "threads_in_use,cpu_utilization", minutes=15),
        ask_diagnostic(suspect.service, "settings"),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if a pool is full that was larger before, or threads are full and the CPU is not."""
    pools, service, settings = replies
    for series in pools.find_series("pool_in_use"):
        callee = series.labels["callee"]
        sizes = pools.find_series("pool_size", callee=callee)
        if not sizes or series.values[-1] < 0.9 or sizes[0].values[-1] >= max(sizes[0].values):
            continue
        key = f"{POOL}.{callee}"
        before = str(int(max(sizes[0].values)))
        call = undo_of_key(suspect, suspect.service, key)
        return Verdict(series.values[-1], (call or set_config(suspect.service, key, before),))
    used = final_level(service.find_series("threads_in_use"))
    if used > 0.9 and final_level(service.find_series("cpu_utilization")) < 0.6:
        call = undo_of_key(suspect, suspect.service, THREADS)
        value = str(int(_RAISE * setting_value(settings, THREADS)))
        return Verdict(used, (call or set_config(suspect.service, THREADS, value),))
    return None


def _question_pools(place: Place) -> Question:
    return _questions(suspect_at(place))[1 if place.name == THREADS else 0]


def _measure_cut(reply: ParsedReply, place: Place) -> float:
    """Return the largest size of the pool in the window to its present one.

    Threads have no series of their number, so it is their use to 70 %.
    """
    if place.name == THREADS:
        return final_level(reply.find_series("threads_in_use")) / 0.7
    sizes = reply.find_series("pool_size", callee=place.callee)
    return max(sizes[0].values) / max(1.0, sizes[0].values[-1]) if sizes else 1.0


FAULT_TYPE = FaultType(
    name="concurrency_limit",
    levels=levels("emh"),
    origins={Origin.SAFE_CHANGE: 0.6, Origin.UNLISTED: 0.4},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(WAITING,),
    repairs=((UNDO_CHANGE,), (RESTORE_SETTING,)),
    mitigations=(MORE_PODS,),
    decisive=(
        EvidenceCheck(
            "the pool was larger", _question_pools, _measure_cut, 1.3,
            ("connection_leak", "slow_query", "lock_contention"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
