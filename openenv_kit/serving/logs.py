"""Structured logs: one JSON object a line on standard error.

Nothing here logs a query string, a header, a message's content or an observation, so neither
keys nor labels can get in.
"""

from __future__ import annotations

import json
import logging
import uuid
from datetime import UTC, datetime
from typing import Any

LOG_FIELDS = (
    *("request_id", "episode_id", "method", "path", "status", "ms"),
    *("reason", "reference", "store"),
    *("environment", "transport", "episode_level", "steps", "score", "duration_s"),
    *("episodes", "drain_s", "address"),
)
"""Fields that a log call may add; anything else is dropped."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = {name: getattr(record, name, None) for name in LOG_FIELDS}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        line |= {name: value for name, value in fields.items() if value is not None}
        return json.dumps(line, default=str)


class WebSocketUrlFilter(logging.Filter):
    """Drops the server's line about a WebSocket, which would show the query string."""

    def filter(self, record: logging.LogRecord) -> bool:
        return '"WebSocket %s"' not in str(record.msg)


def log_internal_error(
    logger: logging.Logger, error: Exception, episode_id: str | None = None
) -> str:
    """Log our own mistake; the text for the client has a number to find it by, and nothing else.

    Args:
        logger: of whoever met it.
        error: the exception.
        episode_id: in which episode, where it was in one.
    """
    reference = uuid.uuid4().hex[:12]
    fields = {"reference": reference, "episode_id": episode_id}
    logger.error("internal error", exc_info=error, extra=fields)
    return f"Internal error; the server's log has it as {reference}."


def build_log_config(level: str) -> dict[str, Any]:
    """Logging for the server and for everything it uses."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "filters": {"without_queries": {"()": WebSocketUrlFilter}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "filters": ["without_queries"],
            }
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {"openenv_kit": {"level": level.upper()}, "uvicorn": {"level": "INFO"}},
    }
