"""Which web pages and host names may call the server, over bare sockets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.raw_connections import Server, running, shake_hands

pytestmark = pytest.mark.slow


PAGE = "https://evil.example"


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose settings name origins."""
    folder = tmp_path_factory.mktemp("listing")
    origins = "https://trainer.example, http://metrics.internal:8000"
    with running(folder, OPENENV_KIT_ALLOWED_ORIGINS=origins) as started:
        yield started


REBOUND = ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example")


def test_a_page_of_another_site_can_neither_open_a_socket_nor_post(raw_server: Server) -> None:
    for path in ("/ws", "/mcp"):
        assert raw_server.opens_websocket(path, f"Origin: {PAGE}") == 403
        assert raw_server.opens_websocket(path, "Origin: null") == 403
        assert raw_server.opens_websocket(path, "Sec-Fetch-Site: cross-site") == 403
        assert (
            raw_server.opens_websocket(path, f"Origin: http://localhost:{raw_server.port + 1}")
            == 403
        )
    for path in ("/reset", "/step", "/mcp"):
        for kind in ("text/plain", "application/json", "application/x-www-form-urlencoded"):
            head = f"POST {path} HTTP/1.1\nHost: localhost:{raw_server.port}\nContent-Type: {kind}"
            assert raw_server.ask(f"{head}\nOrigin: {PAGE}", b"{}")[0] == 403
            assert raw_server.ask(f"{head}\nOrigin: null", b"{}")[0] == 403
            assert raw_server.ask(f"{head}\nSec-Fetch-Site: cross-site", b"{}")[0] == 403


def test_our_own_page_and_programs_are_let_in(raw_server: Server) -> None:
    for name in ("localhost", "127.0.0.1", "[::1]"):
        host = f"{name}:{raw_server.port}"
        head = f"POST /reset HTTP/1.1\nHost: {host}\nContent-Type: application/json"
        assert raw_server.ask(head, b"{}")[0] == 200
        assert raw_server.ask(f"{head}\nOrigin: http://{host}", b"{}")[0] == 200
        assert raw_server.ask(f"{head}\nSec-Fetch-Site: same-origin", b"{}")[0] == 200
        with raw_server.connect() as connection:
            assert shake_hands(connection, "/ws", f"Origin: http://{host}", host=host) == 101


@pytest.mark.parametrize("name", [*REBOUND, "192.168.0.9", "localhost@evil.example", "2130706433"])
def test_a_name_that_was_rebound_to_this_machine_opens_nothing(
    raw_server: Server, listing: Server, name: str
) -> None:
    for each in (raw_server, listing):
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


def test_server_on_all_addresses_accepts_any_host_and_warns_without_a_token(tmp_path: Path) -> None:
    with running(tmp_path, "--host", "0.0.0.0") as started:
        name = "space.example"
        assert started.ask(f"GET /metrics HTTP/1.1\nHost: {name}")[0] == 200
        assert started.opens_websocket("/ws", f"Origin: {PAGE}") == 403
        head = f"POST /reset HTTP/1.1\nHost: {name}\nContent-Type: application/json"
        assert started.ask(f"{head}\nOrigin: https://{name}", b"{}")[0] == 200
        head = head.replace(name, "10.0.0.7:8000") + f"\nX-Forwarded-Host: {name}"
        assert started.ask(f"{head}\nOrigin: https://{name}", b"{}")[0] == 200
        assert [line for line in started.lines() if "without a token" in line["message"]]


def test_default_host_is_loopback(raw_server: Server) -> None:
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    port = f"{raw_server.port:04X}"
    listening = re.findall(rf": ([0-9A-F]+):{port} [0-9A-F:]+ 0A", table)
    assert listening == ["0100007F"]
    assert not [line for line in raw_server.lines() if "without a token" in line["message"]]
