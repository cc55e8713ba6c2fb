"""Conversations with the server, and the shapes of replies, without ids and wording.

The shape of a reply is its keys, types, statuses, rewards and results. A text that holds a space
counts as wording, whatever it says; so do two plays of the same server agree, and so does a server
that says things better. A list has the shape of its first entry and the digest of the others'.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Any

from starlette.testclient import TestClient

PLACEHOLDERS = {
    "episode": r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "player": r"pl-[0-9a-f]{32}",
    "request": r"\b[0-9a-f]{32}\b",
    "version": r'(?<="version":")\d+\.\d+\.\d+(?=")',
}
WORDS = "<words>"
MOST_SENT = 50
"""Characters of a request that are kept, to find it by; `conversation_scripts` has all of it."""


def shape(value: Any) -> Any:
    """Return the shape of a reply; a text with JSON counts as that JSON."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list) and len(value) > 2:
        return [shape(value[0]), f"<{len(value) - 1} more: {digest(shape_of_each(value[1:]))}>"]
    if isinstance(value, list):
        return shape_of_each(value)
    return text_shape(value) if isinstance(value, str) else value


def shape_of_each(values: list[Any]) -> list[Any]:
    """Return the shapes of a list's entries."""
    return [shape(each) for each in values]


def text_shape(text: str) -> Any:
    """Return the shape of a text: `WORDS` for wording; names, dates and numbers stay."""
    within = parsed(text)
    if isinstance(within, str):
        return WORDS if re.search(r"\s", text) else text
    return {"JSON": shape(within)}


def parsed(text: Any) -> Any:
    """Return the object or list that a text contains as JSON, or the text itself."""
    with suppress(ValueError, TypeError):
        within = json.loads(text)
        if isinstance(within, dict | list):
            return within
    return text


def digest(value: Any) -> str:
    """Return a short digest of a value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


class Conversation:
    """Records requests and the shapes of their replies.

    Args:
        client: the app.
    """

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.log: list[list[Any]] = []
        self._names: dict[str, str] = {}

    def http(self, route: str, body: Any = None, **headers: str) -> Any:
        """Send a request such as `http("POST /reset", {"seed": 1})` and return the response."""
        method, path = route.split(" ", 1)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, str) or body is None else json.dumps(body)
        if content is not None:
            sent.setdefault("content-type", "application/json")
        answer = self.client.request(method, path, content=content, headers=sent)
        kept = {name: value for name, value in answer.headers.items() if name != "content-length"}
        got = {
            "status": answer.status_code,
            "headers": kept,
            "body": parsed(self._named(answer.text)),
        }
        self._add(f"{route} {content or ''}", got)
        return answer

    @contextmanager
    def socket(self, path: str) -> Iterator[Socket]:
        """Open a WebSocket for a block."""
        with self.client.websocket_connect(path) as opened:
            yield Socket(self, path, opened)

    def _add(self, sent: str, got: Any) -> None:
        text = self._named(sent)
        short = text if len(text) < MOST_SENT else f"{text[:MOST_SENT]}…"
        self.log.append([short, shape(parsed(self._named(got)))])

    def _named(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._named(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._named(each) for each in value]
        if isinstance(value, IntEnum):  # travels as a number
            return int(value)
        if not isinstance(value, str):
            return value
        for kind, pattern in PLACEHOLDERS.items():
            value = re.sub(pattern, lambda found, kind=kind: self._name(kind, found[0]), value)
        return value

    def _name(self, kind: str, found: str) -> str:
        if kind in ("version", "request"):
            return f"<{kind}>"
        count = sum(name.startswith(f"<{kind}-") for name in self._names.values())
        return self._names.setdefault(found, f"<{kind}-{count + 1}>")


class Socket:
    """A WebSocket of a conversation."""

    def __init__(self, conversation: Conversation, path: str, opened: Any) -> None:
        self._all = conversation
        self._path = path
        self._opened = opened

    def ask(self, message: Any) -> Any:
        """Send a message, as JSON unless it is text or bytes, and return the reply."""
        if isinstance(message, bytes):
            self._opened.send_bytes(message)
        else:
            text = message if isinstance(message, str) else json.dumps(message)
            self._opened.send_text(text)
        return self.hear(message)

    def hear(self, sent: Any = "") -> Any:
        """Return the next message, or the close code."""
        got = self._opened.receive()
        self._all._add(f"{self._path} {sent}", got.get("text") or dict(got))
        return json.loads(got["text"]) if "text" in got else got

    def notify(self, message: Any) -> None:
        """Send a message that gets no reply."""
        self._opened.send_text(json.dumps(message))

    def reset(self, **data: Any) -> Any:
        return self.ask({"type": "reset", "data": data})

    def step(self, data: Any) -> Any:
        return self.ask({"type": "step", "data": data})

    def state(self) -> Any:
        return self.ask({"type": "state"})
