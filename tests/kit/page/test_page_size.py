"""How much the browser of a new visitor loads."""

from __future__ import annotations

from collections import Counter

import pytest
from playwright.sync_api import BrowserContext, Request

from benchmarks.page import READY_SELECTOR, ReceivedBytes, measure_first_answer_kb
from support.browser import PATIENCE_MS, WebServer

pytestmark = [pytest.mark.slow, pytest.mark.browser]

MAX_FIRST_KB, MAX_ALL_TABS_KB = 320, 450
FILES = ("script", "stylesheet")
TABS = {
    "Runs": "#mt-runs",
    "Leaderboard": ".mt-board",
    "Connect": ".mt-snippet",
    "Your data": "#mt-own",
    "Play": "#mt-first h2",
}


def test_new_visitor_loads_little_and_no_file_twice(
    browser: BrowserContext, web: WebServer
) -> None:
    assert browser.browser is not None
    context = browser.browser.new_context()  # its cache is empty
    page = context.new_page()
    files: Counter[str] = Counter()

    def count(request: Request) -> None:
        if request.resource_type in FILES:
            files[request.url] += 1

    page.on("request", count)
    received = ReceivedBytes(page)
    page.goto(f"{web.url}/web/")
    page.wait_for_selector(READY_SELECTOR, timeout=PATIENCE_MS)
    received.wait_until_quiet(page)
    answer_kb = measure_first_answer_kb(f"{web.url}/web/")
    first_kb = received.total_kilobytes() + answer_kb
    for tab, content in TABS.items():
        page.get_by_role("tab", name=tab, exact=True).first.click()
        page.wait_for_selector(content, timeout=PATIENCE_MS)
        received.wait_until_quiet(page)
    all_tabs_kb = received.total_kilobytes() + answer_kb
    context.close()
    assert len(files) > 20
    assert [url for url, count in files.items() if count > 1] == []
    assert 100 < first_kb <= MAX_FIRST_KB
    assert first_kb <= all_tabs_kb <= MAX_ALL_TABS_KB
