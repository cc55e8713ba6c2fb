"""Access by token, role, origin and host, route by route."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse

from openenv_kit.environment import get_environment
from openenv_kit.serving.app import build_app
from openenv_kit.serving.http.access_control import PATHS_WITHOUT_TOKEN
from openenv_kit.serving.http.middleware import RequestMiddleware
from openenv_kit.serving.roles import PLAYER_ROUTES
from openenv_kit.serving.settings import Settings

TOKEN = "a-token-for-tests-only"
PLAYER_TOKEN = "a-token-for-players-only"
ALLOWED = {"authorization": f"Bearer {TOKEN}"}
PLAYING = {"authorization": f"Bearer {PLAYER_TOKEN}"}
PAGE = "https://trainer.example"


@pytest.fixture(scope="module")
def guarded(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENABLE_WEB_INTERFACE", "true")
        app = build_app(
            Settings(
                token=TOKEN,
                player_token=PLAYER_TOKEN,
                episode_store="memory",
                allowed_origins=(PAGE,),
            )
        )
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


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_without_origin_may_read_and_not_change(
    guarded: TestClient, site: str
) -> None:
    headers = {**ALLOWED, "sec-fetch-site": site}
    for path in ("/reset", "/step", "/mcp"):
        assert answered(guarded, "POST", path, headers) == 403
    assert answered(guarded, "websocket", "/ws", headers) == 403
    assert answered(guarded, "GET", "/health", headers) == 200
    assert (
        answered(guarded, "websocket", "/ws", {**ALLOWED, "sec-fetch-site": "same-origin"}) == 101
    )


@pytest.mark.slow
def test_list_of_routes_contains_all_known_routes(guarded: TestClient) -> None:
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
def test_path_similar_to_health_needs_a_token(guarded: TestClient, path: str) -> None:
    answer = guarded.get(path)
    assert answer.status_code == 401 or answer.json() == {"status": "healthy"}


def test_the_token_opens_http_mcp_and_websocket(guarded: TestClient) -> None:
    assert guarded.get("/metrics", headers=ALLOWED).status_code == 200
    assert guarded.post("/mcp", json={}, headers=ALLOWED).json()["jsonrpc"] == "2.0"
    with guarded.websocket_connect("/ws", headers=ALLOWED) as socket:
        socket.send_json({"type": "state"})
        assert socket.receive_json()["type"] == "state"


def test_token_in_the_address_becomes_a_cookie(
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
def test_wrong_or_misplaced_token_in_the_address_is_rejected(
    guarded: TestClient, path: str
) -> None:
    answer = guarded.get(path)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_a_forged_cookie_opens_nothing(guarded: TestClient) -> None:
    for value in (TOKEN, "0" * 64, "=;,"):
        headers = {"cookie": f"openenv_kit_web={value}"}
        assert guarded.get("/metrics", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "other", ["\\351", 'prefs={"theme": "dark", "n": [1, 2]}', "a;b;=;,", "x="]
)
def test_cookies_of_others_change_nothing(guarded: TestClient, other: str) -> None:
    """They come in any form, before ours or after it, and ours may be there twice."""
    ticket = guarded.get(f"/web?token={TOKEN}").headers["set-cookie"].partition(";")[0]
    guarded.cookies.clear()
    for cookie in (
        f"{other}; {ticket}",
        f"{ticket}; {other}",
        f"openenv_kit_web={other}; {ticket}",
    ):
        sent = {"cookie": cookie.encode("latin-1")}
        assert guarded.get("/metrics", headers=sent).status_code == 200  # type: ignore[arg-type]
    for cookie in (other, f"openenv_kit_web={other}", 'openenv_kit_web="\xe9"'):
        sent = {"cookie": cookie.encode("latin-1")}
        assert guarded.get("/metrics", headers=sent).status_code == 401  # type: ignore[arg-type]


def test_a_token_of_other_letters_is_refused_and_not_an_error(guarded: TestClient) -> None:
    sent = {"authorization": "Bearer \xe9\xff".encode("latin-1")}
    assert guarded.get("/metrics", headers=sent).status_code == 401  # type: ignore[arg-type]


def test_player_token_opens_player_routes_only(guarded: TestClient) -> None:
    app: Any = guarded.app
    got = {(kind, path): answered(guarded, kind, path, PLAYING) for kind, path in paths(app)}
    denied = {each for each, status in got.items() if status == 403}
    assert denied == {
        each for each in got if each not in PLAYER_ROUTES and each[1] not in PATHS_WITHOUT_TOKEN
    }
    assert got["websocket", "/ws"] == got["websocket", "/mcp"] == 101
    assert not {401, 403} & {got["POST", "/step"], got["POST", "/mcp"]}
    assert guarded.get(f"/web?token={PLAYER_TOKEN}").status_code == 401


async def never(*_: Any) -> Any:
    raise AssertionError("answered by the gate")


async def test_empty_player_token_is_rejected() -> None:
    app = RequestMiddleware(never, Settings(token=TOKEN))
    client = TestClient(app)
    for header in ("Bearer ", "Bearer", "bearer  "):
        assert client.post("/step", headers={"authorization": header}).status_code == 401


@pytest.mark.parametrize(
    "tokens", [{"player_token": TOKEN}, {"player_token": TOKEN, "token": TOKEN}]
)
def test_a_player_s_token_needs_another_one_for_the_trainer(tokens: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="player_token") as refused:
        Settings(**tokens)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("path", ["/reset", "/step", "/mcp", "/metrics"])
def test_a_browser_may_ask_first_without_the_token(guarded: TestClient, path: str) -> None:
    asked = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type, x-request-id",
    }
    answer = guarded.options(path, headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert {"authorization", "x-request-id"} <= set(allowed.split(", "))
    refused = guarded.options(path, headers={**asked, "origin": "https://evil.example"})
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers


def test_a_page_can_read_why_it_was_refused(guarded: TestClient) -> None:
    answer = guarded.post("/reset", json={}, headers={"origin": PAGE})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()


def test_under_a_path_prefix_the_same_routes_are_open(guarded: TestClient) -> None:
    outer = Starlette(routes=[Mount("/prefix", guarded.app)])
    client = TestClient(outer, follow_redirects=False)
    assert client.get("/prefix/health").json() == {"status": "healthy"}
    for path in ("/prefix/metrics", "/prefix/prefix/health", "/prefix/health/metrics"):
        assert client.get(path).status_code == 401
    answer = client.get(f"/prefix/web?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/prefix/web")
    assert client.post("/prefix/step", json={}, headers=PLAYING).status_code == 422
    assert client.post("/prefix/reset", json={}, headers=PLAYING).status_code == 403


def test_gradio_s_own_monitoring_is_not_there(guarded: TestClient) -> None:
    for path in ("/web/monitoring", "/web/monitoring/summary", "/web/monitoring/key"):
        assert guarded.get(path, headers=ALLOWED).status_code == 404


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
        ("HTTPS://Trainer.Example", 200),
        ("https://trainer.example:8443", 403),
        ("https://[", 403),
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


@pytest.mark.parametrize(
    ("name", "status"), [("rebound.example", 403), ("10.0.0.7:8000", 200), ("[fd00::1]", 200)]
)
def test_server_with_allowed_origins_accepts_addresses_and_no_other_names(
    choosy: TestClient, name: str, status: int
) -> None:
    headers = {"host": name, "origin": f"http://{name}"}
    assert choosy.get("/metadata", headers=headers).status_code == status
    assert answered(choosy, "websocket", "/ws", headers) == (101 if status == 200 else status)


def test_a_space_knows_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "me-metrics.hf.space")
    own = {"host": "me-metrics.hf.space", "origin": "https://me-metrics.hf.space"}
    chosen = Settings(allowed_origins=(PAGE,), episode_store="memory")
    with TestClient(build_app(chosen)) as client:
        assert client.get("/metadata", headers=own).status_code == 200
        monkeypatch.delenv("SPACE_HOST")
    with TestClient(build_app(chosen)) as client:
        assert client.get("/metadata", headers=own).status_code == 403


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


def test_names_of_environments_need_the_token() -> None:
    settings = Settings(episode_store="memory", token="the trainer's own token")
    app = build_app(settings, get_environment("pipe_leak"), [get_environment("firewatch")])
    bearer = {"authorization": f"Bearer {settings.token}"}
    with TestClient(app) as client:
        answer = client.post("/firewach/reset", json={})
        assert answer.status_code == 401
        assert "firewatch" not in answer.text
        answer = client.post("/firewach/reset", json={}, headers=bearer)
        assert answer.status_code == 404
        assert "Did you mean 'firewatch'?" in answer.json()["detail"]
