"""Settings of the server: environment variables, read once a process.

docs/serving.md shows them as a table, and a test compares the two.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasGenerator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict

from openenv_kit.environment import environments, get_environment
from openenv_kit.errors import InvalidValueError, UnknownNameError

MIN_TOKEN = 16
"""Shortest bearer token, in characters; a shorter one could be found by trying."""

MAX_RECORDING_BYTES = 5_000_000
"""Largest recording that the web page opens."""
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#@\[\]\s]+|\[[0-9a-f:.]+\](:\d+)?)")
"""Scheme, host and perhaps a port, as a browser sends them."""

ALL, NONE = "all", "none"
"""Words that ALSO_SERVE takes instead of names."""

SWITCH = "one of 1, true, yes, on, 0, false, no, off"


def _token(text: str) -> str:
    if text and (len(text) < MIN_TOKEN or not text.isascii()):
        raise ValueError(f"ASCII text of at least {MIN_TOKEN} characters")
    return text


def _split(name: str) -> str:
    names = get_environment().splits.names()
    if name not in names:
        raise ValueError(f"one of {', '.join(names)}")
    return name


def _others(text: str) -> str:
    names = [each.strip() for each in text.split(",") if each.strip()]
    if names in ([ALL], [NONE]):
        return names[0]
    found = environments()
    for name in names:
        if name not in found:
            problem = UnknownNameError("environment", name, found)
            raise ValueError(f"{ALL}, {NONE}, or names of environments. {problem}")
    return ",".join(names)


def _origins(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    found = [each.strip().rstrip("/").lower() for each in given.split(",") if each.strip()]
    if not all(each == "*" or ORIGIN.fullmatch(each) for each in found):
        raise ValueError("origins such as https://trainer.example, or *")
    return found


def _lower(given: Any) -> Any:
    return given.lower() if isinstance(given, str) else given


Secret = Annotated[str, AfterValidator(_token), Field(repr=False)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
Split = Annotated[str, AfterValidator(_split)]
Others = Annotated[str, AfterValidator(_others)]


WORKER = "worker"
"""Scope of a setting that each worker has for itself; all others are the server's."""

VARIABLES = {
    "host": "HOST",
    "port": "PORT",
    "workers": "WORKERS",
    "also_serve": "ALSO_SERVE",
    "max_sessions": "MAX_CONCURRENT_ENVS",
}
"""Variables that are not called METRIC_TRACKER_ and the field's name."""


def _set(default: int, low: int, high: int, scope: str = "server") -> Any:
    """A whole number from `low` to `high`."""
    return Field(default, ge=low, le=high, json_schema_extra={"scope": scope})


def _variable(field: str) -> str:
    return VARIABLES.get(field, f"METRIC_TRACKER_{field.upper()}")


class Settings(BaseSettings):
    """What can be set. The constructor takes values by name; `load_settings` reads variables."""

    model_config = SettingsConfigDict(
        frozen=True,
        alias_generator=AliasGenerator(validation_alias=_variable),
        populate_by_name=True,
        use_attribute_docstrings=True,
        validate_default=False,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )

    host: str = "127.0.0.1"
    """address to listen on; the image sets `0.0.0.0`, all of them"""
    port: int = _set(8000, 1, 65535)
    """port to listen on"""
    workers: int = _set(1, 1, 64)
    """worker processes"""
    also_serve: Others = ALL
    """environments to mount below their names, comma-separated; `all` for the others of the same
    distribution, `none` for none"""
    max_sessions: int = _set(1024, 1, 100_000, WORKER)
    """WebSocket sessions at once; one more is told how many there are and when to retry"""
    max_mcp_sessions: int = _set(256, 1, 100_000)
    """sessions opened through /mcp at once; WebSocket sessions do not count"""
    mcp_split: Split = "train"
    """split whose tasks MCP sessions without an episode play, one after the other and each once"""
    idle_timeout_s: int = _set(3600, 0, 604_800, WORKER)
    """seconds after which a silent WebSocket session is ended and its slot freed; 0 for never"""
    max_message_bytes: int = _set(1 << 20, 1024, 67_108_864)
    """longest WebSocket message or request body"""
    request_timeout_s: int = _set(30, 1, 3600)
    """seconds for a request's headers, and as many for its body; also how long a client may leave
    replies unread"""
    max_steps: int = _set(500, 1, 500)
    """most steps that a reset may ask for"""
    max_submissions: int = _set(5, 1, 5)
    """most submissions that a reset may ask for"""
    episode_cache: int = _set(256, 1, 100_000, WORKER)
    """generated episodes kept in memory and shared by sessions, about 150 kB each"""
    episode_store: str = ""
    """where HTTP and MCP episodes are kept: a file for SQLite, a redis:// address, or `memory`
    (one worker, gone with it); empty for a file in the temporary folder"""
    episode_ttl_s: int = _set(3600, 1, 2_592_000)
    """seconds that a stored episode lives after its last use"""
    max_stored_episodes: int = _set(100_000, 1, 10_000_000)
    """stored episodes at once; finished and idle ones make room for others"""
    max_store_bytes: int = _set(32 << 20, 1 << 20, 512 << 20)
    """most bytes that the SQLite store takes on disk, its log included; has to fit its volume"""
    client_store_percent: int = _set(25, 1, 100)
    """share of the store, in percent, that one client address may hold; without effect where a
    token is set"""
    max_episode_bytes: int = _set(4 << 20, 1024, 67_108_864)
    """most bytes of stored actions in one episode"""
    token: Secret = ""
    """bearer token that every route but /health and /ready needs, at least 16 characters; empty
    for none"""
    player_token: Secret = ""
    """second bearer token, for agents: opens POST /step, /mcp and the WebSocket /ws only; needs
    METRIC_TRACKER_TOKEN and differs from it"""
    allowed_origins: Origins = ()
    """origins whose pages may call, comma-separated, besides the server's own page; `*` for any"""
    log_level: LogLevel = "info"
    """one of debug, info, warning, error"""
    visitor_grace_s: int = _set(600, 0, 86_400, WORKER)
    """seconds that the web page keeps a visitor whose connection ended; phones come back"""
    max_visitors: int = _set(256, 1, 10_000, WORKER)
    """visitors of the web page at once; one more takes the place of somebody who left, or is told
    to come back"""
    max_watched_models: int = _set(16, 0, 1000, WORKER)
    """models that visitors of the web page watch at once; each is a thread"""
    private_endpoints: bool = False
    """let visitors of the web page name a model on this machine or in a private network; never
    where strangers can open the page"""
    source_url: str = ""
    """where the web page's Source link leads; empty for the files of the Space it runs on"""
    debug: bool = False
    """show the answers in replies; never where agents are trained or measured"""

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[Any, ...]:
        """Only arguments: an app that is built from settings has these and no others."""
        return (sources["init_settings"],)

    @field_validator("player_token")
    @classmethod
    def _differs(cls, given: str, others: ValidationInfo) -> str:
        trainers = others.data.get("token")
        if given and not trainers:
            raise ValueError("none while METRIC_TRACKER_TOKEN is not set")
        if given and given == trainers:
            raise ValueError("another than METRIC_TRACKER_TOKEN")
        return given


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from environment variables; empty ones count as not set.

    Args:
        environ: the variables; None for the process's own.

    Raises:
        InvalidValueError: a variable holds something else than it may; names it.
    """
    source = EnvSettingsSource(Settings, case_sensitive=True)
    given = os.environ if environ is None else environ
    source.env_vars = {name: text for name, text in given.items() if text.strip()}
    try:
        return Settings(**source())
    except ValidationError as problem:
        raise _refusal(problem.errors(include_url=False)[0]) from None


def range_of(field: FieldInfo) -> tuple[int | None, int | None]:
    """Lowest and highest value of a number; both None for anything else."""
    found = {n: getattr(e, n) for e in field.metadata for n in ("ge", "le") if hasattr(e, n)}
    return found.get("ge"), found.get("le")


def _refusal(problem: Mapping[str, Any]) -> InvalidValueError:
    """What is wrong with a variable, and what it may hold; a secret is not repeated."""
    variable = str(problem["loc"][0])
    fields = Settings.model_fields.values()
    field = next(each for each in fields if each.validation_alias == variable)
    if problem["type"] == "value_error":
        allowed = str(problem["ctx"]["error"])
    elif field.annotation is bool:
        allowed = SWITCH
    elif field.annotation is int:
        low, high = range_of(field)
        allowed = f"an integer from {low} to {high}"
    else:
        allowed = str(field.description)
    return InvalidValueError(variable, problem["input"] if field.repr else "…", allowed)


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
