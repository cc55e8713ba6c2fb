"""The metrics that the history offers: names, units, labels and noise."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


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
        unit: "ratio" is 0–1, "ms" milliseconds, "per_second", "count", "megabytes", "seconds".
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
        Metric("memory_mb", "megabytes", (), 0.004, "Memory in use per pod."),
        Metric("threads_in_use", "ratio", (), 0.02, "Worker threads in use to all."),
        Metric("degraded_ratio", "ratio", (), 0.03,
               "Share of answers without the data of an optional or broken callee."),
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
