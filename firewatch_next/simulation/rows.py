"""The stored values of a service and of its calls in one tick."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from firewatch_next.simulation.latency import MAX_MODES, TIMED_OUT_STEP
from firewatch_next.simulation.memory import in_flight_bytes, mean_base_memory_bytes
from firewatch_next.simulation.service import (
    CONNECTION_REASONS,
    CalleeClient,
    ErrorReason,
    Mode,
    Service,
    ServiceKind,
)
from openenv_kit.float_sum import sum_left_to_right


class Column(IntEnum):
    """Column of a service's row. After `MODES` follow medians and shares of the modes.

    `LEVEL` is the hit ratio of a cache, the messages waiting in a queue or worker, and the lag in
    seconds of a store's replica.
    """

    LOAD = 0
    UTILIZATION = 1
    THREADS = 2
    MEMORY = 3
    GC = 4
    PODS = 5
    EXCEPTION = 6
    REJECTED = 7
    BAD_GATEWAY = 8
    TIMEOUT = 9
    POOL_TIMEOUT = 10
    CLIENT_ERRORS = 11  # 401, 403 and 429
    DEGRADED = 12
    LEVEL = 13
    DISK = 14
    MODES = 15  # median of the fast mode, then share and median of the others


class CallColumn(IntEnum):
    """Column of a call's row."""

    OFFERED = 0  # calls per second with retries
    ATTEMPTS = 1
    FAILED = 2  # after all attempts, without pool timeouts
    CONNECTION_FAILED = 3  # of single attempts, before the callee received them
    POOL_TIMEOUT = 4
    POOL_SIZE = 5
    POOL_IN_USE = 6


SERVICE_COLUMNS = 24
CALL_COLUMNS = 7
_OTHER_REASONS = tuple(
    reason
    for reason in ErrorReason
    if reason
    not in (
        ErrorReason.EXCEPTION,
        ErrorReason.REJECTED,
        ErrorReason.BAD_GATEWAY,
        ErrorReason.TIMEOUT,
        ErrorReason.POOL_TIMEOUT,
    )
)


class CallProfile(NamedTuple):
    """A client's constants while its service is calm."""

    offered_per_load: float
    attempts: float
    failed_share: float
    pool_size: int
    pool_use_per_load: float


class CalmProfile(NamedTuple):
    """Everything of a calm service that does not depend on its load.

    Attributes:
        columns: a row, whose columns that depend on the load are replaced.
        cpu_per_load, threads_per_load, memory_per_load: shares in use for one request per second.
        memory_share: share of the memory limit in use without any request.
        calls: in the order of the service's clients.
    """

    columns: tuple[float, ...]
    cpu_per_load: float
    threads_per_load: float
    memory_per_load: float
    memory_share: float
    calls: tuple[CallProfile, ...]


def service_row(service: Service) -> list[float]:
    """Return the row of a service. A mode of timed-out requests has a negative median."""
    errors = service.errors
    row = [
        service.load,
        service.utilization,
        service.threads_in_use,
        service.memory_used_share,
        service.gc_share,
        float(sum(group.pods for group in service.groups)),
        errors.get(ErrorReason.EXCEPTION, 0.0),
        errors.get(ErrorReason.REJECTED, 0.0),
        errors.get(ErrorReason.BAD_GATEWAY, 0.0),
        errors.get(ErrorReason.TIMEOUT, 0.0),
        errors.get(ErrorReason.POOL_TIMEOUT, 0.0),
        sum_left_to_right(errors.get(reason, 0.0) for reason in _OTHER_REASONS),
        service.degraded_share,
        _level(service),
        service.disk_used_share,
        service.modes[0].median,
    ]
    for mode in service.modes[1:]:
        row.append(mode.share)
        row.append(-mode.median if mode.step == TIMED_OUT_STEP else mode.median)
    row.extend([0.0] * (SERVICE_COLUMNS - len(row)))
    return row


def modes_of_row(row: list[float] | tuple[float, ...], step: float) -> tuple[Mode, ...]:
    """Return the latency modes of a service's row, given its own `latency_step`."""
    others = []
    for position in range(Column.MODES + 1, SERVICE_COLUMNS, 2):
        share, median = row[position], row[position + 1]
        if share > 0.0:
            narrow = median < 0.0
            others.append(Mode(share, -median if narrow else median,
                               TIMED_OUT_STEP if narrow else step))  # fmt: skip
    fast_share = 1.0 - sum_left_to_right(mode.share for mode in others)
    assert len(others) < MAX_MODES
    return (Mode(max(0.0, fast_share), row[Column.MODES], step), *others)


def call_row(client: CalleeClient) -> list[float]:
    """Return the row of a client."""
    connection = client.dead_share
    for reason, share in client.errors.items():
        if reason in CONNECTION_REASONS:
            connection += share
    return [
        client.offered,
        client.attempts,
        client.failed_share,
        connection,
        1.0 - client.pool_passed_share,
        float(client.pool_size),
        client.pool_in_use,
    ]


def calm_profile(service: Service) -> CalmProfile:
    """Return the constants of a calm service."""
    load = service.load
    limit = service.memory_limit_bytes
    calls = tuple(
        CallProfile(
            client.offered / load,
            client.attempts,
            client.failed_share,
            client.pool_size,
            client.pool_in_use / load,
        )
        for client in service.clients
    )
    return CalmProfile(
        tuple(service_row(service)),
        service.utilization / load,
        service.threads_in_use / load,
        in_flight_bytes(service) / load / limit,
        mean_base_memory_bytes(service) / limit,
        calls,
    )


def calm_service_row(profile: CalmProfile, load: float) -> list[float]:
    """Return the row of a calm service at a load."""
    row = list(profile.columns)
    row[Column.LOAD] = load
    row[Column.UTILIZATION] = profile.cpu_per_load * load
    row[Column.THREADS] = profile.threads_per_load * load
    row[Column.MEMORY] = profile.memory_share + profile.memory_per_load * load
    return row


def calm_call_row(call: CallProfile, load: float) -> list[float]:
    """Return the row of a client of a calm service at the service's load."""
    return [
        call.offered_per_load * load,
        call.attempts,
        call.failed_share,
        0.0,
        0.0,
        float(call.pool_size),
        call.pool_use_per_load * load,
    ]


def _level(service: Service) -> float:
    if service.kind is ServiceKind.CACHE:
        return service.cache_hit_share
    if service.kind in (ServiceKind.QUEUE, ServiceKind.WORKER):
        return service.backlog
    return service.replica_lag_seconds
