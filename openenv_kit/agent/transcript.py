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

from openenv_kit.agent.completions import Answer, Message, ToolCall
from openenv_kit.agent.prompts import LEFT_OUT
from openenv_kit.agent.text_repair import repair_text
from openenv_kit.agent.tool_arguments import read_arguments
from openenv_kit.errors import ToolArgumentError
from openenv_kit.tool import compact

FRESH_RESULTS = (4, 1)
"""Newest tool results that are kept when a conversation grows too long; fewer if it still is."""


class Conversation:
    """Messages that are sent with the next request.

    Attributes:
        messages: what the endpoint is sent.
        transcript: the same messages, never shortened, each answer with its token usage.
    """

    def __init__(self, transcript: list[dict[str, Any]]) -> None:
        self.messages: list[Message] = []
        self.transcript = transcript
        self._call_ids: set[str] = set()

    def add(self, role: str, content: str) -> None:
        """Append a message of the system or the user."""
        self._append({"role": role, "content": repair_text(content)})

    def add_notice(self, text: str) -> None:
        """Append a notice to the model: to the last message, or after an answer as a new one."""
        last = self.messages[-1]
        if last["role"] == "assistant":
            self.add("user", text)
        else:  # the same object is in the transcript
            last["content"] = f"{last['content']}\n\n{repair_text(text)}"

    def add_answer(self, answer: Answer) -> list[ToolCall]:
        """Append an answer; returns its tool calls with the ids that they have from now on."""
        calls = [replace(call, id=self._unique_id(call.id)) for call in answer.calls]
        message: Message = {"role": "assistant", "content": answer.text, **answer.message}
        message["role"] = "assistant"
        message.pop("tool_calls", None)
        if calls:
            message["tool_calls"] = [_call_to_send(call) for call in calls]
            content = message["content"]
            if not (content.strip() if isinstance(content, str) else content):
                message["content"] = None
        if calls or answer.text.strip():
            self.messages.append(message)
        known = {"usage": dict(answer.usage), "finish_reason": answer.finish_reason}
        written = [_call_to_keep(call) for call in calls]
        kept = {**message, **({"tool_calls": written} if written else {})}
        self.transcript.append({**kept, **{name: each for name, each in known.items() if each}})
        return calls

    def add_tool_result(self, call: ToolCall, content: str) -> None:
        """Append the result of a tool call."""
        self._append({"role": "tool", "tool_call_id": call.id, "content": repair_text(content)})

    def drop_old_tool_results(self) -> bool:
        """Replace the contents of older tool results; returns whether there were any."""
        places = [n for n, each in enumerate(self.messages) if each["role"] == "tool"]
        for fresh in FRESH_RESULTS:
            old = [n for n in places[:-fresh] if self.messages[n]["content"] != LEFT_OUT]
            for place in old:  # the transcript keeps the message as it was
                self.messages[place] = {**self.messages[place], "content": LEFT_OUT}
            if old:
                return True
        return False

    def _append(self, message: Message) -> None:
        self.messages.append(message)
        self.transcript.append(message)

    def _unique_id(self, given: str) -> str:
        """Return the id of a tool call, or another one where it is empty or was used before."""
        found = given
        number = len(self._call_ids)
        while not found or found in self._call_ids:
            found = f"call{number:05d}"  # nine letters and digits, all that Mistral allows
            number += 1
        self._call_ids.add(found)
        return found


def _call_to_send(call: ToolCall) -> dict[str, Any]:
    """Return a tool call of an answer in the form in which it is sent back."""
    made = {**call.sent, "id": call.id, "type": call.sent.get("type") or "function"}
    if not isinstance(made.get("function"), Mapping):
        if "custom" in made:
            return made
        made = {name: each for name, each in made.items() if name not in ("name", "arguments")}
    function = made.get("function")
    given = function if isinstance(function, Mapping) else {}
    # Some endpoints refuse a history with anything but the text of a JSON object.
    arguments = _readable_arguments(call) or "{}"
    named = {**given, "name": call.name or "unnamed", "arguments": arguments}
    return {**made, "function": named}


def _call_to_keep(call: ToolCall) -> dict[str, Any]:
    """Return a tool call for the transcript, with arguments that cannot be read as they came."""
    made = _call_to_send(call)
    if "function" in made and _readable_arguments(call) is None:
        made["function"] = {**made["function"], "arguments": call.arguments}
    return made


def _readable_arguments(call: ToolCall) -> str | None:
    """Return arguments as the text of a JSON object; None where they are not one."""
    try:
        found = read_arguments(call.name, call.arguments)
    except ToolArgumentError:
        return None
    try:  # the model's own text, where nothing in it was decoded or repaired
        if isinstance(call.arguments, str) and json.loads(call.arguments) == found:
            return call.arguments
    except ValueError:
        pass
    return compact(found)
