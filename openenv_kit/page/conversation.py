"""Assigns the recorded messages of a rollout to its steps, and each tool result to its call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from openenv_kit.thinking import THINKING_TAG, find_thinking_sections

MessageJson = Mapping[str, Any]
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
"""Keys under which endpoints return a model's reasoning."""


class TextEntry(NamedTuple):
    """Text of a message.

    Attributes:
        role: role of the message, such as `user`.
        text: text of the message.
        reasoning: thinking text of the model that is not part of its response.
    """

    role: str
    text: str
    reasoning: str = ""


@dataclass
class CallEntry:
    """A tool call of a model, and the result that the model received.

    Attributes:
        name: name of the tool.
        arguments: arguments as the model wrote them.
        result: text of the tool result; None if the recording does not contain it.
        is_executed: whether the call became a step of the episode; otherwise it was rejected.
    """

    name: str
    arguments: str
    result: str | None = None
    is_executed: bool = False


@dataclass
class StepConversation:
    """Messages of one step, in order. Step 0 contains those before the model's first response."""

    entries: list[TextEntry | CallEntry] = field(default_factory=list)

    @property
    def rejected_calls(self) -> list[CallEntry]:
        """Calls that could not be converted into an action."""
        return [
            entry
            for entry in self.entries
            if isinstance(entry, CallEntry) and not entry.is_executed and entry.result is not None
        ]

    @property
    def executed_call(self) -> CallEntry | None:
        """The call of this step; None if the recording has no messages."""
        calls = [entry for entry in self.entries if isinstance(entry, CallEntry)]
        return next((call for call in calls if call.is_executed), None)


def arrange_messages_by_step(
    step_messages: Iterable[Sequence[MessageJson]], step_count: int
) -> list[StepConversation]:
    """Group the messages: those before the first step, of each step, and after the last step.

    A recording stores each step with the messages since the previous step, so the result of a call
    is stored with the next step.

    Args:
        step_messages: messages recorded with each step, followed by those recorded at the end.
        step_count: number of steps.
    """
    conversations = [StepConversation() for _ in range(step_count + 2)]
    open_calls: dict[str, CallEntry] = {}
    has_response = False
    for number, messages in enumerate(step_messages, start=1):
        if number > step_count + 1:
            break
        for message in messages:
            role = str(message.get("role") or "")
            if role == "tool":
                call = open_calls.pop(str(message.get("tool_call_id")), None)
                if call is None:
                    continue
                call.result = _join_content(message.get("content"))
                if not call.is_executed:
                    conversations[number].entries.append(call)
                continue
            has_response |= role == "assistant"
            is_first = number == 1 and not has_response
            target = conversations[0 if is_first else number]
            target.entries += _list_text_entries(role, message)
            for call_id, call in _iter_calls(message):
                open_calls[call_id] = call
        if number <= step_count:
            # The first call without a result is the one that this step executed.
            call = next((each for each in open_calls.values() if not each.is_executed), None)
            if call is not None:
                call.is_executed = True
                conversations[number].entries.append(call)
    return conversations


def split_reasoning_from_text(text: str) -> TextEntry:
    """Separate the thinking sections of a model's text, without their tags, from its answer."""
    reasoning, answer, position = "", "", 0
    for section in find_thinking_sections(text):
        answer += text[position : section.start]
        reasoning += THINKING_TAG.sub("", text[section.start : section.end])
        position = section.end
    return TextEntry("assistant", (answer + text[position:]).strip(), reasoning.strip())


class _NamedCall(NamedTuple):
    call_id: str
    call: CallEntry


def _list_text_entries(role: str, message: MessageJson) -> list[TextEntry]:
    entry = TextEntry(role, _join_content(message.get("content")))
    if role == "assistant":
        entry = split_reasoning_from_text(entry.text)
        separate = next((message[key] for key in REASONING_KEYS if message.get(key)), "")
        reasoning = "\n".join(filter(None, (_join_content(separate), entry.reasoning)))
        entry = entry._replace(reasoning=reasoning)
    return [entry] if entry.text.strip() or entry.reasoning.strip() else []


def _iter_calls(message: MessageJson) -> Iterator[_NamedCall]:
    calls = message.get("tool_calls")
    for position, call in enumerate(calls if isinstance(calls, list) else ()):
        if not isinstance(call, Mapping):
            continue
        function = call.get("function")
        function = function if isinstance(function, Mapping) else {}
        arguments = function.get("arguments")
        text = arguments if isinstance(arguments, str) else str(arguments or "{}")
        entry = CallEntry(str(function.get("name") or ""), text)
        yield _NamedCall(str(call.get("id", position)), entry)


def _join_content(content: Any) -> str:
    """Return the text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = (part.get("text") if isinstance(part, Mapping) else part for part in parts)
    return "\n".join(str(text) for text in texts if text)
