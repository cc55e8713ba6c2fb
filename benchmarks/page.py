"""`python -m benchmarks.page`: how light the debugger is, as a browser sees it.

With `--before FOLDER`, another checkout is served and measured in turns with this one.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from benchmarks.server_process import HOST, START_TIMEOUT_S
from openenv_kit.agent.servers import find_free_port

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
]
SCREEN_HEIGHT_PX = 900
STEP_BUTTON = "#mt-scene [data-value=on]"
WATCH_BUTTON = "[data-form=policy] [data-send]"
READY_SELECTOR = ":is(#mt-opening h2, #mt-status b)"
"""Stands on the page once the first answer is shown: from then on it can be used."""
QUIET_S = 2.0
"""How long nothing may arrive before the first load counts as over."""
MAX_FIGURES = {
    "first_kb": 400.0,
    "shift": 0.05,
    "warm_s": 1.0,
    "redraw_ms": 150.0,
}
"""What each figure may be at most; the others are told without a bound."""
RECORD_SHIFTS_SCRIPT = """
window.shifts = [];
new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
  if (!entry.hadRecentInput) window.shifts.push(entry.value);
})).observe({ type: 'layout-shift', buffered: true });
"""
CLICK_AND_WAIT_SCRIPT = """([button, shown]) => new Promise((done) => {
  const place = document.querySelector(shown), before = place.textContent;
  const begun = performance.now();
  const watch = new MutationObserver(() => {
    if (place.textContent === before) return;
    watch.disconnect();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
  });
  watch.observe(place, { childList: true, subtree: true, characterData: true });
  document.querySelector(button).click();
})"""


@dataclass(frozen=True)
class PageVisit:
    """One visit of the page, in a browser that has never seen it.

    Attributes:
        first_kb: compressed kilobytes until nothing arrived for a while.
        answers_kb: those of the answers that fill it, which are sent as they come.
        shift: sum of all layout shifts that no click explains, over every tab.
        cold_s, warm_s: until it can be used; on the second visit scripts come from the cache.
        redraw_ms: median time from a click on Step to the drawn answer, over a watched play.
    """

    first_kb: float
    answers_kb: float
    shift: float
    cold_s: float
    warm_s: float
    redraw_ms: float


@contextlib.contextmanager
def serve_page(folder: Path, environment: str) -> Iterator[str]:
    """The address of the page that a checkout serves, for the length of a `with` block."""
    port, own = find_free_port(), folder / ".venv" / "bin" / "python"
    environ = {**os.environ, "ENABLE_WEB_INTERFACE": "true", "ENVIRONMENT": environment}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [
                own if own.exists() else sys.executable,
                "-m",
                "server.app",
                "--host",
                HOST,
                "--port",
                str(port),
            ],
            cwd=folder,
            env=environ,
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://{HOST}:{port}/web/"
            _wait_until_served(server, url)
            yield url
        finally:
            server.kill()
            server.wait()


def _wait_until_served(server: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < until:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=10).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{url} did not come up; the server's exit code is {server.poll()}.")


class ReceivedBytes:
    """Bytes that a page received over the network, compressed.

    Args:
        page: nothing may have been loaded in it yet.
    """

    def __init__(self, page: Page) -> None:
        self._bytes: dict[str, float] = {}
        self.last = time.monotonic()
        events = page.context.new_cdp_session(page)
        events.on("Network.dataReceived", self._on_data_received)
        events.on("Network.loadingFinished", self._on_loading_finished)
        events.send("Network.enable")

    def _on_data_received(self, _: dict[str, Any]) -> None:
        self.last = time.monotonic()

    def _on_loading_finished(self, event: dict[str, Any]) -> None:
        self._bytes[event["requestId"]] = event["encodedDataLength"]
        self.last = time.monotonic()

    def total_kilobytes(self) -> float:
        """Of all addresses."""
        return sum(self._bytes.values()) / 1000

    def wait_until_quiet(self, page: Page) -> None:
        """Wait until nothing arrives any more."""
        while time.monotonic() - self.last < QUIET_S:
            page.wait_for_timeout(100)


def _measure_visit(browser: Browser, url: str, width: int) -> PageVisit:
    context = browser.new_context(viewport={"width": width, "height": SCREEN_HEIGHT_PX})
    page = context.new_page()
    page.add_init_script(RECORD_SHIFTS_SCRIPT)
    received = ReceivedBytes(page)
    cold = _measure_open_s(page, url)
    received.wait_until_quiet(page)
    first = received.total_kilobytes()
    answers = _measure_first_answer_kb(url)
    redraw = _measure_redraw_ms(page)
    for name in page.locator("#mt-tabs > .tab-wrapper [role=tab]").all_inner_texts():
        page.get_by_role("tab", name=name, exact=True).first.click()
        page.wait_for_timeout(1500)
    shift = sum(page.evaluate("window.shifts"))
    page.goto("about:blank")
    warm = _measure_open_s(page, url)
    context.close()
    return PageVisit(first + answers, answers, shift, cold, warm, redraw)


def _measure_first_answer_kb(url: str) -> float:
    """Kilobytes, as sent, of the answer that fills a new visitor's page.

    A browser closes that stream once it has read the answer, and then does not say how long it was.
    """
    with httpx.Client(base_url=url, timeout=60) as client:
        asked = client.get("config").json()["dependencies"]
        first = next(each for each in asked if "load" in (name for _, name in each["targets"]))
        session = {"session_hash": "benchmark"}
        body = {"data": [None] * len(first["inputs"]), "fn_index": first["id"], **session}
        client.post("gradio_api/queue/join", json=body).raise_for_status()
        with client.stream("GET", "gradio_api/queue/data", params=session) as answer:
            return sum(map(len, answer.iter_raw())) / 1000


def _measure_open_s(page: Page, url: str) -> float:
    """Seconds until the page can be used."""
    begun = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(READY_SELECTOR, timeout=60_000)
    return time.perf_counter() - begun


def _measure_redraw_ms(page: Page) -> float:
    """Median milliseconds of a step of the reference policy, from the click to the drawn reply."""
    page.get_by_role("tab", name="Watch", exact=True).first.click()
    page.click(WATCH_BUTTON)
    page.wait_for_selector("#mt-scene .mt-card", timeout=60_000)
    waits = []
    for _ in range(10):
        waits.append(page.evaluate(CLICK_AND_WAIT_SCRIPT, [STEP_BUTTON, "#mt-scene"]))
        page.wait_for_timeout(150)
        if page.locator("#mt-scene .mt-outcome").count():
            break
    return statistics.median(waits)


def bench_page(
    before: Annotated[Path | None, typer.Option(help="Another checkout, in turns.")] = None,
    environment: Annotated[str, typer.Option(help="What is served.")] = "metric_tracker_rl",
    rounds: Annotated[int, typer.Option(min=1, help="Visits of each page.")] = 3,
    width: Annotated[int, typer.Option(help="Of the screen, in pixels.")] = 1400,
) -> None:
    """Print bytes, layout shift, time to interactive and redraw of the debugger at /web."""
    console = Console(width=None if sys.stdout.isatty() else 100)
    here = Path(__file__).resolve().parents[1]
    folders = {**({"before": before} if before else {}), "now": here}
    found: dict[str, list[PageVisit]] = {name: [] for name in folders}
    with sync_playwright() as playwright, contextlib.ExitStack() as stack:
        urls = {n: stack.enter_context(serve_page(f, environment)) for n, f in folders.items()}
        for _ in range(rounds):
            for name, url in urls.items():
                # A browser of its own: a second one of the same process has compiled the scripts.
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
                found[name].append(_measure_visit(browser, url, width))
                browser.close()
    shown = Table(title=f"{environment}: medians of {rounds} visit(s), {width} px wide")
    for title in ("figure", *found, "bound"):
        shown.add_column(title, justify="left" if title == "figure" else "right")
    over = []
    for figure in asdict(found["now"][0]):
        middle = [
            statistics.median(getattr(visit, figure) for visit in visits)
            for visits in found.values()
        ]
        bound = MAX_FIGURES.get(figure)
        shown.add_row(figure, *(f"{each:,.2f}" for each in middle), f"{bound:g}" if bound else "")
        if bound is not None and middle[-1] > bound:
            over.append(figure)
    console.print(shown)
    console.print(f"Over its bound: {', '.join(over) or 'nothing'}.")
    raise typer.Exit(1 if over else 0)


if __name__ == "__main__":
    typer.run(bench_page)
