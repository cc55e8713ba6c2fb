"""The debugger inside the frame of a Hugging Face Space, over HTTPS and with a token."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, Response, expect, sync_playwright

from support.browser import CHROMIUM, FLAGS
from support.live_server import served

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SPACE, OUTSIDE, STRANGER = "me-lab.hf.space", "huggingface.co", "evil.example"
TOKEN = "a-token-long-enough"
FRAME = f"""<!doctype html><title>outside</title><body><script>
const frame = document.createElement('iframe');
frame.src = `https://{SPACE}/web${{location.search}}${{location.hash}}`;
frame.width = 1200;
frame.height = 800;
document.body.append(frame);
window.messages = [];
addEventListener('message', ({{ origin, data }}) => {{
  if (origin !== 'https://{SPACE}') return;
  window.messages.push(data);
  history.replaceState(null, '', `?${{data.queryString}}#${{data.hash}}`);
}});
</script>"""
"""The hub's page: it loads the frame with its query and hash, and takes both from the messages."""


class TlsFront:
    """Ends TLS for a server, as a Space's proxy does; for other names it is a page with a frame."""

    def __init__(self, folder: Path, server_port: int) -> None:
        self._server_port = server_port
        key, certificate = folder / "key.pem", folder / "cert.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-subj", "/CN=localhost"),
                *("-pkeyopt", "ec_paramgen_curve:P-256"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._loop = asyncio.new_event_loop()
        started = asyncio.run_coroutine_threadsafe(self._start(), self._loop)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = started.result(30)

    async def _start(self) -> int:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=self._context)
        return int(self._server.sockets[0].getsockname()[1])

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if f"host: {SPACE}".encode() in head.lower():
                await self._forward(head, reader, writer)
            else:
                path = head.split(b" ")[1].decode()
                kind, body = "text/html", FRAME
                if path.startswith("/api/"):
                    kind, body = "text/plain", "the page has asked the hub"
                headers = (
                    "HTTP/1.1 200 OK",
                    f"content-type: {kind}",
                    f"content-length: {len(body)}",
                    "access-control-allow-origin: *",
                    "connection: close",
                )
                writer.write("\r\n".join((*headers, "", body)).encode())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _forward(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        inner_writer.write(head)

        async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(1 << 16):
                    target.write(data)
                    await target.drain()
            finally:
                target.close()

        pipes = pipe(reader, inner_writer), pipe(inner_reader, writer)
        await asyncio.gather(*pipes, return_exceptions=True)

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@pytest.fixture(scope="module", params=[TOKEN, ""], ids=["token", "no_token"])
def token(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def front(token: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsFront]:
    folder = tmp_path_factory.mktemp("space")
    env = {
        **os.environ,
        "ENABLE_WEB_INTERFACE": "true",
        "OPENENV_KIT_TOKEN": token,
        "OPENENV_KIT_EPISODE_STORE": str(folder / "s.db"),
        "SPACE_HOST": SPACE,
        "SPACE_ID": "me/lab",
    }
    with served("--host", "0.0.0.0", env=env) as url:
        made = TlsFront(folder, int(url.rpartition(":")[2]))
        yield made
        made.close()


@pytest.fixture(scope="module")
def chromium(front: TlsFront) -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    rules = ",".join(f"MAP {name} 127.0.0.1:{front.port}" for name in (SPACE, OUTSIDE, STRANGER))
    flags = [*FLAGS, f"--host-resolver-rules={rules}", "--ignore-certificate-errors"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def test_page_in_the_frame_of_a_space_plays_and_breaks_no_policy(page: Page, token: str) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    requested: set[str] = set()
    page.on("request", lambda request: requested.add(request.url.partition("?")[0]))
    policies: set[str] = set()
    page.on("response", lambda response: policies.add(read_policy(response)))
    inside = open_space(page, token)
    inside.locator("#mt-first .mt-btn.primary").click(timeout=60_000)
    expect(inside.locator(".mt-budget")).to_contain_text("3 of 64 steps", timeout=60_000)
    cookies = page.context.cookies()
    assert len(cookies) == (1 if token else 0)
    for cookie in cookies:
        assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"]) == ("None", True, True)
        assert OUTSIDE in cookie["partitionKey"]
    for name in ("Runs", "Leaderboard", "Connect", "Your data"):
        inside.get_by_role("tab", name=name).click()
    expect(inside.locator("#mt-own")).to_be_visible(timeout=60_000)
    assert any(policy.startswith("default-src 'none'") for policy in policies)
    assert [line for line in said if "policy" in line.lower()] == []
    own = (f"https://{OUTSIDE}/", f"https://{SPACE}/")
    assert [url for url in requested if url != own[0] and not url.startswith(own[1])] == []
    said.clear()
    page.goto(f"https://{STRANGER}/?token={token}")
    with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
        page.reload()


def read_policy(response: Response) -> str:
    is_page = response.url.startswith(f"https://{SPACE}/web/") and response.status == 200
    return response.headers.get("content-security-policy", "") if is_page else ""


def open_space(page: Page, token: str, *, has_storage: bool = True) -> FrameLocator:
    if not has_storage:
        page.add_init_script(DENY_STORAGE)
    page.goto(f"https://{OUTSIDE}/" + (f"?token={token}" if token else ""))
    return page.frame_locator("iframe")


DENY_STORAGE = """
for (const name of ['sessionStorage', 'localStorage']) {
  Object.defineProperty(window, name, {
    get: () => { throw new DOMException('Access is denied for this document.', 'SecurityError'); },
  });
}
"""
"""What browsers do in a frame of another site if third-party cookies are blocked."""


@pytest.mark.parametrize("token", [TOKEN], indirect=True)
def test_play_without_storage_survives_a_switch_of_the_environment_and_a_reload(
    page: Page, token: str
) -> None:
    inside = open_space(page, token, has_storage=False)
    inside.locator("#mt-first .mt-btn.primary").click(timeout=60_000)
    expect(inside.locator(".mt-budget")).to_contain_text("3 of 64", timeout=60_000)
    inside.locator("#mt-ask [data-mt=ask]").first.click()
    expect(inside.locator(".mt-budget")).to_contain_text("4 of 64", timeout=60_000)
    page.wait_for_function("location.hash.includes('play=')")
    switch_environment(inside, "Drill-down")
    inside.locator("#mt-first .mt-btn.primary").click(timeout=60_000)
    expect(inside.locator(".mt-budget")).to_contain_text("1 of", timeout=60_000)
    page.wait_for_function("location.hash.includes('&play=') || location.hash.includes('#play=')")
    switch_environment(inside, "Funnel")
    expect(inside.locator(".mt-budget")).to_contain_text("4 of 64", timeout=60_000)
    switch_environment(inside, "Drill-down")
    expect(inside.locator(".mt-budget")).to_contain_text("1 of", timeout=60_000)
    page.wait_for_function("location.search.includes('environment=drilldown')")
    page.reload()  # of the hub's page, whose address names the environment and both plays
    expect(inside.locator(".mt-budget")).to_contain_text("1 of", timeout=60_000)
    switch_environment(inside, "Funnel")
    expect(inside.locator(".mt-budget")).to_contain_text("4 of 64", timeout=60_000)


def switch_environment(inside: FrameLocator, name: str) -> None:
    inside.locator(".mt-menu summary").click()
    inside.locator(".mt-door", has_text=name).click()
    expect(inside.locator(".mt-menu summary")).to_have_text(name, timeout=60_000)


@pytest.mark.parametrize("token", [TOKEN], indirect=True)
def test_space_posts_query_and_hash_to_the_hub_as_the_hub_documents(page: Page, token: str) -> None:
    inside = open_space(page, token)
    inside.locator("#mt-first .mt-btn.primary").click(timeout=60_000)
    page.wait_for_function("location.hash.startsWith('#play=')")
    message = page.evaluate("window.messages.at(-1)")
    assert set(message) == {"queryString", "hash"}
    query = dict(parse_qsl(message["queryString"]))
    assert query["environment"] == "metric_tracker_rl"
    assert query["task"]
    assert message["hash"].startswith("play=")
    assert TOKEN not in json.dumps(page.evaluate("window.messages"))
    inside.get_by_role("tab", name="Leaderboard").click()
    page.wait_for_function("location.search.includes('tab=leaderboard')")


@pytest.mark.parametrize("token", [TOKEN], indirect=True)
def test_links_in_a_space_lead_to_its_files(page: Page, token: str) -> None:
    inside = open_space(page, token)
    links = inside.locator(".mt-headlinks > a")
    expect(links).to_have_text(["Docs", "Source"], timeout=60_000)
    hrefs = links.evaluate_all("all => all.map((each) => each.href)")
    assert hrefs == [
        "https://huggingface.co/spaces/me/lab/blob/main/docs/index.md",
        "https://huggingface.co/spaces/me/lab/tree/main",
    ]
