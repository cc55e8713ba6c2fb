"""The leaderboard's site, opened in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from openenv_kit.results.leaderboard_site import group_into_boards, write_leaderboard_site
from openenv_kit.results.submissions import read_submission
from support.browser import _collect_garbage_after_module  # noqa: F401
from support.paths import ROOT

SHIPPED = ROOT / "submissions"

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("firewatch-null", "firewatch-keyword-rules")
    boards = group_into_boards([read_submission(SHIPPED / name) for name in names])
    return write_leaderboard_site(boards, tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("width", [390, 1400])
def test_leaderboard_site_loads_no_other_host_and_links_its_boards(
    browser: BrowserContext, index: Path, width: int
) -> None:
    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    events: list[str] = []
    page.on("console", lambda message: events.append(message.text))
    page.on("pageerror", lambda problem: events.append(str(problem)))
    page.on("request", lambda asked: events.append(asked.url))
    page.goto(index.as_uri())
    assert page.locator(".board tbody tr").count() == 2
    assert page.locator(".board .scripted").count() == 2
    first = page.locator(".board tbody tr td:nth-child(2)").first
    assert (first.text_content() or "").startswith("scripted:keyword_rules")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("a").first.click()
    assert page.locator("#players tbody tr").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#episodes tbody tr").count() > 0
    page.get_by_text("Leaderboard").click()
    assert page.locator(".board").count() == 1
    assert [each for each in events if not each.startswith(("file:", "data:"))] == []
    page.close()
