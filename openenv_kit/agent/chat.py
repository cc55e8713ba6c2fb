"""One OpenAI-compatible endpoint: asking it, reading its answers, trying again.

The openai client makes each request. What failed for a reason that may pass (408, 409, 429, 5xx, a
timeout, a lost connection, a reply without an answer) is tried again here, so that one bound holds
for all attempts together and each of them is reported; anything else is a `ModelError` that names
the setting to change.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import openai

from openenv_kit.agent.refusals import (
    ContextFullError,
    Failure,
    FailureKind,
    explain,
    refusal_of,
)
from openenv_kit.agent.secrets import Clean, clean_value, cleaner
from openenv_kit.agent.servers import Say
from openenv_kit.agent.settings import AgentSettings, shown_url
from openenv_kit.agent.stdout import one_line
from openenv_kit.errors import ToolArgumentError, echo

__all__ = ["Answer", "ContextFullError", "Endpoint", "Message", "ToolCall", "read_answer"]

MAX_QUOTE = 300
CONNECT_TIMEOUT_S = 30.0
"""Longest wait for a connection to the endpoint."""
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 8.0
"""Pauses between attempts double from the first to the longest; an endpoint may ask for others."""
CHARACTERS_PER_TOKEN = 4
"""Estimate for calls whose tokens the endpoint does not count."""
PLACEHOLDER_KEY = "none"
"""Sent to a server of this machine where no key is set; such servers ignore it."""

Message = dict[str, Any]


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
        message: the message as the endpoint sent it; empty if it is not known.
        usage: what the endpoint counted, as it was sent.
        finish_reason: why the endpoint ended the answer, in its own word.
    """

    text: str
    calls: tuple[ToolCall, ...]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    counted: bool = True
    cost: float | None = None
    remark: str = ""
    message: Message = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str = ""


def read_answer(
    completion: Mapping[str, Any], messages: Sequence[Message], clean: Clean, max_tokens: int
) -> Answer:
    """Read the answer in a chat completion; tolerates what endpoints leave out.

    Args:
        completion: the reply's JSON object.
        messages: the request's, to estimate tokens that the endpoint does not count.
        clean: removes secrets from a text.
        max_tokens: the limit that was asked for.
    """
    choices = completion.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    choice: Mapping[str, Any] = first if isinstance(first, Mapping) else {}
    found = choice.get("message")
    message: Message = clean_value(dict(found), clean) if isinstance(found, Mapping) else {}
    reported = completion.get("usage")
    usage: Mapping[str, Any] = reported if isinstance(reported, Mapping) else {}
    text = text_of(message.get("content"))
    made = message.get("tool_calls")
    calls = tuple(
        _tool_call(number, call)
        for number, call in enumerate(made if isinstance(made, list) else [])
        if isinstance(call, Mapping)
    )
    prompt, answered = usage.get("prompt_tokens"), usage.get("completion_tokens")
    counted = isinstance(prompt, int) and isinstance(answered, int)
    if not counted:
        prompt = sum(len(str(each)) for each in messages) // CHARACTERS_PER_TOKEN
        answered = (len(text) + sum(len(c.arguments) for c in calls)) // CHARACTERS_PER_TOKEN
    cost = usage.get("cost")
    return Answer(
        text,
        calls,
        int(prompt or 0),
        int(answered or 0),
        counted,
        float(cost) if isinstance(cost, int | float) else None,
        _remark(choice, message, max_tokens),
        message,
        clean_value(dict(usage), clean),
        str(choice.get("finish_reason") or ""),
    )


def text_of(content: Any) -> str:
    """Return the text of a message's content, which may be a list of parts."""
    if isinstance(content, list):
        parts = (each.get("text") for each in content if isinstance(each, Mapping))
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


class Endpoint:
    """A model behind the endpoint of the settings, which name the model.

    Args:
        settings: of the run.
        say: told about attempts that failed.
    """

    def __init__(self, settings: AgentSettings, say: Say = lambda _: None) -> None:
        self._settings, self._say = settings, say
        self._clean = cleaner(settings.secrets)
        self.model = settings.model or ""
        self._client = openai.AsyncOpenAI(
            api_key=settings.api_key or PLACEHOLDER_KEY,
            base_url=settings.api_base_url,
            max_retries=0,
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
        deadline = time.monotonic() + self._settings.answer_timeout_s
        attempt = 1
        while True:
            request = {**self._options, "messages": list(messages), "tools": list(tools)}
            found = await self._post(request, deadline - time.monotonic())
            if not isinstance(found, Failure):
                return read_answer(found, messages, self._clean, self._settings.max_tokens)
            if self._adapts(found):
                continue
            pause_s = _pause_s(found, attempt)
            left_s = deadline - time.monotonic()
            if (
                found.is_context_overflow
                or not found.is_temporary
                or attempt > self._settings.model_retries
                or pause_s >= left_s
            ):
                raise explain(found, self._settings, self._where, self._attempts(attempt))
            attempt += 1
            self._say(
                f"{self.model}: attempt {attempt} of {self._settings.model_retries + 1} in "
                f"{pause_s:.1f} s, after {found.short}"
            )
            await asyncio.sleep(pause_s)

    async def close(self) -> None:
        """Release the connections."""
        await self._client.close()

    async def _post(self, request: dict[str, Any], left_s: float) -> dict[str, Any] | Failure:
        """Make one request; returns the chat completion, or why there is none."""
        timeout_s = max(0.01, min(self._settings.model_timeout_s, left_s))
        patience = openai.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
        try:
            # The client's own timeout starts anew with every byte that arrives.
            async with asyncio.timeout(timeout_s):
                reply = await self._client.chat.completions.with_raw_response.create(
                    **request, timeout=patience
                )
                raw = reply.content
        except openai.APIStatusError as error:
            response = error.response
            return refusal_of(
                response.status_code,
                _decode(response.content),
                dict(response.headers),
                self._clean,
            )
        except openai.APITimeoutError as error:
            if type(error.__cause__).__name__ == "ConnectTimeout":
                return Failure(FailureKind.NOT_CONNECTED, f"no connection in {timeout_s:g} s")
            return Failure(FailureKind.TIMED_OUT)
        except TimeoutError:
            return Failure(FailureKind.TIMED_OUT)
        except openai.APIConnectionError as error:
            return Failure(FailureKind.NOT_CONNECTED, self._clean(_cause(error)))
        return self._read_completion(raw)

    def _read_completion(self, raw: bytes) -> dict[str, Any] | Failure:
        """Return the chat completion in a reply of status 200, or what is wrong with it."""
        body = _decode(raw) or "the reply was empty"
        if isinstance(body, dict) and "choices" in body:
            return body
        return Failure(FailureKind.UNREADABLE, one_line(self._clean(str(body)), MAX_QUOTE))

    @property
    def _where(self) -> str:
        return self._clean(shown_url(str(self._client.base_url)))

    def _attempts(self, attempt: int) -> str:
        if attempt > self._settings.model_retries:
            return f"attempt {attempt}, the last"
        limit_s = self._settings.answer_timeout_s
        return f"attempt {attempt}, the last within {limit_s:g} s (MODEL_ANSWER_TIMEOUT_S)"

    def _adapts(self, failure: Failure) -> bool:
        """Learn from a refusal which options the model accepts; whether to ask again."""
        if failure.status not in (400, 422):
            return False
        said, options = failure.words.lower(), self._options
        if "max_completion_tokens" in said and "max_tokens" in options:
            options["max_completion_tokens"] = options.pop("max_tokens")
            return True
        return "temperature" in said and options.pop("temperature", None) is not None


def _decode(raw: bytes) -> Any:
    """Return the JSON value of a body, or its text where it is not JSON."""
    text = raw.decode(errors="replace").strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _pause_s(failure: Failure, attempt: int) -> float:
    """Return the pause before the next attempt, in seconds."""
    if failure.retry_after_s is not None:
        return failure.retry_after_s
    if failure.kind is FailureKind.TIMED_OUT:  # that was pause enough
        return 0.0
    # Spread, so that episodes that run at the same time do not all return together.
    return min(FIRST_PAUSE_S * 2 ** (attempt - 1), MAX_PAUSE_S) * random.uniform(0.75, 1.0)


def _cause(error: BaseException) -> str:
    cause = error.__cause__
    return (str(cause) or type(cause).__name__) if cause else str(error)


def _tool_call(number: int, call: Mapping[str, Any]) -> ToolCall:
    function = call.get("function") or call.get("custom")
    given: Mapping[str, Any] = function if isinstance(function, Mapping) else {}
    arguments = given.get("arguments") or given.get("input") or ""
    return ToolCall(
        str(call.get("id") or f"call_{number}"),
        str(given.get("name") or ""),
        arguments if isinstance(arguments, str) else str(arguments),
    )


def _remark(choice: Mapping[str, Any], message: Message, max_tokens: int) -> str:
    if not message:
        return "the answer was empty (no choices)"
    if message.get("refusal"):
        return f"the model refused: {one_line(str(message['refusal']), MAX_QUOTE)}"
    reasons = {
        "length": f"the answer was cut at MAX_TOKENS ({max_tokens})",
        "content_filter": "the endpoint's content filter stopped the answer",
    }
    return reasons.get(str(choice.get("finish_reason")), "")
