"""What a connection may cost: time to send a request or a message, and replies left unread.

uvicorn's own protocols, with these bounds added.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from openenv_kit.serving import metrics

CONNECTION_STATE_KEY = "connection"
"""Where a scope's `state` holds the connection that it came in on."""

MAX_READ_BYTES = 4096
"""Bytes read at once: thousands of tiny frames must not hold up everybody else."""

INVALID_TEXT_CLOSE_CODE = 1007
"""Close code after text that is not UTF-8."""

MAX_FRAMES_PER_MESSAGE = 4096
"""Frames of one WebSocket message; empty ones take memory too."""


class LimitedHttpProtocol(H11Protocol):
    """One client's connection, also after it has become a WebSocket.

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
        super().__init__(config, server_state, {**app_state, CONNECTION_STATE_KEY: self}, _loop)
        self.timeout_s = timeout_s
        self._requests = 0
        self._is_idle = False
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def track_request(self) -> Iterator[None]:
        """While the block runs, a request is answered or a WebSocket is open."""
        self._requests += 1
        self.restart_timer()
        try:
            yield
        finally:
            self._requests -= 1
            self._is_idle = not self._requests
            self.restart_timer()

    def is_closed(self) -> bool:
        """Whether the client is: nobody would read an answer."""
        return self.transport.is_closing()

    def abort_connection(self, error_kind: str) -> None:
        """Close without a word because of an error of that kind."""
        metrics.ERRORS.labels(error_kind).inc()
        self.transport.abort()
        if self.cycle is not None:
            self.cycle.disconnected = True  # so that nothing is logged about half an answer

    def connection_made(self, transport: Any) -> None:
        with suppress(AttributeError):  # only asyncio's own transports can be told
            transport.max_size = MAX_READ_BYTES
        super().connection_made(transport)
        self.restart_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.restart_timer()

    def data_received(self, data: bytes) -> None:
        """Hand data to the parser; one that fails ends the connection.

        h11 does at trailers that are too long, once the answer is on its way; asyncio would log a
        traceback each time.
        """
        was_idle, self._is_idle = self._is_idle, False
        try:
            super().data_received(data)
        except Exception:
            self.abort_connection("malformed")
        if was_idle:
            self.restart_timer()  # the next request has its time from its first byte
        if self.is_closed() and self.cycle is not None:
            # A request under way must not answer on what its parser has given up.
            self.cycle.disconnected = True

    def pause_writing(self) -> None:
        super().pause_writing()
        self.restart_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.restart_timer()

    def restart_timer(self) -> None:
        """Give the client its time, where it has to send a request or to read on.

        Between two requests a connection may be idle for longer: uvicorn ends it then.
        """
        if self._timer is not None:
            self._timer.cancel()
        is_awaited = not self._requests and not self._is_idle
        if not self.is_closed() and (self.flow.write_paused or is_awaited):
            unread = self.transport.get_write_buffer_size()
            self._timer = self.loop.call_later(self.timeout_s, self._handle_timeout, unread)

    def _handle_timeout(self, unread_bytes_before: int) -> None:
        """The time is over. Whoever has read on meanwhile, however slowly, has more."""
        unread = self.transport.get_write_buffer_size()
        if unread < unread_bytes_before:
            self.restart_timer()
        else:
            self.abort_connection("unread" if unread else "request_timeout")


class LimitedWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol; a message has to be finished in time, and in so many frames."""

    _message_timer: asyncio.TimerHandle | None = None

    @property
    def _http_protocol(self) -> LimitedHttpProtocol:
        made: LimitedHttpProtocol = self.app_state[CONNECTION_STATE_KEY]
        return made

    async def run_asgi(self) -> None:
        """Serve the connection. A handshake that was answered with a refusal is complete.

        uvicorn would log an error for each such answer.
        """
        app = self.app

        async def serve(*channel: Any) -> Any:
            result = await app(*channel)
            if self.close_sent:
                self.handshake_complete = True
            return result

        self.app = serve
        await super().run_asgi()

    def send_receive_event_to_app(self) -> None:
        """Hand a message on; text that is not UTF-8 ends the connection, as the protocol wants.

        uvicorn would log a traceback each time.
        """
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                metrics.ERRORS.labels("invalid_text").inc()
                self.frames = []
                self.conn.send_close(INVALID_TEXT_CLOSE_CODE)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def connection_lost(self, exc: Exception | None) -> None:
        self.frames = []
        self._enforce_message_limits()
        super().connection_lost(exc)
        self._http_protocol.restart_timer()

    def data_received(self, data: bytes) -> None:
        # uvicorn would pause reading after every message and resume when it was taken: two system
        # calls for each step of a client that waits for its replies anyway.
        self.read_paused = True
        super().data_received(data)
        if self.queue.qsize() > 1 or not self.writable.is_set():
            self.transport.pause_reading()
        self._enforce_message_limits()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._http_protocol.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._http_protocol.resume_writing()
        if self.queue.empty():
            self.transport.resume_reading()

    def _enforce_message_limits(self) -> None:
        """Give a message that has begun its time and its frames."""
        if not self.frames:
            if self._message_timer is not None:
                self._message_timer.cancel()
            self._message_timer = None
            return
        cut_off = self._http_protocol.abort_connection
        if self._message_timer is None:
            self._message_timer = self.loop.call_later(
                self._http_protocol.timeout_s, cut_off, "too_slow"
            )
        if len(self.frames) > MAX_FRAMES_PER_MESSAGE:
            cut_off("too_many_frames")
