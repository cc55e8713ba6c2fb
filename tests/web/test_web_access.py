"""The page for those who use a keyboard or a screen reader."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Visit
from playwright.sync_api import expect
from test_web_browser import submit_empty, type_into

pytestmark = [pytest.mark.slow, pytest.mark.browser]
OpenVisit = Callable[..., Visit]


def test_no_tab_has_a_barrier_in_either_theme(visit: OpenVisit) -> None:
    mine = visit(width=1400)
    mine.tab("Investigate")
    mine.page.click("#mt-run")
    mine.sees("#mt-answer", "dates (10)")
    mine.tab("Report")
    type_into(mine, "#mt-rows", 0, 2, "app_opens")
    mine.page.get_by_role("button", name="Delete row 1").click()
    submit_empty(mine)
    mine.sees("#mt-score", "Score")
    mine.tab("Watch")
    mine.page.click("#mt-watch-policy")
    mine.sees("#mt-scene", "step 0 of")
    mine.page.click("#mt-end")
    mine.sees("#mt-scene", "1.0000")
    found = {}
    for scheme in ("light", "dark"):
        mine.page.emulate_media(color_scheme=scheme)
        for tab in ("Episode", "Data", "Investigate", "Report", "Watch"):
            mine.tab(tab)
            found[scheme, tab] = mine.barriers()
    assert {place: each for place, each in found.items() if each} == {}
    mine.page.evaluate("document.querySelector('#mt-card, #mt-status').innerHTML += '<img src=x>'")
    assert any(each.startswith("image-alt") for each in mine.barriers()), "axe finds nothing at all"
    mine.problems.clear()  # the picture that is not there


def test_arrows_lead_through_tabs_and_days_and_charts_are_named(visit: OpenVisit) -> None:
    mine = visit(width=1400)
    mine.page.get_by_role("tab", name="Episode", exact=True).focus()
    mine.page.keyboard.press("ArrowRight")
    expect(mine.page.get_by_role("figure", name="Chart: Conversion rates")).to_be_visible()
    days = mine.page.locator(".mt-day")
    days.nth(3).focus()
    for key, place in (("ArrowDown", 10), ("ArrowLeft", 9), ("ArrowUp", 2)):
        mine.page.keyboard.press(key)
        expect(days.nth(place)).to_have_attribute("aria-pressed", "true")
        expect(days.nth(place)).to_be_focused()
    mine.page.locator("#mt-numbers summary").press("Enter")
    expect(mine.page.locator("#mt-numbers tbody tr")).to_have_count(28)
    mine.sees("#mt-numbers", " events")
