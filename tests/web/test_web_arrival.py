"""Arriving: for the first time, by a link, after a reload."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import Visit, WebServer
from playwright.sync_api import expect

from metric_tracker_rl.page.drill.state import MetricVisitor
from metric_tracker_rl.page.scenes import FIRST_VISIT
from openenv_kit.page.arrival import address_of, arrive, play_yourself
from openenv_kit.page.scenes import scenes_of
from openenv_kit.page.watching import recorded, scripted
from openenv_kit.play.recording import read_runs

OpenVisit = Callable[..., Visit]


def told(query: dict[str, str] | None = None, token: str = "", *, first: bool = False) -> str:
    return json.dumps({"query": query or {}, "token": token, "first": first})


def arrived(text: object) -> MetricVisitor:
    visitor = MetricVisitor()
    arrive(scenes_of(), visitor, text)
    return visitor


def test_a_link_leads_to_its_episode_and_day() -> None:
    visitor = arrived(told({"task": "medium_mixed_pair", "seed": "7", "__theme": "dark"}))
    day = visitor.view.episode.dates[9]
    assert visitor.reset == {**visitor.environment.tasks["medium_mixed_pair"], "seed": 7}
    address = scenes_of().address(visitor)
    again = arrived(told({**address, "day": day}))
    assert (again.reset, again.day) == (visitor.reset, day)
    custom = arrived(told({"reset": '{"difficulty":"hard","anomaly_count":2}'}))
    assert custom.view.config["difficulty"] == "hard"
    assert address_of("x", custom.reset)["reset"] == '{"difficulty":"hard","anomaly_count":2}'


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[",
        "3",
        "[]",
        "{}",
        '{"query": 3, "token": 4, "first": 5}',
        told({"day": "x"}),
        told({"reset": "{{{"}),
        told({"reset": '{"self": 1}'}),
        told({"step": "9" * 99}),
        told(token="nobody"),
    ],
)
def test_whatever_the_page_is_told_there_is_an_episode(text: object) -> None:
    visitor = arrived(text)
    assert visitor.started
    assert visitor.playback is None


def test_a_link_to_nothing_says_so() -> None:
    visitor = arrived(told({"task": "hard_mixed_mutli"}))
    assert "hard_mixed_multi" in visitor.problem
    assert visitor.started


def test_a_reload_goes_on_where_the_visitor_was() -> None:
    one = arrived(told({"task": "hard_mixed_multi"}))
    one.call("list_dates", {})
    one.watch(scripted(one.environment.policies["reference"], one.reset))
    session, playback = one.session, one.playback
    two = arrived(told(scenes_of().address(one), one.token))
    assert (two.session, two.playback, len(two.log)) == (session, playback, 1)
    assert playback is not None
    assert not playback.finished
    one.clear()  # as when its session is forgotten, minutes later
    assert not playback.finished
    assert two.progress["step_count"] == 1
    assert (one.started, one.log) == (False, [])
    other = arrived(told({"task": "medium_mixed_pair"}, two.token))
    assert other.session.task_id == "medium_mixed_pair"
    assert arrived(told(token=one.token)).log == []


def test_the_first_visit_shows_a_recording_that_still_plays_as_recorded() -> None:
    (run,) = read_runs(FIRST_VISIT)
    played = recorded(run)
    assert [frame.same for frame in played.frames] == [True] * len(played.frames)
    assert {frame.observation["status"] for frame in played.frames} >= {"analyzed", "error"}
    assert run.score == 0.77
    visitor = arrived(told(first=True))
    assert visitor.playing
    assert visitor.playback is not None
    assert len(visitor.playback.frames) == len(played.frames)
    play_yourself(visitor, None)
    assert (visitor.playback, visitor.session.task_id) == (None, "hard_mixed_multi")


def query(mine: Visit) -> dict[str, Any]:
    return {name: each[0] for name, each in parse_qs(urlsplit(mine.page.url).query).items()}


@pytest.mark.slow
@pytest.mark.browser
def test_a_first_visit_a_reload_and_the_way_back(visit: OpenVisit, web: WebServer) -> None:
    mine = visit()
    mine.page.evaluate("sessionStorage.clear()")
    # Stays with this page, so no test of this file may come after.
    mine.page.add_init_script("if (!sessionStorage.length) localStorage.clear();")
    mine.page.goto(f"{web.url}/web/")
    mine.sees("#mt-first", "A run plays by itself.")
    mine.sees("#mt-scene", "step 1 of")
    mine.page.get_by_role("button", name="Play it yourself").press("Enter")
    mine.sees("#mt-card", "hard_mixed_multi")
    mine.tab("Investigate")
    mine.page.click("#mt-run")
    mine.sees("#mt-log", "1 of 64 steps")
    mine.tab("Data")
    mine.page.locator(".mt-day").nth(5).click()
    day = mine.page.locator(".mt-day").nth(5).get_attribute("data-value")
    expect(mine.page.locator(".mt-day[aria-pressed=true]")).to_have_attribute(
        "data-value", str(day)
    )
    mine.page.reload()
    mine.sees("#mt-status", "1 of 64 steps")
    expect(mine.page.locator(".mt-day[aria-pressed=true]")).to_have_attribute(
        "data-value", str(day)
    )
    assert query(mine)["task"] == "hard_mixed_multi"
    assert (query(mine)["day"], query(mine)["tab"]) == (day, "data")
    mine.page.go_back()
    expect(mine.page.locator("#mt-run")).to_be_visible()
    mine.page.goto(f"{web.url}/web/?run={web.url}/web/nothing.jsonl")
    mine.sees("#mt-recording", "nothing.jsonl answered 404")
    mine.problems.clear()
    run = FIRST_VISIT.read_text()
    mine.page.route("**/two.jsonl", lambda route: route.fulfill(body=run + run))
    mine.page.goto(f"{web.url}/web/?run={web.url}/two.jsonl&number=2&step=3")
    mine.sees("#mt-recording", "Run 2 of 2")
    mine.sees("#mt-scene", "step 3 of")
    assert (query(mine)["number"], query(mine)["step"]) == ("2", "3")
    mine.page.reload()
    mine.sees("#mt-scene", "step 3 of")
    mine.problems.clear()  # what was open when the page was left
