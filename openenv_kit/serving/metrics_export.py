"""Export of the metrics to Prometheus.

With several workers, each worker writes its metrics into a shared folder. The process that serves
the metrics sums them: the parent process on the metrics port, or a worker at /metrics.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
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
"""Environment variable with the path of the shared folder. prometheus_client reads it on import."""

LIVE_GAUGE_FILES = "gauge_live*_*.db"
"""Pattern of the files with the gauges of workers. Each file name ends with the worker's pid."""


@contextlib.contextmanager
def provide_folder_for_worker_metrics(worker_count: int) -> Iterator[None]:
    """Create the folder in which workers share their metrics, and delete it after the block.

    No folder is created for a single worker, or if the environment variable already names one.
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


class WorkerMetrics(Collector):
    """Collector that sums the metrics of all workers and of their processes.

    Args:
        folder: shared folder of the workers.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Yield the current metrics, excluding the gauges of workers that have ended."""
        _delete_gauge_files_of_dead_workers(self._folder)
        collector = multiprocess.MultiProcessCollector(None, str(self._folder))  # type: ignore[no-untyped-call]
        yield from collector.collect()  # type: ignore[no-untyped-call]
        yield from sum_process_metrics(_find_pids_in_gauge_file_names(self._folder))


def get_registry_of_all_workers() -> CollectorRegistry:
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
    """Return the current metrics of all workers in Prometheus's text format."""
    return MetricsPage(generate_latest(get_registry_of_all_workers()), CONTENT_TYPE_LATEST)


@contextlib.contextmanager
def serve_metrics_on_own_port(settings: Settings) -> Iterator[None]:
    """Serve the metrics on a separate port, without a token, while the block runs.

    If the default port is taken, probably by another server on this machine, the metrics are not
    served and a warning is logged.

    Raises:
        ConfigurationError: a configured port or address is not available.
    """
    host, port = settings.metrics_host, settings.metrics_port
    if not port:
        yield
        return
    try:
        server, thread = start_http_server(port, host, get_registry_of_all_workers())
    except OSError as error:
        if {"metrics_host", "metrics_port"} & settings.model_fields_set:
            raise ConfigurationError(
                f"Metrics cannot be served on {host}:{port} ({error.strerror}). Change "
                "OPENENV_KIT_METRICS_HOST or OPENENV_KIT_METRICS_PORT; port 0 serves no metrics."
            ) from None
        fields = {"address": f"{host}:{port}", "reason": str(error.strerror)}
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
"""Process metrics that are combined by taking the minimum. All others are summed."""


def sum_process_metrics(pids: Iterable[int]) -> Iterable[Metric]:
    """Return memory, CPU time and open files, each summed over the given processes."""
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


def _find_pids_in_gauge_file_names(folder: Path) -> list[int]:
    return sorted({_parse_pid_of_gauge_file(path) for path in folder.glob(LIVE_GAUGE_FILES)})


def _delete_gauge_files_of_dead_workers(folder: Path) -> None:
    """Delete the gauge files of workers that have ended. Killed workers leave these files."""
    for path in folder.glob(LIVE_GAUGE_FILES):
        try:
            os.kill(_parse_pid_of_gauge_file(path), 0)
        except ProcessLookupError:
            path.unlink(missing_ok=True)
        except PermissionError:
            pass  # the process exists and belongs to another user


def _parse_pid_of_gauge_file(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])
