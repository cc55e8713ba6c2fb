"""The load generator of the benchmarks reads replies and detects errors."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from threading import Thread, Timer

import pytest

from benchmarks.drive import ReplyBuffer, keep_sessions_busy
from benchmarks.load import CLOSE, PING, PONG, TEXT, LoadError, text_frame

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The server's end, and the session's, which does not block."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        ours.setblocking(False)
        yield theirs, ours


def server_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A frame without a mask, as servers send."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_reply_of_any_size_is_read_to_its_end(pair: Pair, size: int) -> None:
    theirs, ours = pair
    inbox = ReplyBuffer()
    theirs.sendall(server_frame(b"x" * size))
    assert inbox.read_reply(ours)
    assert inbox.stop - inbox.start == size
    assert inbox.reply_excerpt() == "x" * min(size, 300)


@pytest.mark.parametrize("cut", [1, 2, 3, 200])
def test_a_reply_in_pieces_is_waited_for(pair: Pair, cut: int) -> None:
    theirs, ours = pair
    whole = server_frame(b"y" * 300)
    theirs.sendall(whole[:cut])
    rest = Timer(0.05, theirs.sendall, [whole[cut:]])
    rest.start()
    inbox = ReplyBuffer()
    assert inbox.read_reply(ours)
    assert inbox.reply_excerpt() == "y" * 300
    rest.join()


def test_a_ping_before_a_reply_is_answered(pair: Pair) -> None:
    theirs, ours = pair
    theirs.sendall(server_frame(b"beat", PING) + server_frame(b"reply"))
    inbox = ReplyBuffer()
    assert inbox.read_reply(ours)
    assert inbox.reply_excerpt() == "reply"
    assert theirs.recv(100) == bytes((0x80 | PONG, 0x84)) + b"\0\0\0\0beat"


def test_a_ping_alone_is_no_reply(pair: Pair) -> None:
    theirs, ours = pair
    theirs.sendall(server_frame(b"beat", PING))
    assert not ReplyBuffer().read_reply(ours)


@pytest.mark.parametrize(
    ("text", "is_error"),
    [
        (b'{"type":"error","data":{}}', True),
        (b'{"type":"observation","data":{"observation":{"status":"error"}}}', True),
        (b'{"type":"observation","data":{"observation":{"status":"ready"}}}', False),
    ],
)
def test_error_replies_are_recognised(pair: Pair, text: bytes, is_error: bool) -> None:
    theirs, ours = pair
    theirs.sendall(server_frame(text))
    inbox = ReplyBuffer()
    inbox.read_reply(ours)
    assert inbox.has_error() is is_error


def test_a_session_that_the_server_closes_ends_the_run(pair: Pair) -> None:
    theirs, ours = pair
    theirs.sendall(server_frame(struct.pack("!H", 1012) + b"restart", CLOSE))
    with pytest.raises(LoadError, match="restart"):
        ReplyBuffer().read_reply(ours)


def test_a_connection_that_breaks_within_a_reply_ends_the_run(pair: Pair) -> None:
    theirs, ours = pair
    theirs.sendall(server_frame(b"z" * 300)[:50])
    theirs.close()
    with pytest.raises(LoadError, match="closed the connection"):
        ReplyBuffer().read_reply(ours)


class SocketSession:
    """The part of a session that `keep_sessions_busy` uses."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer

    def take_socket(self) -> socket.socket:
        return self._peer

    def give_socket_back(self) -> None:
        pass


def test_keep_sessions_busy_with_two_frames_counts_two_replies(pair: Pair) -> None:
    theirs, ours = pair
    frames = [text_frame(b"first"), text_frame(b"second")]

    def answer_each_frame() -> None:
        for frame, reply in zip(
            frames, (b'{"type":"observation"}', b'{"type":"error"}'), strict=True
        ):
            assert theirs.recv(100) == frame
            theirs.sendall(server_frame(reply))

    server = Thread(target=answer_each_frame)
    server.start()
    stats, elapsed_s = keep_sessions_busy([SocketSession(ours)], lambda _: iter(frames), 60.0)  # type: ignore[list-item]
    server.join()
    assert (len(stats.latencies_s), stats.errors, stats.first_error) == (2, 1, '{"type":"error"}')
    assert all(0.0 <= latency_s <= elapsed_s for latency_s in stats.latencies_s)
