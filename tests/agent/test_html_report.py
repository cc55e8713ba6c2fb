"""The HTML report: self-contained, complete, and safe whatever a model wrote into it."""

from __future__ import annotations

import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from agent_support import Play
from fake_model import FakeModel

from openenv_kit.agent.html_report import report_html
from openenv_kit.agent.plan import PlannedEpisode
from openenv_kit.agent.results import EVALUATED, FAILED, EpisodeResult, RunResult
from openenv_kit.agent.table import MODEL_CALL, TOOL_CALL, Event, Usage

pytestmark = pytest.mark.slow

ATTACK = "<script>alert('x')</script><img src=http://evil.example/x>"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "data")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    assert tags.open == [], "a tag is never closed"
    return tags


def run_of(*episodes: EpisodeResult) -> RunResult:
    return RunResult(f"model {ATTACK}", "bench", f"server {ATTACK}", episodes, len(episodes), 1.5)


def test_what_a_model_wrote_stays_text() -> None:
    episode = EpisodeResult(
        PlannedEpisode("easy_single_spike", 0, {}),
        status=FAILED,
        error=ATTACK,
        events=[
            Event(MODEL_CALL, f"answer {ATTACK}", 0.0, 0.2, note=ATTACK),
            Event(TOOL_CALL, f"tool({ATTACK})", 0.2, 0.1, "error", 0.0, ATTACK),
        ],
    )
    html = report_html(run_of(episode))
    tags = read(html)
    assert "script" not in tags.names
    assert "img" not in tags.names
    assert html.count("&lt;script&gt;") >= 6


def test_the_page_names_no_address_but_its_own_anchors() -> None:
    episode = EpisodeResult(PlannedEpisode("easy_single_spike", 0, {}), status=EVALUATED, score=1.0)
    html = report_html(run_of(episode))
    assert read(html).addresses == ["#episode-0"]
    assert "default-src 'none'" in html
    assert "url(" not in html
    assert "@import" not in html


def test_an_episode_that_never_began_and_one_that_took_no_time_are_drawn() -> None:
    html = report_html(
        run_of(
            EpisodeResult(PlannedEpisode("a", 0, {})),
            EpisodeResult(PlannedEpisode("b", 0, {}), events=[Event(TOOL_CALL, "x({})", 0.0, 0.0)]),
            EpisodeResult(
                PlannedEpisode("c", 0, {}), usage=Usage(calls=2, prompt_tokens=10, cost=0.5)
            ),
        )
    )
    read(html)
    assert "nan" not in html
    assert "$ 0.5000" in html


def test_a_run_writes_its_table_breakdown_timeline_and_cost(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INPUT_PRICE_PER_MILLION", "1")
    monkeypatch.setenv("OUTPUT_PRICE_PER_MILLION", "1")
    ran = play("--report", "out/report.html", model="broken-json", server=model)
    html = Path("out/report.html").read_text()
    read(html)
    assert len(re.findall(r'<details class="episode"', html)) == 3
    timelines = re.findall(r'<div class="timeline"[^>]*>(.*?)</div>', html)
    drawn = [len(re.findall(r'<i class="(model|tool|error)"', each)) for each in timelines]
    assert drawn == [task["model_calls"] + task["steps"] for task in ran.tasks]
    assert timelines[0].count('class="error"') == 11
    for words in ("precision", "severity accuracy", "expected rows", "list_suspicious_dates"):
        assert words in html
    assert f"$ {ran.results['cost_usd']:.4f}" in html


def test_calls_at_the_same_moment_are_drawn_side_by_side_as_long_as_they_took() -> None:
    events = [Event(MODEL_CALL, "answer", 0.0, 1.0)]
    events += [Event(TOOL_CALL, f"call{n}({{}})", 1.0, 0.001) for n in range(200)]
    html = report_html(
        run_of(EpisodeResult(PlannedEpisode("a", 0, {}), status=EVALUATED, events=events))
    )
    shares = [int(each) for each in re.findall(r'<i class="tool" style="flex-grow:(\d+)"', html)]
    assert shares == [1001] * 200
    assert re.findall(r'<i class="model" style="flex-grow:(\d+)"', html) == ["1000001"]


@pytest.mark.browser
def test_a_browser_shows_the_table_and_a_timeline_and_asks_the_network_for_nothing(
    play: Play, model: FakeModel, tmp_path: Path
) -> None:
    chromium = shutil.which("chromium")
    if chromium is None and not os.environ.get("METRIC_TRACKER_REQUIRE_BROWSER"):
        pytest.skip("no chromium is installed")
    assert chromium, "METRIC_TRACKER_REQUIRE_BROWSER is set, but no chromium is installed"
    from playwright.sync_api import sync_playwright

    model.delay_s = 0.01
    play("--report", "report.html", model="good", server=model)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                *("--no-sandbox", "--disable-gpu", "--no-first-run"),
                *("--disable-background-networking", "--disable-component-update"),
                "--disable-sync",
            ],
        )
        try:
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            asked: list[str] = []
            problems: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: problems.append(message.text))
            page.goto((tmp_path / "report.html").as_uri())
            rows = page.locator("#scores tbody tr")
            assert rows.count() == 3
            assert "1.0000" in rows.nth(0).inner_text()
            timeline = page.locator(".timeline").first
            assert timeline.is_visible()
            box = timeline.bounding_box()
            assert box is not None
            assert box["width"] > 500
            for kind in ("model", "tool"):
                bars = timeline.locator(f"i.{kind}")
                assert bars.count() >= 6
                drawn = bars.last.bounding_box()
                assert drawn is not None
                assert box["x"] <= drawn["x"] <= box["x"] + box["width"]
                assert drawn["width"] >= 1
            assert asked == [(tmp_path / "report.html").as_uri()]
            assert problems == []
        finally:
            browser.close()
