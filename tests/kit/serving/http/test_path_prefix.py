"""The server behind proxies: prefixes, slashes, HEAD and idle connections."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route
from starlette.testclient import TestClient
from websockets.sync.client import connect

from openenv_kit.environment import get_environment
from openenv_kit.errors import InvalidValueError
from openenv_kit.serving.app import build_app
from openenv_kit.serving.http.environment_mounts import load_and_validate_other_environments
from openenv_kit.serving.settings import Settings, load_settings
from support.live_server import free_port
from support.paths import ROOT
from support.raw_connections import Server, read_all, running
from support.server_requests import send_message

FULL = bool(os.environ.get("METRIC_TRACKER_FULL"))
PREFIX = "/lab/env"
TOKEN = "a-token-long-enough"
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}},
}


@pytest.fixture(autouse=True)
def _page_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_WEB_INTERFACE", "true")


@contextlib.contextmanager
def client_of(**settings: Any) -> Iterator[TestClient]:
    others = [get_environment(name) for name in ("drilldown", "firewatch")]
    chosen = Settings(episode_store="memory", **settings)
    app = build_app(chosen, get_environment("metric_tracker_rl"), others)
    with TestClient(app, follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ENABLE_WEB_INTERFACE", "true")
        with client_of() as made:
            yield made


@pytest.fixture(scope="module")
def prefixed() -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ENABLE_WEB_INTERFACE", "true")
        with client_of(root_path=PREFIX) as made:
            yield made


# HEAD and slashes.


def test_head_is_answered_like_get_without_a_body(client: TestClient) -> None:
    app: Any = client.app
    found = [each for each in app.routes if isinstance(each, Route) and "GET" in each.methods]
    paths = {each.path for each in found if "{" not in each.path}
    assert {"/health", "/ready", "/metrics", "/docs", "/openapi.json", "/", "/web"} <= paths
    for path in (*paths, "/web/", "/web/config", "/drilldown/ready", "/firewatch/web/"):
        got, head = client.get(path), client.head(path)
        assert head.status_code == got.status_code, path
        assert head.content == b""
        assert head.headers.get("content-type") == got.headers.get("content-type")
    assert client.head("/mcp").status_code == client.get("/mcp").status_code == 405
    assert client.head("/reset").status_code == 405


def test_head_of_a_stream_ends_at_once(client: TestClient) -> None:
    assert client.head("/web/gradio_api/heartbeat/mine").status_code == 200


def test_head_is_refused_where_get_is() -> None:
    with client_of(token=TOKEN) as client:
        for path in ("/metrics", "/docs", "/web/"):
            assert client.head(path).status_code == 401
        assert client.head("/health").status_code == 200


@pytest.mark.parametrize("at", ["", "/drilldown"])
def test_slash_at_the_end_changes_nothing(client: TestClient, at: str) -> None:
    for path in ("/mcp", "/mcp/"):
        opened = client.post(f"{at}{path}", json=HELLO)
        assert opened.status_code == 200
        session = {"mcp-session-id": opened.headers["mcp-session-id"]}
        assert client.delete(f"{at}{path}", headers=session).status_code == 204
        assert client.get(f"{at}{path}").status_code == 405
    assert client.post(f"{at}/reset/", json={}).status_code == 200
    for path in ("/health/", "/ready/", "/state/", "/docs/"):
        assert client.get(f"{at}{path}").status_code == 200
    with client.websocket_connect(f"{at}/ws/") as socket:
        assert send_message(socket, "reset", {})["observation"]["status"] != "error"
    assert client.get(f"{at}/nowhere/").status_code == 404


def test_slash_at_the_end_opens_no_more_to_a_player() -> None:
    player = {"authorization": "Bearer another-token-for-players"}
    with client_of(token=TOKEN, player_token="another-token-for-players") as client:
        assert client.post("/mcp/", json=HELLO, headers=player).status_code == 200
        assert client.post("/reset/", json={}, headers=player).status_code == 403
        assert client.get("/metrics/", headers=player).status_code == 403
        assert client.get("/metrics/").status_code == 401


def test_no_redirect_names_a_host(client: TestClient) -> None:
    for path in (
        "/",
        "/web",
        "/drilldown",
        "/drilldown/",
        "/drilldown/web",
        "/as/x",
        "/firewatch/as/x",
    ):
        answer = client.get(path, headers={"x-forwarded-proto": "https"})
        assert not answer.headers.get("location", "").startswith("http"), path


# The prefix.


@pytest.mark.parametrize("at", [PREFIX, ""], ids=["kept", "stripped"])
def test_prefix_is_served_whether_or_not_a_proxy_strips_it(prefixed: TestClient, at: str) -> None:
    assert prefixed.get(f"{at}/health").json() == {"status": "healthy"}
    for path in ("/", "/web"):
        assert prefixed.get(f"{at}{path}").headers["location"] == f"{PREFIX}/web/"
    assert prefixed.get(f"{at}/drilldown/web").headers["location"] == f"{PREFIX}/drilldown/web/"
    for name in ("", "/drilldown"):
        page = prefixed.get(f"{at}{name}/web/").text
        links = re.findall(r'(?:src|href)="(/[^"]*)"', page)
        assert not [link for link in links if not link.startswith(f"{PREFIX}/")]
        (root,) = re.findall(r'"root":\s*"([^"]*)"', page)
        assert root.endswith(f"{PREFIX}{name}/web")
        assert prefixed.get(f"{at}{name}/docs").status_code == 200
        listed = prefixed.get(f"{at}{name}/openapi.json").json()
        assert listed["servers"] == [{"url": f"{PREFIX}{name}"}]
    assert prefixed.post(f"{at}/mcp/", json=HELLO).status_code == 200
    with prefixed.websocket_connect(f"{at}/drilldown/ws") as socket:
        assert send_message(socket, "state")["status"] == "idle"


def test_prefix_limits_the_page_s_cookie() -> None:
    with client_of(root_path=PREFIX, token=TOKEN) as client:
        for path in ("/web", f"{PREFIX}/web"):
            client.cookies.clear()
            answer = client.get(f"{path}?token={TOKEN}")
            assert answer.headers["location"] == f"{PREFIX}/web"
            assert f"Path={PREFIX};" in answer.headers["set-cookie"]


@pytest.mark.parametrize("given", ["lab", "/lab env", "/", "//", "/a//b", "/lab?x"])
def test_prefix_that_is_no_path_is_refused(given: str) -> None:
    variable = {"OPENENV_KIT_ROOT_PATH": given}
    if given == "/":
        assert load_settings(variable).root_path == ""
        return
    with pytest.raises(InvalidValueError, match="OPENENV_KIT_ROOT_PATH"):
        load_settings(variable)


@pytest.mark.parametrize("given", ["/web", "/drilldown/x", "/ws"])
def test_prefix_that_looks_like_an_own_path_is_refused(given: str) -> None:
    with pytest.raises(InvalidValueError, match=r"OPENENV_KIT_ROOT_PATH.*own"):
        load_and_validate_other_environments(
            get_environment("metric_tracker_rl"), Settings(root_path=given)
        )


# Idle connections.


def test_idle_connections_outlive_those_of_proxies() -> None:
    assert Settings().keep_alive_s > 60


@pytest.mark.slow
def test_connection_idle_between_requests_outlives_the_time_for_a_request(tmp_path: Path) -> None:
    settings = {"OPENENV_KIT_REQUEST_TIMEOUT_S": "1", "OPENENV_KIT_KEEP_ALIVE_S": "3"}
    with running(tmp_path, **settings) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for _ in range(2):
            connection.request("GET", "/health")
            assert connection.getresponse().read()
            same = connection.sock
            time.sleep(1.6)
        assert connection.sock is same
        # A request that has begun has no longer than any other.
        same.sendall(b"GET /health HTTP/1.1\r\n")
        assert read_all(same) == b""
        connection.close()
        with server.connect() as idle:  # and one that has not, as long as the setting says
            idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_all(idle).startswith(b"HTTP/1.1 200")


# A real nginx, set up as docs/serving.md says.


def example_of_the_docs() -> str:
    page = (ROOT / "docs" / "serving.md").read_text()
    (example,) = re.findall(r"```nginx\n(.+?)```", page, re.S)
    return str(example)


@contextlib.contextmanager
def nginx(folder: Path, server: Server, prefix: str) -> Iterator[int]:
    """Debian's nginx in front of a server; yields its port."""
    port = free_port()
    example = example_of_the_docs().replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
    example = example.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    example = re.sub(r"\n +ssl_\w+ [^\n]+", "", example)
    example = example.replace("/lab/env/", f"{prefix}/")
    temporary = [f"{kind}_temp_path {folder}/{kind};" for kind in NGINX_FOLDERS]
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; "
        "events {} "
        f"http {{ access_log off; {' '.join(temporary)} {example} }}"
    )
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen([binary, "-c", str(config), "-p", str(folder)])
    try:
        for _ in range(100):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}{prefix}/health")
                break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(30)


NGINX_FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
IDLE_S = 62
"""Longer than the proxies' usual minute."""


def test_example_of_the_docs_fits_the_settings() -> None:
    example = example_of_the_docs()
    (kept,) = re.findall(r"keepalive_timeout (\d+)s;", example)
    assert int(kept) < Settings().keep_alive_s
    (size,) = re.findall(r"client_max_body_size (\d+)m;", example)
    assert int(size) << 20 >= Settings().max_message_bytes


@pytest.mark.slow
@pytest.mark.skipif(not FULL, reason="waits for more than a minute; METRIC_TRACKER_FULL=1")
@pytest.mark.parametrize("prefix", ["", PREFIX], ids=["root", "prefix"])
def test_server_behind_nginx(tmp_path: Path, prefix: str) -> None:
    if not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()):
        pytest.fail("no nginx; the full run needs it: apt-get install nginx-light")
    settings = {"OPENENV_KIT_ROOT_PATH": prefix, "ENABLE_WEB_INTERFACE": "true"}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(tmp_path, **settings))
        port = stack.enter_context(nginx(tmp_path, server, prefix))
        address = f"http://127.0.0.1:{port}{prefix}"
        client = stack.enter_context(httpx.Client(base_url=f"{address}/"))
        playing = stack.enter_context(connect(f"{address.replace('http', 'ws')}/ws"))
        playing.send(json.dumps({"type": "reset", "data": {}}))
        assert json.loads(playing.recv(30))["type"] == "observation"
        for path in ("health", "ready", "docs", "openapi.json", "web/"):
            assert client.get(path).status_code == client.head(path).status_code == 200
        led = client.get("web")
        assert httpx.MCP_URL(address).join(led.headers["location"]) == f"{address}/web/"
        page = client.get("web/").text
        assert f'"root":"{address}/web"' in page.replace(": ", ":")
        for script in re.findall(r'src="([^"]+\.js)"', page)[:3]:
            assert client.get(httpx.MCP_URL(f"{address}/web/").join(script)).status_code == 200
        for path in ("mcp", "mcp/"):
            opened = client.post(path, json=HELLO)
            assert opened.status_code == 200
            session = {"mcp-session-id": opened.headers["mcp-session-id"]}
            tools = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
            assert client.post(path, json=tools, headers=session).json()["result"]["tools"]
        episode_id = client.post("reset", json={}).json()["episode_id"]
        time.sleep(IDLE_S)
        playing.send(json.dumps({"type": "step", "data": {}}))
        assert json.loads(playing.recv(30))["data"]["done"]
        body = {"episode_id": episode_id, "action": {}}
        assert client.post("step", json=body).json()["done"]
        assert "upstream prematurely closed" not in (tmp_path / "error.log").read_text()
        asyncio.run(_hammer(f"{address}/health"))


async def _hammer(url: str) -> None:
    """Many requests over connections that are reused."""
    async with httpx.AsyncClient() as client:
        for _ in range(20):
            answers = await asyncio.gather(*(client.get(url) for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}
