"""Replies as they travel: the framework's message format, written straight from the engine.

The framework builds a model, dumps it, wraps the dump in a second model and dumps that. Here
the same JSON is written once; a test holds the two against each other for every kind of reply.
"""

from __future__ import annotations

import json
from typing import Any

import orjson
from pydantic import BaseModel

from metric_tracker_rl.models import MetricTrackerRlObservation
from metric_tracker_rl.session import Reply

EMPTY = MetricTrackerRlObservation().model_dump(exclude={"reward", "done"})
"""Every field of an observation that says nothing."""


MAX_DEPTH = 64
"""Levels of a message; a report's rows need five."""


def observation_data(
    reply: Reply, task_id: str, metadata: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The framework's form of an observation: `observation`, `reward`, `done`, `metadata`.

    Values may still be models; `dumps` writes them.
    """
    observation = {
        **EMPTY,
        "task_id": task_id,
        "status": reply.status,
        "message": reply.message,
        **reply.content,
    }
    data = {"observation": observation, "reward": reply.reward, "done": reply.done}
    if metadata:
        observation["metadata"] = data["metadata"] = metadata
    return data


def message(kind: str, data: dict[str, Any]) -> str:
    """Text of one WebSocket message."""
    return dumps({"type": kind, "data": data}).decode()


def error(text: str, code: str, **more: Any) -> str:
    """Text of an error message."""
    return message("error", {"message": text, "code": code, **more})


def dumps(value: Any) -> bytes:
    """Compact JSON of anything a reply can hold."""
    try:
        return orjson.dumps(value, default=_plain)
    except (TypeError, ValueError):
        # Integers past 64 bits and lone surrogates, echoed from a caller; rare, and no hurry.
        return json.dumps(value, default=_plain, separators=(",", ":")).encode()


def loads(text: str | bytes) -> Any:
    """Value of a JSON text.

    Raises:
        ValueError: not JSON, or nested deeper than `MAX_DEPTH`.
    """
    try:
        value = orjson.loads(text)
    except ValueError:
        # What only the standard library takes (NaN, lone surrogates) has always been taken here.
        try:
            value = json.loads(text)
        except RecursionError:
            raise TooDeepError from None
    if _openings(text) > MAX_DEPTH:
        check_depth(value)
    return value


class TooDeepError(ValueError):
    """JSON that nests deeper than anything we read, and than some writers can write."""

    def __init__(self) -> None:
        super().__init__(f"nested too deeply; allowed: {MAX_DEPTH} levels")


def check_depth(value: Any) -> None:
    """Look through nested lists and objects.

    Raises:
        TooDeepError: there are more than `MAX_DEPTH` levels.
    """
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise TooDeepError


def _openings(text: str | bytes) -> int:
    """Most levels that a text can have, told at a glance."""
    if isinstance(text, str):
        return text.count("{") + text.count("[")
    return text.count(b"{") + text.count(b"[")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return vars(value)  # as model_dump(), but whoever writes it goes on into nested models
    raise TypeError(type(value).__name__)
