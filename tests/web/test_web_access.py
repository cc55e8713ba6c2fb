"""The page for those who use a keyboard or a screen reader."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from conftest import Visit
from playwright.sync_api import expect

from metric_tracker_rl.page.data import FREE

pytestmark = [pytest.mark.slow, pytest.mark.browser]
OpenVisit = Callable[..., Visit]


def test_arrows_lead_through_tabs_days_and_the_map_and_charts_are_named(visit: OpenVisit) -> None:
    mine = visit(width=1400)
    mine.page.get_by_role("tab", name="Episode", exact=True).focus()
    mine.page.keyboard.press("ArrowRight")
    fold = mine.page.get_by_role("button", name=FREE)
    fold.press("Enter")
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
    the_map_is_walked_and_the_end_is_read(mine)


def the_map_is_walked_and_the_end_is_read(mine: Visit) -> None:
    """By keyboard alone, on a phone's screen."""
    mine.page.set_viewport_size({"width": 390, "height": 900})
    mine.page.emulate_media(color_scheme="dark")
    keyboard = mine.page.keyboard
    cell = mine.page.locator("#mt-map td[tabindex]")
    cell.focus()
    for key in ("ArrowDown", "ArrowRight", "End", "ArrowLeft", "PageDown", "ArrowUp", "ArrowUp"):
        keyboard.press(key)
    expect(cell).to_be_focused()
    expect(cell).to_have_attribute("aria-label", re.compile(": not told yet"))
    keyboard.press("Enter")
    days = mine.page.locator(".mt-day")
    expect(days.nth(26)).to_have_attribute("aria-pressed", "true")
    expect(mine.page.locator("#mt-map thead .on")).to_have_count(1)
    mine.page.get_by_role("tab", name="Report", exact=True).press("Enter")
    mine.page.locator("#mt-submit").press("Enter")
    mine.page.locator("#mt-sure-yes").press("Enter")
    mine.sees("#mt-score", "This row was expected and not reported.")
    mine.page.get_by_role("tab", name="Data", exact=True).press("Enter")
    missing = mine.page.locator("#mt-map .mt-map td:has(> .v-missing)")
    expect(missing).to_have_count(2)
    mine.sees("#mt-map", "Verdicts in words (2)")
    missing.first.evaluate("each => { each.tabIndex = 0; }")
    missing.first.focus()
    mine.sees("#mt-map .mt-say", "Missing: This row was expected and not reported.")
    expect(mine.page.locator("#mt-multiples .v-missing")).to_have_count(2)
    assert mine.page.evaluate("document.documentElement.scrollWidth") <= 390
    for fold in mine.page.locator("#mt-map summary").all():
        fold.press("Enter")
    expect(mine.page.locator("#mt-map details tbody tr:visible")).to_have_count(2 + 28)
    assert mine.barriers() == []
