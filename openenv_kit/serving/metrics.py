"""Metrics for Prometheus.

With several workers, each writes its metrics into a shared folder. The process that serves them
adds them up: on the metrics port the process that started the workers, at /metrics a worker.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    multiprocess,
    start_http_server,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from openenv_kit.errors import ConfigurationError
from openenv_kit.serving.settings import Settings

logger = logging.getLogger("openenv_kit.server")

METRICS_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Variable with the shared folder. prometheus_client reads it when it is imported."""

LIVE_GAUGE_FILES = "gauge_live*_*.db"
"""Files in the shared folder with the gauges of a running worker; the name ends in its pid."""


@contextlib.contextmanager
def create_metrics_folder(worker_count: int) -> Iterator[None]:
    """Create the folder in which workers share their metrics, while the block runs.

    A single worker needs none, and a folder that the variable already names is used as it is.
    """
    if worker_count == 1 or os.environ.get(METRICS_FOLDER_VARIABLE):
        yield
        return
    prefix = "openenv-kit-metrics-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        os.environ[METRICS_FOLDER_VARIABLE] = folder
        try:
            yield
        finally:
            os.environ.pop(METRICS_FOLDER_VARIABLE, None)


SHORT_TIME_BUCKETS_S = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)
LONG_TIME_BUCKETS_S = (1.0, 2.5, 5.0, 10.0, 30.0)
TIME_BUCKETS_S = SHORT_TIME_BUCKETS_S + LONG_TIME_BUCKETS_S
"""Upper bounds of the histograms of times, from a step in memory to a request that timed out."""


class ErrorKind(StrEnum):
    """Kinds of errors that are counted; the label `kind` of `openenv_kit_errors_total`."""

    CAPACITY = "capacity"
    INTERNAL = "internal"
    INVALID_JSON = "invalid_json"
    INVALID_MESSAGE = "invalid_message"
    INVALID_REQUEST = "invalid_request"
    INVALID_TEXT = "invalid_text"
    LATE_REFUSAL = "late_refusal"
    MALFORMED = "malformed"
    MCP = "mcp"
    ORIGIN = "origin"
    REQUEST_TIMEOUT = "request_timeout"
    RESET = "reset"
    ROLE = "role"
    SEALED_RECORD = "sealed_record"
    STEP = "step"
    STORE = "store"
    TOKEN = "token"
    TOO_BIG = "too_big"
    TOO_MANY_FRAMES = "too_many_frames"
    TOO_MANY_VALUES = "too_many_values"
    TOO_SLOW = "too_slow"
    UNKNOWN_EPISODE = "unknown_episode"
    UNKNOWN_TYPE = "unknown_type"
    UNREAD = "unread"


SESSIONS = Gauge("openenv_kit_sessions", "Open WebSocket sessions", multiprocess_mode="livesum")
WORKERS = Gauge("openenv_kit_workers", "Running workers", multiprocess_mode="livesum")
SESSION_LIMIT = Gauge(
    "openenv_kit_session_limit", "Maximum number of WebSocket sessions", multiprocess_mode="livesum"
)
RESET_SECONDS = Histogram(
    "openenv_kit_reset_seconds",
    "Time of resets by transport, including the wait for a thread and for the store",
    ["transport"],
    buckets=TIME_BUCKETS_S,
)
STEP_SECONDS = Histogram(
    "openenv_kit_step_seconds",
    "Time of steps by method, including the wait for a thread, the store and earlier steps",
    ["method"],
    buckets=TIME_BUCKETS_S,
)
STORE_UP = Gauge(
    "openenv_kit_store_up",
    "1 while the episode store is available, else 0",
    multiprocess_mode="livemin",
)
STORE_BYTES = Gauge(
    "openenv_kit_store_bytes", "Size of the episode store", multiprocess_mode="livemostrecent"
)
STORE_LIMIT_BYTES = Gauge(
    "openenv_kit_store_limit_bytes",
    "Maximum size of the episode store",
    multiprocess_mode="livemostrecent",
)
STORE_EPISODES = Gauge(
    "openenv_kit_store_episodes", "Stored episodes", multiprocess_mode="livemostrecent"
)
RUNNING_EPISODES = Gauge(
    "openenv_kit_running_episodes",
    "Running episodes by environment",
    ["environment"],
    multiprocess_mode="livesum",
)
ENVIRONMENT_GAUGES = Gauge(
    "openenv_kit_environment_gauge",
    "Gauges that an environment defines for its tools",
    ["environment", "gauge"],
    multiprocess_mode="livesum",
)
SLOW_CALLS = Gauge(
    "openenv_kit_slow_calls",
    "Slow tool calls by state: running or waiting",
    ["state"],
    multiprocess_mode="livesum",
)
THREADS = Gauge(
    "openenv_kit_threads", "Threads for slow tools and resets", multiprocess_mode="livesum"
)
WAITING_RESETS = Gauge(
    "openenv_kit_waiting_resets", "Resets that wait for a thread", multiprocess_mode="livesum"
)
BUSY_THREADS = Gauge(
    "openenv_kit_busy_threads",
    "Slow tools and resets that run or wait for a thread",
    multiprocess_mode="livesum",
)
EPISODES_STARTED = Counter(
    "openenv_kit_episodes_started_total",
    "Started episodes by environment and transport",
    ["environment", "transport"],
)
EPISODES_ENDED = Counter(
    "openenv_kit_episodes_ended_total",
    "Ended episodes by environment, transport and reason",
    ["environment", "transport", "reason"],
)
ERRORS = Counter("openenv_kit_errors_total", "Errors returned to clients, by kind", ["kind"])
SCORES = Histogram(
    "openenv_kit_score",
    "Final scores of finished episodes",
    buckets=tuple(n / 10 for n in range(11)),
)
REQUEST_SECONDS = Histogram(
    "openenv_kit_http_request_seconds",
    "Time of HTTP requests by route and status",
    ["route", "status"],
    buckets=TIME_BUCKETS_S,
)
STORE_CALL_SECONDS = Histogram(
    "openenv_kit_store_seconds",
    "Time of calls of the episode store",
    ["call"],
    buckets=TIME_BUCKETS_S,
)


def count_error(kind: ErrorKind) -> None:
    """Add one to the errors of a kind."""
    ERRORS.labels(kind).inc()


class WorkerMetrics(Collector):
    """Collects the metrics of all workers and of their processes, added up.

    Args:
        folder: shared folder of the workers.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Yield the current metrics."""
        _remove_metrics_of_dead_workers(self._folder)
        collector = multiprocess.MultiProcessCollector(None, str(self._folder))  # type: ignore[no-untyped-call]
        yield from collector.collect()  # type: ignore[no-untyped-call]
        yield from _sum_process_metrics(_find_worker_pids(self._folder))


def get_registry() -> CollectorRegistry:
    """Return the registry with the metrics of all workers of this server."""
    folder = os.environ.get(METRICS_FOLDER_VARIABLE)
    if not folder:
        return REGISTRY
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(Path(folder)))
    return registry


class MetricsPage(NamedTuple):
    """All metrics in Prometheus's text format, and the content type of that format."""

    body: bytes
    content_type: str


def render_metrics() -> MetricsPage:
    """Return the current metrics of this server."""
    return MetricsPage(generate_latest(get_registry()), CONTENT_TYPE_LATEST)


@contextlib.contextmanager
def serve_metrics(settings: Settings) -> Iterator[None]:
    """Serve the metrics on a separate port, without a token, while the block runs.

    If the default port is taken, probably by another server on this machine, the metrics are not
    served and a warning is logged.

    Raises:
        ConfigurationError: a port or address that the settings name is not available.
    """
    host, port = settings.metrics_host, settings.metrics_port
    if not port:
        yield
        return
    try:
        server, thread = start_http_server(port, host, get_registry())
    except OSError as problem:
        if {"metrics_host", "metrics_port"} & settings.model_fields_set:
            raise ConfigurationError(
                f"Metrics cannot be served on {host}:{port} ({problem.strerror}). Change "
                "OPENENV_KIT_METRICS_HOST or OPENENV_KIT_METRICS_PORT; port 0 serves no metrics."
            ) from None
        fields = {"address": f"{host}:{port}", "reason": str(problem.strerror)}
        logger.warning("failed to open the metrics port", extra=fields)
        yield
        return
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


METRICS_COMBINED_BY_MIN = ("process_start_time_seconds", "process_max_fds")
"""Metrics of processes whose total is the minimum; all others are added up."""


def _sum_process_metrics(pids: Iterable[int]) -> Iterable[Metric]:
    """Return memory, processor time and open files of some processes, under the usual names."""
    totals: dict[str, Metric] = {}
    for pid in pids:
        collector = ProcessCollector(pid=lambda pid=pid: pid, registry=None)  # type: ignore[misc]
        for metric in collector.collect():
            if metric.name not in totals:
                totals[metric.name] = metric
                continue
            total = totals[metric.name]
            (total_sample,) = total.samples
            (sample,) = metric.samples
            if sample.name in METRICS_COMBINED_BY_MIN:
                value = min(total_sample.value, sample.value)
            else:
                value = total_sample.value + sample.value
            total.samples = [total_sample._replace(value=value)]
    return totals.values()


def _find_worker_pids(folder: Path) -> list[int]:
    return sorted({_pid_of_gauge_file(path) for path in folder.glob(LIVE_GAUGE_FILES)})


def _remove_metrics_of_dead_workers(folder: Path) -> None:
    """Delete the gauges of workers that have ended; a killed worker cannot do that itself."""
    for path in folder.glob(LIVE_GAUGE_FILES):
        try:
            os.kill(_pid_of_gauge_file(path), 0)
        except ProcessLookupError:
            path.unlink(missing_ok=True)
        except PermissionError:
            pass  # the process exists and belongs to another user


def _pid_of_gauge_file(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])
