"""Settings of the server: environment variables, read once a process, with their meaning.

`SETTINGS` is the whole list; docs/serving.md shows it as a table and a test compares the two.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from openenv_kit.environment import get_environment
from openenv_kit.errors import InvalidValueError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
TRUE = ("1", "true", "yes", "on")
FALSE = ("", "0", "false", "no", "off")
LOG_LEVELS = ("debug", "info", "warning", "error")
MIN_TOKEN = 16
"""Shortest bearer token, in characters; a shorter one could be found by trying."""

MAX_RECORDING_BYTES = 5_000_000
"""Largest recording that the web page opens."""
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#@\[\]\s]+|\[[0-9a-f:.]+\](:\d+)?)")
"""Scheme, host and perhaps a port, as a browser sends them."""

PLAYER_TOKEN = "METRIC_TRACKER_PLAYER_TOKEN"


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
    Setting("host", "HOST", "address to listen on; the image sets `0.0.0.0`, all of them"),
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
        "request_timeout_s",
        "METRIC_TRACKER_REQUEST_TIMEOUT_S",
        "seconds for a request's headers, and as many for its body; also how long a client may "
        "leave replies unread",
        low=1,
        high=3600,
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
        "stored episodes at once; finished and idle ones make room for others",
        low=1,
        high=10_000_000,
    ),
    Setting(
        "max_store_bytes",
        "METRIC_TRACKER_MAX_STORE_BYTES",
        "most bytes that the SQLite store takes on disk, its log included; has to fit its volume",
        low=1 << 20,
        high=512 << 20,
    ),
    Setting(
        "client_store_percent",
        "METRIC_TRACKER_CLIENT_STORE_PERCENT",
        "share of the store, in percent, that one client address may hold; without effect where a "
        "token is set",
        low=1,
        high=100,
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
        f"bearer token that every route but /health and /ready needs, at least {MIN_TOKEN} "
        "characters; empty for none",
    ),
    Setting(
        "player_token",
        PLAYER_TOKEN,
        "second bearer token, for agents: opens POST /step, /mcp and the WebSocket /ws only; "
        "needs METRIC_TRACKER_TOKEN and differs from it",
    ),
    Setting(
        "allowed_origins",
        "METRIC_TRACKER_ALLOWED_ORIGINS",
        "origins whose pages may call, comma-separated, besides the server's own page; `*` for any",
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
        "max_visitors",
        "METRIC_TRACKER_MAX_VISITORS",
        "visitors of the web page at once; one more takes the place of somebody who left, or is "
        "told to come back",
        "worker",
        1,
        10_000,
    ),
    Setting(
        "max_watched_models",
        "METRIC_TRACKER_MAX_WATCHED_MODELS",
        "models that visitors of the web page watch at once; each is a thread",
        "worker",
        0,
        1000,
    ),
    Setting(
        "private_endpoints",
        "METRIC_TRACKER_PRIVATE_ENDPOINTS",
        "let visitors of the web page name a model on this machine or in a private network; never "
        "where strangers can open the page",
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
    request_timeout_s: int = 30
    max_steps: int = 500
    max_submissions: int = 5
    episode_cache: int = 256
    episode_store: str = ""
    episode_ttl_s: int = 3600
    max_stored_episodes: int = 100_000
    max_store_bytes: int = 32 << 20
    client_store_percent: int = 25
    max_episode_bytes: int = 4 << 20
    # Kept out of the repr, so that no log line or traceback can show it.
    token: str = field(default="", repr=False)
    player_token: str = field(default="", repr=False)
    allowed_origins: tuple[str, ...] = ()
    log_level: str = "info"
    visitor_grace_s: int = 600
    max_visitors: int = 256
    max_watched_models: int = 16
    private_endpoints: bool = False
    source_url: str = ""
    debug: bool = False

    def __post_init__(self) -> None:
        if self.player_token and not self.token:
            raise InvalidValueError(PLAYER_TOKEN, "…", "none while METRIC_TRACKER_TOKEN is not set")
        if self.player_token and self.player_token == self.token:
            raise InvalidValueError(PLAYER_TOKEN, "…", "another than METRIC_TRACKER_TOKEN")


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


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own, reachable from nowhere else."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(setting: Setting, text: str, default: Any) -> Any:
    name = setting.variable
    if isinstance(default, bool):
        return _switch(name, text)
    if setting.low is not None and setting.high is not None:
        return _integer(name, text, setting.low, setting.high)
    if setting.field == "allowed_origins":
        return tuple(_origin(name, each) for each in text.split(",") if each.strip())
    if setting.field == "log_level" and text.lower() not in LOG_LEVELS:
        raise InvalidValueError(name, text, f"one of {', '.join(LOG_LEVELS)}")
    if setting.field == "log_level":
        return text.lower()
    if setting.field == "mcp_split":
        return _split(name, text)
    if setting.field in ("token", "player_token") and (len(text) < MIN_TOKEN or not text.isascii()):
        # The value itself is a secret, even a bad one.
        raise InvalidValueError(name, "…", f"ASCII text of at least {MIN_TOKEN} characters")
    return text


def _origin(name: str, text: str) -> str:
    origin = text.strip().rstrip("/").lower()
    if origin == "*" or ORIGIN.fullmatch(origin):
        return origin
    raise InvalidValueError(name, text.strip(), "origins such as https://trainer.example, or *")


def _split(name: str, text: str) -> str:
    names = get_environment().splits.names()
    if text not in names:
        raise InvalidValueError(name, text, f"one of {', '.join(names)}")
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
