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
        ValueError: not JSON, or nested deeper than anything we read; says where.
    """
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    # What only the standard library takes (NaN, lone surrogates) has always been taken here.
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise TypeError(type(value).__name__)
