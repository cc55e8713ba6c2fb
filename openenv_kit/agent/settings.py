"""Settings of a run, read from environment variables and `.env.inference`."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from openenv_kit.agent.text_repair import repair_surrogates
from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.network_addresses import is_loopback_host, parse_url
from openenv_kit.schema import build_arguments_schema, describe_allowed_values
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
"""Hosts of Hugging Face. Other hosts receive HF_TOKEN only if no other key is set."""
HF_ROUTER_URL = "https://router.huggingface.co/v1"
"""Default endpoint if HF_TOKEN is set; otherwise OpenAI's endpoint is the default."""
MAX_TOKENS_LIMIT = 4096
"""Largest completion limit that is sent to an endpoint, in tokens."""
WAIT_BOUNDS_S = {"ge": 0.1, "le": 86_400}
"""Allowed range of time settings, in seconds."""
MAX_TOKEN_SETTING = 10**9
"""Largest allowed value of settings that count tokens."""


def _build_field_of_variables(*variables: str, default: Any = None, **field_options: Any) -> Any:
    """Return a pydantic field that reads the first of the environment variables that is set."""
    return Field(default, validation_alias=AliasChoices(*variables), **field_options)


class AgentSettings(BaseModel):
    """Settings of a run.

    Times are in seconds, prices in US dollars per million tokens. None means not set. docs/agent.md
    describes each variable.

    Attributes:
        key_variable: name of the variable that contains the API key.
        embedded: whether to start a server for this run instead of looking for a running one.
        secrets: every key and password in the settings; never printed or written.
        notes: messages for the user about values that were changed.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    api_key: str | None = _build_field_of_variables(*API_KEY_VARIABLES, repr=False)
    key_variable: str | None = None
    api_base_url: str | None = _build_field_of_variables(*API_URL_VARIABLES)
    model: str | None = _build_field_of_variables("MODEL_NAME", "OPENAI_MODEL")
    base_url: str | None = _build_field_of_variables("BASE_URL", repr=False)
    server_token: str | None = _build_field_of_variables(SERVER_TOKEN_VARIABLE, repr=False)
    image_name: str | None = _build_field_of_variables("IMAGE_NAME")
    embedded: bool = False
    tasks: str = _build_field_of_variables("MetricTrackerRl_TASK", default="")
    benchmark: str = _build_field_of_variables("MetricTrackerRl_BENCHMARK", default="")
    temperature: float = _build_field_of_variables("TEMPERATURE", default=0.0, ge=0, le=2)
    max_tokens: int = _build_field_of_variables(
        "MAX_TOKENS", default=MAX_TOKENS_LIMIT, ge=1, le=MAX_TOKEN_SETTING
    )
    max_tool_rounds: int = _build_field_of_variables("MAX_TOOL_ROUNDS", default=16, ge=1, le=500)
    token_budget: int = _build_field_of_variables(
        "TOKEN_BUDGET", default=400_000, ge=0, le=MAX_TOKEN_SETTING
    )
    model_timeout_s: float = _build_field_of_variables(
        "MODEL_TIMEOUT_S", default=300.0, **WAIT_BOUNDS_S
    )
    model_answer_timeout_s: float | None = _build_field_of_variables(
        "MODEL_ANSWER_TIMEOUT_S", **WAIT_BOUNDS_S
    )
    model_retries: int = _build_field_of_variables("MODEL_RETRIES", default=4, ge=0, le=50)
    input_price_per_million: float | None = _build_field_of_variables(
        "INPUT_PRICE_PER_MILLION", ge=0, le=10_000
    )
    output_price_per_million: float | None = _build_field_of_variables(
        "OUTPUT_PRICE_PER_MILLION", ge=0, le=10_000
    )
    connect_timeout_s: float = _build_field_of_variables(
        "OPENENV_CONNECT_TIMEOUT_S", default=60.0, **WAIT_BOUNDS_S
    )
    message_timeout_s: float = _build_field_of_variables(
        "OPENENV_MESSAGE_TIMEOUT_S", default=60.0, **WAIT_BOUNDS_S
    )
    docker_wait_timeout_s: float = _build_field_of_variables(
        "OPENENV_DOCKER_WAIT_TIMEOUT_S", default=180.0, **WAIT_BOUNDS_S
    )
    task_retries: int = _build_field_of_variables(
        "OPENENV_TASK_RETRY_COUNT", default=2, ge=0, le=100
    )
    score_epsilon: float = _build_field_of_variables(
        "OPENENV_SCORE_EPSILON", default=0.01, ge=0, le=0.49
    )
    secrets: tuple[str, ...] = Field((), repr=False)
    notes: tuple[str, ...] = ()

    @property
    def answer_timeout_s(self) -> float:
        """Longest wait for one response of the model, with all retries and pauses, in seconds."""
        return self.model_answer_timeout_s or 2 * self.model_timeout_s

    @property
    def is_local_model(self) -> bool:
        """Whether the model runs on this machine, so that its server needs no key."""
        host = urlsplit(self.api_base_url or "").hostname
        return self.model is not None and host is not None and is_loopback_host(host)

    @property
    def score_settings(self) -> dict[str, Any]:
        """Settings that a model's scores depend on, as JSON values."""
        return {
            "endpoint": hide_url_credentials(self.api_base_url or ""),
            # If it is not set, the environment's default is used, which its version identifies.
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
"""Settings field for each environment variable."""


def load_settings(
    environment_variables: Mapping[str, str] | None = None, default_benchmark: str = ""
) -> AgentSettings:
    """Load the settings from environment variables and `.env.inference`.

    A variable of the process overrides the same variable in the file.

    Args:
        environment_variables: variables to read; None for the variables of this process. Empty
            values count as not set.
        default_benchmark: name of the environment in START lines, unless a variable sets it.

    Raises:
        InvalidValueError: the value of a variable is not allowed.
    """
    from dotenv import dotenv_values  # minimal installations, which need only constants, lack it

    source = {
        **dotenv_values(ENV_FILE),
        **(os.environ if environment_variables is None else environment_variables),
    }
    set_variables = {
        name: repair_surrogates(text.strip())
        for name, text in source.items()
        if text and text.strip()
    }
    # The model also accepts its field names, which are not variables.
    values = {name: text for name, text in set_variables.items() if name in FIELD_OF_VARIABLE}
    try:
        settings = AgentSettings.model_validate(values)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise InvalidValueError(
            name, values[name], _describe_allowed_values_of_variable(name)
        ) from None
    api_base_url = settings.api_base_url
    if api_base_url is None and HF_TOKEN_VARIABLE in set_variables:
        api_base_url = HF_ROUTER_URL
    if api_base_url:
        require_url("API_BASE_URL", api_base_url)
    key_variable = choose_api_key_variable(set_variables, api_base_url)
    api_key = set_variables[key_variable] if key_variable else None
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise ConfigurationError(
            f"{key_variable} contains a character that cannot be part of a key; allowed: printable "
            "ASCII characters. Copy the key again."
        )
    notes: tuple[str, ...] = ()
    if settings.max_tokens > MAX_TOKENS_LIMIT:
        notes = (
            f"MAX_TOKENS is {settings.max_tokens}; {MAX_TOKENS_LIMIT} is used, the most allowed.",
        )
    secret_variables = (*API_KEY_VARIABLES, SERVER_TOKEN_VARIABLE, SALT_VARIABLE)
    secrets = [set_variables.get(name, "") for name in secret_variables]
    for name in (*API_URL_VARIABLES, "BASE_URL"):
        secrets.append(extract_url_password(set_variables.get(name, "")))
    resolved = {
        "api_key": api_key,
        "key_variable": key_variable,
        "api_base_url": api_base_url,
        "benchmark": settings.benchmark or default_benchmark,
        "max_tokens": min(settings.max_tokens, MAX_TOKENS_LIMIT),
        "secrets": tuple(secrets),
        "notes": notes,
    }
    return settings.model_copy(update=resolved)


def choose_api_key_variable(set_variables: Collection[str], api_base_url: str | None) -> str | None:
    """Choose the variable whose API key is sent to the endpoint; None if no key is set.

    Args:
        set_variables: names of the variables that are set.
        api_base_url: URL of the endpoint; None for OpenAI's endpoint.
    """
    names = list(API_KEY_VARIABLES)
    if not is_hugging_face_url(api_base_url):  # prefer not to send a private token to other hosts
        names.remove(HF_TOKEN_VARIABLE)
        names.append(HF_TOKEN_VARIABLE)
    return next((name for name in names if name in set_variables), None)


def is_hugging_face_url(url: str | None) -> bool:
    """Return whether the host of a URL belongs to Hugging Face."""
    host = (urlsplit(url or "").hostname or "").rstrip(".")
    return HF_HOST_PATTERN.fullmatch(host) is not None


def _describe_allowed_values_of_variable(variable: str) -> str:
    return describe_allowed_values(
        build_arguments_schema(AgentSettings)["properties"][variable]
    ).removesuffix(" or null")


def require_url(
    setting_name: str, url: str, allowed_schemes: tuple[str, ...] = ("http", "https")
) -> None:
    """Raise an InvalidValueError unless a setting is a URL with an allowed scheme."""
    if parse_url(url, allowed_schemes) is None:
        prefixes = " or ".join(f"{scheme}://" for scheme in allowed_schemes)
        allowed = f"an address that starts with {prefixes}"
        raise InvalidValueError(setting_name, hide_url_credentials(url), allowed)


def hide_url_credentials(url: str) -> str:
    """Replace the user name and password in a URL, if present, with an ellipsis."""
    before, separator, after = url.rpartition("@")
    return f"{before.split('//')[0]}//…@{after}" if separator else url


def extract_url_password(url: str) -> str:
    """Return the password in a URL; empty if it contains no password."""
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""
