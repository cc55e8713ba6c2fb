"""What a model is told beside the environment's own words, and how long replies may be."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from openenv_kit.json_text import compact_json
from openenv_kit.tool import Catalogue

MAX_TOOL_RESULT_CHARACTERS = 14_000
"""Longest reply to one tool call, in characters; longer ones are shortened."""
OMITTED_RESULT_TEXT = "[left out to save room; call the tool again if you need it]"
SHORTER_CALL_ADVICE = "Call it again for less at a time."


def no_tool_call_reminder(tools: Catalogue) -> str:
    """To a model that answered with text instead of a tool call."""
    return (
        "You have not finished, and text alone does nothing. Call "
        f"{_join_finishing_tool_names(tools)} now, or continue with the other tools. This is the "
        "only reminder."
    )


def last_turn_notice(tools: Catalogue) -> str:
    """To a model that has one answer left."""
    return (
        "This is your last answer in this episode: call "
        f"{_join_finishing_tool_names(tools)} now with what you "
        "have found. Without it the score is 0."
    )


def truncate_result(
    tool_result: Mapping[str, Any], max_characters: int = MAX_TOOL_RESULT_CHARACTERS
) -> str:
    """An answer as JSON; if it is too long, the longest list of its result is shortened."""
    text = compact_json(tool_result)
    if len(text) <= max_characters:
        return text
    found = tool_result.get("result")
    result = found if isinstance(found, Mapping) else {}
    lists = {name: value for name, value in result.items() if isinstance(value, list)}
    if lists:
        name = max(lists, key=lambda each: len(compact_json(lists[each])))
        items = lists[name]

        def first(count: int) -> str:
            note = f"{name}: {count} of {len(items)} shown; the whole reply has {len(text)} "
            note += f"characters. {SHORTER_CALL_ADVICE}"
            cut = {**result, name: items[:count]}
            return compact_json({"truncated": note, **tool_result, "result": cut})

        fits = (
            bisect_right(range(len(items)), max_characters, key=lambda count: len(first(count))) - 1
        )
        if fits > 0:
            return first(fits)
    note = f" … [cut at {max_characters} of {len(text)} characters. {SHORTER_CALL_ADVICE}]"
    return text[: max_characters - len(note)] + note


def _join_finishing_tool_names(tools: Catalogue) -> str:
    return " or ".join(tool.name for tool in tools.tools if tool.is_final)
