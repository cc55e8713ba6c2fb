"""The page for those who use a keyboard or a screen reader."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Visit
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.browser]
OpenVisit = Callable[..., Visit]


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
