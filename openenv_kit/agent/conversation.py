"""The conversation with a model: messages as endpoints accept them, and a transcript to keep."""

from __future__ import annotations

from typing import Any

from openenv_kit.agent.chat import Answer, Message, ToolCall
from openenv_kit.agent.prompts import LEFT_OUT
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

    def add(self, role: str, content: str) -> None:
        """Append a message of the system or the user."""
        self._append({"role": role, "content": content})

    def add_answer(self, answer: Answer) -> None:
        """Append an answer, in a form that every endpoint accepts."""
        message: Message = {"role": "assistant", "content": answer.text}
        for call in answer.calls:
            function = {"name": call.name or "unnamed", "arguments": _readable_arguments(call)}
            made = {"id": call.id, "type": "function", "function": function}
            message.setdefault("tool_calls", []).append(made)
        self.messages.append(message)
        # As the endpoint sent it: the reasoning, and arguments that are not JSON, are in it.
        sent = {**message, **answer.message}
        known = {"usage": dict(answer.usage), "finish_reason": answer.finish_reason}
        self.transcript.append({**sent, **{name: each for name, each in known.items() if each}})

    def add_tool_result(self, call: ToolCall, content: str) -> None:
        """Append the result of a tool call."""
        self._append({"role": "tool", "tool_call_id": call.id, "content": content})

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


def _readable_arguments(call: ToolCall) -> str:
    """Return arguments to send back: some endpoints refuse a history with broken JSON."""
    try:
        return compact(call.read())
    except ToolArgumentError:
        return "{}"
