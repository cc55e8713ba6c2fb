"""uvicorn's HTTP and WebSocket protocols with limits on time, frames and unread replies.

The protocols limit how long a client may take to send a request or a message, how many frames a
message may have, and how long replies may wait because the client does not read them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from openenv_kit.serving import metrics
from openenv_kit.serving.message_limits import MAX_FRAMES_PER_MESSAGE, MAX_READ_BYTES
from openenv_kit.serving.metrics import ErrorKind
from openenv_kit.serving.websocket.close_codes import CloseCode

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

CONNECTION_STATE_KEY = "connection"
"""Key in the state of an ASGI scope for the `LimitedHttpProtocol` that received the request."""


class LimitedHttpProtocol(H11Protocol):
    """An HTTP connection with limits, which also apply after its upgrade to a WebSocket.

    Args:
        timeout_s: time in which a client must send the headers of a request or read pending
            replies, in seconds.
        config: configuration of uvicorn.
        server_state: uvicorn's state of the server.
        app_state: state that the app's lifespan returned.
    """

    def __init__(
        self,
        timeout_s: float,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, CONNECTION_STATE_KEY: self}, _loop)
        self.timeout_s = timeout_s
        self._open_requests = 0
        self._is_idle = False
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def count_request_as_open(self) -> Iterator[None]:
        """Count a request or an open WebSocket while the block runs."""
        self._open_requests += 1
        self.restart_or_stop_client_timeout()
        try:
            yield
        finally:
            self._open_requests -= 1
            self._is_idle = not self._open_requests
            self.restart_or_stop_client_timeout()

    def is_closed(self) -> bool:
        """Return whether the connection is closed, so that no reply can be sent."""
        return self.transport.is_closing()

    def abort_connection(self, error_kind: ErrorKind) -> None:
        """Count an error and close the connection without a response."""
        metrics.count_error(error_kind)
        self.transport.abort()
        if self.cycle is not None:
            self.cycle.disconnected = True  # keeps uvicorn from logging an incomplete response

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        with suppress(AttributeError):  # only asyncio's own transports have this attribute
            transport.max_size = MAX_READ_BYTES  # type: ignore[attr-defined]
        super().connection_made(transport)
        self.restart_or_stop_client_timeout()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.restart_or_stop_client_timeout()

    def data_received(self, data: bytes) -> None:
        """Pass data to the parser, and close the connection if the parser fails.

        h11 raises an exception if trailers that are too long arrive while a response is being sent.
        asyncio would log a traceback each time.
        """
        was_idle, self._is_idle = self._is_idle, False
        try:
            super().data_received(data)
        except Exception:
            self.abort_connection(ErrorKind.MALFORMED)
        if self._is_request_complete_and_unanswered():
            # On a busy server, the request may wait for longer than the client's time limit until
            # the app starts and counts it as open.
            self._stop_client_timeout_unless_replies_are_unread()
        elif was_idle:
            # The timeout of the next request starts at its first byte.
            self.restart_or_stop_client_timeout()
        if self.is_closed() and self.cycle is not None:
            # A response can no longer be sent on a connection whose parser has failed.
            self.cycle.disconnected = True

    def pause_writing(self) -> None:
        super().pause_writing()
        self.restart_or_stop_client_timeout()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.restart_or_stop_client_timeout()

    def restart_or_stop_client_timeout(self) -> None:
        """Restart the timeout if the client has to send a request or read replies, else stop it.

        There is no timeout between two requests, because uvicorn closes idle connections itself.
        """
        if self._timer is not None:
            self._timer.cancel()
        is_request_expected = not self._open_requests and not self._is_idle
        if not self.is_closed() and (self.flow.write_paused or is_request_expected):
            unread_bytes = self.transport.get_write_buffer_size()
            self._timer = self.loop.call_later(
                self.timeout_s, self._abort_unless_client_has_read, unread_bytes
            )

    def _is_request_complete_and_unanswered(self) -> bool:
        """Return whether the app has to answer a request whose headers have all arrived."""
        is_websocket = self.transport.get_protocol() is not self
        return is_websocket or (self.cycle is not None and not self.cycle.response_complete)

    def _stop_client_timeout_unless_replies_are_unread(self) -> None:
        if self._timer is not None and not self.flow.write_paused:
            self._timer.cancel()

    def _abort_unless_client_has_read(self, unread_bytes_before: int) -> None:
        """Close the connection, unless the client has read something since the timer started."""
        unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes < unread_bytes_before:
            self.restart_or_stop_client_timeout()
        else:
            self.abort_connection(ErrorKind.UNREAD if unread_bytes else ErrorKind.REQUEST_TIMEOUT)


class LimitedWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol with limits on the time and number of frames of a message."""

    _message_timer: asyncio.TimerHandle | None = None

    @property
    def _http_protocol(self) -> LimitedHttpProtocol:
        protocol: LimitedHttpProtocol = self.app_state[CONNECTION_STATE_KEY]
        return protocol

    async def run_asgi(self) -> None:
        """Serve the connection, and mark a rejected handshake as complete.

        Otherwise uvicorn would log an error for each rejected handshake.
        """
        app = self.app

        async def serve_and_complete_rejected_handshake(
            scope: Scope, receive: Receive, send: Send
        ) -> object:
            result: object = await app(scope, receive, send)
            if self.close_sent:
                self.handshake_complete = True
            return result

        self.app = serve_and_complete_rejected_handshake
        await super().run_asgi()

    def send_receive_event_to_app(self) -> None:
        """Pass a message to the app, and close the connection if its text is not UTF-8.

        RFC 6455 requires the connection to be closed. uvicorn would log a traceback instead.
        """
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                metrics.count_error(ErrorKind.INVALID_TEXT)
                self.frames = []
                self.conn.send_close(CloseCode.INVALID_TEXT)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def connection_lost(self, exc: Exception | None) -> None:
        self.frames = []
        self._enforce_incomplete_message_limits()
        super().connection_lost(exc)
        self._http_protocol.restart_or_stop_client_timeout()

    def data_received(self, data: bytes) -> None:
        # uvicorn would pause reading after every message and resume it when the app has received
        # the message: two system calls per step, for clients that wait for their replies anyway.
        self.read_paused = True
        super().data_received(data)
        if self.queue.qsize() > 1 or not self.writable.is_set():
            self.transport.pause_reading()
        self._enforce_incomplete_message_limits()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._http_protocol.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._http_protocol.resume_writing()
        if self.queue.empty():
            self.transport.resume_reading()

    def _enforce_incomplete_message_limits(self) -> None:
        """Limit the time and the number of frames of a message that has not arrived completely."""
        if not self.frames:
            if self._message_timer is not None:
                self._message_timer.cancel()
            self._message_timer = None
            return
        http_protocol = self._http_protocol
        if self._message_timer is None:
            self._message_timer = self.loop.call_later(
                http_protocol.timeout_s, http_protocol.abort_connection, ErrorKind.TOO_SLOW
            )
        if len(self.frames) > MAX_FRAMES_PER_MESSAGE:
            http_protocol.abort_connection(ErrorKind.TOO_MANY_FRAMES)
