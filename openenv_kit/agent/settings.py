"""Settings of a run: environment variables with their fallbacks, and options over them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from openenv_kit.errors import SettingsError, echo
from openenv_kit.trust.sealing import SALT_VARIABLE

ENV_FILE = ".env.inference"
KEY_VARIABLES = ("HF_TOKEN", "OPENAI_API_KEY", "API_KEY")
"""Variables that may hold the model's key, the first one set wins."""
TOKEN_VARIABLE = "METRIC_TRACKER_TOKEN"
URL_VARIABLES = ("API_BASE_URL", "OPENAI_BASE_URL")
MODEL_VARIABLES = ("MODEL_NAME", "OPENAI_MODEL")
HF_ROUTER = "https://router.huggingface.co/v1"
"""Endpoint of a key from HF_TOKEN where none is named; any other key is for OpenAI's own."""
MAX_TOKENS_LIMIT = 4096


@dataclass(frozen=True)
class Settings:
    """Everything that variables decide.

    Attributes:
        api_key: key of the model's endpoint; None plays a scripted policy.
        key_variable: the variable the key came from.
        api_base_url: the model's endpoint; None for the openai client's own.
        model: the model's name.
        base_url: environment server to use.
        server_token: bearer token of the server at `base_url`, if it asks for one.
        image_name: container image to start a server from.
        embedded: start a server of our own without looking for a running one.
        tasks: as `jobs.plan` takes them.
        benchmark: the `env=` of START lines.
        temperature: of the model.
        max_tokens: of one answer of the model.
        max_tool_rounds: answers of the model per episode.
        token_budget: tokens per episode, prompts included; 0 for no limit.
        model_timeout_s: longest wait for one answer of the model, in seconds.
        model_retries: tries after a failed one that may pass (429, 5xx, a timeout).
        input_price: US dollars for a million prompt tokens; None where unknown.
        output_price: US dollars for a million answer tokens.
        connect_timeout_s: longest wait for the environment server, in seconds.
        message_timeout_s: longest wait for one reply of it.
        docker_wait_timeout_s: longest wait for a container.
        task_retries: times a task's lost connection is made again.
        score_epsilon: printed scores are clamped to [epsilon, 1 − epsilon].
        secrets: every key and password among them; never printed or written.
        notes: what was changed on the way in, for people.
    """

    api_key: str | None = field(default=None, repr=False)
    key_variable: str | None = None
    api_base_url: str | None = None
    model: str | None = None
    base_url: str | None = None
    server_token: str | None = field(default=None, repr=False)
    image_name: str | None = None
    embedded: bool = False
    tasks: str = ""
    benchmark: str = ""
    temperature: float = 0.0
    max_tokens: int = MAX_TOKENS_LIMIT
    max_tool_rounds: int = 16
    token_budget: int = 400_000
    model_timeout_s: float = 300.0
    model_retries: int = 4
    input_price: float | None = None
    output_price: float | None = None
    connect_timeout_s: float = 60.0
    message_timeout_s: float = 60.0
    docker_wait_timeout_s: float = 180.0
    task_retries: int = 2
    score_epsilon: float = 0.01
    secrets: tuple[str, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()


def load_settings(
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = None,
    benchmark: str = "",
) -> Settings:
    """Settings from variables; those of the process win over those of the file.

    Args:
        environ: variables; None for the process's own.
        env_file: file of further variables, if it is there; None for `.env.inference` in the
            working directory.
        benchmark: the `env=` of START lines where no variable names another.

    Raises:
        SettingsError: a variable holds something else than it may; names it.
    """
    path = Path(ENV_FILE) if env_file is None else env_file
    source = _Variables({**_file_variables(path), **(os.environ if environ is None else environ)})
    key_variable = source.first_set(KEY_VARIABLES)
    api_base_url = source.first(URL_VARIABLES)
    if api_base_url is None and key_variable == "HF_TOKEN":
        api_base_url = HF_ROUTER
    if api_base_url is not None:
        check_address("API_BASE_URL", api_base_url)
    max_tokens = source.integer("MAX_TOKENS", MAX_TOKENS_LIMIT, 1)
    notes = []
    if max_tokens > MAX_TOKENS_LIMIT:
        notes.append(f"MAX_TOKENS is {max_tokens}; {MAX_TOKENS_LIMIT} is used, the most allowed.")
    return Settings(
        api_key=source.text(key_variable) if key_variable else None,
        key_variable=key_variable,
        api_base_url=api_base_url,
        model=source.first(MODEL_VARIABLES),
        base_url=source.text("BASE_URL"),
        server_token=source.text(TOKEN_VARIABLE),
        image_name=source.text("IMAGE_NAME"),
        tasks=source.text("MetricTrackerRl_TASK") or "",
        benchmark=source.text("MetricTrackerRl_BENCHMARK") or benchmark,
        temperature=source.number("TEMPERATURE", 0.0, 0.0, 2.0),
        max_tokens=min(max_tokens, MAX_TOKENS_LIMIT),
        max_tool_rounds=source.integer("MAX_TOOL_ROUNDS", 16, 1, 500),
        token_budget=source.integer("TOKEN_BUDGET", 400_000, 0),
        model_timeout_s=source.number("MODEL_TIMEOUT_S", 300.0, 0.1, 86_400.0),
        model_retries=source.integer("MODEL_RETRIES", 4, 0, 50),
        input_price=source.optional_number("INPUT_PRICE_PER_MILLION"),
        output_price=source.optional_number("OUTPUT_PRICE_PER_MILLION"),
        connect_timeout_s=source.number("OPENENV_CONNECT_TIMEOUT_S", 60.0, 0.1, 86_400.0),
        message_timeout_s=source.number("OPENENV_MESSAGE_TIMEOUT_S", 60.0, 0.1, 86_400.0),
        docker_wait_timeout_s=source.number("OPENENV_DOCKER_WAIT_TIMEOUT_S", 180.0, 0.1, 86_400.0),
        task_retries=source.integer("OPENENV_TASK_RETRY_COUNT", 2, 0, 100),
        score_epsilon=source.number("OPENENV_SCORE_EPSILON", 0.01, 0.0, 0.49),
        secrets=tuple(source.secrets()),
        notes=tuple(notes),
    )


def _file_variables(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(path).items() if value is not None}


def check_address(name: str, url: str, schemes: tuple[str, ...] = ("http", "https")) -> None:
    """Make sure that a setting holds an address.

    Raises:
        SettingsError: it does not.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        allowed = f"an address that starts with {' or '.join(f'{each}://' for each in schemes)}"
        raise SettingsError(f"{name} is {echo(shown_url(url))}; allowed: {allowed}.")


def shown_url(url: str) -> str:
    """An address without the password that may be in it."""
    before, at, after = url.rpartition("@")
    return f"{before.split('//')[0]}//…@{after}" if at else url


def password_in(url: str) -> str:
    """The password of an address, or nothing."""
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""


class _Variables:
    """Reads variables; an empty one counts as not set."""

    def __init__(self, source: Mapping[str, str]) -> None:
        self._source = source

    def text(self, name: str) -> str | None:
        return self._source.get(name, "").strip() or None

    def first_set(self, names: tuple[str, ...]) -> str | None:
        return next((name for name in names if self.text(name)), None)

    def first(self, names: tuple[str, ...]) -> str | None:
        name = self.first_set(names)
        return self.text(name) if name else None

    def secrets(self) -> Iterator[str]:
        """Keys, and passwords inside addresses."""
        for name in (*KEY_VARIABLES, TOKEN_VARIABLE, SALT_VARIABLE):
            yield self.text(name) or ""
        for name in (*URL_VARIABLES, "BASE_URL"):
            yield password_in(self.text(name) or "")

    def integer(self, name: str, default: int, low: int, high: int = 10**9) -> int:
        text = self.text(name)
        if text is None:
            return default
        if text.isascii() and text.isdigit() and len(text) < 12 and low <= int(text) <= high:
            return int(text)
        raise SettingsError(f"{name} is {echo(text)}; allowed: an integer from {low} to {high}.")

    def number(self, name: str, default: float, low: float, high: float) -> float:
        text = self.text(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if low <= value <= high:
            return value
        raise SettingsError(f"{name} is {echo(text)}; allowed: a number from {low:g} to {high:g}.")

    def optional_number(self, name: str) -> float | None:
        return None if self.text(name) is None else self.number(name, 0.0, 0.0, 10_000.0)
