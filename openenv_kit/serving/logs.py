"""Structured logs: one JSON object a line on standard error, whatever prints there included.

Nothing here logs a query string, a header, a message's content or an observation, so neither
keys nor labels can get in.
"""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import uuid
from datetime import UTC, datetime
from typing import Any, TextIO

EXTRA = (
    *("request_id", "episode_id", "method", "path", "status", "ms"),
    *("reason", "reference", "store"),
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
        fields = {name: getattr(record, name, None) for name in EXTRA}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        else:
            fields["exception"] = getattr(record, "printed_traceback", None)
        line |= {name: value for name, value in fields.items() if value is not None}
        return json.dumps(line, default=str)


class Handler(logging.StreamHandler[TextIO]):
    """Writes to standard error, and takes over what others print to it."""

    def __init__(self) -> None:
        super().__init__(sys.__stderr__)
        self.setFormatter(JsonFormatter())
        self.addFilter(is_no_connection)
        if not isinstance(sys.stderr, PrintedLines):
            sys.stderr = PrintedLines()


class _Printed(threading.local):
    """What a thread has printed and not ended yet: a line, a traceback."""

    rest = trace = ""
    is_logged = False


class PrintedLines(io.TextIOBase):
    """Logs what is printed to it: a line each, and a traceback as one.

    Gradio prints the tracebacks of its handlers, and whatever ends a thread is printed too.
    """

    def __init__(self) -> None:
        super().__init__()
        self._mine = _Printed()
        self._logger = logging.getLogger("stderr")

    def write(self, text: str) -> int:
        """Take a piece of text; complete lines are logged."""
        if self._mine.is_logged:  # logging itself failed, and says so here
            return sys.__stderr__.write(text) if sys.__stderr__ else len(text)
        *lines, self._mine.rest = (self._mine.rest + text).split("\n")
        for line in lines:
            self._take(line.rstrip())
        return len(text)

    def _take(self, line: str) -> None:
        mine, level, trace = self._mine, logging.WARNING, None
        if mine.trace or line.startswith("Traceback (most recent call last)"):
            mine.trace += f"{line}\n"
            if line.startswith((" ", "Traceback")) or not line:
                return
            # The line that names the error ends a traceback.
            level, trace, mine.trace = logging.ERROR, mine.trace.rstrip(), ""
        if line:
            mine.is_logged = True
            try:
                self._logger.log(level, "%s", line, extra={"printed_traceback": trace})
            finally:
                mine.is_logged = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """The descriptor of standard error, for faulthandler and child processes."""
        return sys.__stderr__.fileno() if sys.__stderr__ else super().fileno()


def internal_error(logger: logging.Logger, problem: Exception) -> str:
    """Log our own mistake; the text for the client has a number to find it by, and nothing else."""
    reference = uuid.uuid4().hex[:12]
    logger.error("internal error", exc_info=problem, extra={"reference": reference})
    return f"Internal error; the server's log has it as {reference}."


def is_no_connection(record: logging.LogRecord) -> bool:
    """False for the server's line about a WebSocket, which would show the query string."""
    return '"WebSocket %s"' not in str(record.msg)


def configuration(level: str) -> dict[str, Any]:
    """Logging for the server and for everything it uses."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"stderr": {"()": "openenv_kit.serving.logs.Handler"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {"openenv_kit": {"level": level.upper()}, "uvicorn": {"level": "INFO"}},
    }
