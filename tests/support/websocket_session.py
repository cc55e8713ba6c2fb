"""A session over the framework's WebSocket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect


class Conversation:
    """A WebSocket session."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.raw = ""

    def send(self, kind: str, data: Any = None) -> Any:
        """Send a message and return the `data` of the reply."""
        message = {"type": kind} if data is None else {"type": kind, "data": data}
        self.socket.send(json.dumps(message))
        self.raw = str(self.socket.recv(timeout=30))
        answer = json.loads(self.raw)
        assert answer["type"] == ("state" if kind == "state" else "observation"), answer
        return answer["data"]

    def step(self, **action: Any) -> Any:
        return self.send("step", action)

    def analyse(self, method: str, **arguments: Any) -> Any:
        return self.step(analysis_method=method, analysis_args=arguments)


@contextmanager
def talking(url: str) -> Iterator[Conversation]:
    with connect(url.replace("http", "ws") + "/ws", max_size=2**24) as socket:
        yield Conversation(socket)
