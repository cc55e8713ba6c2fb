"""Parses the responses of a chat-completion endpoint into model answers or failures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from openenv_kit.agent.endpoint_failures import (
    MAX_QUOTE_CHARACTERS,
    EndpointFailure,
    FailureKind,
    build_failure_from_error_response,
    find_error_object,
    infer_http_status,
)
from openenv_kit.agent.redaction import Redact, redact_json
from openenv_kit.agent.stdout import format_one_line

CHARACTERS_PER_TOKEN = 4
"""Used to estimate token counts if the endpoint does not report them."""

ChatMessage = dict[str, Any]
"""A message of a conversation, in the chat-completions format."""
ChatCompletionJson: TypeAlias = dict[str, Any]
"""A chat completion with at least one choice and its message."""


@dataclass(frozen=True)
class ModelToolCall:
    """A tool call in a model's response.

    Attributes:
        id: id of the call; empty if the endpoint sent none.
        name: name of the tool, as the model wrote it.
        arguments: arguments as the endpoint sent them, usually a JSON object as a string.
        raw_call: the call as the endpoint sent it; empty if it is unknown.
    """

    id: str
    name: str
    arguments: Any
    raw_call: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelAnswer:
    """A model's response, with secrets removed.

    Attributes:
        text: text content of the response.
        tool_calls: tool calls of the response, in order.
        prompt_tokens: number of tokens in the request.
        completion_tokens: number of tokens in the response.
        has_token_counts: whether the endpoint reported token counts; if not, they are estimated.
        cost_usd: cost in US dollars; None if the endpoint does not report it.
        problem: clause that describes a problem with the response; empty if there is no problem.
        raw_message: the message as the endpoint sent it; empty if it is unknown.
        raw_usage: the object `usage` as the endpoint sent it.
        finish_reason: the endpoint's `finish_reason`, such as `stop`.
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


def parse_model_answer(
    completion: Mapping[str, Any],
    messages_for_token_estimate: Sequence[ChatMessage],
    redact: Redact,
    sent_max_tokens: int,
) -> ModelAnswer:
    """Convert a chat completion to a `ModelAnswer`, with default values for missing parts.

    Args:
        completion: the chat completion as a JSON object.
        messages_for_token_estimate: messages of the request. Their length is used to estimate the
            number of tokens if the completion contains no token counts.
        redact: function that removes secrets from a string.
        sent_max_tokens: completion limit in the request.
    """
    choices = completion.get("choices")
    choice = _replace_non_mapping_with_empty(
        choices[0] if isinstance(choices, list) and choices else None
    )
    message: ChatMessage = redact_json(
        dict(_replace_non_mapping_with_empty(choice.get("message"))), redact
    )
    usage = _replace_non_mapping_with_empty(completion.get("usage"))
    text = extract_message_text(message.get("content"))
    calls = _parse_tool_calls(message)
    prompt_tokens, completion_tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    has_token_counts = isinstance(prompt_tokens, int) and isinstance(completion_tokens, int)
    if not has_token_counts:
        request_characters = sum(len(str(request)) for request in messages_for_token_estimate)
        answer_characters = len(text) + sum(len(str(call.arguments)) for call in calls)
        prompt_tokens = request_characters // CHARACTERS_PER_TOKEN
        completion_tokens = answer_characters // CHARACTERS_PER_TOKEN
    cost = usage.get("cost")
    return ModelAnswer(
        text=text,
        tool_calls=calls,
        prompt_tokens=int(prompt_tokens or 0),
        completion_tokens=int(completion_tokens or 0),
        has_token_counts=has_token_counts,
        cost_usd=float(cost) if isinstance(cost, int | float) else None,
        problem=_describe_answer_problem(choice, message, sent_max_tokens),
        raw_message=message,
        raw_usage=redact_json(dict(usage), redact),
        finish_reason=str(choice.get("finish_reason") or ""),
    )


def _replace_non_mapping_with_empty(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def extract_message_text(content: Any) -> str:
    """Return the text of a message's content, which may be a list of parts."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, Mapping))
        return "\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def parse_completion_or_failure(
    raw_body: bytes, redact: Redact
) -> ChatCompletionJson | EndpointFailure:
    """Parse the body of a response with status 200: a chat completion or an error."""
    body = decode_json_or_text(raw_body)
    if isinstance(body, str):
        body = (
            _find_error_event_in_stream(body) or body
        )  # some endpoints stream without being asked to
    error = find_error_object(body)
    choices = body.get("choices") if isinstance(body, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    if error is None and isinstance(first, dict):
        error = find_error_object(first)
        if error is None and first.get("finish_reason") == "error":
            error = {"message": _describe_failed_choice(first)}
    if error is not None:
        # Some routers report an error of the provider with status 200.
        return build_failure_from_error_response(
            infer_http_status(error), {"error": error}, {}, redact
        )
    if isinstance(first, dict) and isinstance(first.get("message"), dict):
        return dict(body)
    quote = format_one_line(redact(str(body)), MAX_QUOTE_CHARACTERS)
    if not body:
        return EndpointFailure(FailureKind.UNREADABLE, "the reply was empty")
    if not isinstance(body, dict) or "choices" not in body:
        return EndpointFailure(FailureKind.UNREADABLE, quote)
    missing = "no message in" if isinstance(first, dict) else "no choices in"
    return EndpointFailure(FailureKind.NO_ANSWER, f"{missing} {quote}")


def decode_json_or_text(raw_body: bytes) -> Any:
    """Decode a response body as JSON; return it as a string if it is not JSON."""
    text = raw_body.decode("utf-8-sig", errors="replace").strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _find_error_event_in_stream(event_stream: str) -> Any | None:
    """Return the first server-sent event that contains an error; None if there is no error."""
    for line in event_stream.splitlines():
        if line.startswith("data:"):
            event = decode_json_or_text(line.removeprefix("data:").encode())
            if find_error_object(event) is not None:
                return event
    return None


def _describe_failed_choice(choice: Mapping[str, Any]) -> str:
    """Return an error message for a choice whose `finish_reason` is `error`."""
    message = choice.get("message")
    content = extract_message_text(message.get("content")) if isinstance(message, Mapping) else ""
    reason = choice.get("native_finish_reason") or "the answer ended with an error"
    return f"{reason}: {content}" if content else str(reason)


def _parse_tool_calls(message: ChatMessage) -> tuple[ModelToolCall, ...]:
    raw_calls = message.get("tool_calls")
    if isinstance(raw_calls, Mapping):
        raw_calls = [raw_calls]
    if not isinstance(raw_calls, list):
        return ()
    return tuple(_parse_tool_call(call) for call in raw_calls if isinstance(call, Mapping))


def _parse_tool_call(raw_call: Mapping[str, Any]) -> ModelToolCall:
    function = raw_call.get("function") or raw_call.get("custom")
    if not isinstance(function, Mapping):  # some servers omit the inner object `function`
        function = raw_call
    call_id = raw_call.get("id")
    return ModelToolCall(
        id="" if call_id is None else str(call_id),
        name=str(function.get("name") or ""),
        arguments=function.get("arguments", function.get("input")),
        raw_call=raw_call,
    )


def _describe_answer_problem(
    choice: Mapping[str, Any], message: ChatMessage, sent_max_tokens: int
) -> str:
    """Return a clause that describes a problem with a response; empty if there is no problem."""
    if message.get("refusal"):
        refusal = format_one_line(str(message["refusal"]), MAX_QUOTE_CHARACTERS)
        return f"the model refused: {refusal}"
    finish_reason = choice.get("finish_reason")
    if finish_reason == "length":
        return f"the answer was cut at MAX_TOKENS ({sent_max_tokens})"
    if finish_reason == "content_filter":
        return "the endpoint's content filter stopped the answer"
    if finish_reason == "tool_calls" and not message.get("tool_calls"):
        return "the server announced tool calls but sent none, because its tool-call parser failed"
    if message.get("tool_calls") or message.get("content"):
        return ""
    if message.get("reasoning_content") or message.get("reasoning"):
        return "the answer contained only reasoning"
    return "the answer was empty"
