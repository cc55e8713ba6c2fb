"""Settings of the server, read from the environment once, with their meaning per worker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from metric_tracker_rl.errors import InvalidValueError

DEFAULT_HOST = "0.0.0.0"  # a container's server is useless on loopback
DEFAULT_PORT = 8000
TRUE = ("1", "true", "yes", "on")
FALSE = ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class Settings:
    """What can be set.

    Attributes:
        host: address to listen on (`HOST`).
        port: port to listen on (`PORT`).
        workers: processes (`WORKERS`).
        max_sessions: WebSocket sessions at once, per worker (`MAX_CONCURRENT_ENVS`).
        debug: show the answers (`METRIC_TRACKER_DEBUG`); never where agents are measured.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    workers: int = 1
    max_sessions: int = 1024
    debug: bool = False


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from environment variables.

    Raises:
        InvalidValueError: a variable holds something else than it may; names it.
    """
    source = os.environ if environ is None else environ
    return Settings(
        host=source.get("HOST") or DEFAULT_HOST,
        port=_integer(source, "PORT", DEFAULT_PORT, 1, 65535),
        workers=_integer(source, "WORKERS", 1, 1, 64),
        max_sessions=_integer(source, "MAX_CONCURRENT_ENVS", 1024, 1, 100_000),
        debug=_switch(source, "METRIC_TRACKER_DEBUG"),
    )


def _integer(source: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = source.get(name, "").strip()
    if not text:
        return default
    if text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high:
        return int(text)
    raise InvalidValueError(name, text, f"an integer from {low} to {high}")


def _switch(source: Mapping[str, str], name: str) -> bool:
    text = source.get(name, "").strip().lower()
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise InvalidValueError(name, text, f"one of {', '.join((*TRUE, *FALSE[1:]))}")
