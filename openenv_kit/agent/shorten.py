"""Tool replies as a model reads them: compact, and never longer than a stated size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MAX_REPLY = 10_000
"""Longest reply to one tool call, in characters: task_overview is whole, raw data is not."""


def reply_text(name: str, observation: Mapping[str, Any], advice: str = "") -> str:
    """What the model is told after a step.

    Args:
        name: the tool called.
        observation: the environment's answer.
        advice: how to ask this tool for less, for a reply that had to be cut.
    """
    if observation["status"] == "error":
        return compact({"error": observation["message"]})
    analysis = observation.get("analysis_result")
    if analysis is None:
        return compact({"status": observation["status"], "message": observation["message"]})
    result = analysis["result"]
    if observation["message"] != f"{name} done.":  # it counts the last steps down
        result = {"message": observation["message"], **result}
    return shortened(result, advice)


def shortened(result: Mapping[str, Any], advice: str = "", limit: int = MAX_REPLY) -> str:
    """Compact JSON of a result; the longest list in it is cut where all would be too long."""
    text = compact(result)
    if len(text) <= limit:
        return text
    lists = {name: value for name, value in result.items() if isinstance(value, list)}
    if lists:
        longest = max(lists, key=lambda name: len(compact(lists[name])))
        items = lists[longest]
        fits, too_many = -1, len(items)
        while too_many - fits > 1:
            kept = (fits + too_many) // 2
            if len(compact(_cut(result, longest, kept, len(text), advice))) <= limit:
                fits = kept
            else:
                too_many = kept
        if fits > 0:
            return compact(_cut(result, longest, fits, len(text), advice))
    note = f" … [cut at {limit} of {len(text)} characters. {advice}]"
    return text[: limit - len(note)] + note


def _cut(
    result: Mapping[str, Any], name: str, kept: int, length: int, advice: str
) -> dict[str, Any]:
    items = result[name]
    note = f"{name}: {kept} of {len(items)} shown, for the whole reply has {length} characters."
    return {"truncated": f"{note} {advice}".strip(), **result, name: items[:kept]}


def compact(value: Any) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
