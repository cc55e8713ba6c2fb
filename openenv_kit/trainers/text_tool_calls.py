"""Parses tool calls that a model writes as text, between the tags that Qwen models use.

```
<tool_call>
{"name": "list_dates", "arguments": {}}
</tool_call>
```
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from openenv_kit.thinking import TextSpan, find_thinking_sections
from openenv_kit.tool import ToolCall, parse_tool_call

OPEN_TAG_PATTERN = re.compile(r"<tool_call>\s*")
CALL_END_PATTERN = re.compile(r"\s*(?:</tool_call>|\Z)")
"""Matches the end of a complete call. A stop string may have removed the closing tag."""
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class ParsedToolCalls:
    """The tool calls in a model's response.

    Attributes:
        calls: valid calls outside of thinking sections, in order.
        has_unreadable_call: whether the response contains a call that cannot be parsed.
        has_call_in_thinking: whether a thinking section contains a call.
    """

    calls: list[ToolCall]
    has_unreadable_call: bool
    has_call_in_thinking: bool


def parse_tool_calls_in_text(text: str) -> ParsedToolCalls:
    """Parse the tool calls in a model's response.

    Calls in a thinking section are ignored; see `find_thinking_sections`. A tag inside an argument
    is part of the argument.
    """
    values_by_span = _find_tagged_json_values(text)
    thinking_sections = find_thinking_sections(_replace_spans_with_spaces(text, values_by_span))
    calls: list[ToolCall] = []
    has_unreadable_call = has_call_in_thinking = False
    for tag in OPEN_TAG_PATTERN.finditer(text):
        if any(tag.start() in span for span in values_by_span):
            continue  # part of an argument
        if any(tag.start() in section for section in thinking_sections):
            has_call_in_thinking = True
            continue
        span = _find_span_starting_at(tag.end(), values_by_span)
        call = None if span is None else parse_tool_call(values_by_span[span])
        if call is None:
            has_unreadable_call = True
        else:
            calls.append(call)
    return ParsedToolCalls(calls, has_unreadable_call, has_call_in_thinking)


def _find_tagged_json_values(text: str) -> dict[TextSpan, Any]:
    """Return the JSON values between tool-call tags, by their positions in the text."""
    values_by_span: dict[TextSpan, Any] = {}
    position = 0
    while tag := OPEN_TAG_PATTERN.search(text, position):
        position = tag.end()
        try:
            value, value_end = _DECODER.raw_decode(text, tag.end())
        except (ValueError, RecursionError):
            continue
        if CALL_END_PATTERN.match(text, value_end):
            values_by_span[TextSpan(tag.end(), value_end)] = value
            position = value_end
    return values_by_span


def _replace_spans_with_spaces(text: str, spans: Iterable[TextSpan]) -> str:
    """Replace the characters in the given spans of a text with spaces."""
    for span in spans:
        text = text[: span.start] + " " * (span.end - span.start) + text[span.end :]
    return text


def _find_span_starting_at(position: int, spans: Iterable[TextSpan]) -> TextSpan | None:
    return next((span for span in spans if span.start == position), None)
