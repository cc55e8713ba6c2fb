"""Load on a server: many WebSocket sessions in one process, cheap enough not to be the measure.

A session is a bare `asyncio.Protocol` that frames messages itself: a full client library takes
longer for a message than the server does, and would be what is measured.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


class LoadError(Exception):
    """The server refused a session, dropped it, or answered with an error."""


def message_frame(message: Any) -> bytes:
    """A client's text frame of a message; its mask is all zeros, so the text stays as it is."""
    return text_frame(json.dumps(message).encode())


def text_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A client's frame of raw bytes."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


def frame_bounds(buffer: bytearray, frame_start: int, received_bytes: int) -> tuple[int, int]:
    """Where the payload of the frame at `at` starts and stops; past `have` if part is missing."""
    if received_bytes < frame_start + 2:
        return frame_start, frame_start + 2
    size = buffer[frame_start + 1]
    if size < 126:
        return frame_start + 2, frame_start + 2 + size
    start = frame_start + (4 if size == 126 else 10)
    if received_bytes < start:
        return frame_start, start
    return start, start + int.from_bytes(buffer[frame_start + 2 : start], "big")


class LoadSession(asyncio.Protocol):
    """One WebSocket session; replies go to whatever function is set as `on_reply`."""

    def __init__(self, path: str, headers: str = "") -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self._hello = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
        ).encode()
        self._buffer = bytearray()
        self._open = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.on_reply: Callable[[bytes], None] = lambda _: None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        """Send the handshake."""
        self.transport = transport
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        """Cut replies out of what arrived."""
        self._buffer += data
        if not self._open and not self._finish_handshake():
            return
        while (message := self._take_message()) is not None:
            opcode, payload = message
            if opcode == TEXT:
                self.on_reply(payload)
            elif opcode == PING:
                self.send_frame(text_frame(payload, PONG))
            elif opcode == CLOSE and not self.closed.done():
                code = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else 1005
                self.closed.set_result(code)

    def connection_lost(self, problem: Exception | None) -> None:
        """The server or the network closed the connection."""
        if not self.opened.done():
            self.opened.set_exception(LoadError("the connection was closed in the handshake"))
        if not self.closed.done():
            self.closed.set_result(1006)

    def send_frame(self, data: bytes) -> None:
        """Send one frame; nothing after the end."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    async def send_and_receive(self, message: Any, timeout_s: float = 60.0) -> dict[str, Any]:
        """Send a message and wait for its reply.

        Raises:
            LoadError: the connection closed first.
        """
        return await self.send_frame_and_receive(message_frame(message), timeout_s)

    async def send_frame_and_receive(self, data: bytes, timeout_s: float = 60.0) -> dict[str, Any]:
        """As `ask`, for a frame that is already made."""
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.on_reply = lambda payload: None if reply.done() else reply.set_result(payload)
        self.send_frame(data)
        waiting: set[asyncio.Future[Any]] = {reply, self.closed}
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if reply.done():
            return json.loads(reply.result())
        reply.cancel()
        raise LoadError(f"no reply; closed: {self.closed.done() and self.closed.result()}")

    def abort(self) -> None:
        """Vanish without a closing handshake."""
        if self.transport is not None:
            self.transport.abort()

    def take_socket(self) -> socket.socket:
        """The bare socket, to read and write without the event loop until it is given back."""
        if self.transport is None:
            raise LoadError("the session is not open")
        self.transport.pause_reading()
        bare = socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))
        bare.setblocking(False)
        return bare

    def give_socket_back(self) -> None:
        """Let the event loop read again."""
        if self.transport is not None:
            self.transport.resume_reading()

    def close(self) -> None:
        """Say goodbye and close."""
        self.send_frame(message_frame({"type": "close"}))
        if self.transport is not None:
            self.transport.close()

    def _finish_handshake(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        status = bytes(self._buffer[: self._buffer.find(b"\r\n")]).decode("latin-1")
        del self._buffer[: end + 4]
        self._open = " 101 " in status
        if self._open:
            self.opened.set_result(None)
        elif not self.opened.done():
            self.opened.set_exception(LoadError(f"refused: {status}"))
        return self._open

    def _take_message(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        start, stop = frame_bounds(buffer, 0, len(buffer))
        if stop > len(buffer):
            return None
        opcode, payload = buffer[0] & 0x0F, bytes(buffer[start:stop])
        del buffer[:stop]
        return opcode, payload


async def open_session(host: str, port: int, path: str = "/ws", headers: str = "") -> LoadSession:
    """A session, open.

    Raises:
        LoadError: the server refused it.
        OSError: nobody listens.
    """
    loop = asyncio.get_running_loop()
    _, session = await loop.create_connection(lambda: LoadSession(path, headers), host, port)
    await session.opened
    return session


async def open_sessions(
    host: str, port: int, count: int, max_concurrent: int = 64
) -> list[LoadSession]:
    """Several sessions, not all knocking in the same instant."""
    sessions: list[LoadSession] = []
    while len(sessions) < count:
        batch = min(max_concurrent, count - len(sessions))
        sessions += await asyncio.gather(*(open_session(host, port) for _ in range(batch)))
    return sessions
