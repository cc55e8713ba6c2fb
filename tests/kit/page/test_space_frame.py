"""The debugger inside the frame of a Hugging Face Space, over HTTPS and with a token."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from support.browser import CHROMIUM, FLAGS
from support.live_server import served

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SPACE, OUTSIDE, STRANGER = "me-lab.hf.space", "huggingface.co", "evil.example"
TOKEN = "a-token-long-enough"
FRAME = f'<!doctype html><title>outside</title><iframe src="https://{SPACE}/web/{{query}}">'


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
                path, _, query = head.split(b" ")[1].decode().partition("?")
                kind, body = "text/html", FRAME.format(query=f"?{query}" if query else "")
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


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsFront]:
    folder = tmp_path_factory.mktemp("space")
    env = {
        **os.environ,
        "ENABLE_WEB_INTERFACE": "true",
        "OPENENV_KIT_TOKEN": TOKEN,
        "OPENENV_KIT_EPISODE_STORE": str(folder / "s.db"),
        "SPACE_HOST": SPACE,
    }
    with served("--host", "0.0.0.0", env=env) as url:
        made = TlsFront(folder, int(url.rpartition(":")[2]))
        yield made
        made.close()


def test_page_in_the_frame_of_a_space_plays_with_a_cookie_and_breaks_no_policy(
    front: TlsFront,
) -> None:
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    rules = ",".join(f"MAP {name} 127.0.0.1:{front.port}" for name in (SPACE, OUTSIDE, STRANGER))
    flags = [*FLAGS, f"--host-resolver-rules={rules}", "--ignore-certificate-errors"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = chromium.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        requested: set[str] = set()
        page.on("request", lambda request: requested.add(request.url.partition("?")[0]))
        page.goto(f"https://{OUTSIDE}/?token={TOKEN}")
        inside = page.frame_locator("iframe")
        inside.locator("#mt-first .mt-btn.primary").click(timeout=60_000)
        expect(inside.locator(".mt-budget")).to_contain_text("3 of 64 steps", timeout=60_000)
        (cookie,) = page.context.cookies()
        assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"]) == ("None", True, True)
        assert OUTSIDE in cookie["partitionKey"]
        assert [line for line in said if "policy" in line.lower()] == []
        own = (f"https://{OUTSIDE}/", f"https://{SPACE}/")
        assert [url for url in requested if url != own[0] and not url.startswith(own[1])] == []
        said.clear()
        page.goto(f"https://{STRANGER}/?token={TOKEN}")
        with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
            page.reload()
        chromium.close()
