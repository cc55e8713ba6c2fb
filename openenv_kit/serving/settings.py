"""Settings of the server: environment variables, read once a process.

docs/serving.md shows them as a table, and a test compares the two.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.schema import describe_allowed_values as in_words
from openenv_kit.schema import json_schema
from openenv_kit.splits import SESSIONS_SPLIT
from openenv_kit.variables import OLD_VARIABLE_PREFIX, SALT_VARIABLE, VARIABLE_PREFIX

MIN_TOKEN_LENGTH = 16
"""Shortest bearer token, in characters; a shorter one could be found by trying."""

ORIGIN_PATTERN = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#@\[\]\s]+|\[[0-9a-f:.]+\](:\d+)?)")
"""Scheme, host and perhaps a port, as a browser sends them."""

ROOT_PATH_PATTERN = re.compile(r"(/[A-Za-z0-9._~-]+)+")
"""A path whose segments need no escaping."""

PARTICIPANT_NAME_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Names of participants; they are in the signed records of sealed play."""
ANONYMOUS_PARTICIPANT, TRAINER_PARTICIPANT = RESERVED_PARTICIPANTS = ("anonymous", "trainer")
"""Who plays on a server without tokens, and with the trainer's token."""

ALL_ENVIRONMENTS, NO_ENVIRONMENTS = "all", "none"
"""Words that ALSO_SERVE takes instead of names."""

ALLOWED_BOOLEANS = "one of 1, true, yes, on, 0, false, no, off"


def _validate_token(text: str) -> str:
    if text and (len(text) < MIN_TOKEN_LENGTH or not text.isascii()):
        raise ValueError(f"ASCII text of at least {MIN_TOKEN_LENGTH} characters")
    return text


def _parse_origins(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = [each.strip().rstrip("/").lower() for each in value.split(",") if each.strip()]
    if not all(each == "*" or ORIGIN_PATTERN.fullmatch(each) for each in found):
        raise ValueError("origins such as https://trainer.example, or *")
    return found


def _normalize_root_path(text: str) -> str:
    path = text.removesuffix("/")
    if path and not ROOT_PATH_PATTERN.fullmatch(path):
        raise ValueError("a path such as /lab/env, of letters, digits and ._~-")
    return path


def _parse_participants(value: Any) -> Any:
    """Return the tokens of participants by name, from text such as `alice=TOKEN,bob=TOKEN`."""
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for entry in value.split(","):
        name, _, token = (part.strip() for part in entry.partition("="))
        known = PARTICIPANT_NAME_PATTERN.fullmatch(name) and name not in RESERVED_PARTICIPANTS
        if not known or name in found or len(token) < MIN_TOKEN_LENGTH or not token.isascii():
            raise ValueError(
                "entries name=token, separated by commas; each name once, 1 to 64 letters, digits, "
                f"'.', '_' or '-', none of {', '.join(RESERVED_PARTICIPANTS)}; each token ASCII "
                f"text of at least {MIN_TOKEN_LENGTH} characters without commas"
            )
        found[name] = token
    return found


SecretToken = Annotated[str, AfterValidator(_validate_token), Field(repr=False)]
ParticipantTokens = Annotated[
    dict[str, str], BeforeValidator(_parse_participants), Field(default_factory=dict, repr=False)
]
RootPath = Annotated[str, AfterValidator(_normalize_root_path)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_parse_origins)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)]


WORKER_SCOPE = "worker"
"""Scope of a setting that each worker has for itself; all others are the server's."""

VARIABLE_OF_FIELD = {
    "host": "HOST",
    "port": "PORT",
    "workers": "WORKERS",
    "also_serve": "ALSO_SERVE",
    "max_sessions": "MAX_CONCURRENT_ENVS",
}
"""Variables that are not called OPENENV_KIT_ and the field's name."""


def _integer_setting(default: int, minimum: int, maximum: int, scope: str = "server") -> Any:
    """A whole number from `low` to `high`."""
    return Field(default, ge=minimum, le=maximum, json_schema_extra={"scope": scope})


def _variable_of_field(field: str) -> str:
    return VARIABLE_OF_FIELD.get(field, f"{VARIABLE_PREFIX}{field.upper()}")


class Settings(BaseModel):
    """What can be set. The constructor takes values by name; `load_settings` reads variables."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=AliasGenerator(validation_alias=_variable_of_field),
        populate_by_name=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )

    host: str = "127.0.0.1"
    """address to listen on; the image sets `0.0.0.0`, all of them"""
    port: int = _integer_setting(8000, 0, 65535)
    """port to listen on; 0 for any that is free"""
    metrics_host: str = "127.0.0.1"
    """address of the port for metrics, which asks for no token; where others reach it, a firewall
    has to say who"""
    metrics_port: int = _integer_setting(9464, 0, 65535)
    """port on which Prometheus reads the metrics, of all workers together; 0 for none"""
    root_path: RootPath = ""
    """path prefix below which a proxy serves everything, such as `/lab/env`, whether or not the
    proxy strips it; empty for none"""
    workers: int = _integer_setting(1, 1, 64)
    """worker processes"""
    also_serve: str = ALL_ENVIRONMENTS
    """environments to mount below their names, comma-separated; `all` for the others of the same
    distribution, `none` for none"""
    max_sessions: int = _integer_setting(1024, 1, 100_000, WORKER_SCOPE)
    """WebSocket sessions at once; one more is told how many there are and when to retry"""
    max_mcp_sessions: int = _integer_setting(256, 1, 100_000)
    """sessions opened through /mcp at once; WebSocket sessions do not count"""
    mcp_split: str = SESSIONS_SPLIT
    """split whose tasks MCP sessions without an episode play, in an order that nobody knows and
    each once; no other door offers `sessions`"""
    idle_timeout_s: int = _integer_setting(3600, 0, 604_800, WORKER_SCOPE)
    """seconds after which a silent WebSocket session is ended and its slot freed; 0 for never"""
    max_message_bytes: int = _integer_setting(1 << 20, 1024, 67_108_864)
    """longest WebSocket message or request body"""
    request_timeout_s: int = _integer_setting(30, 1, 3600)
    """seconds for a request's headers, and as many for its body; also how long a client may leave
    replies unread"""
    keep_alive_s: int = _integer_setting(75, 1, 3600)
    """seconds that an idle connection stays open between two requests; longer than a proxy keeps
    it, usually 60, or the proxy answers 502 now and then"""
    drain_s: int = _integer_setting(25, 0, 3600)
    """seconds that running episodes may go on after SIGTERM, while new ones are refused; the
    server stops earlier once none is in use; 0 to stop at once"""
    max_steps: int = _integer_setting(500, 1, 500)
    """most steps that a reset may ask for"""
    max_submissions: int = _integer_setting(5, 1, 5)
    """most submissions that a reset may ask for"""
    episode_store: str = ""
    """where HTTP and MCP episodes are kept: a file for SQLite, a redis:// address, or `memory`
    (one worker, gone with it); empty for a file in the data folder or else the temporary one"""
    data_folder: str = ""
    """folder on persistent storage, such as `/data` in a Space: the episode store is there, unless
    OPENENV_KIT_EPISODE_STORE names another one, and recordings of finished episodes; empty for
    neither"""
    episode_ttl_s: int = _integer_setting(3600, 1, 2_592_000)
    """seconds that a stored episode lives after its last use"""
    max_stored_episodes: int = _integer_setting(100_000, 1, 10_000_000)
    """stored episodes at once; finished and idle ones make room for others"""
    max_store_bytes: int = _integer_setting(32 << 20, 1 << 20, 512 << 20)
    """most bytes that the SQLite store takes on disk, its log included; has to fit its volume"""
    client_store_percent: int = _integer_setting(25, 1, 100)
    """share of the store, in percent, that one client address may hold; without effect where a
    token is set"""
    max_episode_bytes: int = _integer_setting(4 << 20, 1024, 67_108_864)
    """most bytes of stored actions in one episode"""
    token: SecretToken = ""
    """bearer token that every route but /health and /ready needs, at least 16 characters; empty
    for none"""
    player_token: SecretToken = ""
    """second bearer token, for agents: opens POST /step, /mcp and the WebSocket /ws only; needs
    OPENENV_KIT_TOKEN and differs from it"""
    participants: ParticipantTokens
    """names and bearer tokens of participants who play sealed tasks, as `name=token` separated by
    commas; each token has the trainer's rights, and the sealed plays of each name are counted
    apart; needs OPENENV_KIT_TOKEN"""
    sealed_tasks: int = _integer_setting(100, 1, 10_000_000)
    """number of sealed tasks that can be played here: those at the positions 0 to this - 1"""
    sealed_plays: int = _integer_setting(1, 1, 1000)
    """how often each participant may start each sealed task; pass^k needs k"""
    allowed_origins: Origins = ()
    """origins whose pages may call, comma-separated, besides the server's own page; `*` for any"""
    log_level: LogLevel = "info"
    """one of debug, info, warning, error"""
    visitor_grace_s: int = _integer_setting(600, 0, 86_400, WORKER_SCOPE)
    """seconds that the web page keeps a visitor whose connection ended; phones come back"""
    max_visitors: int = _integer_setting(256, 1, 10_000, WORKER_SCOPE)
    """visitors of the web page at once; one more takes the place of somebody who left, or is told
    to come back"""
    debug: bool = False
    """show the answers in replies; never where agents are trained or measured"""

    @field_validator("participants")
    @classmethod
    def _require_distinct_tokens(
        cls, participants: dict[str, str], validated: ValidationInfo
    ) -> dict[str, str]:
        if participants and not validated.data.get("token"):
            raise ValueError("none while OPENENV_KIT_TOKEN is not set")
        tokens = [
            *participants.values(),
            validated.data.get("token"),
            validated.data.get("player_token"),
        ]
        if len(set(tokens)) < len(tokens):
            raise ValueError("a different token for each participant, trainer and player")
        return participants

    @field_validator("player_token")
    @classmethod
    def _require_distinct_player_token(cls, player_token: str, validated: ValidationInfo) -> str:
        trainers = validated.data.get("token")
        if player_token and not trainers:
            raise ValueError("none while OPENENV_KIT_TOKEN is not set")
        if player_token and player_token == trainers:
            raise ValueError("another than OPENENV_KIT_TOKEN")
        return player_token


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from environment variables; empty ones count as not set.

    Args:
        environ: the variables; None for the process's own.

    Raises:
        InvalidValueError: a variable holds something else than it may; names it.
        ConfigurationError: one is set under the name it had before; names both.
    """
    given = os.environ if environ is None else environ
    variables = [str(each.validation_alias) for each in Settings.model_fields.values()]
    for name in (*variables, SALT_VARIABLE):
        old = name.replace(VARIABLE_PREFIX, OLD_VARIABLE_PREFIX)
        if old != name and given.get(old):  # a token that is not read would leave a door open
            raise ConfigurationError(f"{old} is called {name} now; set that one instead.")
    try:
        return Settings.model_validate(
            {name: given[name] for name in variables if given.get(name, "").strip()}
        )
    except ValidationError as problem:
        raise _invalid_setting_error(problem.errors(include_url=False)[0]) from None


def format_settings(settings: Settings) -> list[str]:
    """Return a line for each setting, `VARIABLE=value`, marked where it is the default; no secrets.

    Args:
        settings: as they are in force.
    """
    lines = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if not field.repr:
            text = "(set, not shown)" if value else ""
        elif isinstance(value, tuple):
            text = ",".join(value)
        else:
            text = _hide_password(str(value))
        usual = field.get_default(call_default_factory=True)
        mark = "  # default" if value == usual else ""
        lines.append(f"{field.validation_alias}={text}{mark}")
    return lines


def _hide_password(address_text: str) -> str:
    """An address without the password that may be in it."""
    address = urlsplit(address_text)
    if not address.scheme or not (address.netloc or address.query):
        return address_text
    user, at, host = address.netloc.rpartition("@")
    hidden = f"{user.partition(':')[0]}:***@{host}" if at else host
    query = "&".join(
        f"{name}=***" if "password" in name.lower() else f"{name}={value}"
        for name, value in parse_qsl(address.query)
    )
    return urlunsplit((address.scheme, hidden, address.path, query, ""))


def _invalid_setting_error(error: Mapping[str, Any]) -> InvalidValueError:
    """What is wrong with a variable, and what it may hold; a secret is not repeated."""
    variable = str(error["loc"][0])
    fields = Settings.model_fields.values()
    field = next(each for each in fields if each.validation_alias == variable)
    if error["type"] == "value_error":
        allowed = str(error["ctx"]["error"])
    elif field.annotation is bool:
        allowed = ALLOWED_BOOLEANS
    else:
        allowed = in_words(json_schema(Settings)["properties"][variable])
    return InvalidValueError(variable, error["input"] if field.repr else "…", allowed)


@lru_cache(maxsize=1)
def current_settings() -> Settings:
    """This process's settings."""
    return load_settings()
