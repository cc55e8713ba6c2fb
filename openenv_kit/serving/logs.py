"""Structured logs: one JSON object per line on standard error.

Query strings, headers, contents of messages and observations are never logged, so that no token and
no label can appear in the log.
"""

from __future__ import annotations

import json
import logging
import uuid
from datetime import UTC, datetime
from typing import Any

LOG_FIELDS = (
    "request_id",
    "episode_id",
    "method",
    "path",
    "status",
    "ms",
    "reason",
    "reference",
    "store",
    "environment",
    "transport",
    "episode_level",
    "steps",
    "score",
    "duration_s",
    "episodes",
    "drain_s",
    "address",
)
"""Fields that a log call may pass as `extra`, in the order of the output. Others are dropped."""


class JsonFormatter(logging.Formatter):
    """Formats a log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line of JSON that does not end with a line break."""
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


class DropWebSocketUrlLines(logging.Filter):
    """Drops uvicorn's log lines about WebSockets, because they contain the query string."""

    def filter(self, record: logging.LogRecord) -> bool:
        return '"WebSocket %s"' not in str(record.msg)


def log_internal_error_and_build_client_message(
    logger: logging.Logger, error: Exception, episode_id: str | None = None
) -> str:
    """Log an unexpected exception and return the error message for the client.

    The message contains only a reference that identifies the log line.

    Args:
        logger: logger of the module that caught the exception.
        error: the exception.
        episode_id: id of the episode in which it occurred, if any.
    """
    reference = uuid.uuid4().hex[:12]
    fields = {"reference": reference, "episode_id": episode_id}
    logger.error("internal error", exc_info=error, extra=fields)
    return f"Internal server error. Reference: {reference}."


def build_log_config(package_log_level: str) -> dict[str, Any]:
    """Return the logging configuration of the server.

    Args:
        package_log_level: level of this package's loggers.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "filters": {"without_queries": {"()": DropWebSocketUrlLines}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "filters": ["without_queries"],
            }
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "openenv_kit": {"level": package_log_level.upper()},
            "uvicorn": {"level": "INFO"},
        },
    }
