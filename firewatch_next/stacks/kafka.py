"""Kafka brokers: `[time] LEVEL message (logger)`."""

from __future__ import annotations

from firewatch_next.simulation.log_event import LogLevel
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.stacks.stack import (
    LogLine,
    OrdinaryLine,
    Stack,
    format_milliseconds,
    parse_messages,
)

_LOGGERS = {
    "queue_full": "kafka.network.SocketServer",
    "slow_statement": "kafka.server.KafkaApis",
    "replica_behind": "kafka.server.ReplicaManager",
}


def format_line(line: LogLine) -> str:
    """Return the line in the broker's log4j pattern."""
    time = f"{line.time:%Y-%m-%d %H:%M:%S},{format_milliseconds(line.time)}"
    logger = _LOGGERS.get(line.event, "kafka.coordinator.group.GroupCoordinator")
    return f"[{time}] {line.level} {line.message} ({logger})"


_MESSAGES = """
queue_full
    Request channel is full ({queue_length}), muting connections
    queued.max.requests={queue_length} reached, pausing network threads
    Processor blocked: {queue_length} requests wait for an I/O handler
    Back pressure on acceptors, {queue_length} entries in request queue
slow_statement
    {statement} of client {user} took {milliseconds} ms
    Completed {statement}: totalTime={milliseconds} clientId={user}
    {statement} handled in {milliseconds} ms, principal {user}
    slow path for {user}: {milliseconds} ms spent in {statement}
replica_behind
    Shrinking ISR: follower is {lag_seconds} s behind
    Follower has not caught up for {lag_seconds} s
    Replica out of sync, last fetch {lag_seconds} s ago
    replica.lag.time: {lag_seconds} s for follower fetcher
"""

KAFKA = Stack(
    name="kafka",
    kinds=frozenset({ServiceKind.QUEUE}),
    format_line=format_line,
    messages=parse_messages(_MESSAGES),
    ordinary=(
        OrdinaryLine(LogLevel.INFO, "Rolled new log segment at offset {count}", per_tick=0.4),
        OrdinaryLine(LogLevel.INFO, "Stabilized group {callee} generation {count}", per_tick=0.1),
        OrdinaryLine(LogLevel.DEBUG, "Expired {count} purgatory operations", per_tick=1.0),
        OrdinaryLine(LogLevel.WARN, "Attempting to respond via closed channel", per_tick=0.02),
    ),
)
