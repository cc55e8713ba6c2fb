"""A batch job that takes the CPU of a database from its callers."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.changes.change import Change, ChangeKind
from firewatch_next.faults.capacity import cpu_use
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
from firewatch_next.faults.questions import ask_diagnostic, ask_metrics, suspect_at
from firewatch_next.faults.repairs import UNDO_CHANGE
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream
from openenv_kit.tool import ToolCall

# CPU that the callers and the job need, to what the database has. The job outlasts the episode.
MIN_OVERLOAD, MAX_OVERLOAD = 1.03, 1.9
ROWS_PER_REQUEST = 400

PROGRESS = LogEvent(
    "batch_job.progress",
    LogLevel.INFO,
    ("rows", "table", "user"),
    {
        "postgres": Phrasings(
            ("user={user} COPY {table}: {rows} rows so far",
             "duration of portal fetch: user={user}, {rows} rows read from {table}"),
            "cursor on {table} advanced by {rows} rows ({user})",
            "{user} sequential scan {table} tuples={rows}",
        ),
        "any": Phrasings(
            ("{user} read {rows} rows of {table}",
             "{rows} rows of {table} were scanned by {user}"),
            "scan of {table} at row {rows}, user {user}",
            "{table} tuples={rows} session_user={user}",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class BatchJob:
    """A job of another user. It acts by itself while it runs."""

    place: Place
    start_tick: int
    change: Change | None
    table: str

    def apply(self, world: World, tick: int) -> None:
        store = world.services[self.place.service]
        job = store.jobs[self.place.name]
        if not job.is_running:
            return
        rows = int(job.allowed_load * ROWS_PER_REQUEST * 30.0 * (tick - job.started_tick + 1))
        fields: LogFields = {"rows": rows, "table": self.table, "user": job.user}
        world.emit_log(store, PROGRESS, 2.0, fields)


def find_places(world: World) -> list[Place]:
    """Return jobs of stores: those that a listed change starts, and those of a schedule."""
    changed = changed_job_places(world, ChangeKind.JOB, Origin.CHANGE_ELSEWHERE)
    listed = {place.service for place in changed}
    return changed + [
        Place(store.name, Thing.JOB, job, Origin.UNLISTED)
        for store in world.ordered
        if has_needed_store(world, store) and store.name not in listed
        for job in store.jobs
    ]


def start(world: World, place: Place, severity: Severity) -> BatchJob:
    """Return a job with which the database needs 1.03 to 1.9 times its CPU."""
    store = world.services[place.service]
    overload = MIN_OVERLOAD + (MAX_OVERLOAD - MIN_OVERLOAD) * severity.size
    power = store.cpu_cores * len(store.pods) / store.cpu_seconds_per_request
    load = (overload - cpu_use(store)) * power
    user = store.jobs[place.name].user
    job = make_job(place, user, load, store.cpu_seconds_per_request)
    draws = BitStream(f"{severity.seed}/batch_job")
    noun = store.name.rsplit("-", 1)[0].replace("-", "_")
    table = f"{noun}_{draws.choose(('items', 'events', 'history', 'lines', 'snapshots'))}"
    return BatchJob(place, start_job(world, place, severity, job), place.change, table)


def _throttle_call(world: World, fault: Fault) -> ToolCall | None:
    job = world.services[fault.place.service].jobs[fault.place.name]
    arguments = {
        "service": fault.place.service, "kind": "caller", "caller": job.name,
        "value": int(job.load / 4.0),
    }  # fmt: skip
    return ToolCall("set_limit", arguments)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_diagnostic(suspect.service, "slow_queries"),
        ask_metrics(suspect.service, "cpu_utilization,request_rate"),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if a user that is no caller takes a third of the database's time."""
    for row in replies[0].rows:
        share = float(row.get("time_share", 0.0))
        job = str(row.get("job", ""))
        if job and share > 0.33 and str(row.get("user", "")) not in suspect.callers:
            arguments = {"service": suspect.service, "job": job}
            return Verdict(share, (ToolCall("stop_job", arguments),))
    return None


def _question_users(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_job_share(reply: ParsedReply, place: Place) -> float:
    shares = [float(row["time_share"]) for row in reply.rows if row.get("job")]
    return max(shares, default=0.0)


FAULT_TYPE = FaultType(
    name="batch_job",
    levels=levels("emh"),
    origins={Origin.CHANGE_ELSEWHERE: 0.5, Origin.UNLISTED: 0.5},
    find_places=find_places,
    start=start,
    # Rejected requests fail sooner than late ones, so more overload can harm less.
    has_smooth_severity=False,
    log_events=(PROGRESS,),
    repairs=((STOP_JOB,), (UNDO_CHANGE,)),
    mitigations=(Repair("throttle the job", _throttle_call, wait_ticks=1),),
    decisive=(
        EvidenceCheck(
            "a job takes the time", _question_users, _measure_job_share, 0.33,
            ("slow_query", "excess_calls", "lock_contention"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
