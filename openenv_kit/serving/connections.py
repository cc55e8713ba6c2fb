"""What a connection may cost: time to send a request, and replies left unread.

`Connection` stands between asyncio and uvicorn's protocols. It uses only what asyncio's protocols
and transports promise, so it works with any uvicorn and any of its HTTP and WebSocket parsers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h11
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from openenv_kit.serving import metrics

STATE_KEY = "connection"
"""Where a scope's `state` holds the connection that it came in on."""

CHUNK = 4096
"""Bytes handed to a parser at once: thousands of tiny frames must not hold up everybody else."""


MAX_FRAMES = 4096
"""Frames of one WebSocket message; empty ones take memory too."""

logger = logging.getLogger("openenv_kit.connections")


class Connection(asyncio.Protocol):
    """One client's connection, with uvicorn's protocol inside.

    Args:
        timeout_s: seconds for a request's headers, and for a client to read on while replies wait
            for it.
    """

    def __init__(
        self,
        timeout_s: float,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        make: Any = AutoHTTPProtocol
        state = {**app_state, STATE_KEY: self}
        self.inner: Any = make(config, server_state, state, _loop)
        self.timeout_s = timeout_s
        self._loop = _loop or asyncio.get_running_loop()
        self._transport: Any = None
        self._requests = 0
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None  # no request yet
        self._stall: asyncio.TimerHandle | None = None  # replies left unread
        self._held: list[bytes] = []  # read, but not wanted by the parser yet
        self._delivery: asyncio.Handle | None = None
        self._inner_paused = self._reading_paused = False

    @contextmanager
    def request(self) -> Iterator[None]:
        """While the block runs, a request is answered or a WebSocket is open."""
        self._requests += 1
        _cancel(self._timer)
        try:
            yield
        finally:
            self._requests -= 1
            if not self._requests and not self._closed:
                self._await_request()

    def gone(self) -> bool:
        """Whether the client is: nobody would read an answer."""
        return bool(self._closed or self._transport.is_closing())

    def cut_off(self, kind: str) -> None:
        """Close without a word because of an error of that kind."""
        metrics.ERRORS.labels(kind).inc()
        self._closed = True
        self._transport.abort()

    # What asyncio reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.inner.connection_made(_Transport(transport, self))
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        _cancel(self._timer, self._stall, self._delivery)
        self._held.clear()
        self.inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._inner_paused or self._held or self._stall is not None or len(data) > CHUNK:
            self._held += [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
            if not self._reading_paused:
                self._reading_paused = True
                self._transport.pause_reading()
            self._deliver_soon()
        else:
            self._parse(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        unread = self._transport.get_write_buffer_size()
        self._stall = self._loop.call_later(self.timeout_s, self._stalled, unread)
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        _cancel(self._stall)
        self._stall = None
        self.inner.resume_writing()
        self._deliver_soon()

    # What the protocol inside asks of its transport.

    def pause(self) -> None:
        """The parser wants no more for now.

        Reading itself pauses only when more arrives: uvicorn pauses after every WebSocket
        message and resumes when it was taken, which would be two system calls for each step of
        a client that waits for its replies anyway.
        """
        self._inner_paused = True

    def resume(self) -> None:
        """The parser wants more."""
        self._inner_paused = False
        self._deliver_soon()

    def _deliver_soon(self) -> None:
        if self._held and self._delivery is None:
            self._delivery = self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._delivery = None
        if self._inner_paused or self._stall is not None or self._transport.is_closing():
            return
        self._parse(self._held.pop(0))
        if self._held:
            self._deliver_soon()
        elif self._reading_paused:
            self._reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _parse(self, data: bytes) -> None:
        """Hand data to the parser; one that fails ends the connection.

        h11 does at trailers that are too long, once the answer is on its way; asyncio would log a
        traceback each time.
        """
        try:
            self.inner.data_received(data)
        except Exception as problem:
            self._give_up()
            logger.info("connection ended", extra={"reason": type(problem).__name__})
            self.cut_off("malformed")
        else:
            parser = getattr(self.inner, "conn", None)
            if getattr(parser, "their_state", None) is h11.ERROR:
                self._give_up()

    def _give_up(self) -> None:
        """A request under way must not answer on what its parser has given up."""
        if (cycle := getattr(self.inner, "cycle", None)) is not None:
            cycle.disconnected = True

    def _await_request(self) -> None:
        _cancel(self._timer)
        self._timer = self._loop.call_later(self.timeout_s, self._silent)

    def _silent(self, unread_before: int | None = None) -> None:
        """No request came. While the last reply is still being read, there is more time."""
        unread = self._transport.get_write_buffer_size()
        if unread and (unread_before is None or unread < unread_before):
            self._timer = self._loop.call_later(self.timeout_s, self._silent, unread)
            return
        self.cut_off("request_timeout")

    def _stalled(self, unread_before: int) -> None:
        """Nothing was read since the last look: give up. A slow reader gets more time."""
        unread = self._transport.get_write_buffer_size()
        if unread >= unread_before:
            self.cut_off("unread")
            return
        self._stall = self._loop.call_later(self.timeout_s, self._stalled, unread)


def _cancel(*handles: asyncio.Handle | None) -> None:
    for handle in handles:
        if handle is not None:
            handle.cancel()


class Messages(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol; a message has to be finished in time, and in so many frames."""

    _deadline: asyncio.TimerHandle | None = None

    def handle_text(self, event: Any) -> None:
        super().handle_text(event)
        self._await_rest(event)

    def handle_bytes(self, event: Any) -> None:
        super().handle_bytes(event)
        self._await_rest(event)

    def handle_cont(self, event: Any) -> None:
        super().handle_cont(event)
        self._await_rest(event)

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._deadline)
        super().connection_lost(exc)

    def _await_rest(self, event: Any) -> None:
        if event.fin:
            _cancel(self._deadline)
            self._deadline = None
            return
        transport: Any = self.transport
        if self._deadline is None:
            self._frames = 0
            timeout_s = transport.timeout_s
            self._deadline = self.loop.call_later(timeout_s, transport.cut_off, "too_slow")
        self._frames += 1
        if self._frames > MAX_FRAMES:
            transport.cut_off("too_many_frames")


class _Transport:
    """The transport as the protocol inside sees it: reading and protocol changes go by us."""

    def __init__(self, transport: Any, connection: Connection) -> None:
        self._transport = transport
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.pause_reading = connection.pause
        self.resume_reading = connection.resume
        self.cut_off = connection.cut_off
        self.timeout_s = connection.timeout_s
        self._connection = connection

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """The HTTP protocol hands over to the WebSocket one."""
        self._connection.inner = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
