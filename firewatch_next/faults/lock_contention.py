"""A transaction or migration that holds locks, for which a share of the statements waits."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.changes.change import Change, ChangeKind
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
from firewatch_next.faults.jobs import (
    STOP_JOB,
    changed_job_places,
    has_needed_store,
    make_job,
    start_job,
)
from firewatch_next.faults.numbers import final_level
from firewatch_next.faults.questions import ask_diagnostic, ask_metrics, suspect_at
from firewatch_next.faults.repairs import UNDO_CHANGE
from firewatch_next.simulation.service import SECONDS_PER_TICK
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream
from openenv_kit.tool import ToolCall

# Share of the statements that need a locked row. They also keep connections and threads busy.
MIN_BLOCKED, MAX_BLOCKED = 0.004, 0.5
LOCK_TIMEOUT_SECONDS = 1.0

WAITING = LogEvent(
    "lock_contention.waiting",
    LogLevel.WARN,
    ("process", "blocker", "relation"),
    {
        "postgres": Phrasings(
            ("process {process} still waiting for ShareLock on {relation} after 1000.1 ms; holder "
             "{blocker}",
             "canceling statement due to lock timeout: {relation}, process {process}, blocked by "
             "{blocker}"),
            "lock on {relation} held by {blocker} not acquired by {process} within 1 s",
            "{relation}: waiter {process} gave up, owner of the lock is {blocker}",
        ),
        "any": Phrasings(
            ("{process} waits for a lock on {relation} held by {blocker}",
             "lock on {relation}: {blocker} holds it, {process} timed out"),
            "{process} could not lock {relation} in 1 s (owner {blocker})",
            "owner {blocker} keeps {relation}; waiter {process} ended",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class LockContention:
    """A session that holds locks on rows.

    Attributes:
        blocked_share: share of the store's requests that wait for the locks.
        relation, blocker: name of the table and number of the process in the logs.
    """

    place: Place
    start_tick: int
    change: Change | None
    blocked_share: float
    relation: str
    blocker: int

    def apply(self, world: World, tick: int) -> None:
        store = world.services[self.place.service]
        if not store.jobs[self.place.name].is_running:
            return
        world.mark_affected(store)
        for group in store.groups:
            group.slow_share = self.blocked_share
            group.slow_seconds = LOCK_TIMEOUT_SECONDS
        waiter = self.blocker + 17 + (tick - self.start_tick) * 13 % 400
        fields: LogFields = {"process": waiter, "blocker": self.blocker, "relation": self.relation}
        lines = store.load * self.blocked_share * SECONDS_PER_TICK
        world.emit_log(store, WAITING, lines, fields)


def find_places(world: World) -> list[Place]:
    """Return migrations that run on stores, and sessions of other users."""
    changed = changed_job_places(world, ChangeKind.MIGRATION, Origin.SAFE_CHANGE)
    return changed + [
        Place(store.name, Thing.JOB, f"session-{40000 + 7 * position}", Origin.UNLISTED)
        for position, store in enumerate(world.ordered)
        if has_needed_store(world, store)
    ]


def start(world: World, place: Place, severity: Severity) -> LockContention:
    """Return locks that 0.4 to 50 % of the statements wait for."""
    draws = BitStream(f"{severity.seed}/lock_contention")
    user = "migration" if place.change is not None else "reporting"
    job = make_job(place, user, 0.0, 0.0)
    job.blocks_rows = True
    noun = place.service.rsplit("-", 1)[0].replace("-", "_")
    return LockContention(
        place,
        start_job(world, place, severity, job),
        place.change,
        # The square gives small shares more room: they already fill pools.
        MIN_BLOCKED + (MAX_BLOCKED - MIN_BLOCKED) * severity.size * severity.size,
        f"{noun}_{draws.choose(('items', 'accounts', 'state', 'lines', 'balances'))}",
        20000 + draws.integer_below(30000),
    )


def _open_breaker_call(world: World, fault: Fault) -> ToolCall | None:
    caller = world.callers[fault.place.service][0]
    arguments = {"service": caller, "callee": fault.place.service, "state": "open"}
    return ToolCall("set_breaker", arguments)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_diagnostic(suspect.service, "locks"),
        ask_metrics(suspect.service, "cpu_utilization", minutes=15),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if sessions wait for one blocker while the CPU is not full."""
    locks, service = replies
    if final_level(service.find_series("cpu_utilization")) > 0.8:
        return None
    for row in locks.rows:
        waiting = float(row.get("waiting", 0.0))
        if waiting >= 3.0:
            arguments = {"service": suspect.service, "job": str(row["blocker"])}
            return Verdict(1.0, (ToolCall("stop_job", arguments),))
    return None


def _question_locks(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_waiting(reply: ParsedReply, place: Place) -> float:
    return max((float(row.get("waiting", 0.0)) for row in reply.rows), default=0.0)


FAULT_TYPE = FaultType(
    name="lock_contention",
    levels=levels("mhx"),
    origins={Origin.SAFE_CHANGE: 0.5, Origin.UNLISTED: 0.5},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(WAITING,),
    repairs=((STOP_JOB,), (UNDO_CHANGE,)),
    mitigations=(Repair("open the breaker", _open_breaker_call, wait_ticks=1),),
    decisive=(
        EvidenceCheck(
            "sessions wait for a lock", _question_locks, _measure_waiting, 3.0,
            ("slow_query", "concurrency_limit", "batch_job"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
