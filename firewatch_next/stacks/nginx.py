"""nginx as an ingress: its error log."""

from __future__ import annotations

from firewatch_next.simulation.log_event import LogLevel
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.stacks.stack import LogLine, OrdinaryLine, Stack, parse_messages

_LEVEL_NAMES = {
    LogLevel.DEBUG: "debug",
    LogLevel.INFO: "notice",
    LogLevel.WARN: "warn",
    LogLevel.ERROR: "error",
}


def format_line(line: LogLine) -> str:
    """Return the line as nginx writes it to its error log."""
    level = _LEVEL_NAMES[line.level]
    start = f"{line.time:%Y/%m/%d %H:%M:%S} [{level}] {line.number % 8 + 22}#0:"
    if "path" not in line.fields:
        return f"{start} {line.message}"
    client = f"10.{line.number % 200}.{line.number // 256 % 200}.{line.number // 65536 % 250 + 1}"
    text = f"{start} *{line.number % 9_000_000 + 100_000} {line.message}, client: {client}"
    text += f', server: {line.service}, request: "POST {line.fields["path"]} HTTP/1.1"'
    if "callee" in line.fields:
        text += f', upstream: "http://{line.fields["callee"]}:8080{line.fields["path"]}"'
    return text


_MESSAGES = """
call_failed
    upstream returned {status} while reading response header from upstream
    received status {status} from upstream {callee}
    upstream sent error response {status} while proxying {path}
    non-success header {status} from {callee}, passed to client
call_timeout
    upstream timed out (110: Connection timed out, {timeout_ms} ms) while reading response
      header from upstream
    no response header from {callee} in {timeout_ms} ms, closing upstream connection
    proxy_read_timeout ({timeout_ms} ms) expired on connection to {callee}
    gave up reading from {callee} at {timeout_ms} ms while processing {path}
connect_failed
    connect() failed ({problem}) while connecting to upstream
    no live upstreams for {callee}: {problem}
    could not open upstream socket to {callee}: {problem}
    peer {callee} marked unavailable after {problem}
pool_timeout
    upstream {callee} has no free connection ({pool_size} max) after {waited_ms} ms
    {pool_size} max_conns of {callee} in use for {waited_ms} ms
    keepalive slots exhausted for {callee}: {pool_size}, waited {waited_ms} ms
    queue for {callee} expired at {waited_ms} ms with {pool_size} connections held
queue_full
    {queue_length} worker_connections are not enough, {path} dropped
    connection queue at {queue_length}, refusing {path}
    accept backlog {queue_length} overflowed, {path} answered with 503
    no worker slot free ({queue_length} waiting) for {path}
request_failed
    {path} finished with {status} in {milliseconds} ms
    status {status} sent after {milliseconds} ms
    client received {status} at {milliseconds} ms for {path}
    request closed, {status}, {milliseconds} ms
retrying
    trying next upstream for {callee}, attempt {attempt}
    attempt {attempt} on upstream {callee}
    proxy_next_upstream: {callee} tried again ({attempt})
    passing {path} to another peer of {callee}, try {attempt}
gc_pressure
    shared zone at {memory_percent} %, eviction {gc_percent} %
    could not allocate in zone ({memory_percent} % used, {gc_percent} % evicted)
    slab memory {memory_percent} percent full, {gc_percent} percent freed
    zone pages short: {memory_percent} % taken, {gc_percent} % reclaimed
"""

NGINX = Stack(
    name="nginx",
    kinds=frozenset({ServiceKind.INGRESS}),
    format_line=format_line,
    messages=parse_messages(_MESSAGES),
    ordinary=(
        OrdinaryLine(
            LogLevel.ERROR, "recv() failed (104: Connection reset by peer) for {path}", 0.00005
        ),
        OrdinaryLine(LogLevel.INFO, "signal process started, {count} workers", per_tick=0.1),
        OrdinaryLine(
            LogLevel.WARN,
            "a client request body is buffered to a temporary file for {path}",
            0.0003,
        ),
        OrdinaryLine(LogLevel.INFO, "client {path} closed keepalive connection", 0.01),
    ),
)
