"""Clients that mean harm: slow, silent, greedy, or a web page of somebody else.

Everything here speaks through bare sockets and shares no code with the server or its client.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.live_server import ROOT
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

pytestmark = pytest.mark.slow


# Slow and silent clients.


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", b"POST /reset HTTP/1.1\r\nHost: localhost\r\n", b"\r\n"],
    ids=["nothing", "a letter", "half of the headers", "an empty line"],
)
def test_a_client_that_never_finishes_its_headers_is_cut_off(hasty: Server, sent: bytes) -> None:
    with hasty.connect() as connection:
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


def test_a_header_now_and_then_does_not_prolong_the_time(hasty: Server) -> None:
    with hasty.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        assert drip(connection, b"X-More: 1\r\n") == b""


@pytest.mark.parametrize("path", ["/reset", "/step", "/mcp"])
def test_a_body_that_trickles_in_is_refused_and_the_connection_closed(
    hasty: Server, path: str
) -> None:
    with hasty.connect() as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode())
        status, headers, body = answer_of(drip(connection, b" "))
    assert (status, headers["connection"]) == (408, "close")
    assert b"within 1 seconds" in body


def test_a_body_that_no_route_reads_does_not_keep_the_connection(hasty: Server) -> None:
    with hasty.connect() as connection:
        connection.sendall(
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n"
        )
        assert drip(connection, b" ").startswith(b"HTTP/1.1 200")


def test_a_session_that_thinks_is_not_cut_off(hasty: Server) -> None:
    with hasty.connect() as connection, hasty.connect() as silent:
        assert shake_hands(connection, "/ws") == 101
        assert is_closed(silent)  # by now the time for a request is over
        assert say(connection, {"type": "state"})["type"] == "state"


def test_a_reader_that_stops_reading_is_cut_off(hasty: Server) -> None:
    """A reset's reply is 20 kB, so the replies to many fill every buffer."""
    reset = frame(1, b'{"type":"reset","data":{"seed":7}}')
    with hasty.connect() as connection:
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("plain")) as started:
        yield started


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.slow
def test_a_flood_of_pings_whose_answers_are_never_read_takes_no_memory(server: Server) -> None:
    pings = frame(9, b"x" * 125) * 500

    def flood(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert shake_hands(connection, "/ws") == 101
        connection.settimeout(2.0)
        with contextlib.suppress(TimeoutError):
            for _ in range(32_000_000 // len(pings)):
                connection.sendall(pings)

    before = resident_bytes(server.process.pid)
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        list(pool.map(flood, [stack.enter_context(server.connect()) for _ in range(4)]))
        assert server.ask("GET /health HTTP/1.1\nHost: localhost")[0] == 200
        grown = resident_bytes(server.process.pid) - before
    assert grown < 40_000_000


HUGE = {f"k{number}": 1 for number in range(80_000)}
WIDE = {f"k{number}": 1 for number in range(1_001)}


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        (HUGE, "too many values; allowed: 20000 commas"),
        (WIDE, "an object with 1001 members; allowed: 1000"),
        ({"analysis_method": "list_dates", "analysis_args": WIDE}, "1001 members; allowed: 1000"),
        ({"classifications": [1] * 30_000}, "too many values; allowed: 20000 commas"),
    ],
    ids=["80,000 keys", "1,001 keys", "1,001 arguments", "30,000 rows"],
)
def test_an_action_of_too_many_keys_is_refused_before_it_is_looked_at(
    server: Server, action: dict[str, Any], problem: str
) -> None:
    with server.connect() as connection:
        assert shake_hands(connection, "/ws") == 101
        reply = say(connection, {"type": "step", "data": action})
        assert problem in reply["data"]["message"]
        assert say(connection, {"type": "reset", "data": {}})["type"] == "observation"
    with server.connect() as connection:
        assert shake_hands(connection, "/mcp") == 101
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": action}
        assert problem in say(connection, call)["error"]["message"]
    head = "POST /step HTTP/1.1\nHost: localhost\nContent-Type: application/json"
    status, _, body = server.ask(head, json.dumps({"action": action}).encode())
    assert status in (400, 413)
    assert problem in json.loads(body)["detail"]


def test_the_longest_report_passes_the_limits_on_values(server: Server) -> None:
    row = {
        "date": "2025-01-01",
        "entity_type": "event_count",
        "entity_name": "app_opens",
        "anomaly_type": "absolute_drop_in_event_count",
        "detection_method": "compare_count_to_median",
        "baseline_value": 1.0,
        "observed_value": 1.0,
        "delta_value": 0.0,
        "severity": "low",
    }
    with server.connect() as connection:
        assert shake_hands(connection, "/ws") == 101
        say(connection, {"type": "reset", "data": {}})
        reply = say(connection, {"type": "step", "data": {"classifications": [row] * 1000}})
        assert reply["data"]["observation"]["status"] in ("evaluated", "completed")


def test_a_message_in_many_pieces_is_put_together(server: Server) -> None:
    """Large and tiny messages in one stream, faster than they are answered."""
    text = json.dumps({"type": "state", "filler": "x" * 200_000}).encode()
    small = frame(1, b'{"type":"state"}')
    with server.connect() as connection:
        assert shake_hands(connection, "/ws") == 101
        connection.sendall(small * 50 + frame(1, text) + small * 50)
        kinds = [read_message(connection)["type"] for _ in range(101)]
    assert kinds.count("state") >= 100


# Open files.


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one(tmp_path: Path) -> None:
    script = (
        "import resource; from openenv_kit.serving.workers import raise_open_file_limit;"
        "raise_open_file_limit(); print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    command = f'ulimit -Sn 100; ulimit -Hn 400; exec "{sys.executable}" -c "{script}"'
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["400", "400"], done.stderr


# Pages of somebody else.

PAGE = "https://evil.example"


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose settings name origins."""
    folder = tmp_path_factory.mktemp("listing")
    origins = "https://trainer.example, http://metrics.internal:8000"
    with running(folder, OPENENV_KIT_ALLOWED_ORIGINS=origins) as started:
        yield started


def test_a_page_of_another_site_can_neither_open_a_socket_nor_post(server: Server) -> None:
    for path in ("/ws", "/mcp"):
        assert server.opens_websocket(path, f"Origin: {PAGE}") == 403
        assert server.opens_websocket(path, "Origin: null") == 403
        assert server.opens_websocket(path, "Sec-Fetch-Site: cross-site") == 403
        assert server.opens_websocket(path, f"Origin: http://localhost:{server.port + 1}") == 403
    for path in ("/reset", "/step", "/mcp"):
        for kind in ("text/plain", "application/json", "application/x-www-form-urlencoded"):
            head = f"POST {path} HTTP/1.1\nHost: localhost:{server.port}\nContent-Type: {kind}"
            assert server.ask(f"{head}\nOrigin: {PAGE}", b"{}")[0] == 403
            assert server.ask(f"{head}\nOrigin: null", b"{}")[0] == 403
            assert server.ask(f"{head}\nSec-Fetch-Site: cross-site", b"{}")[0] == 403


def test_our_own_page_and_programs_are_let_in(server: Server) -> None:
    for name in ("localhost", "127.0.0.1", "[::1]"):
        host = f"{name}:{server.port}"
        head = f"POST /reset HTTP/1.1\nHost: {host}\nContent-Type: application/json"
        assert server.ask(head, b"{}")[0] == 200
        assert server.ask(f"{head}\nOrigin: http://{host}", b"{}")[0] == 200
        assert server.ask(f"{head}\nSec-Fetch-Site: same-origin", b"{}")[0] == 200
        with server.connect() as connection:
            assert shake_hands(connection, "/ws", f"Origin: http://{host}", host=host) == 101


REBOUND = ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example")


@pytest.mark.parametrize("name", [*REBOUND, "192.168.0.9", "localhost@evil.example", "2130706433"])
def test_a_name_that_was_rebound_to_this_machine_opens_nothing(
    server: Server, listing: Server, name: str
) -> None:
    for each in (server, listing):
        for origin in ("", f"\nOrigin: http://{name}"):
            assert each.ask(f"GET /metrics HTTP/1.1\nHost: {name}{origin}")[0] == 403
            head = f"POST /reset HTTP/1.1\nHost: {name}\nContent-Type: application/json{origin}"
            assert each.ask(head, b"{}")[0] == 403
            forwarded = f"X-Forwarded-Host: {name}"
            assert each.ask(f"{head}\n{forwarded}", b"{}")[0] == 403
        with each.connect() as connection:
            assert shake_hands(connection, "/ws", f"Origin: http://{name}", host=name) == 403


def test_named_origins_and_their_hosts_are_let_in(listing: Server) -> None:
    head = f"POST /reset HTTP/1.1\nHost: localhost:{listing.port}\nContent-Type: application/json"
    assert listing.ask(f"{head}\nOrigin: https://trainer.example", b"{}")[0] == 200
    assert listing.ask(f"{head}\nOrigin: https://other.example", b"{}")[0] == 403
    head = "POST /reset HTTP/1.1\nHost: metrics.internal:8000\nContent-Type: application/json"
    assert listing.ask(head, b"{}")[0] == 200
    assert listing.ask(f"{head}\nOrigin: http://metrics.internal:8000", b"{}")[0] == 200


def test_a_star_lets_every_page_and_every_name_in(tmp_path: Path) -> None:
    with running(tmp_path, OPENENV_KIT_ALLOWED_ORIGINS="*") as started:
        assert started.opens_websocket("/ws", f"Origin: {PAGE}") == 101
        assert started.ask(f"GET /metrics HTTP/1.1\nHost: evil.example\nOrigin: {PAGE}")[0] == 200


def test_on_all_addresses_names_are_free_and_a_missing_token_is_told(tmp_path: Path) -> None:
    with running(tmp_path, "--host", "0.0.0.0") as started:
        name = "space.example"
        assert started.ask(f"GET /metrics HTTP/1.1\nHost: {name}")[0] == 200
        assert started.opens_websocket("/ws", f"Origin: {PAGE}") == 403
        head = f"POST /reset HTTP/1.1\nHost: {name}\nContent-Type: application/json"
        assert started.ask(f"{head}\nOrigin: https://{name}", b"{}")[0] == 200
        head = head.replace(name, "10.0.0.7:8000") + f"\nX-Forwarded-Host: {name}"
        assert started.ask(f"{head}\nOrigin: https://{name}", b"{}")[0] == 200
        assert [line for line in started.lines() if "without a token" in line["message"]]


def test_by_itself_the_server_listens_on_loopback_only(server: Server) -> None:
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    port = f"{server.port:04X}"
    listening = re.findall(rf": ([0-9A-F]+):{port} [0-9A-F:]+ 0A", table)
    assert listening == ["0100007F"]
    assert not [line for line in server.lines() if "without a token" in line["message"]]


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

SCENARIOS = (
    "server-initialize",
    "ping",
    "tools-list",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of the MCP conformance suite and the Node that it needs."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm")
    folder = tmp_path_factory.mktemp("conformance")
    packages = ["node@22", "@modelcontextprotocol/conformance@0.1.16"]
    install = [npm, "install", "--no-audit", "--no-fund", "--silent", *packages]
    subprocess.run(install, cwd=folder, check=True, timeout=300)
    return folder / "node_modules" / ".bin"


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_official_mcp_conformance_suite_passes(
    server: Server, suite: Path, scenario: str
) -> None:
    url = f"http://localhost:{server.port}/mcp"
    command = [str(suite / "node"), str(suite / "conformance"), "server", "--url", url]
    done = subprocess.run(
        [*command, "--scenario", scenario], capture_output=True, text=True, timeout=120
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    (passed, total, failed) = re.findall(r"Passed: (\d+)/(\d+), (\d+) failed", said)[0]
    assert (passed, failed) == (total, "0"), said
    assert int(total) > 0
