"""What requests to the page pass: how much each visitor may cost.

Gradio keeps a session's state for an hour and its unread answers, about half a megabyte each, for
the next two thousand sessions. Here every session is counted: only so many may exist, only so many
of their answers may wait to be read, and who left makes room first.

All of it runs on the event loop, so nothing is locked.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openenv_kit.page import PAGE
from openenv_kit.page.compression import page_path

API = "/gradio_api"
JOIN, DATA = f"{API}/queue/join", f"{API}/queue/data"
HEARTBEAT = f"{API}/heartbeat/"
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")

MAX_UNREAD_EACH = 16
MAX_UNREAD = 192
"""Answers of all visitors that wait to be read, or are being made."""
READ_TIMEOUT_S = 60.0
"""A visitor who takes longer to receive one answer is not there any more."""
RETRY_AFTER_S = "10"
COMPLETED = b'"msg":"process_completed"'
CLOSED = b'"msg":"close_stream"'


@dataclass(eq=False)
class Seat:
    """One visitor's place.

    Attributes:
        unread: answers that were asked for and have not been sent.
        since: when the oldest of them was asked for, or when the visitor did something last.
        streams: open connections for answers.
        open: connections of any kind; a visitor with one is there.
        leaving: the timer that forgets a visitor who left.
    """

    unread: int = 0
    since: float = field(default_factory=time.monotonic)
    streams: int = 0
    open: int = 0
    leaving: asyncio.TimerHandle | None = None


class Refusal(HTTPException):
    """A request that is answered here; `detail` says why. Busy ones may be tried again."""

    def __init__(self, status: int, detail: str) -> None:
        later = {"retry-after": RETRY_AFTER_S} if status in (429, 503) else None
        super().__init__(status, detail, later)


class VisitorGate:
    """Middleware around the app, for paths under /web.

    Args:
        app: what is behind it.
        holder: Gradio's states of sessions.
        max_visitors: sessions at once.
        grace_s: how long a visitor without a connection is kept, in seconds.
    """

    def __init__(self, app: ASGIApp, holder: Any, max_visitors: int, grace_s: float) -> None:
        self._app = app
        self._holder = holder
        # An event that was being handled while its session was forgotten makes a state again.
        holder.capacity = 2 * max_visitors
        self._max_visitors = max_visitors
        self._grace_s = grace_s
        self._seats: OrderedDict[str, Seat] = OrderedDict()
        self._unread = 0
        self._draining: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        path = page_path(scope)
        serve: ASGIApp = self._app
        if path == JOIN:
            serve = self._join
        elif path == DATA or path.startswith(HEARTBEAT):
            serve = self._connect
        try:
            await serve(scope, receive, send)
        except Refusal as refusal:
            answer = JSONResponse({"detail": refusal.detail}, refusal.status_code, refusal.headers)
            await answer(scope, receive, send)

    async def _join(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a visitor ask for one more answer."""
        body = await _read(receive)
        session = _session_of(body)
        seat = await self._make_room(session)
        seat.since = time.monotonic() if seat.unread == 0 else seat.since
        seat.unread += 1
        self._unread += 1
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, _again(body, receive), sending)
        finally:
            if status != 200:
                self._read(seat, 1)

    async def _make_room(self, session: str) -> Seat:
        """The session's seat, with room for one more answer."""
        seat = self._seats.get(session)
        if seat is not None and seat.unread >= MAX_UNREAD_EACH:
            raise Refusal(429, f"{MAX_UNREAD_EACH} of your answers wait to be read.")
        while self._unread >= MAX_UNREAD:
            silent = [
                name
                for name, each in self._seats.items()
                if each.unread and not each.streams and name != session
            ]
            if not silent:
                raise Refusal(503, "The page has too much to do; try again in some seconds.")
            await self._forget(min(silent, key=lambda each: self._seats[each].since))
        return await self._seat(session)

    async def _seat(self, session: str) -> Seat:
        """The session's seat, a new one where it has none."""
        while session not in self._seats and len(self._seats) >= self._max_visitors:
            gone = next((name for name, each in self._seats.items() if not each.open), None)
            if gone is None:
                raise Refusal(503, f"The page has {self._max_visitors} visitors, the most at once.")
            await self._forget(gone)
        seat = self._seats.setdefault(session, Seat())
        self._seats.move_to_end(session)
        return seat

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An open connection: for answers, or to show that the visitor is there."""
        path = page_path(scope)
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
            body = message.get("body", b"")
            self._read(seat, seat.unread if CLOSED in body else body.count(COMPLETED))

        try:
            await self._app(scope, receive, sending)
        except (TimeoutError, ClientDisconnect):
            self._forget_later(session)
        finally:
            seat.open -= 1
            seat.streams -= streams
            if not seat.open and self._seats.get(session) is seat:
                # Unless they come back.
                loop = asyncio.get_running_loop()
                seat.leaving = loop.call_later(self._grace_s, self._forget_later, session)

    def _forget_later(self, session: str) -> None:
        task = asyncio.get_running_loop().create_task(self._forget(session))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    async def _forget(self, session: str) -> None:
        """Free everything that is kept for a session."""
        seat = self._seats.pop(session, None)
        if seat is None:
            return
        if seat.leaving is not None:
            seat.leaving.cancel()
        if seat.unread:
            await self._drain(session)
        self._read(seat, seat.unread)
        if session not in self._seats:
            self._holder.delete_state(session)
            self._holder.session_data.pop(session, None)
            self._holder.time_last_used.pop(session, None)

    async def _drain(self, session: str) -> None:
        """Drop what waits for a session: events that were not begun, answers that were not read.

        Gradio drops both when a request for the answers is cancelled while it is served.
        """
        serving = asyncio.Event()

        async def receive() -> Message:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        async def send(_: Message) -> None:
            serving.set()

        request = {
            "type": "http",
            # From 2.4 on it is Gradio alone that asks whether the page is gone.
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "method": "GET",
            "path": f"{PAGE}{DATA}",
            "query_string": f"session_hash={session}".encode(),
            "headers": [(b"host", b"localhost")],
        }
        task = asyncio.ensure_future(self._app(request, receive, send))
        started = asyncio.ensure_future(serving.wait())
        await asyncio.wait(
            [task, started], timeout=READ_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        await asyncio.sleep(0)
        started.cancel()
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # Gradio's for a session that it does not know: nothing to drop

    def _read(self, seat: Seat, answers: int) -> None:
        read = min(answers, seat.unread)
        seat.unread -= read
        self._unread -= read


async def _read(receive: Receive) -> bytes:
    """A body; the gate in front bounds its length."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


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
