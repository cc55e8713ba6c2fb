"""Requests, WebSocket handshakes and messages over bare sockets, without a client library."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.forked_python import Program
from support.live_server import await_health, free_port, start_server
from support.paths import ROOT

PATIENCE_S = 60.0
"""Longest wait for an event; no test depends on a shorter time."""


@dataclass
class Server:
    """A server process that one test started."""

    process: Program | subprocess.Popen[bytes]
    port: int
    log: Path

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def ask(self, head: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Send a request and return status, headers and body; `head` ends without a newline."""
        with self.connect() as connection:
            announced = f"\r\ncontent-length: {len(body)}" if body else ""
            text = head.replace("\n", "\r\n") + f"{announced}\r\nconnection: close\r\n\r\n"
            connection.sendall(text.encode("latin-1") + body)
            return answer_of(read_all(connection))

    def opens_websocket(self, path: str, *headers: str) -> int:
        """Send a WebSocket handshake and return its status."""
        with self.connect() as connection:
            return shake_hands(connection, path, *headers)

    def lines(self) -> list[Any]:
        """Return the parsed lines of the log; a line that is not JSON raises an error."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextlib.contextmanager
def running(
    folder: Path,
    *arguments: str,
    python: tuple[str, ...] = (),
    **settings: str,
) -> Iterator[Server]:
    """Run a server for a block, with another Python if one is given."""
    port = free_port()
    log = folder / f"server-{port}.log"
    given = ["--port", str(port), *arguments]
    env = {**os.environ, "OPENENV_KIT_EPISODE_STORE": str(folder / "store"), **settings}
    process: Program | subprocess.Popen[bytes]
    with log.open("wb") as output:
        streams = {"stdout": output, "stderr": subprocess.STDOUT}
        if python:
            command = [*python, "-m", "server.app", *given]
            process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, **streams
            )
        else:
            process = start_server(*given, env=env, **streams)
    try:
        await_health(f"http://127.0.0.1:{port}", process)
        yield Server(process, port, log)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def read_all(connection: socket.socket) -> bytes:
    """Return everything until the server closes."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            got += piece
    return got


def answer_of(raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a response."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split(" ")[1]), headers, body


def shake_hands(connection: socket.socket, path: str, *headers: str, host: str = "") -> int:
    """Send a WebSocket handshake and return the status of the response."""
    key = base64.b64encode(os.urandom(16)).decode()
    named = host or f"127.0.0.1:{connection.getpeername()[1]}"
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {named}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        *headers,
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(1)
        assert piece, f"the server closed after {head!r}"
        head += piece
    return int(head.split(b" ")[1])


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a masked WebSocket frame."""
    size = len(payload)
    if size < 126:
        length = struct.pack("!B", 0x80 | size)
    elif size < 1 << 16:
        length = struct.pack("!BH", 0x80 | 126, size)
    else:
        length = struct.pack("!BQ", 0x80 | 127, size)
    return bytes([0x80 | opcode]) + length + b"\0\0\0\0" + payload  # a mask of zeros


def read_exactly(connection: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        piece = connection.recv(count - len(got))
        assert piece, "the server closed"
        got += piece
    return got


def read_message(connection: socket.socket) -> Any:
    """Return the next text message, parsed."""
    first, second = read_exactly(connection, 2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", read_exactly(connection, 2))
    elif size == 127:
        (size,) = struct.unpack("!Q", read_exactly(connection, 8))
    payload = read_exactly(connection, size)
    assert first & 0x0F == 1, f"not a text message: {first:#x} {payload!r}"
    return json.loads(payload)


def say(connection: socket.socket, value: Any) -> Any:
    """Send a message and return the reply."""
    connection.sendall(frame(1, json.dumps(value).encode()))
    return read_message(connection)


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def is_closed(connection: socket.socket) -> bool:
    """Wait until the server closes the connection; raise TimeoutError if it does not."""
    connection.settimeout(PATIENCE_S)
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65536):
            pass
    return True
