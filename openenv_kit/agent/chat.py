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
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import openai

from openenv_kit.agent.answer_limit import is_about_context
from openenv_kit.agent.refusals import (
    ContextFullError,
    Failure,
    FailureKind,
    RequestContext,
    explain,
    read_error_object,
    refusal_of,
    status_of_error,
)
from openenv_kit.agent.secrets import Clean, clean_value, cleaner
from openenv_kit.agent.servers import Say
from openenv_kit.agent.settings import AgentSettings, shown_url
from openenv_kit.agent.stdout import one_line

__all__ = ["Answer", "ContextFullError", "Endpoint", "Message", "ToolCall", "read_answer"]

MAX_QUOTE = 300
CONNECT_TIMEOUT_S = 30.0
"""Longest wait for a connection to the endpoint."""
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 8.0
"""Pauses between attempts double from the first to the longest; an endpoint may ask for others."""
CHARACTERS_PER_TOKEN = 4
"""Estimate for calls whose tokens the endpoint does not count."""
MIN_ANSWER_TOKENS = 256
"""Where less than this is left for an answer, older tool results are dropped instead."""
RENAMED_LIMIT = re.compile(
    r"max_completion_tokens.*(instead|not supported)|(unsupported|instead).*max_completion_tokens"
)
UNKNOWN_FIELD = re.compile(
    r"unsupported|not (supported|permitted|allowed)|\bextra (inputs?|fields?|propert|keys?)"
    r"|unexpected|unknown|unrecognized"
)
"""Words of a refusal of a field; those of a missing field are others."""
PLACEHOLDER_KEY = "none"
"""Sent to a server of this machine where no key is set; such servers ignore it."""

Message = dict[str, Any]


@dataclass(frozen=True)
class ToolCall:
    """One tool call of an answer.

    Attributes:
        id: empty where the endpoint gave none.
        arguments: in the form in which they came: usually the text of a JSON object.
        sent: the call as the endpoint sent it; empty if that is not known.
    """

    id: str
    name: str
    arguments: Any
    sent: Mapping[str, Any] = field(default_factory=dict)


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
    calls = _tool_calls(message)
    prompt, answered = usage.get("prompt_tokens"), usage.get("completion_tokens")
    counted = isinstance(prompt, int) and isinstance(answered, int)
    if not counted:
        prompt = sum(len(str(each)) for each in messages) // CHARACTERS_PER_TOKEN
        answered = (
            len(text) + sum(len(str(call.arguments)) for call in calls)
        ) // CHARACTERS_PER_TOKEN
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
        # Sent with every request; an option that the model does not accept is left out.
        self._options: dict[str, Any] = {"model": self.model, "temperature": settings.temperature}
        self._limit_name, self._max_tokens = "max_tokens", settings.max_tokens
        self._refused_fields: set[str] = set()
        self._told_of_context = False

    async def ask(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Answer:
        """One answer to a conversation.

        Raises:
            ContextFullError: the conversation is too long for the model.
            ModelError: the endpoint gave no answer; names the setting to change.
        """
        deadline = time.monotonic() + self._settings.answer_timeout_s
        request = _Request(messages, tools, self._settings.max_tokens)
        attempt = 1
        while True:
            found = await self._post(self._body_of(request), deadline - time.monotonic())
            limit = min(request.max_tokens, self._max_tokens)
            if not isinstance(found, Failure):
                return read_answer(found, messages, self._clean, limit)
            if self._adapts(found, request):
                continue
            pause_s = _pause_s(found, attempt)
            left_s = deadline - time.monotonic()
            if (
                found.is_context_overflow
                or not found.is_temporary
                or attempt > self._settings.model_retries
                or pause_s >= left_s
            ):
                context = RequestContext(
                    self._settings,
                    self._where,
                    self._attempts(attempt),
                    limit,
                    any(message.get("tool_calls") for message in messages),
                )
                raise explain(found, context)
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
                raw, redirected_to = reply.content, self._redirect_of(str(reply.url))
        except openai.APIStatusError as error:
            response = error.response
            return refusal_of(
                response.status_code,
                _decode(response.content),
                dict(response.headers),
                self._clean,
                self._redirect_of(str(response.url)),
            )
        except openai.APITimeoutError as error:
            if type(error.__cause__).__name__ == "ConnectTimeout":
                return Failure(FailureKind.NOT_CONNECTED, f"no connection in {timeout_s:g} s")
            return Failure(FailureKind.TIMED_OUT)
        except TimeoutError:
            return Failure(FailureKind.TIMED_OUT)
        except openai.APIConnectionError as error:
            return Failure(FailureKind.NOT_CONNECTED, self._clean(_cause(error)))
        found = self._read_completion(raw)
        return replace(found, redirected_to=redirected_to) if isinstance(found, Failure) else found

    def _read_completion(self, raw: bytes) -> dict[str, Any] | Failure:
        """Return the chat completion in a reply of status 200, or what is wrong with it."""
        body = _decode(raw)
        if isinstance(body, str):
            body = _decode_events(body)
        error = read_error_object(body)
        choices = body.get("choices") if isinstance(body, dict) else None
        first = choices[0] if isinstance(choices, list) and choices else None
        if error is None and isinstance(first, dict):
            error = read_error_object(first)
            if error is None and first.get("finish_reason") == "error":
                error = {"message": _words_of_failed_choice(first)}
        if error is not None:
            # The provider failed, as it would have with a status of 5xx.
            return refusal_of(status_of_error(error), {"error": error}, {}, self._clean)
        if isinstance(first, dict) and isinstance(first.get("message"), dict):
            return dict(body)
        words = one_line(self._clean(str(body)), MAX_QUOTE)
        if not body:
            return Failure(FailureKind.UNREADABLE, "the reply was empty")
        if not isinstance(body, dict) or "choices" not in body:
            return Failure(FailureKind.UNREADABLE, words)
        missing = "no message in" if isinstance(first, dict) else "no choices in"
        return Failure(FailureKind.NO_ANSWER, f"{missing} {words}")

    def _redirect_of(self, url: str) -> str:
        """Return the address that answered, if it is another than the one that was asked."""
        asked = f"{str(self._client.base_url).rstrip('/')}/chat/completions"
        answered = url.split("?")[0]
        return "" if answered == asked.split("?")[0] else self._clean(shown_url(answered))

    @property
    def _where(self) -> str:
        return self._clean(shown_url(str(self._client.base_url)))

    def _attempts(self, attempt: int) -> str:
        if attempt > self._settings.model_retries:
            return f"attempt {attempt}, the last"
        limit_s = self._settings.answer_timeout_s
        return f"attempt {attempt}, the last within {limit_s:g} s (MODEL_ANSWER_TIMEOUT_S)"

    def _body_of(self, request: _Request) -> dict[str, Any]:
        """Return the body of a request, with what the endpoint refused before left out."""
        messages = [
            {name: each for name, each in message.items() if name not in self._refused_fields}
            for message in request.messages
        ]
        limit = min(request.max_tokens, self._max_tokens)
        options = {**self._options, self._limit_name: limit}
        return {**options, "messages": messages, "tools": list(request.tools)}

    def _adapts(self, failure: Failure, request: _Request) -> bool:
        """Learn from a refusal what the endpoint accepts; whether to ask again."""
        if failure.status not in (400, 422):
            return False
        said = failure.words.lower()
        if self._limit_name == "max_tokens" and RENAMED_LIMIT.search(said):
            self._limit_name = "max_completion_tokens"
            return True
        limit = failure.answer_limit(min(request.max_tokens, self._max_tokens))
        if limit is not None:
            return self._lowers_max_tokens(limit, request, is_shared=is_about_context(said))
        if "temperature" in said and self._options.pop("temperature", None) is not None:
            return True
        return self._leaves_out_field(said, request)

    def _lowers_max_tokens(self, limit: int, request: _Request, *, is_shared: bool) -> bool:
        """Lower the limit of answers, once for a request; whether to ask again."""
        before = min(request.max_tokens, self._max_tokens)
        if request.is_lowered or not MIN_ANSWER_TOKENS <= limit < before:
            return False
        request.max_tokens, request.is_lowered = limit, True
        if not is_shared:  # no later answer may be longer either
            self._max_tokens = limit
        if not (is_shared and self._told_of_context):
            why = "beside the conversation" if is_shared else "by this endpoint"
            self._say(
                f"MAX_TOKENS is {self._settings.max_tokens}; {limit} is used, the most that is "
                f"allowed {why}."
            )
        self._told_of_context |= is_shared
        return True

    def _leaves_out_field(self, said: str, request: _Request) -> bool:
        """Leave out a field that the endpoint sent itself and does not take back."""
        if not UNKNOWN_FIELD.search(said):
            return False
        sent = {
            name
            for message in request.messages
            if message["role"] == "assistant"
            for name in message.keys() - {"role", "content", "tool_calls"}
        }
        refused = {name for name in sent if name.lower() in said} - self._refused_fields
        if refused:
            self._refused_fields |= refused
            names = ", ".join(sorted(refused))
            self._say(f"{self._where} does not take back {names}; it is left out from now on.")
        return bool(refused)


@dataclass
class _Request:
    """One request for an answer, and what was changed in it after a refusal."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]]
    max_tokens: int
    is_lowered: bool = False


def _decode(raw: bytes) -> Any:
    """Return the JSON value of a body, or its text where it is not JSON."""
    text = raw.decode("utf-8-sig", errors="replace").strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _decode_events(text: str) -> Any:
    """Return an error in a stream of events that nobody asked for; the text where it has none."""
    for line in text.splitlines():
        if line.startswith("data:"):
            event = _decode(line.removeprefix("data:").encode())
            if read_error_object(event) is not None:
                return event
    return text


def _words_of_failed_choice(choice: Mapping[str, Any]) -> str:
    """Return what a choice says that ended with an error."""
    message = choice.get("message")
    content = text_of(message.get("content")) if isinstance(message, Mapping) else ""
    reason = choice.get("native_finish_reason") or "the answer ended with an error"
    return f"{reason}: {content}" if content else str(reason)


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


def _tool_calls(message: Message) -> tuple[ToolCall, ...]:
    made = message.get("tool_calls")
    if isinstance(made, Mapping):
        made = [made]
    entries = made if isinstance(made, list) else []
    return tuple(_tool_call(call) for call in entries if isinstance(call, Mapping))


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    found = call.get("function") or call.get("custom")
    # Some servers leave the inner object out.
    function: Mapping[str, Any] = found if isinstance(found, Mapping) else call
    arguments = function.get("arguments", function.get("input"))
    given = call.get("id")
    return ToolCall(
        "" if given is None else str(given), str(function.get("name") or ""), arguments, call
    )


def _remark(choice: Mapping[str, Any], message: Message, max_tokens: int) -> str:
    if message.get("refusal"):
        return f"the model refused: {one_line(str(message['refusal']), MAX_QUOTE)}"
    reasons = {
        "length": f"the answer was cut at MAX_TOKENS ({max_tokens})",
        "content_filter": "the endpoint's content filter stopped the answer",
    }
    finish = str(choice.get("finish_reason"))
    if finish in reasons:
        return reasons[finish]
    if finish == "tool_calls" and not message.get("tool_calls"):
        return "the server announced tool calls and sent none, as its tool-call parser failed"
    if message.get("tool_calls") or message.get("content"):
        return ""
    if message.get("reasoning_content") or message.get("reasoning"):
        return "the answer held reasoning and nothing else"
    return "the answer was empty"
