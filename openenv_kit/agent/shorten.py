"""Tool replies as a model reads them: compact, and never longer than a stated size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from openenv_kit.tools.catalogue import ToolSpec

MAX_REPLY = 10_000
"""Longest reply to one tool call, in characters: task_overview is whole, raw data is not."""


def advice(tool: ToolSpec) -> str:
    """How to ask a tool for less, for a reply that has to be cut."""
    known = tool.parameters.get("properties", {})
    ways = [words for argument, words in _LESS.items() if argument in known]
    return f"Call it again for less at a time: {' or '.join(ways)}." if ways else ""


_LESS = {
    "offset": "a higher offset",
    "limit": "a smaller limit",
    "dates": "only a few dates",
    "metric_names": "fewer metric_names",
    "threshold_multiplier": "a higher threshold_multiplier",
    "generator_methods": "fewer generator_methods",
    "threshold": "a higher threshold",
    "rows": "fewer rows",
}
"""Arguments that make a reply smaller, in any environment whose tools have them."""


def shortened(told: Mapping[str, Any], advice: str = "", limit: int = MAX_REPLY) -> str:
    """Compact JSON of an answer; the longest list of its result is cut if all would be too long."""
    text = compact(told)
    if len(text) <= limit:
        return text
    result = told.get("result")
    lists: dict[str, list[Any]] = {}
    if isinstance(result, Mapping):
        lists = {name: value for name, value in result.items() if isinstance(value, list)}
    if lists:
        longest = max(lists, key=lambda name: len(compact(lists[name])))
        fits, too_many = -1, len(lists[longest])
        while too_many - fits > 1:
            kept = (fits + too_many) // 2
            if len(compact(_cut(told, longest, kept, len(text), advice))) <= limit:
                fits = kept
            else:
                too_many = kept
        if fits > 0:
            return compact(_cut(told, longest, fits, len(text), advice))
    note = f" … [cut at {limit} of {len(text)} characters. {advice}]"
    return text[: limit - len(note)] + note


def _cut(told: Mapping[str, Any], name: str, kept: int, length: int, advice: str) -> dict[str, Any]:
    items = told["result"][name]
    note = f"{name}: {kept} of {len(items)} shown; the whole reply has {length} characters."
    result = {**told["result"], name: items[:kept]}
    return {"truncated": f"{note} {advice}".strip(), **told, "result": result}


def compact(value: Any) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
