"""Node.js services that log with pino. Drawn in the test split only."""

from __future__ import annotations

import json

from firewatch_next.simulation.log_event import LogLevel, Wording
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.stacks.stack import (
    LogLine,
    OrdinaryLine,
    Stack,
    make_request_id,
    parse_messages,
)

_LEVEL_NUMBERS = {LogLevel.DEBUG: 20, LogLevel.INFO: 30, LogLevel.WARN: 40, LogLevel.ERROR: 50}


def format_line(line: LogLine) -> str:
    """Return the line as pino writes it: numeric level, milliseconds since 1970."""
    record: dict[str, str | int] = {
        "level": _LEVEL_NUMBERS[line.level],
        "time": int(line.time.timestamp()) * 1000 + line.time.microsecond // 1000,
        "hostname": line.pod,
        "msg": line.message,
    }
    if line.event:
        record["reqId"] = make_request_id(line)[:8]
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


_MESSAGES = """
call_failed
    {path}: {callee} responded {status}
    bad status {status} ({callee}, {path})
    AxiosError: Request failed with status code {status} <- {callee} in {path}
    UpstreamError {status} at {callee}; route {path}
call_timeout
    {path}: {callee} silent for {timeout_ms}ms
    ETIMEDOUT {callee} after {timeout_ms}ms ({path})
    AxiosError: timeout of {timeout_ms}ms exceeded <- {callee} in {path}
    AbortError: signal fired at {timeout_ms}ms for {callee}; route {path}
connect_failed
    {path}: {problem} {callee}
    connect {callee}: {problem} ({path})
    FetchError: socket to {callee} not established, reason: {problem}, in {path}
    undici ConnectError {problem} ({callee}); route {path}
pool_timeout
    {path}: {callee} pool of {pool_size} busy for {waited_ms}ms
    no {callee} client free in {waited_ms}ms, max {pool_size} ({path})
    KnexTimeoutError: Timeout acquiring a connection from {callee} ({pool_size} in use,
      {waited_ms}ms) in {path}
    ResourceRequest timed out: {callee} {pool_size}/{pool_size}, {waited_ms}ms; route {path}
queue_full
    {path}: 503, {queue_length} pending
    under pressure: {queue_length} ({path})
    FST_UNDER_PRESSURE: Service Unavailable, {queue_length} waiting, {path}
    event loop backlog {queue_length}, refused route {path}
request_failed
    {path} {status} {milliseconds}ms
    reply {status} in {milliseconds}ms: {path}
    request errored statusCode={status} responseTime={milliseconds} url={path}
    route {path} closed with {status} at {milliseconds}ms
retrying
    {path}: retry {attempt} {callee}
    again {callee}, attempt {attempt} ({path})
    p-retry: attempt {attempt} for {callee} in {path}
    scheduled try {attempt} of {callee}; route {path}
gc_pressure
    heap {memory_percent} %, gc {gc_percent} %
    mark-sweep {gc_percent} % of time, {memory_percent} % used
    v8 heap usage {memory_percent} percent, scavenges take {gc_percent} percent
    old space nearly full: {memory_percent} % (gc {gc_percent} %)
"""

NODE_PINO = Stack(
    name="node_pino",
    kinds=frozenset({ServiceKind.APPLICATION, ServiceKind.WORKER}),
    format_line=format_line,
    wordings=frozenset({Wording.TEST}),
    messages=parse_messages(_MESSAGES),
    ordinary=(
        OrdinaryLine(LogLevel.ERROR, "ERR_STREAM_PREMATURE_CLOSE on {path}", 0.00005),
        OrdinaryLine(LogLevel.INFO, "request completed 200 {path} {milliseconds}ms", 1.0),
        OrdinaryLine(LogLevel.INFO, "event loop delay p99 {count} us", per_tick=1.0),
        OrdinaryLine(LogLevel.WARN, "DeprecationWarning: url.parse() in {path}", 0.0002),
    ),
)
