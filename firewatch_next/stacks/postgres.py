"""PostgreSQL: `time [pid] user@database LEVEL:  message`."""

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

_LEVEL_NAMES = {
    LogLevel.DEBUG: "DEBUG",
    LogLevel.INFO: "LOG",
    LogLevel.WARN: "WARNING",
    LogLevel.ERROR: "ERROR",
}


def format_line(line: LogLine) -> str:
    """Return the line with the prefix `%m [%p] %u@%d`."""
    time = f"{line.time:%Y-%m-%d %H:%M:%S}.{format_milliseconds(line.time)} UTC"
    user = f"{line.fields['user']}@main " if "user" in line.fields else ""
    pid = line.number % 30_000 + 200
    return f"{time} [{pid}] {user}{_LEVEL_NAMES[line.level]}:  {line.message}"


_MESSAGES = """
queue_full
    sorry, too many clients already ({queue_length} waiting)
    connection refused by pooler, {queue_length} in queue
    remaining connection slots are reserved for superuser ({queue_length} pending)
    no server process available, client queue {queue_length}
slow_statement
    duration: {milliseconds} ms  statement: {statement}
    duration: {milliseconds} ms  execute <unnamed>: {statement}
    statement {statement} took {milliseconds} ms
    exec_time={milliseconds} ms query={statement}
replica_behind
    replay of standby is {lag_seconds} s behind
    walreceiver: last replayed transaction is {lag_seconds} s old
    standby apply delay: {lag_seconds} seconds
    recovery position trails primary by {lag_seconds} s
"""

POSTGRES = Stack(
    name="postgres",
    kinds=frozenset({ServiceKind.STORE}),
    format_line=format_line,
    messages=parse_messages(_MESSAGES),
    ordinary=(
        OrdinaryLine(LogLevel.INFO, "checkpoint complete: wrote {count} buffers", per_tick=0.1),
        OrdinaryLine(LogLevel.INFO, "automatic vacuum of table: {count} pages", per_tick=0.2),
        OrdinaryLine(LogLevel.INFO, "connection authorized: application={callee}", per_tick=0.5),
        OrdinaryLine(LogLevel.WARN, "there is no transaction in progress", per_tick=0.02),
        OrdinaryLine(LogLevel.ERROR, "canceling autovacuum task", per_tick=0.01),
    ),
)
