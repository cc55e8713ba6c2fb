"""Clients that mean harm: slow, silent, greedy, or a web page of somebody else.

Everything here speaks through bare sockets and shares no code with the server or its client.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.paths import ROOT
from support.raw_connections import (
    PATIENCE_S,
    Server,
    answer_of,
    frame,
    is_closed,
    read_message,
    resident_bytes,
    running,
    say,
    shake_hands,
)

EMPTY_START, EMPTY_REST = b"\x01\x80\0\0\0\0", b"\x00\x80\0\0\0\0"


pytestmark = pytest.mark.slow


# Slow and silent clients.


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", b"POST /reset HTTP/1.1\r\nHost: localhost\r\n", b"\r\n"],
    ids=["nothing", "a letter", "half of the headers", "an empty line"],
)
def test_a_client_that_never_finishes_its_headers_is_cut_off(
    impatient_server: Server, sent: bytes
) -> None:
    with impatient_server.connect() as connection:
        connection.sendall(sent)
        assert is_closed(connection)


def drip(connection: socket.socket, text: bytes) -> bytes:
    """Send the same again and again, slowly, until the server closes; what it said."""
    said = b""
    connection.settimeout(0.1)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            connection.sendall(text)
            piece = connection.recv(65536)
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            return said
        if not piece:
            return said
        said += piece
    raise AssertionError("the server goes on reading")


def test_a_header_now_and_then_does_not_prolong_the_time(impatient_server: Server) -> None:
    with impatient_server.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        assert drip(connection, b"X-More: 1\r\n") == b""


@pytest.mark.parametrize("path", ["/reset", "/step", "/mcp"])
def test_a_body_that_trickles_in_is_refused_and_the_connection_closed(
    impatient_server: Server, path: str
) -> None:
    with impatient_server.connect() as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode())
        status, headers, body = answer_of(drip(connection, b" "))
    assert (status, headers["connection"]) == (408, "close")
    assert b"within 1 seconds" in body


def test_a_body_that_no_route_reads_does_not_keep_the_connection(impatient_server: Server) -> None:
    with impatient_server.connect() as connection:
        connection.sendall(
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n"
        )
        assert drip(connection, b" ").startswith(b"HTTP/1.1 200")


def test_a_session_that_thinks_is_not_cut_off(impatient_server: Server) -> None:
    with impatient_server.connect() as connection, impatient_server.connect() as silent:
        assert shake_hands(connection, "/ws") == 101
        assert is_closed(silent)  # by now the time for a request is over
        assert say(connection, {"type": "state"})["type"] == "state"


def test_a_reader_that_stops_reading_is_cut_off(impatient_server: Server) -> None:
    """A reset's reply is 20 kB, so the replies to many fill every buffer."""
    reset = frame(1, b'{"type":"reset","data":{"seed":7}}')
    with impatient_server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert shake_hands(connection, "/ws") == 101
        connection.settimeout(0.1)
        deadline = time.monotonic() + PATIENCE_S
        cut_off = False
        while not cut_off and time.monotonic() < deadline:
            try:
                connection.sendall(reset)
            except TimeoutError:
                continue  # nobody takes it any more
            except (BrokenPipeError, ConnectionResetError):
                cut_off = True
    assert cut_off


# Greedy clients.


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.slow
def test_a_flood_of_pings_whose_answers_are_never_read_takes_no_memory(raw_server: Server) -> None:
    pings = frame(9, b"x" * 125) * 500

    def flood(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert shake_hands(connection, "/ws") == 101
        connection.settimeout(2.0)
        with contextlib.suppress(TimeoutError):
            for _ in range(32_000_000 // len(pings)):
                connection.sendall(pings)

    before = resident_bytes(raw_server.process.pid)
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        list(pool.map(flood, [stack.enter_context(raw_server.connect()) for _ in range(4)]))
        assert raw_server.ask("GET /health HTTP/1.1\nHost: localhost")[0] == 200
        grown = resident_bytes(raw_server.process.pid) - before
    assert grown < 40_000_000


# Open files.


# Pages of somebody else.

PAGE = "https://evil.example"


# The oldest uvicorn that is allowed; all other tests run on the newest.

OLDEST = re.search(r'"uvicorn>=([0-9.]+),', (ROOT / "pyproject.toml").read_text())


@pytest.mark.network
@pytest.mark.slow
def test_the_oldest_uvicorn_allowed_serves_as_well(tmp_path: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("needs uv")
    assert OLDEST is not None
    oldest = f"{OLDEST.group(1)}.0"
    python = (uv, "run", "--no-sync", "--quiet", "--with", f"uvicorn=={oldest}", "python")
    asked = subprocess.run(
        [*python, "-c", "import uvicorn; print(uvicorn.__version__)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert asked.stdout.strip() == oldest, asked.stderr
    with running(
        tmp_path, "--workers", "2", python=python, OPENENV_KIT_REQUEST_TIMEOUT_S="1"
    ) as old:
        with old.connect() as connection, old.connect() as silent:
            assert shake_hands(connection, "/ws") == 101
            reset = say(connection, {"type": "reset", "data": {"seed": 7}})
            assert reset["data"]["observation"]["status"] == "ready"
            connection.sendall(frame(1, b'{"type":"state"}') * 20)
            assert {read_message(connection)["type"] for _ in range(20)} == {"state"}
            assert is_closed(silent)
        head = "POST /reset HTTP/1.1\nHost: localhost\nContent-Type: application/json"
        assert old.ask(head, b"{}")[0] == 200
        assert old.ask(f"{head}\nOrigin: {PAGE}", b"{}")[0] == 403


# The official suite.


@pytest.mark.slow
def test_a_message_that_is_never_finished_ends_its_connection(impatient_server: Server) -> None:
    with impatient_server.connect() as connection, impatient_server.connect() as other:
        assert shake_hands(other, "/ws") == 101
        assert shake_hands(connection, "/ws") == 101
        connection.sendall(EMPTY_START)
        assert is_closed(connection)
        assert say(other, {"type": "state"})["type"] == "state"  # it owes nothing


@pytest.mark.slow
def test_empty_frames_without_end_are_cut_off(tmp_path: Path) -> None:
    with running(tmp_path, OPENENV_KIT_REQUEST_TIMEOUT_S="3600") as server:
        with server.connect() as connection:
            assert shake_hands(connection, "/ws") == 101
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(EMPTY_START + EMPTY_REST * 5000)
            assert is_closed(connection)
        with server.connect() as connection:
            assert shake_hands(connection, "/ws") == 101
            pieces = [bytes([0, 0x81, 0, 0, 0, 0, letter]) for letter in b'"type":"state"}']
            connection.sendall(b"\x01\x81\0\0\0\0{" + b"".join(pieces) + b"\x80\x80\0\0\0\0")
            connection.settimeout(PATIENCE_S)
            assert b'"state"' in connection.recv(65536)


@pytest.mark.slow
def test_bad_trailers_leave_no_traceback_in_the_log(tmp_path: Path) -> None:
    head = b" HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with running(tmp_path) as server:
        for path in (b"/step", b"/nowhere", b"/metrics"):
            for trailer in (b"X: " + b"y" * 100_000 + b"\r\n\r\n", b"\x00bad\r\n\r\n"):
                for pause_s in (0.0, 0.2):
                    with server.connect() as connection:
                        connection.sendall(b"POST " + path + head + b"2\r\n{}\r\n0\r\n")
                        time.sleep(pause_s)  # the answer may be on its way, or not
                        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                            connection.sendall(trailer)
                        assert is_closed(connection)
        assert server.ask("GET /health HTTP/1.1\nHost: localhost")[0] == 200
    assert not [line for line in server.lines() if "exception" in line]
