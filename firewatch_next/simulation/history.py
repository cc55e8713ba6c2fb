"""Past of a world: what was recorded in each tick, and how it is read as metric series.

A calm service stores its load only; its row is computed when read, with the same formula. Rows are
never altered after they are written, so forks of a world share them. Values are exact; noise is
added when a series is read (`read`).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from firewatch_next.simulation.log_event import LogRecord


class Label(StrEnum):
    """Label by which a metric can be grouped."""

    ZONE = "zone"
    VERSION = "version"
    POD = "pod"
    CODE = "code"
    CALLER = "caller"
    CALLEE = "callee"


class Metric(NamedTuple):
    """A metric that the history offers.

    Attributes:
        unit: "ratio" is 0–1, "ms" milliseconds, "per_second", "count", "bytes", "seconds", "cores".
        labels: labels by which it can be grouped. Without one, it is one series per service.
        noise: relative standard deviation of the noise of a reading.
        description: one sentence for the tool's documentation.
    """

    name: str
    unit: str
    labels: tuple[Label, ...]
    noise: float
    description: str


_GROUPS = (Label.ZONE, Label.VERSION)
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("request_rate", "per_second", (*_GROUPS, Label.CALLER, Label.CODE), 0.01,
               "Requests received per second."),
        Metric("error_ratio", "ratio", (*_GROUPS, Label.CODE, Label.CALLEE), 0.03,
               "Share of requests answered with 5xx or 4xx; by callee, calls that failed."),
        Metric("latency_p50_ms", "ms", (*_GROUPS, Label.CALLEE), 0.02,
               "Median duration of requests, or of calls by callee."),
        Metric("latency_p95_ms", "ms", (*_GROUPS, Label.CALLEE), 0.03, "95th percentile of it."),
        Metric("latency_p99_ms", "ms", (*_GROUPS, Label.CALLEE), 0.05, "99th percentile of it."),
        Metric("cpu_utilization", "ratio", (*_GROUPS, Label.POD), 0.02, "CPU in use to the limit."),
        Metric("cpu_ms_per_request", "ms", (*_GROUPS,), 0.02, "CPU time of a request."),
        Metric("cpu_stolen_share", "ratio", (*_GROUPS, Label.POD), 0.02,
               "CPU that other tenants of the node take."),
        Metric("gc_share", "ratio", (), 0.03, "CPU spent on garbage collection."),
        Metric("memory_ratio", "ratio", (Label.POD,), 0.004, "Memory in use to the limit."),
        Metric("memory_limit_mb", "count", (), 0.0, "Memory limit of a pod."),
        Metric("threads_in_use", "ratio", (), 0.02, "Worker threads in use to all."),
        Metric("rejected_ratio", "ratio", (), 0.03, "Requests rejected because of a full queue."),
        Metric("pods_ready", "count", (*_GROUPS,), 0.0, "Pods that get traffic."),
        Metric("pods_killed", "count", (Label.POD,), 0.0, "Pods killed for memory in the tick."),
        Metric("call_rate", "per_second", (Label.CALLEE,), 0.01, "Calls sent per second."),
        Metric("calls_per_request", "count", (Label.CALLEE,), 0.01, "Calls for one request."),
        Metric("attempts", "count", (Label.CALLEE,), 0.005, "Attempts per call."),
        Metric("connect_error_ratio", "ratio", (Label.CALLEE,), 0.03,
               "Calls that failed before the callee received them."),
        Metric("pool_size", "count", (Label.CALLEE,), 0.0, "Connections per pod of the pool."),
        Metric("pool_in_use", "ratio", (Label.CALLEE,), 0.01, "Share of the pool in use."),
        Metric("pool_timeout_ratio", "ratio", (Label.CALLEE,), 0.03,
               "Calls that got no connection of the pool in time."),
        Metric("cache_hit_ratio", "ratio", (), 0.005, "Share of lookups that hit."),
        Metric("backlog", "count", (), 0.01, "Messages that wait in the queue."),
        Metric("replica_lag_seconds", "seconds", (), 0.03, "Delay of the slowest replica."),
        Metric("disk_used_ratio", "ratio", (), 0.002, "Share of the disk in use."),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Series:
    """Readings of one metric of one service for one set of labels, oldest first.

    Attributes:
        labels: empty for the whole service.
        ticks: of the readings; a tick is 30 seconds and 0 is the reset.
    """

    metric: str
    service: str
    labels: Mapping[str, str]
    ticks: tuple[int, ...]
    values: tuple[float, ...]


class GroupRow(NamedTuple):
    """A pod group in one tick. Stored only while groups of the service differ."""

    zone: str
    version: str
    revision: str
    node: str
    pods: int
    load: float
    error_ratio: float
    slow_share: float
    extra_latency_seconds: float
    utilization: float
    cpu_factor: float
    stolen_share: float


class PodRow(NamedTuple):
    """A pod in one tick. Stored only while leaks or a memory limit act on the service."""

    name: str
    memory_share: float
    leaked_connections: float
    age_ticks: int
    is_ready: bool


class FlagRow(NamedTuple):
    """What requests with a flag did in one tick. Stored only while the flag has an effect."""

    flag: str
    percent: float
    error_share: float
    leaked_bytes: float
    leaked_connections: float


class PodEvent(NamedTuple):
    """A start or an end of a pod. `kind` is "started", "killed" or "stopped"."""

    tick: int
    service: str
    pod: str
    kind: str


@dataclass(slots=True)
class ServiceDetails:
    """Rows of one service and tick that exist only while something acts on it."""

    groups: tuple[GroupRow, ...] = ()
    pods: tuple[PodRow, ...] = ()
    flags: tuple[FlagRow, ...] = ()


@dataclass(slots=True)
class TickRow:
    """All that is recorded of one tick.

    Attributes:
        loads: requests per second of each service, in the world's order.
        full: position in `values` of the services that were computed in full.
    """

    harm: float
    loads: array[float]
    full: dict[int, int] = field(default_factory=dict)
    values: array[float] = field(default_factory=lambda: array("f"))
    details: dict[str, ServiceDetails] = field(default_factory=dict)
    logs: tuple[LogRecord, ...] = ()
    pod_events: tuple[PodEvent, ...] = ()
