"""The page of `metric-tracker compare`, opened in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from openenv_kit.environment import get_environment
from openenv_kit.results.comparison_page import compare_players, write_comparison_page
from openenv_kit.results.scored_episodes import read_and_merge_player_results
from support.recorded_runs import record_split

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("width", [390, 1400])
def test_comparison_page_loads_nothing_and_fits_the_width(
    browser: BrowserContext, tmp_path: Path, width: int
) -> None:
    firewatch = get_environment("firewatch")
    plays = tmp_path / "plays.jsonl"
    record_split(plays, "keyword_rules", range(4), firewatch)
    players = read_and_merge_player_results([("", plays), ("again", plays)], firewatch)
    path = tmp_path / "page.html"
    write_comparison_page(compare_players(players, "validation", firewatch), path)
    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    events: list[str] = []
    page.on("console", lambda message: events.append(message.text))
    page.on("pageerror", lambda problem: events.append(str(problem)))
    page.on("request", lambda asked: events.append(asked.url))
    page.goto(path.as_uri())
    assert [each for each in events if not each.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#players tbody tr").count() == 2
    assert page.locator("#episodes tbody tr").count() == len(players[0].rollouts)
    page.close()
