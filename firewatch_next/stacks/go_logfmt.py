"""Go programs that write logfmt: `time=… level=… msg="…" key=value`."""

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


def format_line(line: LogLine) -> str:
    """Return the line as Go's slog text handler writes it."""
    time = f"{line.time:%Y-%m-%dT%H:%M:%S}.{format_milliseconds(line.time)}Z"
    if "msg=" in line.message or "err=" in line.message:  # the event gives its own keys
        return f"time={time} level={line.level} {line.message}"
    message = line.message.replace("\\", "\\\\").replace('"', '\\"')
    request = f" request_id={make_request_id(line)[:12]}" if line.event else ""
    return f'time={time} level={line.level} msg="{message}"{request}'


_MESSAGES = """
call_failed
    {path}: call {callee}: unexpected status {status}
    {callee} answered {status}, giving up on {path}
    rpc error: code = Unavailable desc = http status {status} from {callee} (handler {path})
    non-2xx from peer {callee} ({status}); aborting {path}
call_timeout
    {path}: Post http://{callee}: context deadline exceeded ({timeout_ms}ms)
    {callee} did not answer {path} in {timeout_ms}ms: i/o timeout
    rpc error: code = DeadlineExceeded desc = {timeout_ms}ms elapsed waiting for {callee},
      handler {path}
    net/http: request canceled while awaiting headers ({callee}, budget {timeout_ms}ms) in
      {path}
connect_failed
    {path}: dial tcp {callee}: {problem}
    cannot reach {callee} for {path}: {problem}
    rpc error: code = Unavailable desc = transport: {problem} while dialing {callee}; handler
      {path}
    subchannel to {callee} in TRANSIENT_FAILURE ({problem}), {path} dropped
pool_timeout
    {path}: no free connection to {callee} in {waited_ms}ms (max {pool_size})
    waited {waited_ms}ms for one of {pool_size} {callee} connections, {path} failed
    pgxpool: acquire {callee}: context deadline exceeded after {waited_ms}ms,
      max_conns={pool_size}, handler {path}
    semaphore for {callee} ({pool_size} slots) not granted within {waited_ms}ms; {path} returns
      early
queue_full
    {path}: too many requests in flight ({queue_length}), sent 503
    request queue at limit {queue_length}, refused {path}
    load shedding: {path} not admitted, {queue_length} pending
    inflight limiter closed for {path} with {queue_length} waiting
request_failed
    {path} status={status} took={milliseconds}ms
    request done, code {status} in {milliseconds}ms: {path}
    served {path} -> {status}, elapsed {milliseconds}ms
    handler returned {status} for {path} ({milliseconds}ms)
retrying
    retry {attempt} to {callee} ({path})
    {path}: trying {callee} again, attempt {attempt}
    retryablehttp: {callee} try #{attempt}, handler {path}
    re-issuing request to {callee} for {path}; n={attempt}
gc_pressure
    gc assist takes {gc_percent} % of CPU, rss {memory_percent} % of limit
    memory at {memory_percent} % of GOMEMLIMIT, gc {gc_percent} %
    runtime: collector busy {gc_percent} percent, usage {memory_percent} percent
    GOMEMLIMIT nearly reached ({memory_percent} %); mark workers {gc_percent} %
"""

GO_LOGFMT = Stack(
    name="go_logfmt",
    kinds=frozenset({ServiceKind.APPLICATION, ServiceKind.WORKER}),
    format_line=format_line,
    messages=parse_messages(_MESSAGES),
    ordinary=(
        OrdinaryLine(LogLevel.ERROR, "write response of {path}: broken pipe", 0.00005),
        OrdinaryLine(LogLevel.INFO, "handled {path} status=200 took={milliseconds}ms", 1.0),
        OrdinaryLine(LogLevel.INFO, "metrics pushed, {count} series", per_tick=1.0),
        OrdinaryLine(LogLevel.WARN, "client closed the connection during {path}", 0.0003),
        OrdinaryLine(LogLevel.DEBUG, "config poll: unchanged", per_tick=1.0),
    ),
)
