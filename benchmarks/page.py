"""`python -m benchmarks.page`: measures size and speed of the debugger in a browser.

With `--before FOLDER`, another checkout is served and measured alternately with this one.
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
from openenv_kit.agent.servers import find_free_loopback_port
from openenv_kit.cli.common import exit_with_result

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
]
SCREEN_HEIGHT_PX = 900
STEP_BUTTON, STEP_TITLE = "#mt-runs [name=earlier]", ".mt-runs-facts > header h3"
STEP_CONTENT = ".mt-runs-reply"
ROLLOUT_LINK = ".mt-runs-rows a"
READY_SELECTOR = ":is(#mt-first h2, .mt-budget)"
"""Matches once the first reply is shown. From then on the page can be used."""
QUIET_S = 2.0
"""Time without received data after which the first load counts as complete."""
MAX_FIGURES = {
    "first_kb": 320.0,
    "all_tabs_kb": 450.0,
    "shift": 0.05,
    "warm_s": 1.0,
    "redraw_ms": 150.0,
}
"""Largest allowed value of each figure; the other figures have no bound."""
RECORD_SHIFTS_SCRIPT = """
window.shifts = [];
new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
  if (!entry.hadRecentInput) window.shifts.push(entry.value);
})).observe({ type: 'layout-shift', buffered: true });
"""
CLICK_AND_WAIT_SCRIPT = """([button, shown]) => new Promise((done) => {
  const target = document.querySelector(shown), before = target.textContent;
  const started = performance.now();
  const watch = new MutationObserver(() => {
    if (target.textContent === before) return;
    watch.disconnect();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
  });
  watch.observe(target, { childList: true, subtree: true, characterData: true });
  document.querySelector(button).click();
})"""


@dataclass(frozen=True)
class PageVisit:
    """One visit of the page, in a browser with an empty cache.

    Attributes:
        first_kb: compressed kilobytes of the first load.
        answers_kb: kilobytes of the replies that fill the page, a part of `first_kb`.
        all_tabs_kb: compressed kilobytes after every tab was opened, including `first_kb`.
        shift: sum of all layout shifts not caused by a click, over every tab.
        cold_s: seconds until the page can be used.
        warm_s: seconds until the page can be used on the second visit, with scripts in the cache.
        redraw_ms: median time from a click on a step to its drawn reply, over a rollout.
    """

    first_kb: float
    answers_kb: float
    all_tabs_kb: float
    shift: float
    cold_s: float
    warm_s: float
    redraw_ms: float


@contextlib.contextmanager
def serve_page(folder: Path, environment: str) -> Iterator[str]:
    """Serve the page of a checkout for the duration of a `with` block, and yield its address."""
    port = find_free_loopback_port()
    checkout_python = folder / ".venv" / "bin" / "python"
    environ = {**os.environ, "ENABLE_WEB_INTERFACE": "true", "ENVIRONMENT": environment}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [
                checkout_python if checkout_python.exists() else sys.executable,
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
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=10).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{url} is not served; the server's exit code is {server.poll()}.")


class ReceivedBytes:
    """Counts the compressed bytes that a page receives over the network.

    Args:
        page: a page that has not loaded anything yet.

    Attributes:
        last_received_s: time at which data last arrived, on the monotonic clock.
    """

    def __init__(self, page: Page) -> None:
        self._bytes: dict[str, float] = {}
        self.last_received_s = time.monotonic()
        events = page.context.new_cdp_session(page)
        events.on("Network.dataReceived", self._on_data_received)
        events.on("Network.loadingFinished", self._on_loading_finished)
        events.send("Network.enable")

    def _on_data_received(self, _: dict[str, Any]) -> None:
        self.last_received_s = time.monotonic()

    def _on_loading_finished(self, event: dict[str, Any]) -> None:
        self._bytes[event["requestId"]] = event["encodedDataLength"]
        self.last_received_s = time.monotonic()

    def total_kilobytes(self) -> float:
        """Return the kilobytes received so far."""
        return sum(self._bytes.values()) / 1000

    def wait_until_quiet(self, page: Page) -> None:
        """Wait until no data has arrived for `QUIET_S`."""
        while time.monotonic() - self.last_received_s < QUIET_S:
            page.wait_for_timeout(100)


def _measure_visit(browser: Browser, url: str, width: int) -> PageVisit:
    context = browser.new_context(viewport={"width": width, "height": SCREEN_HEIGHT_PX})
    page = context.new_page()
    page.add_init_script(RECORD_SHIFTS_SCRIPT)
    received = ReceivedBytes(page)
    cold = _measure_open_s(page, url)
    received.wait_until_quiet(page)
    first = received.total_kilobytes()
    answers = measure_first_answer_kb(url)
    for name in page.locator("#mt-tabs > .tab-wrapper [role=tab]").all_inner_texts():
        page.get_by_role("tab", name=name, exact=True).first.click()
        page.wait_for_timeout(1500)
    all_tabs = received.total_kilobytes()
    redraw = _measure_redraw_ms(page)
    shift = sum(page.evaluate("window.shifts"))
    page.goto("about:blank")
    warm = _measure_open_s(page, url)
    context.close()
    return PageVisit(
        first_kb=first + answers,
        answers_kb=answers,
        all_tabs_kb=all_tabs + answers,
        shift=shift,
        cold_s=cold,
        warm_s=warm,
        redraw_ms=redraw,
    )


def measure_first_answer_kb(url: str) -> float:
    """Return the compressed kilobytes of the reply that fills a new visitor's page.

    A browser closes this stream after reading the reply, and then does not report its size.
    """
    with httpx.Client(base_url=url, timeout=60) as client:
        handlers = client.get("config").json()["dependencies"]
        load_handler = next(
            handler
            for handler in handlers
            if any(event == "load" for _, event in handler["targets"])
        )
        session = {"session_hash": "benchmark"}
        body = {
            "data": [None] * len(load_handler["inputs"]),
            "fn_index": load_handler["id"],
            **session,
        }
        client.post("gradio_api/queue/join", json=body).raise_for_status()
        with client.stream("GET", "gradio_api/queue/data", params=session) as response:
            return sum(map(len, response.iter_raw())) / 1000


def _measure_open_s(page: Page, url: str) -> float:
    """Open the page and return the seconds until it can be used."""
    started = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(READY_SELECTOR, timeout=60_000)
    return time.perf_counter() - started


def _measure_redraw_ms(page: Page) -> float:
    """Open a rollout. Return the median milliseconds from a click to the reply of a step."""
    page.get_by_role("tab", name="Runs", exact=True).first.click()
    page.locator(ROLLOUT_LINK).last.click()
    page.wait_for_selector(f"{STEP_CONTENT} > *", timeout=60_000)
    waits = []
    while page.text_content(STEP_TITLE) != "What the player had read at the start":
        waits.append(page.evaluate(CLICK_AND_WAIT_SCRIPT, [STEP_BUTTON, STEP_CONTENT]))
        page.wait_for_timeout(150)
    return statistics.median(waits)


def bench_page(
    before: Annotated[Path | None, typer.Option(help="Another checkout to measure.")] = None,
    environment: Annotated[str, typer.Option(help="Environment to serve.")] = "metric_tracker_rl",
    rounds: Annotated[int, typer.Option(min=1, help="Visits of each page.")] = 3,
    width: Annotated[int, typer.Option(help="Width of the screen, in pixels.")] = 1400,
) -> None:
    """Print size, layout shift, time until usable and redraw time of the debugger at /web."""
    console = Console(width=None if sys.stdout.isatty() else 100)
    folders = {"now": Path(__file__).resolve().parents[1]}
    if before:
        folders = {"before": before, **folders}
    visits_by_checkout: dict[str, list[PageVisit]] = {name: [] for name in folders}
    with sync_playwright() as playwright, contextlib.ExitStack() as stack:
        urls = {
            name: stack.enter_context(serve_page(folder, environment))
            for name, folder in folders.items()
        }
        for _ in range(rounds):
            for name, url in urls.items():
                # Each visit gets a new browser: a used one has already compiled the scripts.
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
                visits_by_checkout[name].append(_measure_visit(browser, url, width))
                browser.close()
    table = Table(title=f"{environment}: medians of {rounds} visit(s), {width} px wide")
    for title in ("figure", *visits_by_checkout, "bound"):
        table.add_column(title, justify="left" if title == "figure" else "right")
    above_bound = []
    for figure in asdict(visits_by_checkout["now"][0]):
        medians = [
            statistics.median(getattr(visit, figure) for visit in visits)
            for visits in visits_by_checkout.values()
        ]
        bound = MAX_FIGURES.get(figure)
        table.add_row(
            figure, *(f"{median:,.2f}" for median in medians), f"{bound:g}" if bound else ""
        )
        if bound is not None and medians[-1] > bound:
            above_bound.append(figure)
    console.print(table)
    console.print(f"Above their bound: {', '.join(above_bound) or 'none'}.")
    exit_with_result(has_failed=bool(above_bound))


if __name__ == "__main__":
    typer.run(bench_page)
