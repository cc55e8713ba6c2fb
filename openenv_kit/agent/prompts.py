"""What a model is told beside the environment's own words, and how long replies may be."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from openenv_kit.tool import Catalogue, compact

MAX_REPLY = 14_000
"""Longest reply to one tool call, in characters; longer ones are shortened."""
LEFT_OUT = "[left out to save room; call the tool again if you need it]"
ADVICE = "Call it again for less at a time."


def reminder(tools: Catalogue) -> str:
    """To a model that answered with text instead of a tool call."""
    return (
        "You have not finished, and text alone does nothing. Call "
        f"{_finishing(tools)} now, or continue with the other tools. This is the only "
        "reminder."
    )


def last_round(tools: Catalogue) -> str:
    """To a model that has one answer left."""
    return (
        f"This is your last answer in this episode: call {_finishing(tools)} now with what "
        "you have found. Without it the score is 0."
    )


def shortened(answer: Mapping[str, Any], limit: int = MAX_REPLY) -> str:
    """An answer as JSON; if it is too long, the longest list of its result is shortened."""
    text = compact(answer)
    if len(text) <= limit:
        return text
    found = answer.get("result")
    result = found if isinstance(found, Mapping) else {}
    lists = {name: value for name, value in result.items() if isinstance(value, list)}
    if lists:
        name = max(lists, key=lambda each: len(compact(lists[each])))
        items = lists[name]

        def first(count: int) -> str:
            note = f"{name}: {count} of {len(items)} shown; the whole reply has {len(text)} "
            note += f"characters. {ADVICE}"
            cut = {**result, name: items[:count]}
            return compact({"truncated": note, **answer, "result": cut})

        fits = bisect_right(range(len(items)), limit, key=lambda count: len(first(count))) - 1
        if fits > 0:
            return first(fits)
    note = f" … [cut at {limit} of {len(text)} characters. {ADVICE}]"
    return text[: limit - len(note)] + note


def _finishing(tools: Catalogue) -> str:
    return " or ".join(tool.name for tool in tools.tools if tool.finishes)
