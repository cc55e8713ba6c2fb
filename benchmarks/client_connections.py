"""Connections of simulated clients: one over WebSocket and one over plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol
from uuid import uuid4

from benchmarks.load import LoadError, LoadSession, open_session
from benchmarks.server_process import HOST

REPLY_TIMEOUT_S = 120.0
"""Longest wait for a reply, in seconds."""
CAPACITY_CODE = "CAPACITY_REACHED"
FULL_STATUSES = (429, 503)


class FullError(Exception):
    """The server has no room for another session or episode at the moment."""


class ClientConnection(Protocol):
    """Plays one episode after another; each coroutine returns the observation of a reply.

    Raises:
        FullError: the server has no room.
        LoadError: the server sent an error, or no reply.
        OSError: the connection failed.
    """

    async def reset(self, path: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Start an episode of the environment that is served below a path."""

    async def step(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """Execute an action."""

    async def reconnect(self) -> None:
        """Drop the connection without a farewell, and continue the episode over another one."""

    def drop(self) -> None:
        """Drop the connection without a farewell."""


class WebSocketConnection:
    """A connection over WebSocket."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._session: LoadSession | None = None
        self._path = ""
        self._episode_id = ""

    async def reset(self, path: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if path != self._path:
            self.drop()
            self._path = path
        data = await self._send("reset", arguments)
        self._episode_id = data["metadata"]["episode_id"]
        return _extract_observation(data)

    async def step(self, action: Mapping[str, Any]) -> dict[str, Any]:
        return _extract_observation(await self._send("step", action))

    async def reconnect(self) -> None:
        self.drop()
        data = await self._send("reset", {"episode_id": self._episode_id, "resume": True})
        if data["observation"].get("status") == "error":
            raise LoadError(f"not resumed: {data['observation'].get('message')}")

    def drop(self) -> None:
        if self._session is not None:
            self._session.abort()
            self._session = None

    async def _send(self, message_type: str, data: Mapping[str, Any]) -> dict[str, Any]:
        if self._session is None:
            self._session = await open_session(HOST, self._port, f"{self._path}/ws")
        try:
            reply = await self._session.send_and_receive(
                {"type": message_type, "data": data}, REPLY_TIMEOUT_S
            )
        except LoadError:
            self.drop()
            raise
        content: dict[str, Any] = reply["data"]
        if reply["type"] == "error":
            self.drop()
            if content.get("code") == CAPACITY_CODE or "retry_after_s" in content:
                raise FullError(str(content.get("message")))
            raise LoadError(f"{content.get('code')}: {content.get('message')}")
        return content


class HttpConnection:
    """A connection over plain HTTP, which is kept open between requests."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._path = ""
        self._episode_id = ""

    async def reset(self, path: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self._path = path
        # Firewatch gives clients that send no id one episode for each address.
        body = await self._post("/reset", {"episode_id": f"client-{uuid4().hex}", **arguments})
        self._episode_id = body["episode_id"]
        return _extract_observation(body)

    async def step(self, action: Mapping[str, Any]) -> dict[str, Any]:
        request = {"episode_id": self._episode_id, "action": action, "request_id": uuid4().hex}
        body = await self._post("/step", request)
        if body.get("episode_id") != self._episode_id:
            raise LoadError(f"reply of episode {body.get('episode_id')}")
        return _extract_observation(body)

    async def reconnect(self) -> None:
        self.drop()

    def drop(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _post(self, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
        content = json.dumps(body).encode()
        head = (
            f"POST {self._path}{route} HTTP/1.1\r\nHost: {HOST}:{self._port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(HOST, self._port)
                reader, writer = self._streams
                writer.write(head.encode() + content)
                return await _read_json_response(reader)
        except FullError:
            raise
        except TimeoutError:
            self.drop()
            raise LoadError(f"no reply in {REPLY_TIMEOUT_S:g} s") from None
        except (OSError, EOFError, LoadError):
            self.drop()
            raise


async def _read_json_response(reader: asyncio.StreamReader) -> dict[str, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.split("\r\n")
    status = int(status_line.split()[1])
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    body: dict[str, Any] = json.loads(await reader.readexactly(int(headers["content-length"])))
    if status in FULL_STATUSES:
        raise FullError(str(body.get("detail")))
    if status != 200:
        raise LoadError(f"HTTP {status}: {body.get('detail')}")
    return body


def _extract_observation(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **body["observation"],
        "reward": body.get("reward"),
        "done": bool(body.get("done")),
    }
