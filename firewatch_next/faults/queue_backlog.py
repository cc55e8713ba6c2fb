"""A queue that is not emptied: records block partitions, or its consumers have become slow."""

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
    Severity,
    Thing,
    levels,
)
from firewatch_next.faults.infrastructure_repairs import only_for, repair_data
from firewatch_next.faults.numbers import final_level, first_level
from firewatch_next.faults.places import reach_of, reach_share, version_places
from firewatch_next.faults.questions import (
    ask_diagnostic,
    ask_metrics,
    growth,
    suspect_at,
    undo_at_onset,
)
from firewatch_next.faults.repairs import MORE_PODS, UNDO_CHANGE
from firewatch_next.simulation.repair_edits import StoreRecords
from firewatch_next.simulation.service import SECONDS_PER_TICK, Service, ServiceKind
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream
from openenv_kit.tool import ToolCall

PARTITIONS = 12
FEWEST_BLOCKED, MOST_BLOCKED = 2, 12
CONSUMER_HEADROOM = 3.0  # what consumers can take in, to the load of an ordinary day
# Rate of slow consumers, to that load. Customers see old data once messages wait for minutes.
FASTEST_RATE, SLOWEST_RATE = 0.92, 0.25
USELESS_AGE_SECONDS = 300.0

STUCK = LogEvent(
    "queue_backlog.stuck",
    LogLevel.WARN,
    ("partition", "offset"),
    {
        "kafka": Phrasings(
            ("Member keeps fetching partition {partition} from offset {offset}",
             "Fetch for partition {partition} repeated, position {offset} unchanged"),
            "Position of partition {partition} stays at {offset}",
            "Consumer of partition {partition} re-reads {offset}",
        ),
        "java_spring": Phrasings(
            ("Seek to current after exception; partition {partition} offset {offset}",
             "Error handler threw an exception, record {partition}@{offset} will be redelivered"),
            "ListenerExecutionFailedException for {partition}-{offset}",
            "Redelivery of record at offset {offset}, partition {partition}",
        ),
        "go_logfmt": Phrasings(
            ('msg="handler error, not committing" partition={partition} offset={offset}',
             'partition={partition} offset={offset} msg="retrying message"'),
            'offset={offset} msg="nack" part={partition}',
            "event=redelivery part={partition} pos={offset}",
        ),
        "any": Phrasings(
            ("message at {partition}/{offset} not acknowledged, trying again",
             "partition {partition}: offset {offset} processed without success"),
            "no commit for {partition}, still at {offset}",
            "again at offset {offset} of partition {partition}",
        ),
    },
)  # fmt: skip
SLOW_POLL = LogEvent(
    "queue_backlog.slow_poll",
    LogLevel.WARN,
    ("batch", "milliseconds"),
    {
        "java_spring": Phrasings(
            ("Processing of {batch} records took {milliseconds} ms, near max.poll.interval.ms",
             "Listener handled batch of {batch} in {milliseconds} ms"),
            "Poll loop busy for {milliseconds} ms with {batch} records",
            "Batch done: {batch} records, {milliseconds} ms",
        ),
        "go_logfmt": Phrasings(
            ('msg="batch processed" records={batch} took_ms={milliseconds}',
             'took_ms={milliseconds} n={batch} msg="slow batch"'),
            'batch_size={batch} duration={milliseconds}ms msg="poll done"',
            "event=batch_done count={batch} elapsed_ms={milliseconds}",
        ),
        "any": Phrasings(
            ("batch of {batch} messages handled in {milliseconds} ms",
             "{milliseconds} ms for {batch} messages"),
            "handled {batch} messages, duration {milliseconds} ms",
            "batch={batch} elapsed={milliseconds}ms",
        ),
    },
)  # fmt: skip


def _age_messages(world: World, queue: Service, share: float, rate: float) -> None:
    """Move the backlog of a share of the partitions, and make answers stale with its age.

    Args:
        world: of the queue.
        queue: its backlog moves.
        share: of the partitions, 0–1.
        rate: messages per second that the consumers of these partitions take in.
    """
    inflow = queue.load * share
    backlog = queue.backlog + (inflow - rate) * SECONDS_PER_TICK
    queue.backlog = backlog if backlog > 0.0 else 0.0
    if queue.backlog <= 0.0 or inflow <= 0.0:
        return
    age = queue.backlog / inflow
    world.mark_affected(queue)
    queue.stale_share = share * (age / USELESS_AGE_SECONDS if age < USELESS_AGE_SECONDS else 1.0)


@dataclass(frozen=True)
class BlockedPartitions:
    """Records at which the consumers of some partitions are stuck, until they are skipped."""

    place: Place
    start_tick: int
    change: Change | None
    blocked: int
    first_offset: int

    def apply(self, world: World, tick: int) -> None:
        queue = world.services[self.place.service]
        share = self.blocked / PARTITIONS
        is_blocked = bool(queue.records)
        rate = 0.0 if is_blocked else CONSUMER_HEADROOM * queue.usual_load * share
        _age_messages(world, queue, share, rate)
        if is_blocked:
            fields = {"partition": 3, "offset": self.first_offset}
            world.emit_log(queue, STUCK, 1.0 * self.blocked, fields)
            for client in queue.clients:
                world.emit_log(world.services[client.callee], STUCK, 6.0 * self.blocked, fields)


@dataclass(frozen=True)
class SlowConsumers:
    """A version of the consumers that takes in less than arrives.

    Attributes:
        rate: of consumers of that version, to the load of an ordinary day.
    """

    place: Place
    start_tick: int
    change: Change | None
    rate: float

    def apply(self, world: World, tick: int) -> None:
        worker, queue = world.services[self.place.service], world.services[self.place.callee]
        reach = reach_share(reach_of(worker, self.place))
        pods = len(worker.ready_pods(tick)) / worker.usual_pods
        rate = (CONSUMER_HEADROOM - (CONSUMER_HEADROOM - self.rate) * reach) * pods
        _age_messages(world, queue, 1.0, rate * queue.usual_load)
        if reach > 0.0:
            milliseconds = int(1000.0 * 100.0 * len(worker.pods) / (rate * queue.usual_load + 0.1))
            fields = {"batch": 100, "milliseconds": milliseconds}
            world.emit_log(worker, SLOW_POLL, 3.0 * len(worker.pods) * reach, fields)


def find_places(world: World) -> list[Place]:
    """Return queues, and safe deploys of their consumers."""
    places = [
        Place(queue.name, Thing.RECORD, "partition 3", Origin.UNLISTED)
        for queue in world.ordered
        if queue.kind is ServiceKind.QUEUE
    ]
    for place in version_places(world, lambda service: service.kind is ServiceKind.WORKER):
        for caller in world.callers[place.service]:
            if world.services[caller].kind is ServiceKind.QUEUE:
                places.append(
                    Place(place.service, place.thing, place.name, place.origin, place.change,
                          caller)
                )  # fmt: skip
    return places


def start(world: World, place: Place, severity: Severity) -> Fault:
    """Return a fault of 2 to 12 of 12 partitions, or of consumers at 92 to 25 % of the inflow."""
    if place.change is not None:
        rate = FASTEST_RATE - (FASTEST_RATE - SLOWEST_RATE) * severity.size
        return SlowConsumers(place, place.change.tick, place.change, rate)
    blocked = FEWEST_BLOCKED + int((MOST_BLOCKED - FEWEST_BLOCKED) * severity.size + 0.5)
    offset = 100_000 + BitStream(f"{severity.seed}/queue_backlog").integer_below(9_000_000)
    for partition in range(blocked):
        layout = f"partition {(3 + 5 * partition) % PARTITIONS} at {offset + 4111 * partition}"
        writer = world.callers[place.service][0]
        records = StoreRecords(place.service, layout, writer, 1.0 / PARTITIONS)
        world.schedule(severity.start_tick, records)
    return BlockedPartitions(place, severity.start_tick, None, blocked, offset)


SKIP_RECORDS = only_for(repair_data("skip the records", "queue", 8), Thing.RECORD)
MORE_CONSUMERS = only_for(MORE_PODS, Thing.VERSION)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_metrics(suspect.service, "backlog,request_rate"),
        ask_diagnostic(suspect.service, "records"),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if a queue's backlog grows while its inflow does not."""
    metrics, records = replies
    rise = _backlog_minutes(metrics)
    if rise < 0.5 or growth(metrics, "request_rate") > 1.2:
        return None
    if any(row.get("store") == suspect.service for row in records.rows):
        arguments: dict[str, object] = {"service": suspect.service, "what": "queue"}
        return Verdict(rise, (ToolCall("repair_data", arguments),))
    for callee in suspect.callees:
        call = undo_at_onset(suspect, callee, ("deploy",), 30.0)
        if call is not None:
            return Verdict(rise, (call,))
    return None


def _backlog_minutes(reply: ParsedReply) -> float:
    """Return the growth of the backlog in minutes of inflow."""
    backlog = reply.find_series("backlog")
    rate = final_level(reply.find_series("request_rate"))
    rise = final_level(backlog, 1) - first_level(backlog, 1)
    return rise / rate / 60.0 if rate > 0.0 else 0.0


def _question_backlog(place: Place) -> Question:
    queue = place.callee or place.service
    return _questions(suspect_at(place, queue))[0]


def _measure_backlog(reply: ParsedReply, place: Place) -> float:
    return _backlog_minutes(reply)


FAULT_TYPE = FaultType(
    name="queue_backlog",
    levels=levels("mhx"),
    origins={Origin.SAFE_CHANGE: 0.4, Origin.UNLISTED: 0.6},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(STUCK, SLOW_POLL),
    repairs=((UNDO_CHANGE,), (SKIP_RECORDS,)),
    mitigations=(MORE_CONSUMERS,),
    decisive=(
        EvidenceCheck(
            "backlog grows", _question_backlog, _measure_backlog, 0.5,
            ("traffic_growth", "incompatible_data"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
