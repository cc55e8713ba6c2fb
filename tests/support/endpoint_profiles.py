"""Fake endpoints of eight families, each with the rules that the family documents.

A profile looks at each request as the real endpoint would, refuses it in the family's own form, and
dresses the good model's answers with the family's own fields. The names of the fake models are
`family-<name>`; importing this module adds them to the scripts of `fake_model`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from support.fake_model import SCRIPTS, FakeModel, Reply, as_json, next_call
from support.model_request_rules import Json

CHARACTERS_PER_TOKEN = 4
Refusals = Iterator[Json | None]


@dataclass(frozen=True)
class Profile:
    """One family of endpoints.

    Attributes:
        check: yields the body of a refusal for each rule that a request breaks.
        dress: changes a chat completion into the family's form, given how many were sent.
        status: HTTP status of refusals.
        key: whether a key is needed.
    """

    check: Callable[[FakeModel, Json], Iterator[Any]]
    dress: Callable[[Json, int], Json]
    status: int = 400
    key: bool = True


def error(message: str, kind: str = "invalid_request_error", code: Any = None) -> Json:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def message_of(reply: Json) -> Json:
    found: Json = reply["choices"][0]["message"]
    return found


def assistants(request: Json) -> Iterator[Json]:
    return (message for message in request["messages"] if message["role"] == "assistant")


def calls_of(request: Json) -> Iterator[Json]:
    return (call for message in assistants(request) for call in message.get("tool_calls") or [])


def results_missing(request: Json) -> bool:
    """Return whether a tool call lacks its result in the messages right after it."""
    waiting: list[str] = []
    for message in request["messages"]:
        if message["role"] == "tool":
            if message["tool_call_id"] in waiting:
                waiting.remove(message["tool_call_id"])
        elif waiting:
            return True
        else:
            waiting = [call["id"] for call in message.get("tool_calls") or []]
    return bool(waiting)


# OpenAI, with a reasoning model


def check_openai(_: FakeModel, request: Json) -> Iterator[Any]:
    if "max_tokens" in request:
        words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        yield error(words + "'max_completion_tokens' instead.", code="unsupported_parameter")
    if request.get("temperature", 1) != 1:
        words = "Unsupported value: 'temperature' does not support 0.0 with this model."
        yield error(words, code="unsupported_value")
    known = {"role", "content", "refusal", "name", "audio", "tool_calls", "annotations"}
    for message in assistants(request):
        if further := message.keys() - known:
            yield error(f"Additional properties are not allowed ({further} were unexpected)")
        if message.get("tool_calls") == []:
            yield error("[] is too short - 'messages.2.tool_calls'")
    for call in calls_of(request):
        if len(call["id"]) > 40 or not re.fullmatch(r"[\w-]+", call["function"]["name"]):
            yield error("Invalid 'messages[2].tool_calls[0]'")
    if results_missing(request):
        yield error("An assistant message with 'tool_calls' must be followed by tool messages")


def dress_openai(reply: Json, number: int) -> Json:
    message_of(reply).update(refusal=None, annotations=[])
    for call in message_of(reply).get("tool_calls", ()):
        call["id"] = f"call_{number:024d}"
    details = {"reasoning_tokens": 20}
    return {**reply, "usage": {**reply["usage"], "completion_tokens_details": details}}


# vLLM


def check_vllm(_: FakeModel, request: Json) -> Iterator[Any]:
    prompt = len(json.dumps(request)) // CHARACTERS_PER_TOKEN
    context, asked = prompt + 2000, request["max_tokens"]
    if prompt + asked > context:
        yield error(
            f"'max_tokens' or 'max_completion_tokens' is too large: {asked}. This model's maximum "
            f"context length is {context} tokens and your request has {prompt} input tokens "
            f"({asked} > {context} - {prompt}).",
            "BadRequestError",
            400,
        )
    for call in calls_of(request):
        if not isinstance(json.loads(call["function"]["arguments"]), dict):
            yield error("Can only get item pairs from a mapping.", "BadRequestError", 400)


def dress_vllm(reply: Json, number: int) -> Json:
    message_of(reply).update(
        refusal=None, annotations=None, audio=None, function_call=None, reasoning_content=None
    )
    message_of(reply).setdefault("tool_calls", [])
    for call in message_of(reply)["tool_calls"]:
        call["id"] = f"chatcmpl-tool-{number:032x}"
    choice = {**reply["choices"][0], "stop_reason": None, "logprobs": None}
    return {**reply, "choices": [choice], "prompt_logprobs": None, "kv_transfer_params": None}


# llama.cpp


def check_llama_cpp(_: FakeModel, request: Json) -> Iterator[Any]:
    roles = [message["role"] for message in request["messages"] if message["role"] != "system"]
    for before, after in pairwise(roles):
        if before == after == "user" or (before, after) == ("tool", "user"):
            words = "Conversation roles must alternate user/assistant/user/assistant/..."
            yield error(f"Jinja Exception: {words}", "server_error", 500)
    for call in calls_of(request):
        if not isinstance(call["function"]["arguments"], str):
            yield error("type must be string, but is object", "server_error", 500)


def dress_llama_cpp(reply: Json, _: int) -> Json:
    for call in message_of(reply).get("tool_calls", ()):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        call["id"] = ""
    return {**reply, "system_fingerprint": "b1", "timings": {"prompt_n": 12, "cache_n": 4000}}


# Mistral


def check_mistral(_: FakeModel, request: Json) -> Iterator[Any]:
    def words(message: str) -> Json:
        return {"object": "error", "message": message, "type": "invalid_request_message_order"}

    roles = [message["role"] for message in request["messages"]]
    for before, after in pairwise(roles):
        if before == "tool" and after not in ("tool", "assistant"):
            yield words(f"Unexpected role '{after}' after role 'tool'")
    if roles[-1] not in ("user", "tool"):
        yield words(f"Expected last role User or Tool for serving but got {roles[-1]}")
    for call in calls_of(request):
        if not re.fullmatch("[a-zA-Z0-9]{9}", call["id"]):
            yield words(f"Tool call id was {call['id']} but must be a-z, A-Z, 0-9, of length 9.")
    for message in assistants(request):
        if not message["content"] and not message.get("tool_calls"):
            yield words("Assistant message must have either content or tool_calls, but not none.")
        if further := message.keys() - {"role", "content", "tool_calls", "prefix"}:
            detail = {"type": "extra_forbidden", "msg": "Extra inputs are not permitted"}
            yield {"detail": [{**detail, "loc": ["body", "messages", 2, *further]}]}


def dress_mistral(reply: Json, number: int) -> Json:
    message_of(reply)["content"] = message_of(reply)["content"] or ""
    for index, call in enumerate(message_of(reply).get("tool_calls", ())):
        call.update(id=f"abcde{number:04d}", index=index)
        del call["type"]
    return reply


# Gemini


SIGNATURE = {"google": {"thought_signature": "c2lnbmF0dXJl"}}


def check_gemini(_: FakeModel, request: Json) -> Iterator[Any]:
    def words(message: str) -> Any:
        return [{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}]

    roles = [message["role"] for message in request["messages"]]
    for call in calls_of(request):
        if call.get("extra_content") != SIGNATURE:
            yield words("Function call is missing a thought_signature in functionCall parts.")
    for before, message in zip(roles, request["messages"][1:], strict=False):
        if message.get("tool_calls") and before not in ("user", "tool"):
            yield words("Ensure that function call turn comes immediately after a user turn.")
        if message["content"] == "":
            yield words("Unable to submit request because it has an empty text parameter.")
    if results_missing(request):
        yield words("The number of function response parts must equal that of the calls.")


def dress_gemini(reply: Json, _: int) -> Json:
    message = message_of(reply)
    for call in message.get("tool_calls", ()):
        call.update(id="", extra_content=SIGNATURE)
    if not message["content"]:
        del message["content"]
    reply["choices"][0]["finish_reason"] = "stop"
    return reply


# DeepSeek, in thinking mode


def check_deepseek(_: FakeModel, request: Json) -> Iterator[Any]:
    if not 1 <= request["max_tokens"] <= 8192:
        yield error("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]")
    for number, message in enumerate(request["messages"]):
        if message.get("tool_calls") and "reasoning_content" not in message:
            words = f"Missing `reasoning_content` field in message {number}"
            yield error(words, code="invalid_request_error")
        if message["role"] == "assistant" and not (message["content"] or message.get("tool_calls")):
            yield error("Invalid assistant message: content or tool_calls must be set")
    if results_missing(request):
        yield error("insufficient tool messages following tool_calls message")


def dress_deepseek(reply: Json, number: int) -> Json:
    message = message_of(reply)
    message.update(content=message["content"] or "", reasoning_content="Let me look.")
    for call in message.get("tool_calls", ()):
        call["id"] = f"call_00_{number:020d}"
    counted = {"prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": 4000}
    return {**reply, "usage": {**reply["usage"], **counted}}


# Anthropic-compatible


def check_anthropic(_: FakeModel, request: Json) -> Iterator[Any]:
    def words(message: str) -> Json:
        return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}

    if request["max_tokens"] > 3000:
        limit = "3000, which is the maximum allowed number of output tokens for claude-x-20250101"
        yield words(f"max_tokens: {request['max_tokens']} > {limit}")
    ids = [call["id"] for call in calls_of(request)]
    if len(ids) != len(set(ids)):
        yield words("messages.3: `tool_use` ids must be unique")
    if not all(re.fullmatch(r"[\w-]+", each) for each in ids):
        yield words("messages.1.content.0.tool_use.id: should match pattern '^[a-zA-Z0-9_-]+$'")
    if results_missing(request):
        yield words("`tool_use` ids were found without `tool_result` blocks immediately after")
    for message in request["messages"]:
        if isinstance(message["content"], str) and not message["content"].strip():
            yield words("messages: text content blocks must contain non-whitespace text")
    roles = [message["role"] for message in request["messages"][1:]]
    turns = ["user" if role == "tool" else role for role in roles]
    for before, after, role in zip(turns, turns[1:], roles[1:], strict=False):
        if before == after and role != "tool":
            yield words('messages: roles must alternate between "user" and "assistant"')


def dress_anthropic(reply: Json, number: int) -> Json:
    message = message_of(reply)
    if message.get("tool_calls"):
        message["content"] = ["", "\n\n"][number % 2]
    for call in message.get("tool_calls", ()):
        call["id"] = f"toolu_{number:024d}"
    return reply


# A router, such as OpenRouter


REASONING = [{"type": "reasoning.encrypted", "data": "eA==", "format": "x", "index": 0}]


def check_router(server: FakeModel, request: Json) -> Iterator[Any]:
    for message in assistants(request):
        if message.get("tool_calls") and message.get("reasoning_details") != REASONING:
            yield {"error": {"message": "Provider returned error", "code": 400}}


def dress_router(reply: Json, number: int) -> Json:
    if number == 2:  # as often happens, the provider behind it is overloaded
        error = {"message": "Provider returned error", "code": 502}
        return {"error": {**error, "metadata": {"raw": "overloaded", "provider_name": "p"}}}
    message_of(reply).update(reasoning="Let me look.", reasoning_details=REASONING, refusal=None)
    choice = {**reply["choices"][0], "native_finish_reason": "STOP"}
    return {**reply, "choices": [choice], "usage": {**reply["usage"], "cost": 0.001}}


PROFILES = {
    "openai": Profile(check_openai, dress_openai),
    "vllm": Profile(check_vllm, dress_vllm, key=False),
    "llama-cpp": Profile(check_llama_cpp, dress_llama_cpp, key=False),
    "mistral": Profile(check_mistral, dress_mistral, status=422),
    "gemini": Profile(check_gemini, dress_gemini),
    "deepseek": Profile(check_deepseek, dress_deepseek),
    "anthropic": Profile(check_anthropic, dress_anthropic),
    "router": Profile(check_router, dress_router),
}


def family_script(profile: Profile) -> Callable[[FakeModel, Json], Reply]:
    """Return the good model behind an endpoint of a family; it answers once without a tool call."""

    def run(server: FakeModel, request: Json) -> Reply:
        if profile.key and server.keys[-1] == "Bearer none":
            return as_json(error("Missing API key"), 401)
        for refused in profile.check(server, request):
            return as_json(refused, profile.status)
        results = [m for m in request["messages"] if m["role"] == "tool"]
        talked = any(not message.get("tool_calls") for message in assistants(request))
        message: Json = {"role": "assistant", "content": None}
        if len(results) == 2 and not talked:
            message["content"] = "Let me think about it."
        else:
            name, arguments = next_call(request)
            function = {"name": name, "arguments": json.dumps(arguments)}
            message["tool_calls"] = [{"id": "call_0", "type": "function", "function": function}]
        finish = "tool_calls" if "tool_calls" in message else "stop"
        choice = {"index": 0, "finish_reason": finish, "message": message}
        usage = {"prompt_tokens": 4000, "completion_tokens": 50, "total_tokens": 4050}
        reply = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
        return as_json(
            profile.dress({**reply, "choices": [choice], "usage": usage}, len(server.requests))
        )

    return run


SCRIPTS |= {f"family-{name}": family_script(profile) for name, profile in PROFILES.items()}
