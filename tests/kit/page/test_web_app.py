"""What the server serves below /web."""

from __future__ import annotations

import re

import gradio as gr
import httpx
import pytest
import websockets.sync.client
from fastapi import FastAPI
from starlette.routing import Mount

from openenv_kit.environment import get_environment
from openenv_kit.page import is_debugger_enabled
from openenv_kit.page.environment_view import get_environment_view_or_default
from openenv_kit.page.route_filter import IMMUTABLE_CACHE_CONTROL
from openenv_kit.page.web_app import (
    POLL_S,
    build_environment_links,
    mount_debugger,
)
from openenv_kit.serving.settings import Settings
from support.browser import WebServer

pytestmark = pytest.mark.slow

PLAYGROUND = [
    ("POST", "/web/reset"),
    ("POST", "/web/step"),
    ("GET", "/web/state"),
    ("GET", "/web/metadata"),
]
GRADIO = [
    ("GET", "/web/monitoring"),
    ("GET", "/web/monitoring/summary"),
    ("GET", "/web/gradio_api/runs"),
    ("GET", "/web/gradio_api/app_id"),
    ("GET", "/web/gradio_api/vibe-code"),
    ("POST", "/web/gradio_api/vibe-edit"),
    ("GET", "/web/gradio_api/proxy=https://example.org/"),
    ("POST", "/web/gradio_api/reset"),
    ("POST", "/web/gradio_api/run/start"),
    ("POST", "/web/gradio_api/call/start"),
    ("GET", "/web/gradio_api/file=/etc/hostname"),
    ("GET", "/web/manifest.json"),
]


@pytest.mark.parametrize(("method", "path"), PLAYGROUND + GRADIO)
def test_nothing_is_served_that_the_page_does_not_ask_for(
    web: WebServer, method: str, path: str
) -> None:
    answer = httpx.request(method, web.url + path, json={} if method == "POST" else None)
    assert answer.status_code == 404


def test_websocket_of_the_frameworks_page_is_rejected(web: WebServer) -> None:
    address = f"{web.url.replace('http', 'ws')}/ws/ui"
    with pytest.raises(websockets.InvalidStatus), websockets.sync.client.connect(address):
        pass


def test_page_has_no_playground_tab(web: WebServer) -> None:
    config = httpx.get(f"{web.url}/web/config").json()
    labels = [each["props"].get("label") for each in config["components"]]
    assert "Runs" in labels
    assert "Playground" not in labels


@pytest.mark.parametrize("path", ["/", "/web"])
def test_the_way_to_the_page_keeps_the_query(web: WebServer, path: str) -> None:
    answer = httpx.get(f"{web.url}{path}?__theme=dark")
    assert (answer.status_code, answer.headers["location"]) == (307, "/web/?__theme=dark")


@pytest.mark.parametrize(
    ("path", "target"),
    [("/", "/drilldown/web/"), ("/web", "/drilldown/web/"), ("/drilldown/web", "/drilldown/web/")],
)
def test_address_that_names_another_environment_leads_to_its_page(
    web: WebServer, path: str, target: str
) -> None:
    query = "?environment=drilldown&task=x"
    assert httpx.get(f"{web.url}{path}{query}").headers["location"] == f"{target}{query}"


def test_address_with_an_unknown_environment_leads_to_the_page(web: WebServer) -> None:
    answer = httpx.get(f"{web.url}/?environment=//evil.example")
    assert answer.headers["location"] == "/web/?environment=//evil.example"


def test_the_page_looks_for_clicks_less_often_than_gradio_would() -> None:
    app = FastAPI()
    mount_debugger(app, Settings())
    pages = [each.app for each in app.routes if isinstance(each, Mount)]
    queues = [page.blocks._queue for page in pages if isinstance(page, gr.routes.App)]
    assert [queue.sleep_when_free for queue in queues] == [POLL_S]


@pytest.mark.parametrize(
    ("path", "accepts", "encoding"),
    [("/", "gzip, br", "gzip"), ("/", "identity", None), ("/theme.css", "gzip", "gzip")],
)
def test_the_page_goes_out_compressed_to_those_who_take_it(
    web: WebServer, path: str, accepts: str, encoding: str | None
) -> None:
    answer = httpx.get(f"{web.url}/web{path}", headers={"accept-encoding": accepts})
    assert answer.headers.get("content-encoding") == encoding
    assert "{" in answer.text


def test_the_routes_are_listed_without_anything_from_elsewhere(web: WebServer) -> None:
    page = httpx.get(f"{web.url}/docs").text
    for route in ("POST /mcp", "GET /metadata", "GET /schema"):
        assert f"<code>{route}</code>" in page
    assert "http" not in page.partition("<ul>")[0].replace("HTTP", "")
    assert "<script" not in page
    assert httpx.get(f"{web.url}/openapi.json").status_code == 200
    assert httpx.get(f"{web.url}/redoc").status_code == 404


def test_nothing_is_drawn_without_the_style_sheet_and_no_charts_are_fetched(
    web: WebServer,
) -> None:
    page = httpx.get(f"{web.url}/web/").text
    assert page.index(".mt-status") < page.index("<gradio-app")
    assert "PlotlyPlot" not in page.partition("<body")[0]
    (script,) = re.findall(r'<script [^>]*type="module"[^>]*src="[.]?(/assets/[^"]*)"', page)[:1]
    kept = httpx.get(f"{web.url}/web{script}")
    assert (kept.status_code, kept.headers["cache-control"]) == (200, IMMUTABLE_CACHE_CONTROL)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("metric_tracker_rl", ["", "../drilldown/web/", "../firewatch/web/"]),
        ("drilldown", ["../../web/", "", "../../firewatch/web/"]),
        ("firewatch", ["../../web/", "../../drilldown/web/", ""]),
    ],
)
def test_page_links_to_every_environment(name: str, found: list[str]) -> None:
    served = [get_environment(each) for each in ("metric_tracker_rl", "firewatch", "drilldown")]
    doors = build_environment_links(get_environment_view_or_default(get_environment(name)), served)
    assert [each.href for each in doors] == found
    assert [each.environment_view.link_title for each in doors] == [
        "Funnel",
        "Drill-down",
        "Firewatch",
    ]


def tags(page: str) -> dict[str, list[str]]:
    """Contents of the page's meta tags, by name."""
    found: dict[str, list[str]] = {}
    for tag in re.findall(r"<meta[^>]*>", page):
        said = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        name = said.get("property") or said.get("name")
        if name:
            found.setdefault(name, []).append(said.get("content", ""))
    return found


def test_a_shared_link_shows_this_project(web: WebServer) -> None:
    page = httpx.get(f"{web.url}/web/").text
    head = page[: page.index("window.gradio_config")]
    assert re.findall("<title>(.*?)</title>", head) == ["Metric Tracker RL"]
    found = tags(head)
    assert found["og:title"] == ["Metric Tracker RL"]
    (description,) = found["og:description"]
    assert "funnel" in description
    assert found["description"] == [description]
    assert all(len(contents) == 1 for contents in found.values()), found
    assert "gradio" not in "".join(map("".join, found.values())).lower()
    assert 'rel="manifest"' not in page
    assert "og:image" not in found, "Gradio's own picture"


def test_the_page_is_on_where_the_framework_would_have_its_own() -> None:
    assert not is_debugger_enabled({})
    assert not is_debugger_enabled({"ENABLE_WEB_INTERFACE": "false"})
    assert is_debugger_enabled({"ENABLE_WEB_INTERFACE": "True"})
