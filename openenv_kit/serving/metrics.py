"""Metrics for Prometheus.

With several workers, each writes its metrics into a shared folder, and the worker that answers
/metrics adds them up.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Variable by which the library, at its import, knows that workers share their figures."""


@contextlib.contextmanager
def shared_folder(workers: int) -> Iterator[None]:
    """For a process that starts workers: a folder for their figures while they run."""
    if workers == 1 or os.environ.get(FOLDER):
        yield
        return
    prefix = "openenv-kit-metrics-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            os.environ.pop(FOLDER, None)


BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)

SESSIONS = Gauge("openenv_kit_sessions", "Open WebSocket sessions", multiprocess_mode="livesum")
WORKERS = Gauge("openenv_kit_workers", "Workers that serve", multiprocess_mode="livesum")
SESSION_LIMIT = Gauge(
    "openenv_kit_session_limit", "Slots for WebSocket sessions", multiprocess_mode="livesum"
)
RESETS = Histogram(
    "openenv_kit_reset_seconds", "Resets, by transport", ["transport"], buckets=BUCKETS
)
STEPS = Histogram("openenv_kit_step_seconds", "Steps, by method", ["method"], buckets=BUCKETS)
WAITING_RESETS = Gauge(
    "openenv_kit_waiting_resets", "Resets that wait for a thread", multiprocess_mode="livesum"
)
BUSY_THREADS = Gauge(
    "openenv_kit_busy_threads", "Threads that run slow tools or resets", multiprocess_mode="livesum"
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
REQUESTS = Histogram(
    "openenv_kit_http_request_seconds",
    "HTTP requests, by route and status",
    ["route", "status"],
    buckets=(*BUCKETS, 5.0),
)
STORE = Histogram(
    "openenv_kit_store_seconds", "Calls of the episode store", ["call"], buckets=BUCKETS
)


def exposition() -> tuple[bytes, str]:
    """All metrics, and their content type."""
    registry = REGISTRY
    if folder := os.environ.get(FOLDER):
        _forget_dead(Path(folder))
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _forget_dead(folder: Path) -> None:
    """Drop the live figures of workers that are gone: a killed one cannot do it itself."""
    for path in folder.glob("gauge_live*_*.db"):
        try:
            os.kill(int(path.stem.rpartition("_")[2]), 0)
        except ProcessLookupError:
            path.unlink(missing_ok=True)
        except PermissionError:
            pass  # somebody else's, and alive
