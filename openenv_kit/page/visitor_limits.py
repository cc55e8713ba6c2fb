"""Limits of the page for visitors: number of sessions, unread replies and read time.

Gradio keeps the state of a session for an hour and its unread replies, about half a megabyte each,
for the next two thousand sessions. This middleware limits the sessions and their unread replies,
and removes disconnected visitors first.

It runs on the event loop. Only code that awaits something in between needs a lock.
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
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")

MAX_UNREAD_PER_VISITOR = 16
MAX_UNREAD = 192
"""Largest number of replies of all visitors that are unread or in progress."""
READ_TIMEOUT_S = 60.0
"""Seconds after which a visitor who has not received a reply counts as disconnected."""


@dataclass(eq=False)
class VisitorSlot:
    """One session of the page.

    Attributes:
        stream_count: number of open connections for replies.
        connection_count: number of open connections of any kind.
        forget_timer: timer that removes the session after its last connection was closed.
    """

    stream_count: int = 0
    connection_count: int = 0
    forget_timer: asyncio.TimerHandle | None = None


class PageRequestError(HTTPException):
    """A rejected request. Those with status 429 and 503 can be sent again."""

    def __init__(self, status: int, detail: str) -> None:
        later = {"retry-after": "10"} if status in (429, 503) else None
        super().__init__(status, detail, later)


class VisitorLimits:
    """Middleware that limits the sessions of the page.

    Args:
        app: the page's app.
        blocks: Gradio blocks, whose queue has the unread replies and whose holder the states.
        max_visitors: largest number of sessions.
        grace_s: seconds after which a session without a connection is removed.
    """

    def __init__(self, app: ASGIApp, blocks: Any, max_visitors: int, grace_s: float) -> None:
        self._app = app
        self._blocks = blocks
        self._max_visitors = max_visitors
        self._grace_s = grace_s
        self._slots: OrderedDict[str, VisitorSlot] = OrderedDict()
        """Slots by session id, the most recently used one last."""
        self._joining = asyncio.Lock()
        self._forgetting: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it."""
        path = get_route_path(scope) if scope["type"] == "http" else ""
        serve: ASGIApp = self._app
        if path == JOIN:
            serve = self._serve_join
        elif path == DATA or path.startswith(HEARTBEAT):
            serve = self._serve_connection
        try:
            await serve(scope, receive, send)
        except ClientDisconnect:
            return
        except PageRequestError as refusal:
            answer = JSONResponse({"detail": refusal.detail}, refusal.status_code, refusal.headers)
            await answer(scope, receive, send)

    async def _serve_join(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request for an event, if the session may have one more unread reply."""
        body = await Request(scope, receive).body()
        session = _parse_session(body)
        async with self._joining:  # Gradio counts the reply only once it has accepted the request
            await self._reserve_answer(session)
            await self._app(scope, _replay_body(body, receive), send)

    async def _reserve_answer(self, session: str) -> None:
        """Make room for one more unread reply of a session.

        Raises:
            PageRequestError: the session or the page has too many unread replies.
        """
        unread = self._blocks._queue.pending_event_ids_session
        if len(unread.get(session, ())) >= MAX_UNREAD_PER_VISITOR:
            raise PageRequestError(
                429, f"{MAX_UNREAD_PER_VISITOR} of your answers wait to be read."
            )
        while sum(map(len, unread.values())) >= MAX_UNREAD:
            silent = (
                n for n, seat in self._slots.items() if unread.get(n) and not seat.stream_count
            )
            longest = next((name for name in silent if name != session), None)
            if longest is None:
                raise PageRequestError(
                    503, "The page has too much to do; try again in some seconds."
                )
            await self._forget_session(longest)
        await self._get_or_create_slot(session)

    async def _get_or_create_slot(self, session: str) -> VisitorSlot:
        """Return the slot of a session, after removing disconnected sessions if there are too many.

        Raises:
            PageRequestError: there are too many connected sessions.
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
        self._set_disconnected(session, is_disconnected=False)
        return seat

    async def _serve_connection(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a long connection: a stream of replies, or a heartbeat."""
        path = get_route_path(scope)
        streams = path == DATA
        session = path.removeprefix(HEARTBEAT)
        if streams:
            session = QueryParams(scope["query_string"]).get("session_hash", "")
        if not SESSION.fullmatch(session):
            raise PageRequestError(400, "The session's name is not one that the page makes.")
        seat = await self._get_or_create_slot(session)
        seat.connection_count += 1
        seat.stream_count += streams
        if seat.forget_timer is not None:
            seat.forget_timer.cancel()

        async def sending(message: Message) -> None:
            async with asyncio.timeout(READ_TIMEOUT_S):
                await send(message)

        try:
            await self._app(scope, receive, sending)
        except (TimeoutError, ClientDisconnect):
            self._schedule_forget(session)
        finally:
            seat.connection_count -= 1
            seat.stream_count -= streams
            if not seat.connection_count and self._slots.get(session) is seat:
                self._set_disconnected(session, is_disconnected=True)
                # A new connection cancels the timer.
                loop = asyncio.get_running_loop()
                seat.forget_timer = loop.call_later(self._grace_s, self._schedule_forget, session)

    def _set_disconnected(self, session: str, *, is_disconnected: bool) -> None:
        """Set `is_disconnected` of a session's visitor, whose pending events are then dropped."""
        state = self._blocks.state_holder.session_data.get(session)
        for visitor in state.state_data.values() if state else ():
            visitor.is_disconnected = is_disconnected

    def _schedule_forget(self, session: str) -> None:
        task = asyncio.get_running_loop().create_task(self._forget_session(session))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    async def _forget_session(self, session: str) -> None:
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


def _replay_body(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that yields a body that was read already, then further messages."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receiving() -> Message:
        return first.pop() if first else await receive()

    return receiving


def _parse_session(body: bytes) -> str:
    """Return the session id in a request body.

    Raises:
        PageRequestError: the page would not send such a body.
    """
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise PageRequestError(400, "The body is not JSON.") from None
    session = said.get("session_hash") if isinstance(said, dict) else None
    if not isinstance(session, str) or not SESSION.fullmatch(session):
        raise PageRequestError(400, "The body names no session, or not one that the page makes.")
    if _contains_file(said.get("data")):  # Gradio would fetch a file whose path is a URL
        raise PageRequestError(400, "The page takes no files.")
    return session


def _contains_file(said: Any) -> bool:
    if isinstance(said, dict):
        return {"path", "meta"} <= said.keys() or any(map(_contains_file, said.values()))
    return isinstance(said, list) and any(map(_contains_file, said))
