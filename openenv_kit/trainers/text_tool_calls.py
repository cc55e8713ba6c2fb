"""Reads tool calls out of a model's text, where they stand between tags of the Qwen family.

```
<tool_call>
{"name": "list_dates", "arguments": {}}
</tool_call>
```
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from openenv_kit.thinking import TextSpan, find_thinking_sections
from openenv_kit.tool import ToolCall, parse_tool_call

OPEN_TAG_PATTERN = re.compile(r"<tool_call>\s*")
CALL_END_PATTERN = re.compile(r"\s*(?:</tool_call>|\Z)")
"""Where a complete call ends; a stop string may have cut its closing tag away."""
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class ParsedToolCalls:
    """The tool calls of one answer, outside its thinking.

    Attributes:
        calls: the calls that can be read, in order.
        has_unreadable_call: whether there is also a call that cannot be read.
        has_call_in_thinking: whether there is also a call inside thinking.
    """

    calls: list[ToolCall]
    has_unreadable_call: bool
    has_call_in_thinking: bool


def find_tool_calls(text: str) -> ParsedToolCalls:
    """Return the tool calls of a text.

    What stands in a section of thinking is not called (see `find_thinking_sections`). A tag inside
    an argument is part of the argument.
    """
    bodies = _find_json_bodies(text)
    sections = find_thinking_sections(_blank_out(text, bodies))
    complete, has_unreadable, has_rehearsed = [], False, False
    for tag in OPEN_TAG_PATTERN.finditer(text):
        if any(tag.start() in body for body in bodies):
            continue  # part of an argument
        if any(tag.start() in section for section in sections):
            has_rehearsed = True
            continue
        call = parse_tool_call(bodies[body]) if (body := _find_span_at(tag.end(), bodies)) else None
        if call is None:
            has_unreadable = True
        else:
            complete.append(call)
    return ParsedToolCalls(complete, has_unreadable, has_rehearsed)


def _find_json_bodies(text: str) -> dict[TextSpan, Any]:
    """Return the JSON values between the tags of calls, by where they stand."""
    bodies: dict[TextSpan, Any] = {}
    end = 0
    while tag := OPEN_TAG_PATTERN.search(text, end):
        end = tag.end()
        try:
            value, stop = _DECODER.raw_decode(text, tag.end())
        except (ValueError, RecursionError):
            continue
        if CALL_END_PATTERN.match(text, stop):
            bodies[TextSpan(tag.end(), stop)] = value
            end = stop
    return bodies


def _blank_out(text: str, spans: dict[TextSpan, Any]) -> str:
    """Return a text of the same length in which some parts are blank."""
    for span in spans:
        text = text[: span.start] + " " * (span.end - span.start) + text[span.end :]
    return text


def _find_span_at(position: int, spans: dict[TextSpan, Any]) -> TextSpan | None:
    return next((span for span in spans if span.start == position), None)
