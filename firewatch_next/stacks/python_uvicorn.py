"""Python web services behind uvicorn that write one JSON object per line."""

from __future__ import annotations

import json

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

_LEVEL_NAMES = {LogLevel.WARN: "WARNING"}


def format_line(line: LogLine) -> str:
    """Return the line as a JSON formatter of Python's logging writes it."""
    record = {
        "ts": f"{line.time:%Y-%m-%d %H:%M:%S},{format_milliseconds(line.time)}",
        "level": _LEVEL_NAMES.get(line.level, line.level.value),
        "logger": "uvicorn.error" if line.event else "uvicorn.access",
        "msg": line.message,
    }
    if line.event:
        record["request_id"] = make_request_id(line)[:12]
    return json.dumps(record, ensure_ascii=False)


_MESSAGES = """
call_failed
    httpx.HTTPStatusError: Server error '{status}' for url 'http://{callee}' in {path}
    {path}: {callee} replied {status}
    aiohttp.client_exceptions.ClientResponseError: {status}, url='http://{callee}' while serving
      {path}
    requests.exceptions.HTTPError: {status} Server Error; host {callee}; view {path}
call_timeout
    httpx.ReadTimeout: {callee} after {timeout_ms} ms in {path}
    {path} gave up on {callee}: no data for {timeout_ms} ms
    asyncio.exceptions.TimeoutError: awaited {callee} for {timeout_ms} ms, view {path}
    urllib3.exceptions.ReadTimeoutError: HTTPConnectionPool(host='{callee}'): {timeout_ms} ms
      passed; view {path}
connect_failed
    httpx.ConnectError: {problem} ({callee}) in {path}
    {path}: could not open a connection to {callee}: {problem}
    aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host {callee} [{problem}],
      view {path}
    urllib3.exceptions.NewConnectionError: {callee}: {problem}; view {path}
pool_timeout
    sqlalchemy.exc.TimeoutError: QueuePool limit of size {pool_size} for {callee} reached, timed
      out after {waited_ms} ms in {path}
    {path}: all {pool_size} connections to {callee} are checked out ({waited_ms} ms)
    asyncpg.exceptions.InterfaceError: {callee}: could not acquire within {waited_ms} ms,
      max_size={pool_size}, view {path}
    psycopg_pool.PoolTimeout: couldn't get a connection to {callee} after {waited_ms} ms (max
      {pool_size}); view {path}
queue_full
    {path} refused with 503: {queue_length} requests are waiting
    Exceeded the number of workers; backlog {queue_length}, {path} dropped
    anyio.WouldBlock: limiter has no token for {path}, {queue_length} queued
    ASGI worker saturated ({queue_length} pending), answering 503 to {path}
request_failed
    POST {path} HTTP/1.1 {status} {milliseconds}ms
    {status} returned by {path} in {milliseconds} ms
    response status={status} route={path} duration_ms={milliseconds}
    finished {path}: {milliseconds} ms, code {status}
retrying
    tenacity: attempt {attempt} of call to {callee} in {path}
    {path}: repeat request to {callee} (attempt {attempt})
    backoff: trying {callee} once more, tries={attempt}, view {path}
    urllib3.util.retry: Incremented Retry for {callee}: total={attempt} ({path})
gc_pressure
    gc.collect ran {gc_percent} % of the time, rss {memory_percent} % of limit
    memory {memory_percent} % of limit, gc {gc_percent} %
    worker rss is {memory_percent} percent; collector share {gc_percent} percent
    soft memory ceiling near: {memory_percent} % ({gc_percent} % in gen2)
"""

PYTHON_UVICORN = Stack(
    name="python_uvicorn",
    kinds=frozenset({ServiceKind.APPLICATION, ServiceKind.WORKER}),
    format_line=format_line,
    messages=parse_messages(_MESSAGES),
    ordinary=(
        OrdinaryLine(LogLevel.ERROR, "ClientDisconnect while sending {path}", 0.00005),
        OrdinaryLine(LogLevel.INFO, "POST {path} HTTP/1.1 200 {milliseconds}ms", 1.0),
        OrdinaryLine(LogLevel.INFO, "healthz ok ({count} checks)", per_tick=1.0),
        OrdinaryLine(LogLevel.WARN, "Invalid HTTP request received.", 0.0002),
        OrdinaryLine(LogLevel.DEBUG, "connection pool recycled {count} entries", per_tick=0.5),
    ),
)
