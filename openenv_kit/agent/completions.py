"""Answers of a model: reading chat completions, and replies that are none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openenv_kit.agent.endpoint_failures import (
    MAX_QUOTE,
    Failure,
    FailureKind,
    read_error_object,
    refusal_of,
    status_of_error,
)
from openenv_kit.agent.redaction import Clean, clean_value
from openenv_kit.agent.stdout import one_line

CHARACTERS_PER_TOKEN = 4
"""Estimate for calls whose tokens the endpoint does not count."""

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


def read_completion(raw: bytes, clean: Clean) -> dict[str, Any] | Failure:
    """Return the chat completion in a reply of status 200, or what is wrong with it."""
    body = decode_body(raw)
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
        return refusal_of(status_of_error(error), {"error": error}, {}, clean)
    if isinstance(first, dict) and isinstance(first.get("message"), dict):
        return dict(body)
    words = one_line(clean(str(body)), MAX_QUOTE)
    if not body:
        return Failure(FailureKind.UNREADABLE, "the reply was empty")
    if not isinstance(body, dict) or "choices" not in body:
        return Failure(FailureKind.UNREADABLE, words)
    missing = "no message in" if isinstance(first, dict) else "no choices in"
    return Failure(FailureKind.NO_ANSWER, f"{missing} {words}")


def decode_body(raw: bytes) -> Any:
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
            event = decode_body(line.removeprefix("data:").encode())
            if read_error_object(event) is not None:
                return event
    return text


def _words_of_failed_choice(choice: Mapping[str, Any]) -> str:
    """Return what a choice says that ended with an error."""
    message = choice.get("message")
    content = text_of(message.get("content")) if isinstance(message, Mapping) else ""
    reason = choice.get("native_finish_reason") or "the answer ended with an error"
    return f"{reason}: {content}" if content else str(reason)


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
