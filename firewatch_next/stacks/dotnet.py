""".NET services that log with the default console formatter. Drawn in the sealed split only."""

from __future__ import annotations

from firewatch_next.simulation.log_event import LogLevel, Wording
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.stacks.stack import LogLine, OrdinaryLine, Stack, parse_messages

_LEVEL_NAMES = {
    LogLevel.DEBUG: "dbug",
    LogLevel.INFO: "info",
    LogLevel.WARN: "warn",
    LogLevel.ERROR: "fail",
}


def format_line(line: LogLine) -> str:
    """Return the line as the single-line console formatter writes it."""
    category = "Api.Handlers.Request" if line.event else "Microsoft.AspNetCore.Hosting"
    time = f"{line.time:%H:%M:%S}"
    return f"{time} {_LEVEL_NAMES[line.level]}: {category}[{line.number % 20}] {line.message}"


_MESSAGES = """
call_failed
    {path}: {callee} gave {status}
    Status {status} from {callee} in {path}
    HttpRequestException: {status}, {callee}, {path}
    System.Net.Http.HttpRequestException: Response status code does not indicate success:
      {status}. Host {callee}, action {path}
call_timeout
    {path}: {callee} exceeded {timeout_ms} ms
    Timeout {timeout_ms} ms, {callee}, {path}
    OperationCanceledException: {callee} over {timeout_ms} ms in {path}
    System.Threading.Tasks.TaskCanceledException: HttpClient.Timeout of {timeout_ms} ms
      elapsing. Host {callee}, action {path}
connect_failed
    {path}: {callee} unreachable, {problem}
    {problem} at {callee} for {path}
    SocketException: {problem}; {callee}; {path}
    System.Net.Sockets.SocketException: {problem}. Endpoint {callee}, action {path}
pool_timeout
    {path}: {callee} pool max {pool_size}, {waited_ms} ms
    Pool of {callee} exhausted ({pool_size}) for {waited_ms} ms, {path}
    NpgsqlException: pool {callee} {pool_size} after {waited_ms} ms; {path}
    System.InvalidOperationException: The timeout period ({waited_ms} ms) elapsed prior to
      obtaining a connection from {callee}; max pool size {pool_size}. Action {path}
queue_full
    {path}: 503 at {queue_length} queued
    Queue {queue_length} full, {path}
    ConcurrencyLimiter rejected {path} ({queue_length})
    RateLimitLease not acquired: {queue_length} permits queued. Action {path}
request_failed
    {path} {status}, {milliseconds} ms
    {status} for {path} in {milliseconds} ms
    Finished {status} {milliseconds} ms {path}
    Request finished HTTP/2 POST {path} - {status} - {milliseconds}ms
retrying
    {path}: attempt {attempt}, {callee}
    Retry {attempt} of {callee} in {path}
    Polly retry {attempt}: {callee}; {path}
    Resilience event OnRetry, {callee}, Attempt: '{attempt}'. Action {path}
gc_pressure
    GC {gc_percent} %, heap {memory_percent} %
    Heap hard limit {memory_percent} %, pause {gc_percent} %
    Gen2 pause share {gc_percent}, load {memory_percent}
    GCMemoryInfo: PauseTimePercentage {gc_percent}, MemoryLoad {memory_percent} %
"""

DOTNET = Stack(
    name="dotnet",
    kinds=frozenset({ServiceKind.APPLICATION, ServiceKind.WORKER}),
    format_line=format_line,
    wordings=frozenset({Wording.SEALED}),
    messages=parse_messages(_MESSAGES),
    ordinary=(
        OrdinaryLine(LogLevel.ERROR, "The client reset the request stream of {path}", 0.00005),
        OrdinaryLine(LogLevel.INFO, "Request finished POST {path} - 200 {milliseconds}ms", 1.0),
        OrdinaryLine(LogLevel.INFO, "Hosting heartbeat, {count} connections", per_tick=1.0),
        OrdinaryLine(LogLevel.WARN, "Cookie of {path} has no SameSite attribute", 0.0002),
    ),
)
