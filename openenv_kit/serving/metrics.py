"""Prometheus metrics of one worker. `metrics_export` sums and serves the metrics of all workers."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram

SHORT_TIME_BUCKETS_S = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)
LONG_TIME_BUCKETS_S = (1.0, 2.5, 5.0, 10.0, 30.0)
TIME_BUCKETS_S = SHORT_TIME_BUCKETS_S + LONG_TIME_BUCKETS_S
"""Upper bounds of the buckets of all duration histograms, in seconds. They range from a step in
memory to a request that timed out."""


class ErrorKind(StrEnum):
    """Categories of errors, used as values of the label `kind` of `openenv_kit_errors_total`."""

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
    """Increment the error counter with this value of the label `kind`."""
    ERRORS.labels(kind).inc()
