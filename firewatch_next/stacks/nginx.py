"""nginx as an ingress: its error log."""

from __future__ import annotations

from firewatch_next.simulation.log_event import LogLevel, Phrasings
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.stacks.stack import LogLine, OrdinaryLine, Stack

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


NGINX = Stack(
    name="nginx",
    kinds=frozenset({ServiceKind.INGRESS}),
    format_line=format_line,
    messages={
        "call_failed": Phrasings(
            open=(
                "upstream returned {status} while reading response header from upstream",
                "received status {status} from upstream {callee}",
            ),
            test="upstream sent error response {status} while proxying {path}",
            sealed="non-success header {status} from {callee}, passed to client",
        ),
        "call_timeout": Phrasings(
            open=(
                "upstream timed out (110: Connection timed out, {timeout_ms} ms) while reading "
                "response header from upstream",
                "no response header from {callee} in {timeout_ms} ms, closing upstream connection",
            ),
            test="proxy_read_timeout ({timeout_ms} ms) expired on connection to {callee}",
            sealed="gave up reading from {callee} at {timeout_ms} ms while processing {path}",
        ),
        "connect_failed": Phrasings(
            open=(
                "connect() failed ({problem}) while connecting to upstream",
                "no live upstreams for {callee}: {problem}",
            ),
            test="could not open upstream socket to {callee}: {problem}",
            sealed="peer {callee} marked unavailable after {problem}",
        ),
        "pool_timeout": Phrasings(
            open=(
                "upstream {callee} has no free connection ({pool_size} max) after {waited_ms} ms",
                "{pool_size} max_conns of {callee} in use for {waited_ms} ms",
            ),
            test="keepalive slots exhausted for {callee}: {pool_size}, waited {waited_ms} ms",
            sealed="queue for {callee} expired at {waited_ms} ms with {pool_size} connections held",
        ),
        "queue_full": Phrasings(
            open=(
                "{queue_length} worker_connections are not enough, {path} dropped",
                "connection queue at {queue_length}, refusing {path}",
            ),
            test="accept backlog {queue_length} overflowed, {path} answered with 503",
            sealed="no worker slot free ({queue_length} waiting) for {path}",
        ),
        "request_failed": Phrasings(
            open=(
                "{path} finished with {status} in {milliseconds} ms",
                "status {status} sent after {milliseconds} ms",
            ),
            test="client received {status} at {milliseconds} ms for {path}",
            sealed="request closed, {status}, {milliseconds} ms",
        ),
        "retrying": Phrasings(
            open=(
                "trying next upstream for {callee}, attempt {attempt}",
                "attempt {attempt} on upstream {callee}",
            ),
            test="proxy_next_upstream: {callee} tried again ({attempt})",
            sealed="passing {path} to another peer of {callee}, try {attempt}",
        ),
        "gc_pressure": Phrasings(
            open=(
                "shared zone at {memory_percent} %, eviction {gc_percent} %",
                "could not allocate in zone ({memory_percent} % used, {gc_percent} % evicted)",
            ),
            test="slab memory {memory_percent} percent full, {gc_percent} percent freed",
            sealed="zone pages short: {memory_percent} % taken, {gc_percent} % reclaimed",
        ),
    },
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
