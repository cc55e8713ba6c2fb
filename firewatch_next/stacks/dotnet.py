""".NET services that log with the default console formatter. Drawn in the sealed split only."""

from __future__ import annotations

from firewatch_next.simulation.log_event import LogLevel, Phrasings, Wording
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.stacks.stack import LogLine, OrdinaryLine, Stack

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


DOTNET = Stack(
    name="dotnet",
    kinds=frozenset({ServiceKind.APPLICATION, ServiceKind.WORKER}),
    format_line=format_line,
    wordings=frozenset({Wording.SEALED}),
    messages={
        "call_failed": Phrasings(
            open=("{path}: {callee} gave {status}", "Status {status} from {callee} in {path}"),
            test="HttpRequestException: {status}, {callee}, {path}",
            sealed="System.Net.Http.HttpRequestException: Response status code does not indicate "
            "success: {status}. Host {callee}, action {path}",
        ),
        "call_timeout": Phrasings(
            open=(
                "{path}: {callee} exceeded {timeout_ms} ms",
                "Timeout {timeout_ms} ms, {callee}, {path}",
            ),
            test="OperationCanceledException: {callee} over {timeout_ms} ms in {path}",
            sealed="System.Threading.Tasks.TaskCanceledException: HttpClient.Timeout of "
            "{timeout_ms} ms elapsing. Host {callee}, action {path}",
        ),
        "connect_failed": Phrasings(
            open=("{path}: {callee} unreachable, {problem}", "{problem} at {callee} for {path}"),
            test="SocketException: {problem}; {callee}; {path}",
            sealed="System.Net.Sockets.SocketException: {problem}. Endpoint {callee}, action "
            "{path}",
        ),
        "pool_timeout": Phrasings(
            open=(
                "{path}: {callee} pool max {pool_size}, {waited_ms} ms",
                "Pool of {callee} exhausted ({pool_size}) for {waited_ms} ms, {path}",
            ),
            test="NpgsqlException: pool {callee} {pool_size} after {waited_ms} ms; {path}",
            sealed="System.InvalidOperationException: The timeout period ({waited_ms} ms) elapsed "
            "prior to obtaining a connection from {callee}; max pool size {pool_size}. Action "
            "{path}",
        ),
        "queue_full": Phrasings(
            open=("{path}: 503 at {queue_length} queued", "Queue {queue_length} full, {path}"),
            test="ConcurrencyLimiter rejected {path} ({queue_length})",
            sealed="RateLimitLease not acquired: {queue_length} permits queued. Action {path}",
        ),
        "request_failed": Phrasings(
            open=("{path} {status}, {milliseconds} ms", "{status} for {path} in {milliseconds} ms"),
            test="Finished {status} {milliseconds} ms {path}",
            sealed="Request finished HTTP/2 POST {path} - {status} - {milliseconds}ms",
        ),
        "retrying": Phrasings(
            open=("{path}: attempt {attempt}, {callee}", "Retry {attempt} of {callee} in {path}"),
            test="Polly retry {attempt}: {callee}; {path}",
            sealed="Resilience event OnRetry, {callee}, Attempt: '{attempt}'. Action {path}",
        ),
        "gc_pressure": Phrasings(
            open=(
                "GC {gc_percent} %, heap {memory_percent} %",
                "Heap hard limit {memory_percent} %, pause {gc_percent} %",
            ),
            test="Gen2 pause share {gc_percent}, load {memory_percent}",
            sealed="GCMemoryInfo: PauseTimePercentage {gc_percent}, MemoryLoad {memory_percent} %",
        ),
    },
    ordinary=(
        OrdinaryLine(LogLevel.ERROR, "The client reset the request stream of {path}", 0.00005),
        OrdinaryLine(LogLevel.INFO, "Request finished POST {path} - 200 {milliseconds}ms", 1.0),
        OrdinaryLine(LogLevel.INFO, "Hosting heartbeat, {count} connections", per_tick=1.0),
        OrdinaryLine(LogLevel.WARN, "Cookie of {path} has no SameSite attribute", 0.0002),
    ),
)
