"""One OpenAI-compatible endpoint: asking it, and saying in plain words what went wrong.

What may pass (408, 409, 429, 5xx, a timeout, a lost connection) is tried again by the openai
client itself, with backoff; what cannot pass is a `ModelError` that names the setting to change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from metric_tracker_rl.agent.secrets import cleaner
from metric_tracker_rl.agent.settings import Settings, shown_url
from metric_tracker_rl.agent.stdout import one_line
from metric_tracker_rl.errors import ModelError

MAX_QUOTE = 300
UNREADABLE_TRIES = 2
CHARACTERS_PER_TOKEN = 4
"""For the calls whose tokens the endpoint does not count."""

Message = dict[str, Any]


class ContextFullError(ModelError):
    """The conversation no longer fits into the model's context."""


@dataclass(frozen=True)
class ToolCall:
    """One tool call of an answer, its arguments as the model wrote them."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Answer:
    """One answer of the model, free of secrets.

    Attributes:
        text: what it said.
        calls: its tool calls, in order.
        prompt_tokens, completion_tokens: as counted, or estimated where `counted` is false.
        cost: US dollars, where the endpoint tells.
        remark: why the answer is less than it should be, if it is.
    """

    text: str
    calls: tuple[ToolCall, ...]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    counted: bool = True
    cost: float | None = None
    remark: str = ""


class Endpoint:
    """A model behind an endpoint.

    Args:
        settings: with a key and a model's name.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clean = cleaner(settings.secrets)
        self.model = settings.model or ""
        self._client = openai.AsyncOpenAI(
            api_key=settings.api_key,
            base_url=settings.api_base_url,
            timeout=settings.model_timeout_s,
            max_retries=settings.model_retries,
        )
        self._limit_name = "max_tokens"
        self._with_temperature = True

    async def ask(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Answer:
        """One answer to a conversation.

        Raises:
            ContextFullError: the conversation is too long for the model.
            ModelError: no answer is to be had; names the setting to change.
        """
        unreadable = 0
        while True:
            try:
                completion = await self._client.chat.completions.create(
                    **self._request(messages, tools)
                )
            except openai.APIStatusError as error:
                if self._adapt(error):
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
            except (openai.APIError, ValueError) as error:  # a body that is no JSON
                problem = self._clean(str(error))
            else:
                if isinstance(completion, ChatCompletion):
                    return self._answer(completion, messages)
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
        return f"tried {self._settings.model_retries + 1} time(s)"

    def _request(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.model,
            "messages": list(messages),
            "tools": list(tools),
            self._limit_name: self._settings.max_tokens,
        }
        if self._with_temperature:
            request["temperature"] = self._settings.temperature
        return request

    def _adapt(self, error: openai.APIStatusError) -> bool:
        """Learn from a refusal which spelling this model wants; whether to ask again."""
        if error.status_code not in (400, 422):
            return False
        said = _said(error).lower()
        if "max_completion_tokens" in said and self._limit_name == "max_tokens":
            self._limit_name = "max_completion_tokens"
            return True
        if "temperature" in said and self._with_temperature:
            self._with_temperature = False
            return True
        return False

    def _status_error(self, error: openai.APIStatusError) -> ModelError:
        code, key = error.status_code, self._settings.key_variable or "API_KEY"
        said = one_line(self._clean(_said(error)), MAX_QUOTE)
        if code == 401:  # some quote parts of the key here, so the endpoint is not quoted
            return ModelError(f"{self._where} refused the key (401): check {key}.", hopeless=True)
        if code == 402 or "insufficient_quota" in said:
            return ModelError(
                f"{self._where} wants credits ({code}): {said} Add credits, or set {key} and "
                "API_BASE_URL for another endpoint.",
                hopeless=True,
            )
        if code == 403:
            return ModelError(
                f"{self._where} forbids {self.model} (403): {said} Check MODEL_NAME (--model) and "
                f"{key}.",
                hopeless=True,
            )
        if code == 404:
            return ModelError(
                f"{self._where} knows no {self.model} (404): {said} Check MODEL_NAME (--model) and "
                "API_BASE_URL.",
                hopeless=True,
            )
        if code == 413 or (code == 400 and _is_too_long(said)):
            return ContextFullError(
                f"The conversation is too long for {self.model} ({code}): {said} Choose a "
                "MODEL_NAME with more context, or lower MAX_TOOL_ROUNDS."
            )
        if code in (400, 422):
            return ModelError(
                f"{self._where} refused the request ({code}): {said} Check that MODEL_NAME "
                f"({self.model}) supports tool calls."
            )
        if code == 429:
            return ModelError(
                f"{self._where} limits the rate (429), {self._tries}: {said} Lower --concurrency, "
                "or raise MODEL_RETRIES."
            )
        return ModelError(f"{self._where} failed ({code}), {self._tries}: {said}")

    def _answer(self, completion: ChatCompletion, messages: Sequence[Message]) -> Answer:
        choices = completion.choices or []
        usage = completion.usage
        # Endpoints send what they like, and the client checks nothing.
        message = getattr(choices[0], "message", None) if choices else None
        text = self._clean(str(getattr(message, "content", None) or ""))
        calls = tuple(
            self._call(number, each)
            for number, each in enumerate(getattr(message, "tool_calls", None) or [])
        )
        prompt = getattr(usage, "prompt_tokens", None)
        answered = getattr(usage, "completion_tokens", None)
        counted = isinstance(prompt, int) and isinstance(answered, int)
        if not counted:
            prompt = sum(len(str(each)) for each in messages) // CHARACTERS_PER_TOKEN
            answered = (len(text) + sum(len(c.arguments) for c in calls)) // CHARACTERS_PER_TOKEN
        cost = getattr(usage, "cost", None)
        return Answer(
            text=text,
            calls=calls,
            prompt_tokens=int(prompt or 0),
            completion_tokens=int(answered or 0),
            counted=counted,
            cost=float(cost) if isinstance(cost, int | float) else None,
            remark=self._remark(choices, message),
        )

    def _call(self, number: int, call: Any) -> ToolCall:
        function = getattr(call, "function", None) or getattr(call, "custom", None)
        arguments = getattr(function, "arguments", None) or getattr(function, "input", None) or ""
        return ToolCall(
            str(getattr(call, "id", None) or f"call_{number}"),
            self._clean(str(getattr(function, "name", None) or "")),
            self._clean(arguments if isinstance(arguments, str) else str(arguments)),
        )

    def _remark(self, choices: Sequence[Any], message: Any) -> str:
        if not choices or message is None:
            return "the answer was empty (no choices)"
        if getattr(message, "refusal", None):
            return f"the model refused: {one_line(self._clean(str(message.refusal)), MAX_QUOTE)}"
        reason = getattr(choices[0], "finish_reason", None)
        if reason == "length":
            return f"the answer was cut at MAX_TOKENS ({self._settings.max_tokens})"
        if reason == "content_filter":
            return "the endpoint's content filter stopped the answer"
        return ""


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


def _is_too_long(said: str) -> bool:
    lowered = said.lower()
    return any(
        words in lowered
        for words in ("context_length", "context length", "maximum context", "prompt is too long")
    )
