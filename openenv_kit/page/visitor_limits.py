"""What requests to the page pass: how much each visitor may cost.

Gradio keeps a session's state for an hour and its unread answers, about half a megabyte each, for
the next two thousand sessions. Here only so many sessions may exist, only so many of their answers
may wait to be read, and who left makes room first.

All of it runs on the event loop, so nothing is locked but what waits in between.
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

from openenv_kit.serving.http.middleware import route_path

API = "/gradio_api"
JOIN, DATA = f"{API}/queue/join", f"{API}/queue/data"
HEARTBEAT = f"{API}/heartbeat/"
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")

MAX_UNREAD_EACH = 16
MAX_UNREAD = 192
"""Answers of all visitors that wait to be read, or are being made."""
READ_TIMEOUT_S = 60.0
"""A visitor who takes longer to receive one answer is not there any more."""


@dataclass(eq=False)
class Seat:
    """One visitor's place.

    Attributes:
        streams: open connections for answers.
        open: connections of any kind; a visitor with one is there.
        leaving: the timer that forgets a visitor who left.
    """

    streams: int = 0
    open: int = 0
    leaving: asyncio.TimerHandle | None = None


class Refusal(HTTPException):
    """A request that is answered here; `detail` says why. Busy ones may be tried again."""

    def __init__(self, status: int, detail: str) -> None:
        later = {"retry-after": "10"} if status in (429, 503) else None
        super().__init__(status, detail, later)


class VisitorGate:
    """Middleware inside the page's app.

    Args:
        app: what is behind it.
        blocks: Gradio's, whose queue knows the unread answers and whose holder the states.
        max_visitors: sessions at once.
        grace_s: how long a visitor without a connection is kept, in seconds.
    """

    def __init__(self, app: ASGIApp, blocks: Any, max_visitors: int, grace_s: float) -> None:
        self._app = app
        self._blocks = blocks
        self._max_visitors = max_visitors
        self._grace_s = grace_s
        self._seats: OrderedDict[str, Seat] = OrderedDict()
        """Who asked last stands last."""
        self._joining = asyncio.Lock()
        self._forgetting: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        path = route_path(scope) if scope["type"] == "http" else ""
        serve: ASGIApp = self._app
        if path == JOIN:
            serve = self._join
        elif path == DATA or path.startswith(HEARTBEAT):
            serve = self._connect
        try:
            await serve(scope, receive, send)
        except ClientDisconnect:
            return
        except Refusal as refusal:
            answer = JSONResponse({"detail": refusal.detail}, refusal.status_code, refusal.headers)
            await answer(scope, receive, send)

    async def _join(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a visitor ask for one more answer."""
        body = await Request(scope, receive).body()
        session = _session_of(body)
        async with self._joining:  # what waits is counted once Gradio has taken it
            await self._make_room(session)
            await self._app(scope, _again(body, receive), send)

    async def _make_room(self, session: str) -> None:
        """Give the session a seat with room for one more answer."""
        unread = self._blocks._queue.pending_event_ids_session
        if len(unread.get(session, ())) >= MAX_UNREAD_EACH:
            raise Refusal(429, f"{MAX_UNREAD_EACH} of your answers wait to be read.")
        while sum(map(len, unread.values())) >= MAX_UNREAD:
            silent = (n for n, seat in self._seats.items() if unread.get(n) and not seat.streams)
            longest = next((name for name in silent if name != session), None)
            if longest is None:
                raise Refusal(503, "The page has too much to do; try again in some seconds.")
            await self._forget(longest)
        await self._seat(session)

    async def _seat(self, session: str) -> Seat:
        """The session's seat, a new one where it has none."""
        while session not in self._seats and len(self._seats) >= self._max_visitors:
            gone = next((name for name, each in self._seats.items() if not each.open), None)
            if gone is None:
                raise Refusal(503, f"The page has {self._max_visitors} visitors, the most at once.")
            await self._forget(gone)
        seat = self._seats.setdefault(session, Seat())
        self._seats.move_to_end(session)
        self._mark(session, away=False)
        return seat

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An open connection: for answers, or to show that the visitor is there."""
        path = route_path(scope)
        streams = path == DATA
        session = path.removeprefix(HEARTBEAT)
        if streams:
            session = QueryParams(scope["query_string"]).get("session_hash", "")
        if not SESSION.fullmatch(session):
            raise Refusal(400, "The session's name is not one that the page makes.")
        seat = await self._seat(session)
        seat.open += 1
        seat.streams += streams
        if seat.leaving is not None:
            seat.leaving.cancel()

        async def sending(message: Message) -> None:
            async with asyncio.timeout(READ_TIMEOUT_S):
                await send(message)

        try:
            await self._app(scope, receive, sending)
        except (TimeoutError, ClientDisconnect):
            self._forget_later(session)
        finally:
            seat.open -= 1
            seat.streams -= streams
            if not seat.open and self._seats.get(session) is seat:
                self._mark(session, away=True)
                # Unless they come back.
                loop = asyncio.get_running_loop()
                seat.leaving = loop.call_later(self._grace_s, self._forget_later, session)

    def _mark(self, session: str, *, away: bool) -> None:
        """Let a session's visitor know that they left, so that nothing more is done for them."""
        state = self._blocks.state_holder.session_data.get(session)
        for visitor in state.state_data.values() if state else ():
            visitor.away = away

    def _forget_later(self, session: str) -> None:
        task = asyncio.get_running_loop().create_task(self._forget(session))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    async def _forget(self, session: str) -> None:
        """Free all that is kept for a session: its events, its unread answers, its state."""
        seat = self._seats.pop(session, None)
        if seat is None:
            return
        if seat.leaving is not None:
            seat.leaving.cancel()
        queue, holder = self._blocks._queue, self._blocks.state_holder
        await queue.clean_events(session_hash=session)
        if session not in self._seats:
            queue.pending_event_ids_session.pop(session, None)
            queue.pending_messages_per_session.pop(session, None)
            holder.delete_state(session)
            holder.session_data.pop(session, None)
            holder.time_last_used.pop(session, None)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever comes."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receiving() -> Message:
        return first.pop() if first else await receive()

    return receiving


def _session_of(body: bytes) -> str:
    """The session that a body names; refuses what the page would not send."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refusal(400, "The body is not JSON.") from None
    session = said.get("session_hash") if isinstance(said, dict) else None
    if not isinstance(session, str) or not SESSION.fullmatch(session):
        raise Refusal(400, "The body names no session, or not one that the page makes.")
    if _names_a_file(said.get("data")):  # Gradio would fetch one whose path is an address
        raise Refusal(400, "The page takes no files.")
    return session


def _names_a_file(said: Any) -> bool:
    if isinstance(said, dict):
        return {"path", "meta"} <= said.keys() or any(map(_names_a_file, said.values()))
    return isinstance(said, list) and any(map(_names_a_file, said))
