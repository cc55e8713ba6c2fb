"""Random clicks in Chromium cause no error and discard no episode.

One walk runs with the slow tests; METRIC_TRACKER_WALKS sets another number, such as 200.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Request

from support.browser import PATIENCE_MS, Visit, WebServer, listen

pytestmark = [pytest.mark.slow, pytest.mark.browser]

WALKS = int(os.environ.get("METRIC_TRACKER_WALKS") or 1)
CLICKS = 30
PATHS = ["/web/", "/drilldown/web/", "/firewatch/web/"]
LEFT = ("ERR_ABORTED", "AbortError", "Unexpected error Connection errored out.")
"""What Chromium and Gradio's client say of answers that a page was left before, as a running play's
next step: the play goes on by itself while the page is being left."""
THERE = "#mt-first section, .mt-status .mt-budget"
PLACES = {
    "guide": "#mt-guide [data-mt], #mt-status .mt-btn, #mt-first .mt-btn",
    "answer": "dialog.mt-question button",
    "picture": "#mt-picture :is(td, .fw-node, .plot)",
    "ask": "#mt-ask [data-mt], #mt-picture [data-mt=make_opening_calls]",
    "report": "#mt-evidence [data-mt], #mt-report :is(button, input, select, summary)",
    "form": ".mt-form :is(input, select, textarea), [data-send], #mt-tools :is(input, button)",
    "tab": "[role=tab], summary, [data-switch]",
    "runs": "#mt-runs :is(button:not([name=files], [name=folder]), a[data-open], [data-step])",
    "theme": "[data-mt=theme]",
}
"""Where a wanderer clicks, by what is there."""
KINDS = {"guide": 9, "answer": 5, "picture": 4, "ask": 6, "report": 6, "form": 6, "tab": 5}
KINDS |= {"runs": 4, "theme": 1, "reload": 1, "back": 1, "door": 2, "other": 1, "link": 1}
CLICK = """([places, chance]) => {
  const dialog = document.querySelector('dialog.mt-question');
  const seen = (each) => each.checkVisibility() && !each.disabled
    && (!dialog || dialog.contains(each));
  const all = [...document.querySelectorAll(places)].filter(seen);
  if (!all.length) return '';
  const it = all[Math.floor(chance * all.length)];
  it.focus();
  if (it.matches('select')) {
    it.selectedIndex = Math.floor(chance * 997) % it.options.length;
  } else if (it.matches('input, textarea')) {
    it.value = it.type === 'number' ? '-5' : 'no such thing';
  } else {
    it.click();
    return `${it.dataset.mt || it.dataset.send || it.className} ${it.textContent.trim()}`;
  }
  for (const name of ['input', 'change', 'focusout']) {
    it.dispatchEvent(new Event(name, { bubbles: true }));
  }
  return `typed ${it.dataset.arg || it.dataset.field || it.id}`;
}"""
LOOK = """() => ({
  kept: sessionStorage.getItem(`mt-play:${location.pathname}`) || '{}',
  primaries: [...document.querySelectorAll('.mt-status .mt-btn.primary')]
    .filter((each) => each.checkVisibility()).length,
  asked: Boolean(document.querySelector('dialog.mt-question')),
  toasts: [...document.querySelectorAll('.toast-body.error')].map((each) => each.textContent),
})"""


class Wanderer:
    """One tab of the browser, in which an episode of each environment may run."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.visit = Visit(page)
        self.stop = listen(self.visit)
        self.waiting: set[Request] = set()
        page.on("request", lambda asked: self._asks(asked, self.waiting.add))
        for ended in ("requestfinished", "requestfailed"):
            page.on(ended, lambda asked: self._asks(asked, self.waiting.discard))
        self.kept: dict[str, Any] = {}
        self.arrive(lambda: page.goto(f"{url}{PATHS[0]}"))

    @staticmethod
    def _asks(asked: Request, then: Callable[[Request], None]) -> None:
        if "/queue/" in asked.url:
            then(asked)

    def settle(self) -> None:
        """Wait until every answer is in: a busy browser pauses between asking and listening.

        Not for ever: a play that goes on by itself asks again and again.
        """
        quiet, waits = 0, PATIENCE_MS // 25
        while quiet < 6 and waits:
            self.page.wait_for_timeout(25)
            quiet, waits = 0 if self.waiting else quiet + 1, waits - 1

    def arrive(self, go: Callable[[], Any]) -> None:
        """Load a page; what was on its way to the one before is no error."""
        self.settle()
        before = list(self.visit.problems)
        go()
        if not self.page.url.startswith(self.url):
            self.page.goto(f"{self.url}{PATHS[0]}")
        self.waiting.clear()
        self.page.wait_for_selector(THERE, state="attached", timeout=PATIENCE_MS)
        self.settle()
        self.visit.problems = before + [
            each
            for each in self.visit.problems[len(before) :]
            if not any(said in each for said in LEFT)
        ]

    def path(self) -> str:
        return self.page.url.removeprefix(self.url).partition("?")[0]

    def move(self, rng: random.Random, kind: str) -> str:
        """One move; returns what was done."""
        if kind == "reload":
            self.arrive(self.page.reload)
        elif kind == "back":
            self.arrive(self.page.go_back)
        elif kind == "link":  # to another episode, which must be a question where one runs
            link = f"{self.url}{self.path()}?seed={rng.randrange(9)}"
            self.arrive(lambda: self.page.goto(link))
        elif kind == "door":
            path = rng.choice(PATHS)
            if self.page.locator("dialog.mt-question").count():  # nothing behind it can be clicked
                self.page.keyboard.press("Escape")
                self.settle()
            door = self.page.locator(".mt-door").nth(PATHS.index(path))
            self.page.click(".mt-menu > summary")
            self.arrive(lambda: (door.click(), self.page.wait_for_url(f"**{path}*")))
        else:
            done: str = ""
            for each in (kind, "guide", "picture"):
                done = done or self.page.evaluate(CLICK, [PLACES[each], rng.random()])
            self.settle()
            return done
        return kind

    def look(self) -> dict[str, Any]:
        seen: dict[str, Any] = self.page.evaluate(LOOK)
        return seen | {"kept": json.loads(seen["kept"])}


def lost(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether an episode with steps that was not over is there no more."""
    has_own_steps = len(before.get("actions", ())) > before.get("opening", 0)
    running = has_own_steps and before["said"].startswith("step")
    same = now.get("reset") == before.get("reset")
    return bool(running) and not (
        same and now["actions"][: len(before["actions"])] == before["actions"]
    )


@pytest.mark.parametrize("seed", range(WALKS))
def test_random_clicks_break_nothing_and_discard_no_episode_without_confirmation(
    browser: BrowserContext, web: WebServer, seed: int
) -> None:
    rng = random.Random(seed)
    tabs = [Wanderer(browser.new_page(), web.url)]
    here, done = tabs[0], []
    for _ in range(CLICKS):
        (kind,) = rng.choices(list(KINDS), list(KINDS.values()))
        if kind == "other":  # a second one has episodes of its own
            if len(tabs) == 1:
                tabs.append(Wanderer(browser.new_page(), web.url))
            here = tabs[1 - tabs.index(here)]
            here.page.bring_to_front()
        path, before = here.path(), here.look()
        here.kept[path] = before["kept"]
        did = kind if kind == "other" else here.move(rng, kind)
        done.append(f"{path} {did}"[:90])
        now = here.look()
        walk = "\n".join(done)
        assert not lost(here.kept.get(here.path(), {}), now["kept"]) or did.startswith("yes"), walk
        assert now["primaries"] <= 1, walk
        assert now["toasts"] == [], walk
        assert here.visit.problems == [], walk
    for each in tabs:
        each.stop()
        each.page.close()
