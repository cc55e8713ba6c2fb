"""Metrics for Prometheus.

With several workers, each writes its metrics into a shared folder, and whoever answers adds them
up: the process that started the workers on the metrics port, a worker at /metrics.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

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
from openenv_kit.variables import METRICS_FOLDER_VARIABLE

logger = logging.getLogger("openenv_kit.server")


@contextlib.contextmanager
def create_metrics_folder(worker_count: int) -> Iterator[None]:
    """For a process that starts workers: a folder for their figures while they run."""
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


TIME_BUCKETS_S = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Upper bounds of times, in seconds: from a step in memory to a request that timed out."""

SESSIONS = Gauge("openenv_kit_sessions", "Open WebSocket sessions", multiprocess_mode="livesum")
WORKERS = Gauge("openenv_kit_workers", "Workers that serve", multiprocess_mode="livesum")
SESSION_LIMIT = Gauge(
    "openenv_kit_session_limit", "Slots for WebSocket sessions", multiprocess_mode="livesum"
)
RESET_SECONDS = Histogram(
    "openenv_kit_reset_seconds",
    "Resets, by transport, with the wait for a thread and for the store",
    ["transport"],
    buckets=TIME_BUCKETS_S,
)
STEP_SECONDS = Histogram(
    "openenv_kit_step_seconds",
    "Steps, by method, with the wait for a thread, for the store and for earlier steps",
    ["method"],
    buckets=TIME_BUCKETS_S,
)
STORE_UP = Gauge(
    "openenv_kit_store_up",
    "1 while the episode store answers, else 0",
    multiprocess_mode="livemin",
)
STORE_BYTES = Gauge(
    "openenv_kit_store_bytes", "Size of the episode store", multiprocess_mode="livemostrecent"
)
STORE_LIMIT_BYTES = Gauge(
    "openenv_kit_store_limit_bytes",
    "Size that the episode store may have",
    multiprocess_mode="livemostrecent",
)
STORE_EPISODES = Gauge(
    "openenv_kit_store_episodes", "Stored episodes", multiprocess_mode="livemostrecent"
)
RUNNING_EPISODES = Gauge(
    "openenv_kit_running_episodes",
    "Episodes that workers play, by environment",
    ["environment"],
    multiprocess_mode="livesum",
)
ENVIRONMENT_GAUGES = Gauge(
    "openenv_kit_environment_gauge",
    "What an environment reports of its tools, by the name that it gives",
    ["environment", "gauge"],
    multiprocess_mode="livesum",
)
SLOW_CALLS = Gauge(
    "openenv_kit_slow_calls",
    "Slow tool calls, by whether they run or wait for their turn",
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
    "Slow tools and resets that run, or wait for a thread",
    multiprocess_mode="livesum",
)
EPISODES_STARTED = Counter(
    "openenv_kit_episodes_started_total",
    "Episodes that were started, by environment and transport",
    ["environment", "transport"],
)
EPISODES_ENDED = Counter(
    "openenv_kit_episodes_ended_total",
    "Episodes that ended, by environment, transport and reason",
    ["environment", "transport", "reason"],
)
ERRORS = Counter("openenv_kit_errors_total", "Errors told to a client, by kind", ["kind"])
SCORES = Histogram(
    "openenv_kit_score",
    "Final scores of finished episodes",
    buckets=tuple(n / 10 for n in range(11)),
)
REQUEST_SECONDS = Histogram(
    "openenv_kit_http_request_seconds",
    "HTTP requests, by route and status",
    ["route", "status"],
    buckets=TIME_BUCKETS_S,
)
STORE_CALL_SECONDS = Histogram(
    "openenv_kit_store_seconds", "Calls of the episode store", ["call"], buckets=TIME_BUCKETS_S
)


class WorkerMetrics(Collector):
    """The metrics of all workers, added up, and those of their processes.

    Args:
        folder: the shared one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        _remove_metrics_of_dead_workers(self._folder)
        collector = multiprocess.MultiProcessCollector(None, str(self._folder))  # type: ignore[no-untyped-call]
        yield from collector.collect()  # type: ignore[no-untyped-call]
        yield from _sum_process_metrics(_find_worker_pids(self._folder))


def get_registry() -> CollectorRegistry:
    """Return what holds the metrics of this server, of all its workers."""
    folder = os.environ.get(METRICS_FOLDER_VARIABLE)
    if not folder:
        return REGISTRY
    made = CollectorRegistry()
    made.register(WorkerMetrics(Path(folder)))
    return made


def render_metrics() -> tuple[bytes, str]:
    """All metrics, and their content type."""
    return generate_latest(get_registry()), CONTENT_TYPE_LATEST


@contextlib.contextmanager
def serve_metrics(settings: Settings) -> Iterator[None]:
    """Serve the metrics on a port of their own, without a token, while the block runs.

    Raises:
        ConfigurationError: the port that the settings name is taken. Where they name none, the
            server does without, because another one on this machine has it.
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
                f"Metrics cannot be served on {host}:{port} ({problem.strerror}). Set "
                "OPENENV_KIT_METRICS_HOST or OPENENV_KIT_METRICS_PORT to another one, or the "
                "port to 0 for none."
            ) from None
        fields = {"address": f"{host}:{port}", "reason": str(problem.strerror)}
        logger.warning("metrics port not opened", extra=fields)
        yield
        return
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


METRICS_COMBINED_BY_MIN = ("process_start_time_seconds", "process_max_fds")
"""Figures of processes of which the least counts; others are added up."""


def _sum_process_metrics(pids: Iterable[int]) -> Iterable[Metric]:
    """Memory, processor time and open files of some processes, under the usual names."""
    families: dict[str, Metric] = {}
    for pid in pids:
        for family in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
            known = families.setdefault(family.name, family)
            if known is family:
                continue
            (sample,), (other,) = known.samples, family.samples
            both = (sample.value, other.value)
            value = min(both) if sample.name in METRICS_COMBINED_BY_MIN else sum(both)
            known.samples = [sample._replace(value=value)]
    return families.values()


def _find_worker_pids(folder: Path) -> list[int]:
    """Processes that write into the shared folder."""
    found = {int(path.stem.rpartition("_")[2]) for path in folder.glob("gauge_live*_*.db")}
    return sorted(found)


def _remove_metrics_of_dead_workers(folder: Path) -> None:
    """Drop the live figures of workers that are gone: a killed one cannot do it itself."""
    for path in folder.glob("gauge_live*_*.db"):
        try:
            os.kill(int(path.stem.rpartition("_")[2]), 0)
        except ProcessLookupError:
            path.unlink(missing_ok=True)
        except PermissionError:
            pass  # somebody else's, and alive
