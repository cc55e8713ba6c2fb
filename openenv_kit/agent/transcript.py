"""The conversation with a model: messages as endpoints accept them, and a transcript to keep.

An answer goes back as it came, with fields that are unknown here: endpoints want their signatures
and their reasoning back. Only what some endpoint refuses is changed: ids of tool calls are unique,
arguments are the text of a JSON object, content beside tool calls is null where it is empty, and an
answer with nothing in it is left out. Roles alternate: after a message of the user or of a tool
there is no message of the user, so a notice is appended to the last one.
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
"""Newest tool results that are kept when a conversation grows too long; fewer if it still is."""


class Transcript:
    """Messages that are sent with the next request.

    Attributes:
        request_messages: what the endpoint is sent.
        recorded_messages: the same messages, never shortened, each answer with its token usage.
    """

    def __init__(self, recorded_messages: list[dict[str, Any]]) -> None:
        self.request_messages: list[ChatMessage] = []
        self.recorded_messages = recorded_messages
        self._call_ids: set[str] = set()

    def add_message(self, role: str, content: str) -> None:
        """Append a message of the system or the user."""
        self._append_message({"role": role, "content": repair_surrogates(content)})

    def add_notice(self, text: str) -> None:
        """Append a notice to the model: to the last message, or after an answer as a new one."""
        last = self.request_messages[-1]
        if last["role"] == "assistant":
            self.add_message("user", text)
        else:  # the same object is in the transcript
            last["content"] = f"{last['content']}\n\n{repair_surrogates(text)}"

    def add_answer(self, answer: ModelAnswer) -> list[ModelToolCall]:
        """Append an answer; returns its tool calls with the ids that they have from now on."""
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
        known = {"usage": dict(answer.raw_usage), "finish_reason": answer.finish_reason}
        written = [_format_call_for_transcript(call) for call in calls]
        kept = {**message, **({"tool_calls": written} if written else {})}
        self.recorded_messages.append(
            {**kept, **{name: each for name, each in known.items() if each}}
        )
        return calls

    def add_tool_result(self, call: ModelToolCall, content: str) -> None:
        """Append the result of a tool call."""
        self._append_message(
            {"role": "tool", "tool_call_id": call.id, "content": repair_surrogates(content)}
        )

    def drop_old_tool_results(self) -> bool:
        """Replace the contents of older tool results; returns whether there were any."""
        places = [n for n, each in enumerate(self.request_messages) if each["role"] == "tool"]
        for fresh in KEPT_TOOL_RESULT_COUNTS:
            old = [
                n
                for n in places[:-fresh]
                if self.request_messages[n]["content"] != OMITTED_RESULT_TEXT
            ]
            for place in old:  # the transcript keeps the message as it was
                self.request_messages[place] = {
                    **self.request_messages[place],
                    "content": OMITTED_RESULT_TEXT,
                }
            if old:
                return True
        return False

    def _append_message(self, message: ChatMessage) -> None:
        self.request_messages.append(message)
        self.recorded_messages.append(message)

    def _make_unique_call_id(self, call_id: str) -> str:
        """Return the id of a tool call, or another one where it is empty or was used before."""
        found = call_id
        number = len(self._call_ids)
        while not found or found in self._call_ids:
            found = f"call{number:05d}"  # nine letters and digits, all that Mistral allows
            number += 1
        self._call_ids.add(found)
        return found


def _format_call_for_request(call: ModelToolCall) -> dict[str, Any]:
    """Return a tool call of an answer in the form in which it is sent back."""
    made = {**call.raw_call, "id": call.id, "type": call.raw_call.get("type") or "function"}
    if not isinstance(made.get("function"), Mapping):
        if "custom" in made:
            return made
        made = {name: each for name, each in made.items() if name not in ("name", "arguments")}
    function = made.get("function")
    given = function if isinstance(function, Mapping) else {}
    # Some endpoints refuse a history with anything but the text of a JSON object.
    arguments = _format_arguments_json(call) or "{}"
    named = {**given, "name": call.name or "unnamed", "arguments": arguments}
    return {**made, "function": named}


def _format_call_for_transcript(call: ModelToolCall) -> dict[str, Any]:
    """Return a tool call for the transcript, with arguments that cannot be read as they came."""
    made = _format_call_for_request(call)
    if "function" in made and _format_arguments_json(call) is None:
        made["function"] = {**made["function"], "arguments": call.arguments}
    return made


def _format_arguments_json(call: ModelToolCall) -> str | None:
    """Return arguments as the text of a JSON object; None where they are not one."""
    try:
        found = parse_tool_arguments(call.name, call.arguments)
    except ToolArgumentError:
        return None
    try:  # the model's own text, where nothing in it was decoded or repaired
        if isinstance(call.arguments, str) and json.loads(call.arguments) == found:
            return call.arguments
    except ValueError:
        pass
    return compact_json(found)
