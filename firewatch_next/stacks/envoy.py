"""Envoy as an ingress: its access log with response flags.

An event's wording is the response-code detail, since an access log has no free text.
"""

from __future__ import annotations

from firewatch_next.simulation.log_event import LogLevel
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.stacks.stack import (
    LogLine,
    OrdinaryLine,
    Stack,
    format_milliseconds,
    make_request_id,
    parse_messages,
)

_FLAGS = {
    "call_timeout": ("504", "UT"),
    "connect_failed": ("503", "UF,URX"),
    "pool_timeout": ("503", "UO"),
    "queue_full": ("503", "UO"),
    "retrying": ("200", "-"),
}


def format_line(line: LogLine) -> str:
    """Return the line in Envoy's default access log format, with the details after the flags."""
    time = f"{line.time:%Y-%m-%dT%H:%M:%S}.{format_milliseconds(line.time)}Z"
    if "path" not in line.fields:
        level = {LogLevel.WARN: "warning"}.get(line.level, line.level.value.lower())
        return f"[{time}][1][{level}][main] {line.message}"
    status, flags = _FLAGS.get(line.event, (str(line.fields.get("status", 200)), "-"))
    milliseconds = line.fields.get("timeout_ms", line.fields.get("milliseconds", 0))
    details = line.message.replace(" ", "_")
    cluster = line.fields.get("callee", "-")
    return (
        f'[{time}] "POST {line.fields["path"]} HTTP/2" {status} {flags} {details} '
        f'{line.number % 900} {line.number % 4000} {milliseconds} "{make_request_id(line)[:8]}" '
        f'"{cluster}"'
    )


_MESSAGES = """
call_failed
    via_upstream {status}
    upstream_status {status} {callee}
    response {status} relayed from {callee}
    peer_answer {callee} {status}
call_timeout
    upstream_response_timeout
    response_timeout {timeout_ms}ms {callee}
    upstream_per_try_timeout {timeout_ms}ms
    stream_idle at {timeout_ms}ms for {callee}
connect_failed
    upstream_reset_before_response_started{{{problem}}}
    remote_connection_failure,{problem}
    no_healthy_upstream {callee} {problem}
    transport_failure {problem} {callee}
pool_timeout
    upstream_reset_before_response_started{{overflow}}
    upstream_max_pending {pool_size} {waited_ms}ms
    circuit_pending_overflow {callee} {pool_size}
    connection_quota {pool_size} of {callee} held {waited_ms}ms
queue_full
    overload {queue_length}
    request_overload_manager {queue_length}
    downstream_pending_limit {queue_length}
    listener_queue {queue_length} exceeded
request_failed
    response_sent {status}
    direct_response {status}
    ended {status} after {milliseconds}ms
    completed_downstream {status}
retrying
    retry {attempt} {callee}
    upstream_retry,{attempt}
    attempt_count {attempt} {callee}
    try_{attempt} towards {callee}
gc_pressure
    heap at {memory_percent} % of max_heap_size, release {gc_percent} %
    overload manager: heap pressure {memory_percent} %, shrink {gc_percent} %
    fixed_heap monitor reports {memory_percent} percent ({gc_percent} freed)
    allocator pressure {memory_percent} %, returned {gc_percent} %
"""

ENVOY = Stack(
    name="envoy",
    kinds=frozenset({ServiceKind.INGRESS}),
    format_line=format_line,
    messages=parse_messages(_MESSAGES),
    ordinary=(
        OrdinaryLine(LogLevel.INFO, "via_upstream {path}", 1.0),
        OrdinaryLine(LogLevel.INFO, "cds: add/update {count} cluster(s)", per_tick=0.3),
        OrdinaryLine(LogLevel.WARN, "downstream_remote_disconnect {path}", 0.0003),
    ),
)
