"""Log events of consequences: what any program logs when its requests or calls go wrong.

Their counts come from the rows of the history, so no fault is known here. The wording belongs to
the stacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from firewatch_next.simulation.log_event import LogEvent, LogLevel, LogRecord, Phrasings
from firewatch_next.simulation.rows import CallColumn, Column, modes_of_row
from firewatch_next.simulation.service import SECONDS_PER_TICK, CalleeClient, Service, ServiceKind
from firewatch_next.stacks import STACKS
from firewatch_next.stacks.stack import CONSEQUENCE_FIELDS
from firewatch_next.telemetry.statements import list_statements
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.float_sum import sum_left_to_right

_LEVELS = {
    "call_failed": LogLevel.ERROR,
    "call_timeout": LogLevel.ERROR,
    "connect_failed": LogLevel.ERROR,
    "pool_timeout": LogLevel.ERROR,
}
_CODE_COLUMNS = (
    (500, Column.EXCEPTION),
    (500, Column.POOL_TIMEOUT),
    (502, Column.BAD_GATEWAY),
    (503, Column.REJECTED),
    (504, Column.TIMEOUT),
)
_CODES_OF_REASONS = {"unauthorized": 401, "forbidden": 403, "rate_limited": 429}
_SLOW_STATEMENT_SECONDS = 0.25
_GC_LOGGED_FROM = 0.1
_REPLICA_LOGGED_FROM_SECONDS = 5.0
_MIN_COUNT = 0.5  # lines in a tick
# Failures below the ordinary few per 10,000 requests are in the ordinary lines.
_MIN_SHARE = 0.0008
KUBELET = "kubelet"

POD_KILLED = LogEvent(
    "pod_killed",
    LogLevel.ERROR,
    ("pod", "limit_mb"),
    {
        "any": Phrasings(
            open=(
                "Container in pod {pod} terminated: reason=OOMKilled exitCode=137 "
                "(memory limit {limit_mb}Mi)",
                "Pod {pod} OOMKilled, exit code 137, limit {limit_mb}Mi; container will restart",
            ),
            test="Memory cgroup out of memory (limit {limit_mb}Mi): killed main process of {pod}, "
            "status 137",
            sealed="PLEG: ContainerDied {pod} signal=9, cgroup ceiling {limit_mb}Mi hit",
        )
    },
)
POD_STARTED = LogEvent(
    "pod_started",
    LogLevel.INFO,
    ("pod",),
    {
        "any": Phrasings(
            open=("Started container of {pod}", "Container in pod {pod} started"),
            test="Created and started {pod}",
            sealed="PLEG: ContainerStarted {pod}",
        )
    },
)
POD_STOPPED = LogEvent(
    "pod_stopped",
    LogLevel.INFO,
    ("pod",),
    {
        "any": Phrasings(
            open=("Stopping container of {pod}", "Killing pod {pod}: replaced or removed"),
            test="Graceful termination of {pod} requested",
            sealed="PLEG: ContainerStopped {pod}",
        )
    },
)
_POD_EVENTS = {"killed": POD_KILLED, "started": POD_STARTED, "stopped": POD_STOPPED}
KUBELET_EVENTS = frozenset(event.name for event in _POD_EVENTS.values())


@cache
def consequence_event(name: str) -> LogEvent:
    """Return the log event of a consequence, with the wording of every stack that has it."""
    phrasings = {s.name: s.messages[name] for s in STACKS.values() if name in s.messages}
    return LogEvent(name, _LEVELS.get(name, LogLevel.WARN), CONSEQUENCE_FIELDS[name], phrasings)


def list_consequences(view: TelemetryView, service: Service, tick: int) -> list[LogRecord]:
    """Return the log records of a service's consequences in one tick."""
    history = view.world.history
    records = list(_pod_records(view, service, tick))
    if service.name not in history.row(tick).full:  # it was calm
        return records
    stack = STACKS.get(service.stack)
    if stack is None:
        return records
    found = list(_request_records(view, service, tick))
    for client in service.clients:
        found += _call_records(view, service, client, tick)
    load = view.world.history.service_values(service.name, tick)[Column.LOAD]
    least = max(_MIN_COUNT, _MIN_SHARE * load * SECONDS_PER_TICK)
    found = [record for record in found if record.count >= least]
    found += (r for r in _state_records(view, service, tick) if r.count >= _MIN_COUNT)
    return records + [record for record in found if record.event.name in stack.messages]


def _record(
    service: Service, tick: int, name: str, count: float, **fields: str | int | float
) -> LogRecord:
    return LogRecord(tick, service.name, consequence_event(name), count, fields)


def _pod_records(view: TelemetryView, service: Service, tick: int) -> Iterator[LogRecord]:
    for event in view.world.history.pod_events(service.name, tick, tick):
        if event.kind in _POD_EVENTS:
            megabytes = view.world.history.limits(service.name, tick).memory_bytes / 1e6
            fields: dict[str, str | int | float] = {
                "pod": event.pod,
                "limit_mb": round(megabytes),
            }
            log_event = _POD_EVENTS[event.kind]
            yield LogRecord(tick, service.name, log_event, 1.0, fields, pod=event.pod)


def failed_shares_by_code(view: TelemetryView, service: str, tick: int) -> dict[int, float]:
    """Return the shares of a service's requests that it answered with a failure, by status."""
    history = view.world.history
    values = history.service_values(service, tick)
    shares: dict[int, float] = {}
    for code, column in _CODE_COLUMNS:
        shares[code] = shares.get(code, 0.0) + values[column]
    for reason, share in history.details(service, tick).errors:
        code = _CODES_OF_REASONS.get(reason, 0)
        if code:
            shares[code] = shares.get(code, 0.0) + share
    return {code: share for code, share in shares.items() if share > 0.0}


def _request_records(view: TelemetryView, service: Service, tick: int) -> Iterator[LogRecord]:
    values = view.world.history.service_values(service.name, tick)
    requests = values[Column.LOAD] * SECONDS_PER_TICK
    milliseconds = round(1000.0 * values[Column.MODES], 1)
    for code, share in failed_shares_by_code(view, service.name, tick).items():
        yield _record(service, tick, "request_failed", requests * share, status=code,
                      milliseconds=milliseconds)  # fmt: skip
    yield _record(service, tick, "queue_full", requests * values[Column.REJECTED],
                  queue_length=service.queue_length)  # fmt: skip


def _state_records(view: TelemetryView, service: Service, tick: int) -> Iterator[LogRecord]:
    values = view.world.history.service_values(service.name, tick)
    if values[Column.GC] > _GC_LOGGED_FROM:
        yield _record(service, tick, "gc_pressure", values[Column.PODS],
                      gc_percent=round(100.0 * values[Column.GC]),
                      memory_percent=round(100.0 * values[Column.MEMORY]))  # fmt: skip
    if service.kind is ServiceKind.STORE and values[Column.LEVEL] > _REPLICA_LOGGED_FROM_SECONDS:
        yield _record(service, tick, "replica_behind", 1.0, lag_seconds=round(values[Column.LEVEL]))
    modes = modes_of_row(list(values), service.latency_step)
    slow = [mode for mode in modes if mode.median > _SLOW_STATEMENT_SECONDS]
    if slow and service.kind in (ServiceKind.STORE, ServiceKind.QUEUE, ServiceKind.CACHE):
        worst = max(slow, key=lambda mode: mode.share)
        statement = max(list_statements(view, service), key=lambda one: one.time_share)
        count = (
            sum_left_to_right(mode.share for mode in slow) * values[Column.LOAD] * SECONDS_PER_TICK
        )
        yield _record(service, tick, "slow_statement", count, user=statement.user,
                      statement=statement.text,
                      milliseconds=round(1000.0 * worst.median))  # fmt: skip


class CallFailures:
    """How the calls of a client failed in one tick, as shares of its calls.

    Attributes:
        calls: calls in the tick.
        pool_timeout, connection, late: shares without a connection from the pool, without one to
            the callee, and without an answer in time.
        by_code: shares that the callee answered with a failure, by status.
        attempts: per call.
    """

    def __init__(self, view: TelemetryView, service: str, callee: str, tick: int) -> None:
        values = view.world.history.call_values(service, callee, tick)
        self.attempts = values[CallColumn.ATTEMPTS]
        self.calls = values[CallColumn.OFFERED] * SECONDS_PER_TICK / self.attempts
        self.pool_timeout = values[CallColumn.POOL_TIMEOUT]
        failed = values[CallColumn.FAILED] * (1.0 - self.pool_timeout)
        self.connection = min(failed, values[CallColumn.CONNECTION_FAILED])
        rest = failed - self.connection
        by_code = failed_shares_by_code(view, callee, tick)
        total = sum_left_to_right(by_code.values())
        answered = min(rest, total)
        self.by_code = {code: answered * share / total for code, share in by_code.items()}
        self.late = rest - answered

    @property
    def total(self) -> float:
        """Share of the calls that failed."""
        return (
            self.pool_timeout
            + self.connection
            + self.late
            + sum_left_to_right(self.by_code.values())
        )


def _call_records(
    view: TelemetryView, service: Service, client: CalleeClient, tick: int
) -> Iterator[LogRecord]:
    failures = CallFailures(view, service.name, client.callee, tick)
    callee, calls = client.callee, failures.calls
    for code, share in failures.by_code.items():
        yield _record(service, tick, "call_failed", calls * share, callee=callee, status=code)
    yield _record(service, tick, "call_timeout", calls * failures.late, callee=callee,
                  timeout_ms=round(1000.0 * client.timeout_seconds))  # fmt: skip
    yield _record(service, tick, "connect_failed", calls * failures.connection, callee=callee,
                  problem="connection error")  # fmt: skip
    pool_size = view.world.history.call_values(service.name, callee, tick)[CallColumn.POOL_SIZE]
    yield _record(service, tick, "pool_timeout", calls * failures.pool_timeout, callee=callee,
                  pool_size=round(pool_size),
                  waited_ms=round(1000.0 * client.acquire_timeout_seconds))  # fmt: skip
    yield _record(service, tick, "retrying", calls * (failures.attempts - 1.0), callee=callee,
                  attempt=2)  # fmt: skip
