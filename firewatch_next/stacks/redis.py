"""Redis: `pid:role time mark message`."""

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

_MARKS = {LogLevel.DEBUG: ".", LogLevel.INFO: "*", LogLevel.WARN: "#", LogLevel.ERROR: "#"}


def format_line(line: LogLine) -> str:
    """Return the line as Redis writes it; warnings and errors share the mark `#`."""
    time = f"{line.time:%d %b %Y %H:%M:%S}.{format_milliseconds(line.time)}"
    return f"1:M {time} {_MARKS[line.level]} {line.message}"


_MESSAGES = """
queue_full
    Error registering fd event for the new client: max number of clients reached ({queue_length}
      pending)
    max number of clients reached, {queue_length} waiting
    Client not accepted: maxclients, backlog {queue_length}
    Accept queue {queue_length} exceeds tcp-backlog
slow_statement
    slowlog: {statement} took {milliseconds} ms (client {user})
    latency spike {milliseconds} ms in command {statement}
    Slow script or command {statement}: {milliseconds} ms since start
    event loop blocked {milliseconds} ms by {statement} of {user}
replica_behind
    Replica acknowledged offset {lag_seconds} s ago
    Connection with replica lags {lag_seconds} s
    replication backlog: replica trails {lag_seconds} s
    REPLCONF ACK is {lag_seconds} s old
"""

REDIS = Stack(
    name="redis",
    kinds=frozenset({ServiceKind.CACHE, ServiceKind.STORE}),
    format_line=format_line,
    messages=parse_messages(_MESSAGES),
    ordinary=(
        OrdinaryLine(LogLevel.INFO, "{count} changes in 60 seconds. Saving...", per_tick=0.3),
        OrdinaryLine(LogLevel.INFO, "Background saving terminated with success", per_tick=0.3),
        OrdinaryLine(LogLevel.DEBUG, "DB 0: {count} keys in hash table", per_tick=1.0),
        OrdinaryLine(LogLevel.WARN, "Client closed connection with {count} replies", per_tick=0.02),
    ),
)
