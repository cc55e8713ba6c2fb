"""Settings of the server: environment variables, read once a process, with their meaning.

`SETTINGS` is the whole list; docs/serving.md shows it as a table and a test compares the two.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from metric_tracker_rl.errors import InvalidValueError

DEFAULT_HOST = "0.0.0.0"  # a container's server is useless on loopback
DEFAULT_PORT = 8000
TRUE = ("1", "true", "yes", "on")
FALSE = ("", "0", "false", "no", "off")
LOG_LEVELS = ("debug", "info", "warning", "error")
MIN_TOKEN = 16
"""Shortest bearer token, in characters; a shorter one could be found by trying."""


@dataclass(frozen=True)
class Setting:
    """One environment variable.

    Attributes:
        field: attribute of `Settings`.
        variable: name of the environment variable.
        meaning: one line for the documentation.
        scope: `worker` where each worker has its own, `server` where all share one.
        low, high: range of a number; both None for text and switches.
    """

    field: str
    variable: str
    meaning: str
    scope: str = "server"
    low: int | None = None
    high: int | None = None


SETTINGS: tuple[Setting, ...] = (
    Setting("host", "HOST", "address to listen on"),
    Setting("port", "PORT", "port to listen on", low=1, high=65535),
    Setting("workers", "WORKERS", "worker processes", low=1, high=64),
    Setting(
        "max_sessions",
        "MAX_CONCURRENT_ENVS",
        "WebSocket sessions at once; one more is told how many there are and when to retry",
        "worker",
        1,
        100_000,
    ),
    Setting(
        "max_mcp_sessions",
        "METRIC_TRACKER_MAX_MCP_SESSIONS",
        "sessions opened through /mcp at once; WebSocket sessions do not count",
        low=1,
        high=100_000,
    ),
    Setting(
        "mcp_split",
        "METRIC_TRACKER_MCP_SPLIT",
        "split whose tasks MCP sessions without an episode play, one after the other and each once",
    ),
    Setting(
        "idle_timeout_s",
        "METRIC_TRACKER_IDLE_TIMEOUT_S",
        "seconds after which a silent WebSocket session is ended and its slot freed; 0 for never",
        "worker",
        0,
        604_800,
    ),
    Setting(
        "max_message_bytes",
        "METRIC_TRACKER_MAX_MESSAGE_BYTES",
        "longest WebSocket message or request body",
        low=1024,
        high=67_108_864,
    ),
    Setting(
        "max_steps",
        "METRIC_TRACKER_MAX_STEPS",
        "most steps that a reset may ask for",
        low=1,
        high=500,
    ),
    Setting(
        "max_submissions",
        "METRIC_TRACKER_MAX_SUBMISSIONS",
        "most submissions that a reset may ask for",
        low=1,
        high=5,
    ),
    Setting(
        "episode_cache",
        "METRIC_TRACKER_EPISODE_CACHE",
        "generated episodes kept in memory and shared by sessions, about 150 kB each",
        "worker",
        1,
        100_000,
    ),
    Setting(
        "episode_store",
        "METRIC_TRACKER_EPISODE_STORE",
        "where HTTP and MCP episodes are kept: a file for SQLite, a redis:// address, or `memory` "
        "(one worker, gone with it); empty for a file in the temporary folder",
    ),
    Setting(
        "episode_ttl_s",
        "METRIC_TRACKER_EPISODE_TTL_S",
        "seconds that a stored episode lives after its last use",
        low=1,
        high=2_592_000,
    ),
    Setting(
        "max_stored_episodes",
        "METRIC_TRACKER_MAX_STORED_EPISODES",
        "stored episodes at once; the longest unused one makes room for another",
        low=1,
        high=10_000_000,
    ),
    Setting(
        "max_episode_bytes",
        "METRIC_TRACKER_MAX_EPISODE_BYTES",
        "most bytes of stored actions in one episode",
        low=1024,
        high=67_108_864,
    ),
    Setting(
        "token",
        "METRIC_TRACKER_TOKEN",
        f"bearer token that every route but /health needs, at least {MIN_TOKEN} characters; empty "
        "for none",
    ),
    Setting(
        "allowed_origins",
        "METRIC_TRACKER_ALLOWED_ORIGINS",
        "origins whose pages may call, comma-separated; the server's own is always allowed; empty "
        "for any",
    ),
    Setting("log_level", "METRIC_TRACKER_LOG_LEVEL", f"one of {', '.join(LOG_LEVELS)}"),
    Setting(
        "visitor_grace_s",
        "METRIC_TRACKER_VISITOR_GRACE_S",
        "seconds that the web page keeps a visitor whose connection ended; phones come back",
        "worker",
        0,
        86_400,
    ),
    Setting(
        "source_url",
        "METRIC_TRACKER_SOURCE_URL",
        "where the web page's Source link leads; empty for the files of the Space it runs on",
    ),
    Setting(
        "debug",
        "METRIC_TRACKER_DEBUG",
        "show the answers in replies; never where agents are trained or measured",
    ),
)
"""Every setting, in the order they are documented."""


@dataclass(frozen=True)
class Settings:
    """What can be set; see `SETTINGS` for meanings and ranges."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    workers: int = 1
    max_sessions: int = 1024
    max_mcp_sessions: int = 256
    mcp_split: str = "train"
    idle_timeout_s: int = 3600
    max_message_bytes: int = 1 << 20
    max_steps: int = 500
    max_submissions: int = 5
    episode_cache: int = 256
    episode_store: str = ""
    episode_ttl_s: int = 3600
    max_stored_episodes: int = 100_000
    max_episode_bytes: int = 4 << 20
    # Kept out of the repr, so that no log line or traceback can show it.
    token: str = field(default="", repr=False)
    allowed_origins: tuple[str, ...] = ()
    log_level: str = "info"
    visitor_grace_s: int = 600
    source_url: str = ""
    debug: bool = False


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from environment variables.

    Raises:
        InvalidValueError: a variable holds something else than it may; names it.
    """
    source = os.environ if environ is None else environ
    defaults = Settings()
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text = source.get(setting.variable, "").strip()
        if text:
            values[setting.field] = _read(setting, text, getattr(defaults, setting.field))
    return Settings(**values)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings."""
    return load_settings()


def _read(setting: Setting, text: str, default: Any) -> Any:
    name = setting.variable
    if isinstance(default, bool):
        return _switch(name, text)
    if setting.low is not None and setting.high is not None:
        return _integer(name, text, setting.low, setting.high)
    if setting.field == "allowed_origins":
        return tuple(each.strip().rstrip("/").lower() for each in text.split(",") if each.strip())
    if setting.field == "log_level" and text.lower() not in LOG_LEVELS:
        raise InvalidValueError(name, text, f"one of {', '.join(LOG_LEVELS)}")
    if setting.field == "log_level":
        return text.lower()
    if setting.field == "mcp_split":
        return _split(name, text)
    if setting.field == "token" and (len(text) < MIN_TOKEN or not text.isascii()):
        # The value itself is a secret, even a bad one.
        raise InvalidValueError(name, "…", f"ASCII text of at least {MIN_TOKEN} characters")
    return text


def _split(name: str, text: str) -> str:
    from metric_tracker_rl.splits import list_splits

    if text not in list_splits():
        raise InvalidValueError(name, text, f"one of {', '.join(list_splits())}")
    return text


def _integer(name: str, text: str, low: int, high: int) -> int:
    if text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high:
        return int(text)
    raise InvalidValueError(name, text, f"an integer from {low} to {high}")


def _switch(name: str, text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise InvalidValueError(name, text, f"one of {', '.join((*TRUE, *FALSE[1:]))}")
