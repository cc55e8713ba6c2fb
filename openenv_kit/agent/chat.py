"""One OpenAI-compatible endpoint: asking it, reading its answers, explaining what went wrong.

The openai client itself retries, with backoff, what may be temporary (408, 409, 429, 5xx, a
timeout, a lost connection); anything else is a `ModelError` that names the setting to change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from openenv_kit.agent.secrets import Clean, cleaner
from openenv_kit.agent.settings import AgentSettings, shown_url
from openenv_kit.agent.stdout import one_line
from openenv_kit.errors import ModelError, ToolArgumentError, echo

MAX_QUOTE = 300
UNREADABLE_TRIES = 2
HOPELESS = (401, 402, 403, 404)
"""Statuses that every further call would get too."""
CHARACTERS_PER_TOKEN = 4
"""Estimate for calls whose tokens the endpoint does not count."""

Message = dict[str, Any]


class ContextFullError(ModelError):
    """The conversation no longer fits into the model's context."""


@dataclass(frozen=True)
class ToolCall:
    """One tool call of an answer, its arguments as the model wrote them."""

    id: str
    name: str
    arguments: str

    def read(self) -> dict[str, Any]:
        """The arguments; no text means none.

        Raises:
            ToolArgumentError: not a JSON object; says where it breaks.
        """
        try:
            found = json.loads(self.arguments) if self.arguments.strip() else {}
        except (ValueError, RecursionError) as problem:
            raise ToolArgumentError(
                f"{self.name}: the arguments are not JSON ({problem}); allowed: one JSON object. "
                "Nothing was run."
            ) from None
        if not isinstance(found, dict):
            raise ToolArgumentError(
                f"{self.name}: the arguments are {echo(found)}; allowed: one JSON object."
            )
        return found


@dataclass(frozen=True)
class Answer:
    """What the model said and its tool calls, free of secrets.

    Attributes:
        prompt_tokens, completion_tokens: as counted, or estimated where `counted` is false.
        cost: US dollars, if the endpoint reports it.
        remark: what is wrong with the answer, if anything.
    """

    text: str
    calls: tuple[ToolCall, ...]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    counted: bool = True
    cost: float | None = None
    remark: str = ""


def read_answer(
    completion: Any, messages: Sequence[Message], clean: Clean, max_tokens: int
) -> Answer:
    """The answer in a chat completion; tolerates what endpoints leave out.

    Args:
        completion: an object with the attributes of a chat completion.
        messages: the request's, to estimate tokens that the endpoint does not count.
        clean: removes secrets from a text.
        max_tokens: the limit that was asked for.
    """
    choice = completion.choices[0] if completion.choices else None
    message, usage = getattr(choice, "message", None), getattr(completion, "usage", None)
    text = clean(str(getattr(message, "content", None) or ""))
    made = enumerate(getattr(message, "tool_calls", None) or [])
    calls = tuple(_call(number, each, clean) for number, each in made)
    prompt = getattr(usage, "prompt_tokens", None)
    answered = getattr(usage, "completion_tokens", None)
    counted = isinstance(prompt, int) and isinstance(answered, int)
    if not counted:
        prompt = sum(len(str(each)) for each in messages) // CHARACTERS_PER_TOKEN
        answered = (len(text) + sum(len(c.arguments) for c in calls)) // CHARACTERS_PER_TOKEN
    cost = getattr(usage, "cost", None)
    cost = float(cost) if isinstance(cost, int | float) else None
    remark = _remark(choice, message, clean, max_tokens)
    return Answer(text, calls, int(prompt or 0), int(answered or 0), counted, cost, remark)


def is_too_long(said: str) -> bool:
    """Whether an endpoint's refusal means that the conversation is too long."""
    signs = ("context_length", "context length", "maximum context", "prompt is too long")
    return any(sign in said.lower() for sign in signs)


class Endpoint:
    """A model behind the endpoint of the settings, which hold a key and the model's name."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._clean = cleaner(settings.secrets)
        self.model = settings.model or ""
        self._client = openai.AsyncOpenAI(
            api_key=settings.api_key,
            base_url=settings.api_base_url,
            timeout=settings.model_timeout_s,
            max_retries=settings.model_retries,
        )
        # Sent with every request; one that the model does not accept goes.
        self._options: dict[str, Any] = {
            "model": self.model,
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
        }

    async def ask(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Answer:
        """One answer to a conversation.

        Raises:
            ContextFullError: the conversation is too long for the model.
            ModelError: the endpoint gave no answer; names the setting to change.
        """
        unreadable = 0
        while True:
            try:
                request = {**self._options, "messages": list(messages), "tools": list(tools)}
                completion = await self._client.chat.completions.create(**request)
            except openai.APIStatusError as error:
                if error.status_code in (400, 422) and self._adapts(_said(error).lower()):
                    continue
                raise self._status_error(error) from None
            except openai.APITimeoutError:
                raise ModelError(
                    f"{self.model} did not answer within {self._settings.model_timeout_s:g} s, "
                    f"{self._tries}: raise MODEL_TIMEOUT_S, or choose another MODEL_NAME."
                ) from None
            except openai.APIConnectionError as error:
                raise ModelError(
                    f"No connection to {self._where} ({self._clean(_cause(error))}), "
                    f"{self._tries}: check API_BASE_URL."
                ) from None
            except (openai.APIError, ValueError) as error:  # a body that is not JSON
                problem = self._clean(str(error))
            else:
                if isinstance(completion, ChatCompletion):
                    return read_answer(completion, messages, self._clean, self._settings.max_tokens)
                problem = f"got {type(completion).__name__}"
            unreadable += 1
            if unreadable >= UNREADABLE_TRIES:
                raise ModelError(
                    f"{self._where} sends no chat completions ({one_line(problem, MAX_QUOTE)}): "
                    "check API_BASE_URL, which often ends in /v1."
                )

    async def close(self) -> None:
        """Release the connections."""
        await self._client.close()

    @property
    def _where(self) -> str:
        return self._clean(shown_url(str(self._client.base_url)))

    @property
    def _tries(self) -> str:
        return f"attempt {self._settings.model_retries + 1}, the last"

    def _adapts(self, said: str) -> bool:
        """Learn from a refusal which options the model accepts; whether to ask again."""
        options = self._options
        if "max_completion_tokens" in said and "max_tokens" in options:
            options["max_completion_tokens"] = options.pop("max_tokens")
            return True
        return "temperature" in said and options.pop("temperature", None) is not None

    def _status_error(self, error: openai.APIStatusError) -> ModelError:
        code, key = error.status_code, self._settings.key_variable or "API_KEY"
        said = one_line(self._clean(_said(error)), MAX_QUOTE)
        if code == 413 or (code == 400 and is_too_long(said)):
            return ContextFullError(
                f"The conversation is too long for {self.model} ({code}): {said} Choose a "
                "MODEL_NAME with more context, or lower MAX_TOOL_ROUNDS."
            )
        tried = f"{said} Check MODEL_NAME (--model) and"
        reasons = {
            400: f"refused the request ({code}): {said} Check that MODEL_NAME ({self.model}) "
            "supports tool calls.",
            # Some quote parts of the key here, so the endpoint is not quoted.
            401: f"refused the key (401): check {key}.",
            402: f"wants credits ({code}): {said} Add credits, or set {key} and API_BASE_URL for "
            "another endpoint.",
            403: f"forbids {self.model} ({code}): {tried} {key}.",
            404: f"knows no {self.model} ({code}): {tried} API_BASE_URL.",
            429: f"limits the rate (429), {self._tries}: {said} Lower --concurrency, or raise "
            "MODEL_RETRIES.",
        }
        case = 402 if code != 401 and "insufficient_quota" in said else 400 if code == 422 else code
        reason = reasons.get(case, f"failed ({code}), {self._tries}: {said}")
        return ModelError(f"{self._where} {reason}", hopeless=case in HOPELESS)


def _said(error: openai.APIStatusError) -> str:
    """The endpoint's own words about a refusal."""
    body = error.body
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            words = [str(inner[name]) for name in ("code", "message") if inner.get(name)]
            return ": ".join(words) or str(body)
        return str(inner)
    return str(body or error.message)


def _cause(error: BaseException) -> str:
    cause = error.__cause__
    return (str(cause) or type(cause).__name__) if cause else str(error)


def _call(number: int, call: Any, clean: Clean) -> ToolCall:
    function = getattr(call, "function", None) or getattr(call, "custom", None)
    arguments = getattr(function, "arguments", None) or getattr(function, "input", None) or ""
    return ToolCall(
        str(getattr(call, "id", None) or f"call_{number}"),
        clean(str(getattr(function, "name", None) or "")),
        clean(arguments if isinstance(arguments, str) else str(arguments)),
    )


def _remark(choice: Any, message: Any, clean: Clean, max_tokens: int) -> str:
    if message is None:
        return "the answer was empty (no choices)"
    if getattr(message, "refusal", None):
        return f"the model refused: {one_line(clean(str(message.refusal)), MAX_QUOTE)}"
    reasons = {
        "length": f"the answer was cut at MAX_TOKENS ({max_tokens})",
        "content_filter": "the endpoint's content filter stopped the answer",
    }
    return reasons.get(str(getattr(choice, "finish_reason", None)), "")
