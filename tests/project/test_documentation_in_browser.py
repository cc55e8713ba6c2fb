"""The documentation in a browser: accessibility and working pages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Literal

import pytest
from playwright.sync_api import BrowserContext

from docs.generate.hook import SAMPLE_PAGES
from support.browser import Visit, _collect_garbage_after_module  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.browser]

PAGES = ["", "environments/", "debugger/", "leaderboard/", "api/", f"gallery/{SAMPLE_PAGES[0]}/"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(built_docs: tuple[Path, str]) -> Iterator[str]:
    folder, _ = built_docs
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier_in_the_docs(
    browser: BrowserContext, site: str, scheme: Literal["light", "dark"]
) -> None:
    here = Visit(browser.new_page())
    here.page.emulate_media(color_scheme=scheme)
    found = {}
    for path in PAGES:
        here.page.goto(f"{site}/{path}")
        found[path] = here.barriers()
    here.page.close()
    assert {path: some for path, some in found.items() if some} == {}


def test_the_front_page_has_the_picture_and_the_three_doors_and_a_case_can_be_played(
    browser: BrowserContext, site: str
) -> None:
    page = browser.new_page()
    page.goto(site)
    assert page.locator(".doors li a").count() == 3
    assert page.locator("img[src*=debugger-opening]").bounding_box() is not None
    page.goto(f"{site}/gallery/{SAMPLE_PAGES[0]}/")
    assert page.locator("a[href*='/web/?reset=%7B']").count() >= 1
    page.goto(f"{site}/leaderboard/")
    assert page.locator("table tbody tr").count() >= 3
    page.close()
