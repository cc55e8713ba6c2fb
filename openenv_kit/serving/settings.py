"""Settings of the server: environment variables, read once per process.

The table of settings in docs/serving.md is generated from this module.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pydantic import (
    AliasGenerator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.schema import build_arguments_schema, describe_allowed_values
from openenv_kit.serving.setting_values import (
    LogLevel,
    Origins,
    ParticipantTokens,
    RootPath,
    SecretToken,
)
from openenv_kit.splits import SESSIONS_SPLIT
from openenv_kit.variables import (
    OLD_VARIABLE_PREFIX,
    PRODUCTS_VARIABLE,
    SALT_VARIABLE,
    SPACE_HOST_VARIABLE,
    VARIABLE_PREFIX,
)

ALL_ENVIRONMENTS = "all"
"""Value of ALSO_SERVE that serves all other environments of the same Python distribution."""
NO_ENVIRONMENTS = "none"
"""Value of ALSO_SERVE that serves no other environment."""

ALLOWED_BOOLEANS = "one of 1, true, yes, on, 0, false, no, off"

WORKER_SCOPE = "worker"
"""Scope of a setting that applies to each worker; all others apply to the whole server."""

VARIABLE_OF_FIELD = {
    "host": "HOST",
    "port": "PORT",
    "workers": "WORKERS",
    "also_serve": "ALSO_SERVE",
    "products": PRODUCTS_VARIABLE,
    "max_sessions": "MAX_CONCURRENT_ENVS",
}
"""Environment variables of the fields that do not use the pattern `OPENENV_KIT_<FIELD>`."""


def _build_integer_field(default: int, minimum: int, maximum: int, scope: str = "server") -> Any:
    """Return the pydantic field of an integer from `minimum` to `maximum`."""
    return Field(default, ge=minimum, le=maximum, json_schema_extra={"scope": scope})


def _get_environment_variable_of_field(field_name: str) -> str:
    return VARIABLE_OF_FIELD.get(field_name, f"{VARIABLE_PREFIX}{field_name.upper()}")


class Settings(BaseModel):
    """Settings of a server. `load_settings` reads them from environment variables."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=AliasGenerator(validation_alias=_get_environment_variable_of_field),
        populate_by_name=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )

    host: str = "127.0.0.1"
    """address to listen on; the image sets `0.0.0.0`, which is every address"""
    port: int = _build_integer_field(8000, 0, 65535)
    """port to listen on; 0 for any free port"""
    metrics_host: str = "127.0.0.1"
    """address of the metrics port, which needs no token; restrict access by a firewall if you make
    it reachable"""
    metrics_port: int = _build_integer_field(9464, 0, 65535)
    """port on which Prometheus reads the combined metrics of all workers; 0 serves no metrics"""
    root_path: RootPath = ""
    """path prefix below which a proxy serves everything, such as `/lab/env`, whether or not the
    proxy strips it; empty for no prefix"""
    workers: int = _build_integer_field(1, 1, 64)
    """number of worker processes"""
    also_serve: str = ALL_ENVIRONMENTS
    """environments to serve below their names, separated by commas; `all` for the others of the
    same distribution, or `none`"""
    products: str = ""
    """files, or folders of files, with products of your own tables, separated by `:`, which resets
    name with `product`; `--product FILE` adds one"""
    inline_products: bool = True
    """whether a reset may contain a product itself, as an object of at most 16 kB; in a Space the
    default is off"""
    max_sessions: int = _build_integer_field(1024, 1, 100_000, WORKER_SCOPE)
    """maximum number of open WebSocket sessions per worker; further connections are rejected with a
    retry time"""
    max_mcp_sessions: int = _build_integer_field(256, 1, 100_000)
    """maximum number of open sessions that were started through /mcp; WebSocket sessions do not
    count"""
    mcp_split: str = SESSIONS_SPLIT
    """split for MCP sessions that name no episode; each task is used once, in secret order. The
    default, `sessions`, is available nowhere else"""
    idle_timeout_s: int = _build_integer_field(3600, 0, 604_800, WORKER_SCOPE)
    """seconds without a message after which a WebSocket session is ended; 0 for no limit"""
    max_message_bytes: int = _build_integer_field(1 << 20, 1024, 67_108_864)
    """size of the longest WebSocket message or request body, in bytes; longer ones are rejected"""
    request_timeout_s: int = _build_integer_field(30, 1, 3600)
    """seconds within which a request's headers, its body and a WebSocket message must each arrive;
    also the time for which a client may leave replies unread"""
    keep_alive_s: int = _build_integer_field(75, 1, 3600)
    """seconds for which an idle HTTP connection stays open; must be longer than that of a proxy,
    usually 60, which otherwise returns a 502 now and then"""
    drain_s: int = _build_integer_field(25, 0, 3600)
    """seconds for which running episodes may continue after SIGTERM, while new ones are rejected;
    the server stops earlier when no episode is in use; 0 stops immediately"""
    max_steps: int = _build_integer_field(500, 1, 500)
    """largest `max_steps` of a reset"""
    max_submissions: int = _build_integer_field(5, 1, 5)
    """largest `max_submissions` of a reset"""
    episode_store: str = ""
    """store of HTTP and MCP episodes: a SQLite file, a redis:// address, or `memory` (for one
    worker, lost when it stops); empty for a file in the data folder, or else in the temporary
    folder"""
    data_folder: str = ""
    """folder on persistent storage, such as `/data` in a Space, for recordings of finished episodes
    and for the episode store unless OPENENV_KIT_EPISODE_STORE is set; empty to record nothing"""
    runs: str = ""
    """folders of recordings that the debugger lists, with their subfolders, separated by commas;
    everybody who may open the debugger can read them"""
    board: str = ""
    """file that the debugger's leaderboard is drawn from, `board.json` of a leaderboard's site;
    empty for the one in the package"""
    episode_ttl_s: int = _build_integer_field(3600, 1, 2_592_000)
    """seconds after its last use at which a stored episode expires"""
    max_stored_episodes: int = _build_integer_field(100_000, 1, 10_000_000)
    """maximum number of stored episodes; finished and idle ones are evicted for new ones"""
    max_store_bytes: int = _build_integer_field(32 << 20, 1 << 20, 512 << 20)
    """maximum size of the SQLite store on disk with its log, in bytes; the volume must be larger"""
    client_store_percent: int = _build_integer_field(25, 1, 100)
    """share of the store, in percent, that one client address may use; ignored if a token is set"""
    max_episode_bytes: int = _build_integer_field(4 << 20, 1024, 67_108_864)
    """maximum size of the stored actions of one episode, in bytes; further steps are rejected"""
    token: SecretToken = ""
    """bearer token that every route except /health and /ready needs, at least 16 characters; empty
    for no token"""
    player_token: SecretToken = ""
    """second bearer token, for players: allows only POST /step, /mcp and the WebSocket /ws; needs
    OPENENV_KIT_TOKEN and must differ from it"""
    participants: ParticipantTokens
    """participants of sealed tasks, as `name=token` separated by commas; each token has the
    trainer's rights, and sealed episodes are counted by name; needs OPENENV_KIT_TOKEN"""
    tables: str = ""
    """tables of your own, as `NAME=FILE:PRODUCT` separated by semicolons, which holders of the
    trainer's token play with `reset(table="NAME")`; needs OPENENV_KIT_TOKEN and one worker;
    `--table` adds one"""
    own_data: bool = False
    """whether visitors of the debugger may import their own tables without a token;
    `metric-tracker investigate --play` sets it for its own server. With OPENENV_KIT_TOKEN, imports
    are always on; they need one worker"""
    sealed_tasks: int = _build_integer_field(100, 1, 10_000_000)
    """number of sealed tasks that are offered; their indices start at 0"""
    sealed_plays: int = _build_integer_field(1, 1, 1000)
    """how often each participant may start each sealed task; pass^k needs k"""
    allowed_origins: Origins = ()
    """origins of other sites' pages that may call this server, separated by commas; `*` for any"""
    log_level: LogLevel = "info"
    """level of the log: debug, info, warning or error"""
    visitor_grace_s: int = _build_integer_field(600, 0, 86_400, WORKER_SCOPE)
    """seconds for which the debugger keeps a visitor whose connection has ended"""
    max_visitors: int = _build_integer_field(256, 1, 10_000, WORKER_SCOPE)
    """maximum number of visitors of the debugger; a further one replaces a disconnected visitor, or
    is rejected with a retry time"""
    debug: bool = False
    """include the answers in replies; never enable it for training or evaluation"""

    @field_validator("participants")
    @classmethod
    def _require_trainer_token_and_distinct_participant_tokens(
        cls, participants: dict[str, str], validated: ValidationInfo
    ) -> dict[str, str]:
        if participants and not validated.data.get("token"):
            raise ValueError("empty unless OPENENV_KIT_TOKEN is set")
        tokens = [
            *participants.values(),
            validated.data.get("token"),
            validated.data.get("player_token"),
        ]
        if len(set(tokens)) < len(tokens):
            raise ValueError("different tokens for all participants, the trainer and the player")
        return participants

    @field_validator("tables")
    @classmethod
    def _require_trainer_token_and_one_worker(cls, tables: str, validated: ValidationInfo) -> str:
        if tables and not validated.data.get("token"):
            raise ValueError("empty unless OPENENV_KIT_TOKEN is set")
        if tables and validated.data.get("workers") != 1:
            raise ValueError("empty unless WORKERS is 1, because tables are only in memory")
        return tables

    @field_validator("player_token")
    @classmethod
    def _require_trainer_token_and_distinct_player_token(
        cls, player_token: str, validated: ValidationInfo
    ) -> str:
        token = validated.data.get("token")
        if player_token and not token:
            raise ValueError("empty unless OPENENV_KIT_TOKEN is set")
        if player_token and player_token == token:
            raise ValueError("a value that differs from OPENENV_KIT_TOKEN")
        return player_token


def may_import_tables(settings: Settings) -> bool:
    """Return whether visitors of the debugger may import tables; this requires a single worker."""
    return (bool(settings.token) or settings.own_data) and settings.workers == 1


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings that environment variables define. Empty variables count as not set.

    Args:
        environ: the environment variables; None for `os.environ`.

    Raises:
        InvalidValueError: the value of a variable is not allowed.
        ConfigurationError: a variable is set under its old name.
    """
    if environ is None:
        environ = os.environ
    variables = [str(field.validation_alias) for field in Settings.model_fields.values()]
    for name in (*variables, SALT_VARIABLE):
        # A variable with an old name is an error. If the server ignored, for example, its token, it
        # would be open to everybody.
        old_name = name.replace(VARIABLE_PREFIX, OLD_VARIABLE_PREFIX)
        if old_name != name and environ.get(old_name):
            raise ConfigurationError(f"{old_name} is called {name} now. Set {name} instead.")
    values: dict[str, Any] = {
        name: environ[name] for name in variables if environ.get(name, "").strip()
    }
    if environ.get(SPACE_HOST_VARIABLE):
        # A Space is open to everybody, and each new product has to be parsed and fitted to a level.
        values.setdefault(f"{VARIABLE_PREFIX}INLINE_PRODUCTS", False)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _build_invalid_setting_error(error.errors(include_url=False)[0]) from None


def format_settings_as_lines_without_secrets(settings: Settings) -> list[str]:
    """Return a line `VARIABLE=value` for each setting. Secrets are hidden and defaults marked."""
    lines = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if not field.repr:
            text = "(set, not shown)" if value else ""
        elif isinstance(value, tuple):
            text = ",".join(value)
        else:
            text = _hide_password_in_address(str(value))
        default = field.get_default(call_default_factory=True)
        mark = "  # default" if value == default else ""
        lines.append(f"{field.validation_alias}={text}{mark}")
    return lines


def _hide_password_in_address(address_text: str) -> str:
    """Return an address with its password, if any, replaced by asterisks."""
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


def _build_invalid_setting_error(error: ErrorDetails) -> InvalidValueError:
    """Build the error for a variable, with its value (unless secret) and the allowed values."""
    variable = str(error["loc"][0])
    fields = Settings.model_fields.values()
    field = next(field for field in fields if field.validation_alias == variable)
    if error["type"] == "value_error":
        allowed = str(error["ctx"]["error"])
    elif field.annotation is bool:
        allowed = ALLOWED_BOOLEANS
    else:
        allowed = describe_allowed_values(build_arguments_schema(Settings)["properties"][variable])
    return InvalidValueError(variable, error["input"] if field.repr else "…", allowed)


@lru_cache(maxsize=1)
def current_settings() -> Settings:
    """Return the settings of this process, which are read from the environment once."""
    return load_settings()
