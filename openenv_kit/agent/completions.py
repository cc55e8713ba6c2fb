"""Answers of a model: reading chat completions, and replies that are none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openenv_kit.agent.endpoint_failures import (
    MAX_QUOTE_CHARACTERS,
    EndpointFailure,
    FailureKind,
    failure_from_response,
    find_error_object,
    infer_http_status,
)
from openenv_kit.agent.redaction import Redact, redact_json
from openenv_kit.agent.stdout import format_one_line

CHARACTERS_PER_TOKEN = 4
"""Estimate for calls whose tokens the endpoint does not count."""

ChatMessage = dict[str, Any]


@dataclass(frozen=True)
class ModelToolCall:
    """One tool call of an answer.

    Attributes:
        id: empty where the endpoint gave none.
        arguments: in the form in which they came: usually the text of a JSON object.
        raw_call: the call as the endpoint sent it; empty if that is not known.
    """

    id: str
    name: str
    arguments: Any
    raw_call: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelAnswer:
    """What the model said and its tool calls, free of secrets.

    Attributes:
        prompt_tokens, completion_tokens: as counted, or estimated where `counted` is false.
        cost_usd: US dollars, if the endpoint reports it.
        problem: what is wrong with the answer, if anything.
        raw_message: the message as the endpoint sent it; empty if it is not known.
        raw_usage: what the endpoint counted, as it was sent.
        finish_reason: why the endpoint ended the answer, in its own word.
    """

    text: str
    tool_calls: tuple[ModelToolCall, ...]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    has_token_counts: bool = True
    cost_usd: float | None = None
    problem: str = ""
    raw_message: ChatMessage = field(default_factory=dict)
    raw_usage: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str = ""


def parse_answer(
    completion: Mapping[str, Any],
    request_messages: Sequence[ChatMessage],
    redact: Redact,
    max_tokens: int,
) -> ModelAnswer:
    """Read the answer in a chat completion; tolerates what endpoints leave out.

    Args:
        completion: the reply's JSON object.
        request_messages: the request's, to estimate tokens that the endpoint does not count.
        redact: removes secrets from a text.
        max_tokens: the limit that was asked for.
    """
    choices = completion.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    choice: Mapping[str, Any] = first if isinstance(first, Mapping) else {}
    found = choice.get("message")
    message: ChatMessage = redact_json(dict(found), redact) if isinstance(found, Mapping) else {}
    reported = completion.get("usage")
    usage: Mapping[str, Any] = reported if isinstance(reported, Mapping) else {}
    text = extract_text(message.get("content"))
    calls = _parse_tool_calls(message)
    prompt, answered = usage.get("prompt_tokens"), usage.get("completion_tokens")
    counted = isinstance(prompt, int) and isinstance(answered, int)
    if not counted:
        prompt = sum(len(str(each)) for each in request_messages) // CHARACTERS_PER_TOKEN
        answered = (
            len(text) + sum(len(str(call.arguments)) for call in calls)
        ) // CHARACTERS_PER_TOKEN
    cost = usage.get("cost")
    return ModelAnswer(
        text,
        calls,
        int(prompt or 0),
        int(answered or 0),
        counted,
        float(cost) if isinstance(cost, int | float) else None,
        _describe_answer_problem(choice, message, max_tokens),
        message,
        redact_json(dict(usage), redact),
        str(choice.get("finish_reason") or ""),
    )


def extract_text(content: Any) -> str:
    """Return the text of a message's content, which may be a list of parts."""
    if isinstance(content, list):
        parts = (each.get("text") for each in content if isinstance(each, Mapping))
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def parse_completion(raw_body: bytes, redact: Redact) -> dict[str, Any] | EndpointFailure:
    """Return the chat completion in a reply of status 200, or what is wrong with it."""
    body = decode_json_or_text(raw_body)
    if isinstance(body, str):
        body = _find_error_event(body)
    error = find_error_object(body)
    choices = body.get("choices") if isinstance(body, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    if error is None and isinstance(first, dict):
        error = find_error_object(first)
        if error is None and first.get("finish_reason") == "error":
            error = {"message": _describe_failed_choice(first)}
    if error is not None:
        # The provider failed, as it would have with a status of 5xx.
        return failure_from_response(infer_http_status(error), {"error": error}, {}, redact)
    if isinstance(first, dict) and isinstance(first.get("message"), dict):
        return dict(body)
    words = format_one_line(redact(str(body)), MAX_QUOTE_CHARACTERS)
    if not body:
        return EndpointFailure(FailureKind.UNREADABLE, "the reply was empty")
    if not isinstance(body, dict) or "choices" not in body:
        return EndpointFailure(FailureKind.UNREADABLE, words)
    missing = "no message in" if isinstance(first, dict) else "no choices in"
    return EndpointFailure(FailureKind.NO_ANSWER, f"{missing} {words}")


def decode_json_or_text(raw_body: bytes) -> Any:
    """Return the JSON value of a body, or its text where it is not JSON."""
    text = raw_body.decode("utf-8-sig", errors="replace").strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _find_error_event(event_stream: str) -> Any:
    """Return an error in a stream of events that nobody asked for; the text where it has none."""
    for line in event_stream.splitlines():
        if line.startswith("data:"):
            event = decode_json_or_text(line.removeprefix("data:").encode())
            if find_error_object(event) is not None:
                return event
    return event_stream


def _describe_failed_choice(choice: Mapping[str, Any]) -> str:
    """Return what a choice says that ended with an error."""
    message = choice.get("message")
    content = extract_text(message.get("content")) if isinstance(message, Mapping) else ""
    reason = choice.get("native_finish_reason") or "the answer ended with an error"
    return f"{reason}: {content}" if content else str(reason)


def _parse_tool_calls(message: ChatMessage) -> tuple[ModelToolCall, ...]:
    made = message.get("tool_calls")
    if isinstance(made, Mapping):
        made = [made]
    entries = made if isinstance(made, list) else []
    return tuple(_parse_tool_call(call) for call in entries if isinstance(call, Mapping))


def _parse_tool_call(raw_call: Mapping[str, Any]) -> ModelToolCall:
    found = raw_call.get("function") or raw_call.get("custom")
    # Some servers leave the inner object out.
    function: Mapping[str, Any] = found if isinstance(found, Mapping) else raw_call
    arguments = function.get("arguments", function.get("input"))
    given = raw_call.get("id")
    return ModelToolCall(
        "" if given is None else str(given), str(function.get("name") or ""), arguments, raw_call
    )


def _describe_answer_problem(
    choice: Mapping[str, Any], message: ChatMessage, max_tokens: int
) -> str:
    if message.get("refusal"):
        return (
            f"the model refused: {format_one_line(str(message['refusal']), MAX_QUOTE_CHARACTERS)}"
        )
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
