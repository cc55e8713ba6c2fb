"""The messages of an episode's conversation, as sent to the endpoint and as recorded.

A model's response is sent back with all its fields, including unknown fields, because some
endpoints require their signatures and reasoning. Only values that some endpoints reject are
changed: ids of tool calls become unique, arguments become a JSON object as a string, empty content
next to tool calls becomes null, and a response without content is omitted. Some endpoints also
reject a user message after a user or tool message, so notices are appended to the last message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from openenv_kit.agent.completions import ChatMessage, ModelAnswer, ModelToolCall
from openenv_kit.agent.prompts import OMITTED_RESULT_TEXT
from openenv_kit.agent.text_repair import repair_surrogates
from openenv_kit.agent.tool_arguments import parse_tool_arguments
from openenv_kit.errors import ToolArgumentError
from openenv_kit.json_text import compact_json

KEPT_TOOL_RESULT_COUNTS = (4, 1)
"""Number of newest tool results to keep if a conversation is too long: first four, then one."""


class Transcript:
    """The messages of an episode's conversation.

    Attributes:
        request_messages: messages for the next request.
        recorded_messages: the same messages in full, with the token usage of each response.
    """

    def __init__(self, recorded_messages: list[dict[str, Any]]) -> None:
        self.request_messages: list[ChatMessage] = []
        self.recorded_messages = recorded_messages
        self._call_ids: set[str] = set()

    def add_message(self, role: str, content: str) -> None:
        """Append a system message or a user message."""
        self._append_message({"role": role, "content": repair_surrogates(content)})

    def add_notice_to_last_message(self, text: str) -> None:
        """Append a notice to the last message; after a model's response, add a user message."""
        last = self.request_messages[-1]
        if last["role"] == "assistant":
            self.add_message("user", text)
        else:  # also changes the recorded message, which is the same object
            last["content"] = f"{last['content']}\n\n{repair_surrogates(text)}"

    def add_answer_with_unique_call_ids(self, answer: ModelAnswer) -> list[ModelToolCall]:
        """Append a model's response and return its tool calls, with unique ids."""
        calls = [replace(call, id=self._make_unique_call_id(call.id)) for call in answer.tool_calls]
        message: ChatMessage = {"role": "assistant", "content": answer.text, **answer.raw_message}
        message["role"] = "assistant"
        message.pop("tool_calls", None)
        if calls:
            message["tool_calls"] = [_format_call_for_request(call) for call in calls]
            content = message["content"]
            if not (content.strip() if isinstance(content, str) else content):
                message["content"] = None
        if calls or answer.text.strip():
            self.request_messages.append(message)
        recorded = dict(message)
        if calls:
            recorded["tool_calls"] = [_format_call_for_recording(call) for call in calls]
        if answer.raw_usage:
            recorded["usage"] = dict(answer.raw_usage)
        if answer.finish_reason:
            recorded["finish_reason"] = answer.finish_reason
        self.recorded_messages.append(recorded)
        return calls

    def add_tool_result(self, call: ModelToolCall, content: str) -> None:
        """Append the result of a tool call."""
        self._append_message(
            {"role": "tool", "tool_call_id": call.id, "content": repair_surrogates(content)}
        )

    def omit_old_tool_results(self) -> bool:
        """Replace older tool results with a placeholder; return whether any result was replaced."""
        messages = self.request_messages
        positions = [
            position for position, message in enumerate(messages) if message["role"] == "tool"
        ]
        for kept_count in KEPT_TOOL_RESULT_COUNTS:
            old_positions = [
                position
                for position in positions[:-kept_count]
                if messages[position]["content"] != OMITTED_RESULT_TEXT
            ]
            for position in old_positions:  # a new object leaves the recorded message unchanged
                messages[position] = {**messages[position], "content": OMITTED_RESULT_TEXT}
            if old_positions:
                return True
        return False

    def _append_message(self, message: ChatMessage) -> None:
        self.request_messages.append(message)
        self.recorded_messages.append(message)

    def _make_unique_call_id(self, call_id: str) -> str:
        """Return the id of a tool call, or a new id if it is empty or was used before."""
        unique_id = call_id
        number = len(self._call_ids)
        while not unique_id or unique_id in self._call_ids:
            unique_id = f"call{number:05d}"  # Mistral allows exactly nine letters and digits
            number += 1
        self._call_ids.add(unique_id)
        return unique_id


def _format_call_for_request(call: ModelToolCall) -> dict[str, Any]:
    """Return a model's tool call in the form that is sent back to the endpoint."""
    formatted = {**call.raw_call, "id": call.id, "type": call.raw_call.get("type") or "function"}
    function = formatted.get("function")
    if not isinstance(function, Mapping):
        if "custom" in formatted:
            return formatted
        # The server omitted the inner object and put its fields into the call itself.
        formatted.pop("name", None)
        formatted.pop("arguments", None)
        function = {}
    formatted["function"] = {
        **function,
        "name": call.name or "unnamed",
        # Some endpoints reject arguments that are not a JSON object as a string.
        "arguments": _format_arguments_json(call) or "{}",
    }
    return formatted


def _format_call_for_recording(call: ModelToolCall) -> dict[str, Any]:
    """Return a tool call for the recording; invalid arguments stay unchanged."""
    formatted = _format_call_for_request(call)
    if "function" in formatted and _format_arguments_json(call) is None:
        formatted["function"] = {**formatted["function"], "arguments": call.arguments}
    return formatted


def _format_arguments_json(call: ModelToolCall) -> str | None:
    """Return the arguments as a string with a JSON object; None if they are not an object."""
    try:
        arguments = parse_tool_arguments(call.name, call.arguments)
    except ToolArgumentError:
        return None
    try:  # keep the model's own string if decoding and repairing changed nothing
        if isinstance(call.arguments, str) and json.loads(call.arguments) == arguments:
            return call.arguments
    except ValueError:
        pass
    return compact_json(arguments)
