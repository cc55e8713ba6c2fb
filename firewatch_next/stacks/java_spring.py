"""Java with Spring Boot and Logback: `time LEVEL pid --- [thread] logger : message`."""

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
    "pool_timeout": "com.zaxxer.hikari.pool.HikariPool",
    "gc_pressure": "o.s.b.a.m.JvmGcMonitor",
    "": "o.s.web.servlet.DispatcherServlet",
}


def format_line(line: LogLine) -> str:
    """Return the line as Spring Boot's default pattern writes it."""
    time = f"{line.time:%Y-%m-%dT%H:%M:%S}.{format_milliseconds(line.time)}Z"
    thread = f"nio-8080-exec-{line.number % 200 + 1}"
    logger = _LOGGERS.get(line.event, f"c.a.{line.service.split('-')[0]}.web.ApiController")
    return f"{time} {line.level:>5} 1 --- [{thread}] {logger:<40} : {line.message}"


_MESSAGES = """
call_failed
    HttpServerErrorException: {status} from {callee} while handling {path}
    {path} failed: feign.FeignException: [{status}] during [POST] to [{callee}]
    org.springframework.web.client.RestClientResponseException: {callee} returned status code
      {status}; request was {path}
    WebClientResponseException$Status{status}: exchange with {callee} ended abnormally ({path})
call_timeout
    java.net.SocketTimeoutException: Read timed out after {timeout_ms} ms calling {callee}
      ({path})
    {path}: ResourceAccessException: I/O error on POST request for {callee}: no response in
      {timeout_ms} ms
    io.netty.handler.timeout.ReadTimeoutException on channel to {callee}, limit {timeout_ms}ms,
      handling {path}
    java.util.concurrent.TimeoutException: Did not observe any item within {timeout_ms}ms in
      'exchange {callee}' for {path}
connect_failed
    java.net.ConnectException: {problem} connecting to {callee} ({path})
    {path}: I/O error on POST request for {callee}: {problem}
    org.apache.http.conn.HttpHostConnectException: Connect to {callee} failed: {problem}; {path}
    io.netty.channel.AbstractChannel$AnnotatedSocketException: {problem}: {callee}, {path} not
      sent
pool_timeout
    {callee}-pool - Connection is not available, request timed out after {waited_ms}ms
      (total={pool_size}) {path}
    SQLTransientConnectionException for {path}: no connection to {callee} in {waited_ms}ms,
      {pool_size} in pool
    org.apache.http.conn.ConnectionPoolTimeoutException: Timeout waiting for connection from
      pool {callee} [max {pool_size}], {waited_ms} ms, {path}
    PoolAcquireTimeoutException: lease from {callee} (capacity {pool_size}) pending longer than
      {waited_ms}ms, abandoned by {path}
queue_full
    java.util.concurrent.RejectedExecutionException: queue capacity {queue_length} reached,
      {path} refused
    {path} refused with 503: task queue is at {queue_length}
    TaskRejectedException: executor did not accept {path} ({queue_length} queued)
    org.apache.tomcat.util.threads: backlog of {queue_length} exhausted, shedding {path}
request_failed
    Completed {status} for {path} in {milliseconds} ms
    {path} -> {status} ({milliseconds} ms)
    Resolved request {path} with status {status} after {milliseconds} ms
    Outcome {status}, {milliseconds} ms: {path}
retrying
    Retry attempt {attempt} for {callee} ({path})
    {callee} call of {path} is repeated, attempt {attempt}
    RetryTemplate: count={attempt} for exchange {callee} in {path}
    Backing off before try {attempt} towards {callee}; origin {path}
gc_pressure
    GC overhead {gc_percent} % in the last 30 s, heap at {memory_percent} %
    Heap {memory_percent} % used after collection, {gc_percent} % of CPU in GC
    G1 old collections took {gc_percent} percent of time; occupancy {memory_percent} percent
    Allocation stalls: collector share {gc_percent} %, live data {memory_percent} % of max
"""

JAVA_SPRING = Stack(
    name="java_spring",
    kinds=frozenset({ServiceKind.APPLICATION, ServiceKind.WORKER}),
    format_line=format_line,
    messages=parse_messages(_MESSAGES),
    ordinary=(
        OrdinaryLine(
            LogLevel.ERROR,
            "org.apache.catalina.connector.ClientAbortException: Broken pipe on {path}",
            0.00005,
        ),
        OrdinaryLine(LogLevel.INFO, "Completed 200 OK for {path} in {milliseconds} ms", 1.0),
        OrdinaryLine(LogLevel.INFO, "HikariPool-1 - Pool stats (active={count})", per_tick=1.0),
        OrdinaryLine(LogLevel.WARN, "Query parameter 'expand' of {path} is deprecated", 0.0002),
        OrdinaryLine(LogLevel.DEBUG, "Scheduler tick, {count} entries refreshed", per_tick=1.0),
    ),
)
