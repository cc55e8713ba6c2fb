"""Many sessions kept busy, at the least cost: what `python -m benchmarks.serving` measures with."""

from __future__ import annotations

import select
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from benchmarks.load import PING, PONG, TEXT, LoadError, LoadSession, frame_bounds, text_frame

REPLY_TIMEOUT_S = 60.0
"""Longest wait for a reply."""

MAX_REPLY_BYTES = 4 << 20
"""Bytes of the longest reply that is read."""


@dataclass
class LoadStats:
    """What a run counted; latencies in seconds."""

    latencies_s: list[float] = field(default_factory=list)
    errors: int = 0
    received_bytes: int = 0
    first_error: str = ""

    def latency_percentile_ms(self, share: float) -> float:
        """Latency below which that share of the replies came, in milliseconds."""
        ordered = sorted(self.latencies_s)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def keep_sessions_busy(
    sessions: list[LoadSession], messages: Callable[[int], Iterator[bytes]], seconds: float
) -> tuple[LoadStats, float]:
    """Keep every session busy: its next frame goes out as soon as a reply is in.

    It blocks, and does without the event loop: on a machine of few cores each microsecond here
    is one that the server does not have.

    Args:
        sessions: open sessions with nothing under way.
        messages: an iterator of frames for each session, by its number; it may be endless.
        seconds: how long new frames are sent.

    Returns:
        The tally, and the seconds until the last reply was in.

    Raises:
        LoadError: the server closed a session, or said nothing for a minute.
    """
    tally = LoadStats()
    clock = time.perf_counter
    inbox = ReplyBuffer()
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        for number, session in enumerate(sessions):
            bare = stack.enter_context(session.take_socket())
            player = BusySession(bare, partial(next, messages(number), b""))
            selector.register(player.socket, selectors.EVENT_READ, player)
        started = clock()
        deadline = started + seconds
        for key in selector.get_map().values():
            key.data.sent = clock()
            key.data.socket.send(key.data.next_frame())
        while selector.get_map():
            ready = selector.select(timeout=REPLY_TIMEOUT_S)
            if not ready:
                raise LoadError(f"no reply in {REPLY_TIMEOUT_S:g} s")
            for key, _ in ready:
                player = key.data
                if not inbox.read_reply(player.socket):
                    continue
                now = clock()
                tally.latencies_s.append(now - player.sent)
                tally.received_bytes += inbox.stop - inbox.start
                if inbox.has_error():
                    tally.errors += 1
                    tally.first_error = tally.first_error or inbox.reply_excerpt()
                if now < deadline and (following := player.next_frame()):
                    player.sent = now
                    player.socket.send(following)
                else:
                    selector.unregister(player.socket)
        elapsed = clock() - started
    for session in sessions:
        session.give_socket_back()
    return tally, elapsed


@dataclass(slots=True)
class BusySession:
    """One session under load: its socket, its next frame, and when the last one was sent."""

    socket: socket.socket
    next_frame: Callable[[], bytes]
    sent_at_s: float = 0.0


class ReplyBuffer:
    """One buffer for all replies; `start` and `stop` are where the last one's payload lies."""

    def __init__(self) -> None:
        self._buffer = bytearray(MAX_REPLY_BYTES)
        self._view = memoryview(self._buffer)
        self.start = self.stop = 0

    def read_reply(self, peer: socket.socket) -> bool:
        """Read one reply to its end, and answer pings on the way; False if only pings came.

        Raises:
            LoadError: the server closed the session, or stopped within a frame.
        """
        buffer, found, at = self._buffer, False, 0
        have = self._receive(peer, 0)
        while at < have:
            start, stop = frame_bounds(buffer, at, have)
            if stop > have:
                have += self._receive(peer, have)
                continue
            opcode = buffer[at] & 0x0F
            if opcode == PING:
                peer.send(text_frame(bytes(self._view[start:stop]), PONG))
            else:
                self.start, self.stop, found = start, stop, True
                if opcode != TEXT:
                    raise LoadError(f"the server closed the session: {self.reply_excerpt()}")
            at = stop
        return found

    def has_error(self) -> bool:
        """Whether the reply is an error; the server writes compact JSON, and both kinds early."""
        stop = min(self.stop, self.start + 4096)
        return (
            self._buffer.startswith(b'{"type":"error"', self.start)
            or self._buffer.find(b'"status":"error"', self.start, stop) >= 0
        )

    def reply_excerpt(self) -> str:
        """Beginning of the reply."""
        stop = min(self.stop, self.start + 300)
        return bytes(self._view[self.start : stop]).decode(errors="replace")

    def _receive(self, peer: socket.socket, received_bytes: int) -> int:
        """Read on behind what is there already."""
        try:
            size = peer.recv_into(self._view[received_bytes:])
        except BlockingIOError:
            if not select.select([peer], [], [], REPLY_TIMEOUT_S)[0]:
                raise LoadError(f"no reply in {REPLY_TIMEOUT_S:g} s") from None
            size = peer.recv_into(self._view[received_bytes:])
        if not size:
            raise LoadError("the server closed the connection")
        return size
