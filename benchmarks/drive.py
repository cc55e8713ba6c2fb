"""Keeps many sessions busy with as little CPU time as possible, and counts their replies."""

from __future__ import annotations

import select
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from benchmarks.load import PING, PONG, TEXT, LoadError, LoadSession, frame_bounds, text_frame

REPLY_TIMEOUT_S = 60.0
"""Maximum wait for a reply."""

MAX_REPLY_BYTES = 4 << 20
"""Size of the longest reply that can be read."""


@dataclass
class LoadStats:
    """Replies of a run under load.

    Attributes:
        latencies_s: latency of each reply.
        errors: number of replies that were errors.
        received_bytes: bytes of all replies.
        first_error: beginning of the first reply that was an error; empty for none.
    """

    latencies_s: list[float] = field(default_factory=list)
    errors: int = 0
    received_bytes: int = 0
    first_error: str = ""

    def latency_percentile_ms(self, share: float) -> float:
        """Return the latency below which this share of the replies arrived, in milliseconds."""
        ordered = sorted(self.latencies_s)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class LoadRun(NamedTuple):
    """Replies of a run under load, and the seconds until the last reply arrived."""

    stats: LoadStats
    elapsed_s: float


def keep_sessions_busy(
    sessions: list[LoadSession], messages: Callable[[int], Iterator[bytes]], duration_s: float
) -> LoadRun:
    """Send each session's next frame as soon as the reply to the previous one has arrived.

    The function blocks and bypasses the event loop: on a machine with few cores, the server lacks
    every microsecond of CPU time that is used here.

    Args:
        sessions: open sessions that wait for no reply.
        messages: returns the frames of a session, given its position in `sessions`; they may be
            endless.
        duration_s: how long new frames are sent.

    Raises:
        LoadError: the server closed a session, or sent no reply for a minute.
    """
    stats = LoadStats()
    clock = time.perf_counter
    inbox = ReplyBuffer()
    players: list[BusySession] = []
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        for number, session in enumerate(sessions):
            raw_socket = stack.enter_context(session.take_socket())
            player = BusySession(raw_socket, partial(next, messages(number), b""))
            selector.register(player.socket, selectors.EVENT_READ, player)
            players.append(player)
        started = clock()
        deadline = started + duration_s
        for player in players:
            player.sent_at_s = clock()
            player.socket.send(player.next_frame())
        while selector.get_map():
            ready = selector.select(timeout=REPLY_TIMEOUT_S)
            if not ready:
                raise LoadError(f"no reply in {REPLY_TIMEOUT_S:g} s")
            for key, _ in ready:
                player = key.data
                if not inbox.read_reply(player.socket):
                    continue
                now = clock()
                stats.latencies_s.append(now - player.sent_at_s)
                stats.received_bytes += inbox.stop - inbox.start
                if inbox.has_error():
                    stats.errors += 1
                    stats.first_error = stats.first_error or inbox.reply_excerpt()
                frame = player.next_frame() if now < deadline else b""
                if frame:
                    player.sent_at_s = now
                    player.socket.send(frame)
                else:
                    selector.unregister(player.socket)
        elapsed_s = clock() - started
    for session in sessions:
        session.give_socket_back()
    return LoadRun(stats, elapsed_s)


@dataclass(slots=True)
class BusySession:
    """One session under load.

    Attributes:
        socket: its socket, in non-blocking mode.
        next_frame: returns its next frame, or no bytes after the last one.
        sent_at_s: time at which its last frame was sent, on the performance counter.
    """

    socket: socket.socket
    next_frame: Callable[[], bytes]
    sent_at_s: float = 0.0


class ReplyBuffer:
    """A buffer that every reply is read into.

    Attributes:
        start: position of the first byte of the last reply's payload.
        stop: position after its last byte.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(MAX_REPLY_BYTES)
        self._view = memoryview(self._buffer)
        self.start = self.stop = 0

    def read_reply(self, peer: socket.socket) -> bool:
        """Read one reply to its end and answer pings. Return False if only pings arrived.

        Raises:
            LoadError: the server closed the session, or stopped within a frame.
        """
        buffer, has_reply, position = self._buffer, False, 0
        received_bytes = self._receive(peer, 0)
        while position < received_bytes:
            start, stop = frame_bounds(buffer, position, received_bytes)
            if stop > received_bytes:
                received_bytes += self._receive(peer, received_bytes)
                continue
            opcode = buffer[position] & 0x0F
            if opcode == PING:
                peer.send(text_frame(bytes(self._view[start:stop]), PONG))
            else:
                self.start, self.stop, has_reply = start, stop, True
                if opcode != TEXT:
                    raise LoadError(f"the server closed the session: {self.reply_excerpt()}")
            position = stop
        return has_reply

    def has_error(self) -> bool:
        """Return whether the reply is an error.

        The server writes compact JSON, with the type or the status among the first fields.
        """
        stop = min(self.stop, self.start + 4096)
        return (
            self._buffer.startswith(b'{"type":"error"', self.start)
            or self._buffer.find(b'"status":"error"', self.start, stop) >= 0
        )

    def reply_excerpt(self) -> str:
        """Return the beginning of the reply."""
        stop = min(self.stop, self.start + 300)
        return bytes(self._view[self.start : stop]).decode(errors="replace")

    def _receive(self, peer: socket.socket, received_bytes: int) -> int:
        """Read more bytes, behind those that were received. Return their number."""
        try:
            size = peer.recv_into(self._view[received_bytes:])
        except BlockingIOError:
            if not select.select([peer], [], [], REPLY_TIMEOUT_S)[0]:
                raise LoadError(f"no reply in {REPLY_TIMEOUT_S:g} s") from None
            size = peer.recv_into(self._view[received_bytes:])
        if not size:
            raise LoadError("the server closed the connection")
        return size
