"""Who gets in: token, origin and size, route by route."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import Mount, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse

from server.app import build_app
from server.settings import Settings

TOKEN = "a-token-for-tests-only"
ALLOWED = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def guarded(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENABLE_WEB_INTERFACE", "true")
        app = build_app(Settings(token=TOKEN, episode_store="memory"))
    with TestClient(app, follow_redirects=False) as client:
        yield client


def paths(app: FastAPI) -> list[tuple[str, str]]:
    """(kind, path) of everything the app routes to, from its own list."""
    found = []
    for route in app.router.routes:
        path = re.sub(r"\{[^}]*\}", "x", getattr(route, "path", ""))
        if isinstance(route, Mount):
            found += [("GET", path), ("GET", f"{path}/"), ("POST", f"{path}/anything")]
            found.append(("websocket", f"{path}/anything"))
        elif isinstance(route, WebSocketRoute) or "WebSocket" in type(route).__name__:
            found.append(("websocket", path))
        else:
            found += [(method, path) for method in getattr(route, "methods", None) or ["GET"]]
    return found


def answered(client: TestClient, kind: str, path: str, headers: dict[str, str]) -> int:
    if kind != "websocket":
        return client.request(kind, path, headers=headers).status_code
    try:
        with client.websocket_connect(path, headers=headers):
            return 101
    except WebSocketDenialResponse as denial:
        return denial.status_code


def test_the_list_of_routes_holds_all_that_we_know_of(guarded: TestClient) -> None:
    app: Any = guarded.app
    known = {"/ws", "/mcp", "/reset", "/step", "/state", "/health", "/metrics", "/web", "/docs"}
    assert known <= {path for _, path in paths(app)}
    assert {("websocket", "/ws"), ("websocket", "/mcp"), ("POST", "/mcp")} <= set(paths(app))


def test_every_route_but_the_probes_refuses_a_caller_without_the_token(guarded: TestClient) -> None:
    app: Any = guarded.app
    listed = [each for each in paths(app) if each[1] not in ("/health", "/ready")]
    assert len(listed) > 20
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
        got = {(kind, path): answered(guarded, kind, path, headers) for kind, path in listed}
        assert {each: status for each, status in got.items() if status != 401} == {}


def test_health_needs_no_token(guarded: TestClient) -> None:
    assert guarded.get("/health").json() == {"status": "healthy"}


@pytest.mark.parametrize("path", ["/health/", "//health", "/health?x=1/ws", "/healthy"])
def test_a_path_that_looks_like_health_is_not_open_for_more(guarded: TestClient, path: str) -> None:
    answer = guarded.get(path)
    assert answer.status_code == 401 or answer.json() == {"status": "healthy"}


def test_the_token_opens_http_mcp_and_websocket(guarded: TestClient) -> None:
    assert guarded.get("/metrics", headers=ALLOWED).status_code == 200
    assert guarded.post("/mcp", json={}, headers=ALLOWED).json()["jsonrpc"] == "2.0"
    with guarded.websocket_connect("/ws", headers=ALLOWED) as socket:
        socket.send_json({"type": "state"})
        assert socket.receive_json()["type"] == "state"


def test_a_browser_trades_the_token_for_a_cookie_and_the_address_loses_it(
    guarded: TestClient,
) -> None:
    answer = guarded.get(f"/web?token={TOKEN}&__theme=dark")
    assert (answer.status_code, answer.headers["location"]) == (303, "/web?__theme=dark")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert guarded.get("/web/config").status_code == 200
    guarded.cookies.clear()
    assert guarded.get("/web/config").status_code == 401


@pytest.mark.parametrize("path", ["/web?token=wrong", f"/metrics?token={TOKEN}", "/web?token="])
def test_a_token_in_the_address_opens_nothing_else(guarded: TestClient, path: str) -> None:
    answer = guarded.get(path)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_a_forged_cookie_opens_nothing(guarded: TestClient) -> None:
    for value in (TOKEN, "0" * 64, "=;,"):
        headers = {"cookie": f"metric_tracker_web={value}"}
        assert guarded.get("/metrics", headers=headers).status_code == 401


@pytest.fixture(scope="module")
def choosy() -> Iterator[TestClient]:
    allowed = ("https://trainer.example",)
    app = build_app(
        Settings(allowed_origins=allowed, episode_store="memory", max_message_bytes=2000)
    )
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("https://trainer.example", 200),
        ("http://testserver", 200),
        ("https://trainer.example.evil.example", 403),
        ("null", 403),
        ("https://evil.example", 403),
    ],
)
def test_only_pages_of_allowed_origins_may_call(
    choosy: TestClient, origin: str | None, status: int
) -> None:
    headers = {"origin": origin} if origin else {}
    assert choosy.get("/metadata", headers=headers).status_code == status
    expected = 101 if status == 200 else status
    assert answered(choosy, "websocket", "/ws", headers) == expected


def test_a_body_over_the_limit_is_refused_whether_announced_or_not(choosy: TestClient) -> None:
    long = json.dumps({"action": {"analysis_method": "x" * 3000}})
    assert choosy.post("/step", content=long).status_code == 413

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(long), 500):
            yield long[at : at + 500].encode()

    assert choosy.post("/step", content=pieces()).status_code == 413
    assert choosy.post("/step", content=long[:20] + '"}}').status_code == 422


def test_a_websocket_message_over_the_limit_ends_the_session_with_a_reason(
    choosy: TestClient,
) -> None:
    with choosy.websocket_connect("/ws") as socket:
        socket.send_text('{"type":"state","data":"' + "x" * 3000 + '"}')
        assert "2000 bytes" in socket.receive_json()["data"]["message"]
        assert socket.receive()["code"] == 1009
