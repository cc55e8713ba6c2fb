"""Fixtures for the debugger: servers, Chromium and a page in it."""

from __future__ import annotations

import gc
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from support.forked_python import Program, warm_python
from support.live_server import free_port

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
ABORTABLE = ("/queue/data", "/own-data/check", "/own-data/import", "/runs/list")
"""Paths of responses that scripts read as streams, or poll: leaving the page aborts a poll."""
SERVER = ("-m", "server.app", "--host", "127.0.0.1", "--port")
CUT_OFF = """[...document.querySelectorAll('body :is(div, p, li, dl, dd, section, button)')]
  .filter((each) => each.checkVisibility())
  .filter((each) => !each.closest('.mt-scroll, .mt-unseen, .tab-wrapper, pre'))
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
  .map((each) => each.outerHTML.slice(0, 200))"""
"""What is cut off at the right: the page clips instead of scrolling sideways."""
PATIENCE_MS = 120_000
"""Only a test that fails waits as long: four browsers share two busy cores."""
expect.set_options(timeout=PATIENCE_MS)


@dataclass
class WebServer:
    """A server process with the debugger enabled."""

    url: str
    pid: int
    log: Path


def await_page(url: str, server: Program | subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/web/", timeout=10):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server did not come up; exit code {server.poll()}")


@contextmanager
def web_server(log: Path, *program: str, **variables: str) -> Iterator[WebServer]:
    """Run a server on loopback for a block; `program` replaces the server's command."""
    port = free_port()
    environ = {k: v for k, v in os.environ.items() if k != "OPENENV_KIT_DEBUG"}
    environ |= {"ENABLE_WEB_INTERFACE": "true"}
    with log.open("wb") as out:
        server = warm_python(
            *(program or SERVER),
            str(port),
            env=environ | variables,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            await_page(url, server)
            yield WebServer(url, server.pid, log)
        finally:
            # One that is told to end waits ten seconds for pages that are still open.
            server.kill()
            server.wait(timeout=30)


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    log = tmp_path_factory.mktemp("web") / "server.log"
    with web_server(log) as server:
        yield server


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """Start a server in debug mode with low limits."""
    log = tmp_path_factory.mktemp("small") / "server.log"
    variables = {
        "OPENENV_KIT_DEBUG": "true",
        "OPENENV_KIT_MAX_STEPS": "20",
        "OPENENV_KIT_MAX_SUBMISSIONS": "2",
        "GRADIO_TEMP_DIR": str(log.parent),
    }
    with web_server(log, **variables) as server:
        yield server


@pytest.fixture(scope="module")  # its event loop must not outlive its tests
def browser() -> Iterator[BrowserContext]:
    if not CHROMIUM.exists():
        message = f"no Chromium at {CHROMIUM}"
        if os.environ.get("METRIC_TRACKER_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        # One context, and pages that are used again: the page's scripts are fetched and compiled
        # once. A visitor is a load of the page; Gradio gives each a session of its own.
        context = chromium.new_context()
        yield context
        chromium.close()


@pytest.fixture(autouse=True, scope="module")
def _collect_garbage_after_module() -> Iterator[None]:
    """Collect garbage, so that unclosed resources fail the module that left them."""
    yield
    gc.collect()


AXE = """async () => {
  await Promise.all(document.getAnimations().map((each) => each.finished));
  return (await axe.run(document, { resultTypes: ['violations'] })).violations
  .map((each) => `${each.id}: ${each.nodes.map((node) => node.html.slice(0, 160)).join(' ')}`);
}"""


HAS_FOCUS = """([selector, name]) => {
  const here = document.activeElement;
  return here.matches(selector) && (!name || here.textContent.trim() === name);
}"""


@dataclass
class Visit:
    """A page of the debugger in the browser; records its errors."""

    page: Page
    problems: list[str] = field(default_factory=list)
    keyboard: bool = False
    """Whether nothing is done with the mouse."""

    def click(self, selector: str) -> None:
        """Click an element that the keyboard can reach with Tab."""
        if self.keyboard:
            self.press(selector)
        else:
            self.page.click(selector)

    def put(self, selector: str, value: str) -> None:
        """Fill in a field or choose a value in a list, unless it has that value."""
        field = self.page.locator(selector)
        listed = field.evaluate("each => each.tagName") == "SELECT"
        if field.input_value() == value:
            return
        if self.keyboard:
            self.reach(selector)
            label = f"[...document.querySelector({selector!r}).options]"
            label += f".find((each) => each.value === {value!r}).text"
            if not listed:
                self.page.keyboard.press("Control+a")
            self.page.keyboard.type(self.page.evaluate(label) if listed else value)
            self.page.keyboard.press("Tab")
        elif listed:
            field.select_option(value)
        else:
            field.fill(value)
            self.page.keyboard.press("Tab")

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).first.click()

    def reach(self, selector: str, name: str = "", key: str = "Tab") -> None:
        """Move the focus to an element with Tab; `name` is its text."""
        for _ in range(300):
            if self.page.evaluate(HAS_FOCUS, [selector, name]):
                return
            self.page.keyboard.press(key)
        raise AssertionError(f"{selector} {name} is not reached with {key}")

    def press(self, selector: str, name: str = "", *, back: bool = False) -> None:
        """Press a button by keyboard; `back` moves the focus backwards."""
        self.reach(selector, name, "Shift+Tab" if back else "Tab")
        self.page.keyboard.press("Enter")

    def sees(self, selector: str, text: str) -> None:
        expect(self.page.locator(selector).first).to_contain_text(text, timeout=PATIENCE_MS)

    def barriers(self) -> list[str]:
        """Return the violations that axe-core finds on the page."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
        found: list[str] = self.page.evaluate(AXE)
        return found

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()


def listen(visit: Visit) -> Callable[[], None]:
    """Record console errors, failed requests and error responses; return a function that stops."""

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            visit.problems.append(message.text)

    def broke(error: Error) -> None:
        visit.problems.append(str(error))

    def answered(response: Response) -> None:
        if response.status >= 400:
            visit.problems.append(f"{response.status} {response.url}")

    def failed(request: Request) -> None:
        # Gradio's own client closes its event stream once all answers are in. Chromium also
        # reports a response as aborted that a script has read to its end as a stream.
        closed_by_page = request.failure == "net::ERR_ABORTED" and any(
            path in request.url for path in ABORTABLE
        )
        if not closed_by_page:
            visit.problems.append(f"{request.failure} {request.url}")

    heard: list[tuple[Any, Callable[..., None]]] = [
        ("console", said),
        ("pageerror", broke),
        ("response", answered),
        ("requestfailed", failed),
    ]
    for event, hear in heard:
        visit.page.on(event, hear)

    def stop() -> None:
        for event, hear in heard:
            visit.page.remove_listener(event, hear)

    return stop


@pytest.fixture
def visit(browser: BrowserContext, web: WebServer) -> Iterator[Callable[..., Visit]]:
    """Return a function that opens pages; fail if one of them recorded an error."""
    opened: list[Visit] = []
    ends = ExitStack()

    def open_visit(
        width: int = 1280,
        color_scheme: Literal["light", "dark"] = "light",
        url: str = web.url,
        path: str = "/web/",
    ) -> Visit:
        page = browser.pages[0] if browser.pages and not opened else browser.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=color_scheme)
        page.set_default_timeout(PATIENCE_MS)
        new = Visit(page)
        opened.append(new)
        ends.callback(leave, new)
        ends.callback(listen(new))
        page.goto(f"{url}{path}")
        new.sees("#mt-first", "Play an easy episode")
        return new

    with ends:
        yield open_visit
    problems = [each.problems for each in opened]
    assert problems == [[] for _ in opened], problems


FORGET = "sessionStorage.clear(); Storage.prototype.setItem = () => {}"
"""An answer that is still on its way must not be remembered either."""


def leave(visit: Visit) -> None:
    """Nothing of the visit stays in the page, not even the mouse over a chart. A second page is
    closed: one that is behind another is drawn once a second."""
    try:
        visit.page.unroute_all()
        visit.page.evaluate(FORGET)  # else the next visit would go on with this
        visit.page.goto("about:blank")
        visit.page.mouse.move(0, 0)
        if visit.page != visit.page.context.pages[0]:
            visit.page.close()
    except Error as problem:
        visit.problems.append(str(problem))
        visit.page.close()
