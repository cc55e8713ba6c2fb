"""Structured logs: one JSON object a line, on standard error.

Nothing here logs a query string, a header, a message's content or an observation, so neither
keys nor labels can get in.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

EXTRA = (
    "request_id",
    "episode_id",
    "method",
    "path",
    "status",
    "ms",
    "reason",
    "reference",
    "store",
    "sessions",
    "token",
)
"""Fields that a log call may add; anything else is dropped."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in EXTRA:
            if (value := getattr(record, name, None)) is not None:
                told[name] = value
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


class NoConnections(logging.Filter):
    """Drops the server's line for each WebSocket: it would show the query string."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record stays."""
        return '"WebSocket %s"' not in str(record.msg)


def configuration(level: str) -> dict[str, Any]:
    """Logging for the server and for everything it uses."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "server.logs.JsonFormatter"}},
        "filters": {"no_connections": {"()": "server.logs.NoConnections"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "filters": ["no_connections"],
            }
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "metric_tracker": {"level": level.upper()},
            "uvicorn": {"level": "INFO"},
        },
    }
