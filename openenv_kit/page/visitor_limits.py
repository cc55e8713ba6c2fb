"""Limits the number of the page's sessions, their unread replies and the time to read a reply.

Gradio keeps the state of a session for an hour. It keeps unread replies, about half a megabyte
each, until two thousand newer sessions have started. This middleware limits the number of sessions
and of unread replies. It removes the sessions of disconnected visitors first.

All code runs on the event loop, so a lock is needed only around code that awaits.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openenv_kit.serving.http.middleware import get_route_path

API = "/gradio_api"
JOIN, DATA = f"{API}/queue/join", f"{API}/queue/data"
HEARTBEAT = f"{API}/heartbeat/"
SessionId = str
"""Gradio's `session_hash`, which identifies a browser tab."""
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")

MAX_UNREAD_PER_VISITOR = 16
MAX_UNREAD = 192
"""Maximum number of replies that are unread or in progress, over all visitors."""
READ_TIMEOUT_S = 60.0
"""Maximum time for sending a message, in seconds. A visitor who exceeds it counts as disconnected.
"""


@dataclass(eq=False)
class VisitorSlot:
    """Open connections of one session of the page.

    Attributes:
        stream_count: number of open connections that stream replies.
        connection_count: number of all open connections, including heartbeats.
        forget_timer: timer that removes the session some time after its last connection was
            closed; None if it was never started.
    """

    stream_count: int = 0
    connection_count: int = 0
    forget_timer: asyncio.TimerHandle | None = None


class PageRequestError(HTTPException):
    """Raised if a request is rejected. The client can retry it if the status is 429 or 503."""

    def __init__(self, status: int, detail: str) -> None:
        later = {"retry-after": "10"} if status in (429, 503) else None
        super().__init__(status, detail, later)


class VisitorLimits:
    """Middleware that limits the sessions of the page.

    Args:
        app: the page's app.
        blocks: Gradio blocks of the page, with the queue of unread replies and the sessions' state.
        max_visitors: maximum number of sessions.
        grace_s: time after which a session without a connection is removed, in seconds.
    """

    def __init__(self, app: ASGIApp, blocks: Any, max_visitors: int, grace_s: float) -> None:
        self._app = app
        self._blocks = blocks
        self._max_visitors = max_visitors
        self._grace_s = grace_s
        self._slots: OrderedDict[SessionId, VisitorSlot] = OrderedDict()
        """Slots by session id, ordered from least to most recently used."""
        self._joining = asyncio.Lock()
        self._forgetting: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the page's app, or reject it."""
        path = get_route_path(scope) if scope["type"] == "http" else ""
        serve: ASGIApp = self._app
        if path == JOIN:
            serve = self._forward_event_request_within_limits
        elif path == DATA or path.startswith(HEARTBEAT):
            serve = self._serve_reply_stream_or_heartbeat
        try:
            await serve(scope, receive, send)
        except ClientDisconnect:
            return
        except PageRequestError as refusal:
            answer = JSONResponse({"detail": refusal.detail}, refusal.status_code, refusal.headers)
            await answer(scope, receive, send)

    async def _forward_event_request_within_limits(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Pass an event request to Gradio unless a limit on unread replies is reached."""
        body = await Request(scope, receive).body()
        session = _read_session_of_valid_event_request(body)
        async with self._joining:  # Gradio counts a reply only after accepting its request.
            self._require_unread_within_visitor_limit(session)
            await self._forget_silent_sessions_if_page_is_full(session)
            await self._get_or_create_connected_slot(session)
            await self._app(scope, _wrap_receive_to_repeat_body(body, receive), send)

    def _require_unread_within_visitor_limit(self, session: SessionId) -> None:
        """Raise an error if a session has the maximum number of unread replies.

        Raises:
            PageRequestError: the session has `MAX_UNREAD_PER_VISITOR` unread replies.
        """
        unread = self._blocks._queue.pending_event_ids_session
        if len(unread.get(session, ())) >= MAX_UNREAD_PER_VISITOR:
            raise PageRequestError(
                429, f"{MAX_UNREAD_PER_VISITOR} of your answers wait to be read."
            )

    async def _forget_silent_sessions_if_page_is_full(self, session_to_keep: SessionId) -> None:
        """Remove the least recently used silent sessions until one more reply is allowed.

        A silent session has unread replies, but no stream that reads them.

        Raises:
            PageRequestError: the page has `MAX_UNREAD` unread replies, and no silent session can be
                removed.
        """
        unread = self._blocks._queue.pending_event_ids_session
        while sum(map(len, unread.values())) >= MAX_UNREAD:
            silent = (
                n for n, seat in self._slots.items() if unread.get(n) and not seat.stream_count
            )
            longest = next((name for name in silent if name != session_to_keep), None)
            if longest is None:
                raise PageRequestError(
                    503, "The page has too much to do; try again in some seconds."
                )
            await self._forget_session(longest)

    async def _get_or_create_connected_slot(self, session: SessionId) -> VisitorSlot:
        """Return the slot of a session, and create it if it does not exist.

        If the maximum number of sessions is reached, disconnected sessions are removed first.

        Raises:
            PageRequestError: the maximum number of sessions is connected.
        """
        while session not in self._slots and len(self._slots) >= self._max_visitors:
            gone = next(
                (name for name, each in self._slots.items() if not each.connection_count), None
            )
            if gone is None:
                raise PageRequestError(
                    503, f"The page has {self._max_visitors} visitors, the most at once."
                )
            await self._forget_session(gone)
        seat = self._slots.setdefault(session, VisitorSlot())
        self._slots.move_to_end(session)
        self._set_visitor_disconnected(session, is_disconnected=False)
        return seat

    async def _serve_reply_stream_or_heartbeat(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a long-lived connection: a stream of replies, or a heartbeat."""
        path = get_route_path(scope)
        streams = path == DATA
        session = path.removeprefix(HEARTBEAT)
        if streams:
            session = QueryParams(scope["query_string"]).get("session_hash", "")
        if not SESSION.fullmatch(session):
            raise PageRequestError(400, "The session's name is not one that the page makes.")
        seat = await self._get_or_create_connected_slot(session)
        seat.connection_count += 1
        seat.stream_count += streams
        if seat.forget_timer is not None:
            seat.forget_timer.cancel()

        async def send_with_timeout(message: Message) -> None:
            async with asyncio.timeout(READ_TIMEOUT_S):
                await send(message)

        try:
            await self._app(scope, receive, send_with_timeout)
        except (TimeoutError, ClientDisconnect):
            self._forget_session_in_background(session)
        finally:
            seat.connection_count -= 1
            seat.stream_count -= streams
            if not seat.connection_count and self._slots.get(session) is seat:
                self._set_visitor_disconnected(session, is_disconnected=True)
                # A new connection cancels the timer.
                loop = asyncio.get_running_loop()
                seat.forget_timer = loop.call_later(
                    self._grace_s, self._forget_session_in_background, session
                )

    def _set_visitor_disconnected(self, session: SessionId, *, is_disconnected: bool) -> None:
        """Set the attribute `is_disconnected` of a session's visitor.

        Pending events of a disconnected visitor are dropped.
        """
        state = self._blocks.state_holder.session_data.get(session)
        for visitor in state.state_data.values() if state else ():
            visitor.is_disconnected = is_disconnected

    def _forget_session_in_background(self, session: SessionId) -> None:
        task = asyncio.get_running_loop().create_task(self._forget_session(session))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    async def _forget_session(self, session: SessionId) -> None:
        """Remove a session with its events, unread replies and state."""
        seat = self._slots.pop(session, None)
        if seat is None:
            return
        if seat.forget_timer is not None:
            seat.forget_timer.cancel()
        queue, holder = self._blocks._queue, self._blocks.state_holder
        await queue.clean_events(session_hash=session)
        if session not in self._slots:
            queue.pending_event_ids_session.pop(session, None)
            queue.pending_messages_per_session.pop(session, None)
            holder.delete_state(session)
            holder.session_data.pop(session, None)
            holder.time_last_used.pop(session, None)


def _wrap_receive_to_repeat_body(body: bytes, receive: Receive) -> Receive:
    """Return an ASGI `receive` function that first returns a body that was already read."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_body_first() -> Message:
        return first.pop() if first else await receive()

    return receive_body_first


def _read_session_of_valid_event_request(body: bytes) -> SessionId:
    """Return the session id in the body of an event request, after checking the body.

    Raises:
        PageRequestError: the body is not JSON, has no valid session id, or contains a file.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise PageRequestError(400, "The body is not JSON.") from None
    session = fields.get("session_hash") if isinstance(fields, dict) else None
    if not isinstance(session, str) or not SESSION.fullmatch(session):
        raise PageRequestError(400, "The body names no session, or not one that the page makes.")
    if _contains_file(fields.get("data")):  # Gradio would fetch a file whose path is a URL.
        raise PageRequestError(400, "The page takes no files.")
    return session


def _contains_file(value: Any) -> bool:
    if isinstance(value, dict):
        return {"path", "meta"} <= value.keys() or any(map(_contains_file, value.values()))
    return isinstance(value, list) and any(map(_contains_file, value))
