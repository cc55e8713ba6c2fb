"""WebSocket sessions for load tests, many in one process.

A session is an `asyncio.Protocol` that encodes and decodes frames itself. A full client library
takes longer for a message than the server does, so a test would measure the library.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


class LoadError(Exception):
    """The server refused a session, closed it, or sent no reply."""


def message_frame(message: Any) -> bytes:
    """Return a client's text frame of a JSON message."""
    return text_frame(json.dumps(message).encode())


def text_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a client's frame. Its mask is all zeros, so the payload stays as it is."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


class FrameBounds(NamedTuple):
    """Positions of a frame's payload in a buffer: of its first byte, and after its last one."""

    start: int
    stop: int


def frame_bounds(buffer: bytearray, frame_start: int, received_bytes: int) -> FrameBounds:
    """Return the bounds of the payload of the frame at `frame_start`.

    If part of the frame is missing, `stop` is larger than `received_bytes`.
    """
    if received_bytes < frame_start + 2:
        return FrameBounds(frame_start, frame_start + 2)
    size = buffer[frame_start + 1]
    if size < 126:
        return FrameBounds(frame_start + 2, frame_start + 2 + size)
    start = frame_start + (4 if size == 126 else 10)
    if received_bytes < start:
        return FrameBounds(frame_start, start)
    return FrameBounds(start, start + int.from_bytes(buffer[frame_start + 2 : start], "big"))


class _ReceivedFrame(NamedTuple):
    """Opcode and payload of a frame from the server."""

    opcode: int
    payload: bytes


class LoadSession(asyncio.Protocol):
    """One WebSocket session.

    Attributes:
        opened: done once the handshake has succeeded or failed.
        closed: close code of the connection, once it is closed.
        on_reply: called with the payload of each reply.
    """

    def __init__(self, path: str, headers: str = "") -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self._handshake_request = (
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
        """Send the request of the handshake."""
        self.transport = transport
        transport.write(self._handshake_request)

    def data_received(self, data: bytes) -> None:
        """Handle every message that has arrived completely."""
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
        """Mark the session as closed."""
        if not self.opened.done():
            self.opened.set_exception(LoadError("the connection was closed during the handshake"))
        if not self.closed.done():
            self.closed.set_result(1006)

    def send_frame(self, data: bytes) -> None:
        """Send one frame, unless the connection is closed."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    async def send_and_receive(self, message: Any, timeout_s: float = 60.0) -> dict[str, Any]:
        """Send a message and wait for its reply.

        Raises:
            LoadError: no reply in time, or the connection was closed.
        """
        return await self.send_frame_and_receive(message_frame(message), timeout_s)

    async def send_frame_and_receive(self, data: bytes, timeout_s: float = 60.0) -> dict[str, Any]:
        """Send a prepared frame and wait for its reply; see `send_and_receive`."""
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
        """Close the connection without a closing handshake."""
        if self.transport is not None:
            self.transport.abort()

    def take_socket(self) -> socket.socket:
        """Return a copy of the socket, to use without the event loop until `give_socket_back`."""
        if self.transport is None:
            raise LoadError("the session is not open")
        self.transport.pause_reading()
        file_descriptor = os.dup(self.transport.get_extra_info("socket").fileno())
        raw_socket = socket.socket(fileno=file_descriptor)
        raw_socket.setblocking(False)
        return raw_socket

    def give_socket_back(self) -> None:
        """Let the event loop read from the connection again."""
        if self.transport is not None:
            self.transport.resume_reading()

    def close(self) -> None:
        """Send the closing message and close the connection."""
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
            self.opened.set_exception(LoadError(f"the server refused the session: {status}"))
        return self._open

    def _take_message(self) -> _ReceivedFrame | None:
        buffer = self._buffer
        start, stop = frame_bounds(buffer, 0, len(buffer))
        if stop > len(buffer):
            return None
        opcode, payload = buffer[0] & 0x0F, bytes(buffer[start:stop])
        del buffer[:stop]
        return _ReceivedFrame(opcode, payload)


async def open_session(host: str, port: int, path: str = "/ws", headers: str = "") -> LoadSession:
    """Open a session.

    Raises:
        LoadError: the server refused the session.
        OSError: no server listens at the address.
    """
    loop = asyncio.get_running_loop()
    _, session = await loop.create_connection(lambda: LoadSession(path, headers), host, port)
    await session.opened
    return session


async def open_sessions(
    host: str, port: int, count: int, max_concurrent: int = 64
) -> list[LoadSession]:
    """Open several sessions, at most `max_concurrent` at the same time."""
    sessions: list[LoadSession] = []
    while len(sessions) < count:
        batch = min(max_concurrent, count - len(sessions))
        sessions += await asyncio.gather(*(open_session(host, port) for _ in range(batch)))
    return sessions
