"""Notices that the agent adds to a conversation, and truncation of tool results."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from openenv_kit.catalogue import Catalogue
from openenv_kit.json_text import compact_json

MAX_TOOL_RESULT_CHARACTERS = 14_000
"""Longest tool result in a conversation, in characters; longer ones are shortened."""
OMITTED_RESULT_TEXT = "[left out to save room; call the tool again if you need it]"
SHORTER_CALL_ADVICE = "Call it again for less at a time."


def build_tool_call_reminder(tools: Catalogue) -> str:
    """Return the reminder for a model that responded with text instead of a tool call."""
    return (
        "You have not finished, and text alone does nothing. Call "
        f"{_join_finishing_tool_names(tools)} now, or continue with the other tools. This is the "
        "only reminder."
    )


def build_last_answer_notice(tools: Catalogue) -> str:
    """Return the notice for a model that has one response left."""
    return (
        "This is your last answer in this episode: call "
        f"{_join_finishing_tool_names(tools)} now with what you "
        "have found. Without it the score is 0."
    )


def format_truncated_json(
    tool_result: Mapping[str, Any], max_characters: int = MAX_TOOL_RESULT_CHARACTERS
) -> str:
    """Return a tool result as JSON that is at most the given number of characters long.

    If it is too long, entries are removed from the end of the longest list in its `result`. If that
    is not enough, the end of the JSON string is cut off.
    """
    text = compact_json(tool_result)
    if len(text) <= max_characters:
        return text
    shortened = _format_with_shortened_list(tool_result, len(text), max_characters)
    if shortened is not None:
        return shortened
    note = f" … [cut at {max_characters} of {len(text)} characters. {SHORTER_CALL_ADVICE}]"
    return text[: max_characters - len(note)] + note


def _format_with_shortened_list(
    tool_result: Mapping[str, Any], total_characters: int, max_characters: int
) -> str | None:
    """Return a tool result with its longest list shortened to fit; None if no entry fits."""
    result = tool_result.get("result")
    if not isinstance(result, Mapping):
        return None
    lists = {name: value for name, value in result.items() if isinstance(value, list)}
    if not lists:
        return None
    list_name = max(lists, key=lambda name: len(compact_json(lists[name])))
    items = lists[list_name]

    def format_with_first_items(item_count: int) -> str:
        note = (
            f"{list_name}: {item_count} of {len(items)} shown; the whole reply has "
            f"{total_characters} characters. {SHORTER_CALL_ADVICE}"
        )
        shortened_result = {**result, list_name: items[:item_count]}
        return compact_json({"truncated": note, **tool_result, "result": shortened_result})

    fitting_count = (
        bisect_right(
            range(len(items)), max_characters, key=lambda count: len(format_with_first_items(count))
        )
        - 1
    )
    return format_with_first_items(fitting_count) if fitting_count > 0 else None


def _join_finishing_tool_names(tools: Catalogue) -> str:
    return " or ".join(tool.name for tool in tools.tools if tool.is_final)
