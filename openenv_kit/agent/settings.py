"""Settings of a run: environment variables with their fallbacks, and options over them."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from openenv_kit.agent.text_repair import repair_surrogates
from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.network_addresses import is_loopback
from openenv_kit.schema import describe_allowed_values, json_schema
from openenv_kit.variables import (
    API_KEY_VARIABLES,
    API_URL_VARIABLES,
    HF_TOKEN_VARIABLE,
    SALT_VARIABLE,
    SERVER_TOKEN_VARIABLE,
)

ENV_FILE = ".env.inference"
HF_HOST_PATTERN = re.compile(
    r"(.+\.)?huggingface\.co|.+\.hf\.space|.+\.endpoints\.huggingface\.cloud", re.IGNORECASE
)
"""Hosts that HF_TOKEN is for; any other gets it only if no other key is set."""
HF_ROUTER_URL = "https://router.huggingface.co/v1"
"""Default endpoint of a key from HF_TOKEN; any other key is for OpenAI's own."""
MAX_TOKENS_LIMIT = 4096
WAIT_BOUNDS_S = {"ge": 0.1, "le": 86_400}
"""Seconds that may be waited."""
MAX_TOKEN_SETTING = 10**9


def _variable_field(*variables: str, default: Any = None, **field_options: Any) -> Any:
    """A field that is read from the first of these variables that is set."""
    return Field(default, validation_alias=AliasChoices(*variables), **field_options)


class AgentSettings(BaseModel):
    """Everything that variables decide.

    Times are in seconds, prices in US dollars per million tokens; None stands for what is not set.
    docs/agent.md says what each variable is for.

    Attributes:
        key_variable: the variable the key came from.
        embedded: start a server for this run without looking for a running one.
        secrets: every key and password among them; never printed or written.
        notes: what was changed while reading them, for people.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    api_key: str | None = _variable_field(*API_KEY_VARIABLES, repr=False)
    key_variable: str | None = None
    api_base_url: str | None = _variable_field(*API_URL_VARIABLES)
    model: str | None = _variable_field("MODEL_NAME", "OPENAI_MODEL")
    base_url: str | None = _variable_field("BASE_URL", repr=False)
    server_token: str | None = _variable_field(SERVER_TOKEN_VARIABLE, repr=False)
    image_name: str | None = _variable_field("IMAGE_NAME")
    embedded: bool = False
    tasks: str = _variable_field("MetricTrackerRl_TASK", default="")
    benchmark: str = _variable_field("MetricTrackerRl_BENCHMARK", default="")
    temperature: float = _variable_field("TEMPERATURE", default=0.0, ge=0, le=2)
    max_tokens: int = _variable_field(
        "MAX_TOKENS", default=MAX_TOKENS_LIMIT, ge=1, le=MAX_TOKEN_SETTING
    )
    max_tool_rounds: int = _variable_field("MAX_TOOL_ROUNDS", default=16, ge=1, le=500)
    token_budget: int = _variable_field("TOKEN_BUDGET", default=400_000, ge=0, le=MAX_TOKEN_SETTING)
    model_timeout_s: float = _variable_field("MODEL_TIMEOUT_S", default=300.0, **WAIT_BOUNDS_S)
    model_answer_timeout_s: float | None = _variable_field(
        "MODEL_ANSWER_TIMEOUT_S", **WAIT_BOUNDS_S
    )
    model_retries: int = _variable_field("MODEL_RETRIES", default=4, ge=0, le=50)
    input_price_per_million: float | None = _variable_field(
        "INPUT_PRICE_PER_MILLION", ge=0, le=10_000
    )
    output_price_per_million: float | None = _variable_field(
        "OUTPUT_PRICE_PER_MILLION", ge=0, le=10_000
    )
    connect_timeout_s: float = _variable_field(
        "OPENENV_CONNECT_TIMEOUT_S", default=60.0, **WAIT_BOUNDS_S
    )
    message_timeout_s: float = _variable_field(
        "OPENENV_MESSAGE_TIMEOUT_S", default=60.0, **WAIT_BOUNDS_S
    )
    docker_wait_timeout_s: float = _variable_field(
        "OPENENV_DOCKER_WAIT_TIMEOUT_S", default=180.0, **WAIT_BOUNDS_S
    )
    task_retries: int = _variable_field("OPENENV_TASK_RETRY_COUNT", default=2, ge=0, le=100)
    score_epsilon: float = _variable_field("OPENENV_SCORE_EPSILON", default=0.01, ge=0, le=0.49)
    secrets: tuple[str, ...] = Field((), repr=False)
    notes: tuple[str, ...] = ()

    @property
    def answer_timeout_s(self) -> float:
        """Longest wait for one answer of the model, with all attempts and pauses."""
        return self.model_answer_timeout_s or 2 * self.model_timeout_s

    @property
    def is_local_model(self) -> bool:
        """Whether a model on this machine is named, whose server needs no key."""
        host = urlsplit(self.api_base_url or "").hostname
        return self.model is not None and host is not None and is_loopback(host)

    @property
    def score_settings(self) -> dict[str, Any]:
        """What a model's scores depend on, beside the model itself."""
        return {
            "endpoint": hide_url_password(self.api_base_url or ""),
            # Where it is not set, the environment says how many there are.
            "max_tool_rounds": (
                self.max_tool_rounds if "max_tool_rounds" in self.model_fields_set else None
            ),
            **self.model_dump(include={"temperature", "max_tokens", "token_budget"}),
        }


FIELD_OF_VARIABLE = {
    variable: field
    for field in AgentSettings.model_fields.values()
    if isinstance(field.validation_alias, AliasChoices)
    for variable in map(str, field.validation_alias.choices)
}
"""Each variable's field."""


def load_settings(variables: Mapping[str, str] | None = None, benchmark: str = "") -> AgentSettings:
    """Settings from variables; those of the process win over those of `.env.inference`.

    Args:
        variables: variables; None for the process's own. Empty ones count as not set.
        benchmark: the `env=` of START lines, unless a variable names another.

    Raises:
        InvalidValueError: a variable holds a value that is not allowed; names it.
    """
    from dotenv import dotenv_values  # not installed where a trainer reads TOKEN_VARIABLE

    source = {**dotenv_values(ENV_FILE), **(os.environ if variables is None else variables)}
    given = {
        name: repair_surrogates(text.strip())
        for name, text in source.items()
        if text and text.strip()
    }
    # Fields are also known by their own names, which are no variables.
    known = {name: text for name, text in given.items() if name in FIELD_OF_VARIABLE}
    try:
        settings = AgentSettings.model_validate(known)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise InvalidValueError(name, known[name], _describe_allowed(name)) from None
    api_base_url = settings.api_base_url or (HF_ROUTER_URL if HF_TOKEN_VARIABLE in given else None)
    if api_base_url:
        require_url("API_BASE_URL", api_base_url)
    key_variable = choose_key_variable(given, api_base_url)
    api_key = given[key_variable] if key_variable else None
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise ConfigurationError(
            f"{key_variable} holds a character that cannot be part of a key; allowed: printable "
            "ASCII characters. Copy the key again."
        )
    notes: tuple[str, ...] = ()
    if settings.max_tokens > MAX_TOKENS_LIMIT:
        used = f"{MAX_TOKENS_LIMIT} is used, the most allowed"
        notes = (f"MAX_TOKENS is {settings.max_tokens}; {used}.",)
    secrets = [
        given.get(name, "") for name in (*API_KEY_VARIABLES, SERVER_TOKEN_VARIABLE, SALT_VARIABLE)
    ]
    secrets += [
        extract_url_password(given.get(name, "")) for name in (*API_URL_VARIABLES, "BASE_URL")
    ]
    found = {
        "api_key": api_key,
        "key_variable": key_variable,
        "api_base_url": api_base_url,
        "benchmark": settings.benchmark or benchmark,
        "max_tokens": min(settings.max_tokens, MAX_TOKENS_LIMIT),
        "secrets": tuple(secrets),
        "notes": notes,
    }
    return settings.model_copy(update=found)


def choose_key_variable(set_variables: Collection[str], api_base_url: str | None) -> str | None:
    """Return the variable whose key the endpoint gets; None if none is set.

    Args:
        set_variables: names of the variables that are set.
        api_base_url: the endpoint; None for OpenAI's own.
    """
    order: Sequence[str] = API_KEY_VARIABLES
    if not is_hugging_face(api_base_url):  # a private token is not for the servers of others
        order = (
            *(name for name in API_KEY_VARIABLES if name != HF_TOKEN_VARIABLE),
            HF_TOKEN_VARIABLE,
        )
    return next((name for name in order if name in set_variables), None)


def is_hugging_face(url: str | None) -> bool:
    """Whether an address is on one of Hugging Face's hosts."""
    host = (urlsplit(url or "").hostname or "").rstrip(".")
    return HF_HOST_PATTERN.fullmatch(host) is not None


def _describe_allowed(variable: str) -> str:
    return describe_allowed_values(json_schema(AgentSettings)["properties"][variable]).removesuffix(
        " or null"
    )


def parse_url(url: str, schemes: Collection[str]) -> SplitResult | None:
    """An address of one of these schemes in its parts; None for what is none."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:  # such as a port that is not a number
        return None
    return parts if usable else None


def require_url(setting_name: str, url: str, schemes: tuple[str, ...] = ("http", "https")) -> None:
    """Raise an InvalidValueError unless a setting holds an address."""
    if parse_url(url, schemes) is None:
        allowed = f"an address that starts with {' or '.join(f'{each}://' for each in schemes)}"
        raise InvalidValueError(setting_name, hide_url_password(url), allowed)


def hide_url_password(url: str) -> str:
    """An address without the password that may be in it."""
    before, at, after = url.rpartition("@")
    return f"{before.split('//')[0]}//…@{after}" if at else url


def extract_url_password(url: str) -> str:
    """The password of an address, or nothing."""
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""
