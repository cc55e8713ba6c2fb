"""A visitor of the debugger who clicks at random, for tests that look for errors and lost steps."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import httpx
from playwright.sync_api import Page, Request

from support.browser import PATIENCE_MS, Visit, listen
from support.tcp_relay import Relay

ENVIRONMENT_BY_PATH = {
    "/web/": "metric_tracker_rl",
    "/drilldown/web/": "drilldown",
    "/firewatch/web/": "firewatch",
}
PATHS = list(ENVIRONMENT_BY_PATH)
ERRORS_OF_LEFT_PAGE = (
    "ERR_ABORTED",
    "AbortError",
    "Unexpected error Connection errored out.",
)
"""Errors about replies to a page that was left before they arrived."""
ERRORS_OF_CUT_CONNECTION = (*ERRORS_OF_LEFT_PAGE, "net::ERR_", "network error", "Failed to fetch")
"""Errors of the browser and of Gradio's client about a connection that a test has cut."""
WARNING_OF_REUSED_FIELD = "cannot be parsed, or is out of range"
"""Warning of Chromium if Gradio turns a text field into a number field, which clears it."""
LOADED_SELECTOR = "#mt-first section, .mt-status .mt-budget"
SELECTOR_BY_KIND = {
    "guide": "#mt-guide [data-mt], #mt-status .mt-btn, #mt-first .mt-btn",
    "answer": "dialog.mt-question button",
    "chart": "#mt-picture :is(td, .fw-node, .plot)",
    "selection": "#mt-ask [data-mt], #mt-picture [data-mt=make_opening_calls]",
    "report": "#mt-evidence [data-mt], #mt-report :is(button, input, select, summary)",
    "form": ".mt-form :is(input, select, textarea), [data-send], #mt-tools :is(input, button)",
    "tab": "[role=tab], summary, [data-switch]",
    "runs": "#mt-runs :is(button:not([name=files], [name=folder]), a[data-open], [data-step])",
    "theme": "[data-mt=theme]",
}
"""Elements that a move of a kind can click."""
WEIGHT_BY_KIND = {"guide": 9, "answer": 5, "chart": 4, "selection": 6, "report": 6, "form": 6}
WEIGHT_BY_KIND |= {"tab": 5, "runs": 4, "theme": 1, "reload": 1, "back": 1, "environment": 2}
WEIGHT_BY_KIND |= {"other tab": 1, "link": 1}
CLICK_JS = """([selector, chance, x]) => {
  const dialog = document.querySelector('dialog.mt-question');
  const isUsable = (each) => each.checkVisibility() && !each.disabled
    && (!dialog || dialog.contains(each));
  const all = [...document.querySelectorAll(selector)].filter(isUsable);
  if (!all.length) return '';
  const chosen = all[Math.floor(chance * all.length)];
  chosen.focus();
  if (chosen.matches('select')) {
    chosen.selectedIndex = Math.floor(chance * 997) % chosen.options.length;
  } else if (chosen.matches('input, textarea')) {
    chosen.value = chosen.type === 'number' ? '-5' : 'no such thing';
  } else if (chosen.matches('.plot')) {
    const box = chosen.getBoundingClientRect();
    const at = { bubbles: true, clientX: box.left + x * box.width, clientY: box.top + 5 };
    chosen.dispatchEvent(new MouseEvent('click', at));
    return 'day in a chart';
  } else {
    chosen.click();
    const { mt, send } = chosen.dataset;
    return `${mt || send || chosen.className} ${chosen.textContent.trim()}`;
  }
  for (const name of ['input', 'change', 'focusout']) {
    chosen.dispatchEvent(new Event(name, { bubbles: true }));
  }
  return `typed ${chosen.dataset.arg || chosen.dataset.field || chosen.id}`;
}"""
READ_STATE_JS = """() => ({
  saved: sessionStorage.getItem(`mt-play:${location.pathname}`) || '{}',
  primaries: [...document.querySelectorAll('.mt-status .mt-btn.primary')]
    .filter((each) => each.checkVisibility()).length,
  hasEpisode: Boolean(document.querySelector('.mt-budget')),
  evidence: document.querySelectorAll('.mt-evidence-steps > ol > li').length,
  budget: Number.parseInt(document.querySelector('.mt-budget')?.textContent ?? '0', 10),
  notice: document.querySelector('#mt-notice')?.textContent ?? '',
  toasts: [...document.querySelectorAll('.toast-body.error')].map((each) => each.textContent),
})"""


class RandomVisitor:
    """One tab of the browser, in which an episode of each environment may run.

    Args:
        page: page of the browser.
        url: URL of the server, or of a relay in front of it.

    Attributes:
        saved_by_path: the last saved episode of each environment, by the path of its page.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.visit = Visit(page)
        page.set_default_timeout(PATIENCE_MS)
        self.stop = listen(self.visit)
        self.waiting: set[Request] = set()
        page.on("request", lambda request: self._update_waiting(request, self.waiting.add))
        for ended in ("requestfinished", "requestfailed"):
            page.on(ended, lambda request: self._update_waiting(request, self.waiting.discard))
        self.saved_by_path: dict[str, Any] = {}
        self.load(lambda: page.goto(f"{url}{PATHS[0]}"))

    @staticmethod
    def _update_waiting(request: Request, update: Callable[[Request], None]) -> None:
        if "/queue/" in request.url:
            update(request)

    @property
    def path(self) -> str:
        """Path of the open page."""
        return self.page.url.removeprefix(self.url).partition("?")[0].partition("#")[0]

    def settle(self) -> None:
        """Wait until every reply has arrived: the browser pauses between request and stream."""
        quiet, waits = 0, PATIENCE_MS // 25
        while quiet < 6 and waits:
            self.page.wait_for_timeout(25)
            quiet, waits = 0 if self.waiting else quiet + 1, waits - 1

    def load(self, navigate: Callable[[], Any]) -> None:
        """Load a page. Errors about replies to the previous page are ignored."""
        self.settle()
        before = list(self.visit.problems)
        navigate()
        if not self.page.url.startswith(self.url):
            self.page.goto(f"{self.url}{PATHS[0]}")
        self.waiting.clear()
        self.page.wait_for_selector(LOADED_SELECTOR, state="attached", timeout=PATIENCE_MS)
        self.settle()
        self.drop_problems(len(before), ERRORS_OF_LEFT_PAGE)

    def drop_problems(self, start: int, ignored: tuple[str, ...]) -> None:
        """Forget the problems from an index on that contain one of the given texts."""
        problems = self.visit.problems
        problems[start:] = [
            problem for problem in problems[start:] if not any(text in problem for text in ignored)
        ]

    def move(self, rng: random.Random, kind: str) -> str:
        """Make one move and return what was done."""
        if kind == "reload":
            self.load(self.page.reload)
        elif kind == "back":
            self.load(self.page.go_back)
        elif kind == "link":  # to another episode, which asks first if an episode is running
            link = f"{self.url}{self.path}?seed={rng.randrange(9)}"
            self.load(lambda: self.page.goto(link))
        elif kind == "environment":
            self._change_environment(rng.choice(PATHS))
        else:
            before = len(self.visit.problems)
            done = self.click_random_element(rng, kind)
            self.settle()
            self.drop_problems(before, (WARNING_OF_REUSED_FIELD,))
            return done
        return kind

    def click_random_element(self, rng: random.Random, kind: str) -> str:
        """Click a random element and return what was clicked, without waiting for the reply."""
        done = ""
        for each in (kind, "guide", "chart", "tab"):
            done = done or self.page.evaluate(
                CLICK_JS, [SELECTOR_BY_KIND[each], rng.random(), rng.random()]
            )
        return done

    def _change_environment(self, path: str) -> None:
        if self.page.locator("dialog.mt-question").count():  # nothing behind it can be clicked
            self.page.keyboard.press("Escape")
            self.settle()
        link = self.page.locator(".mt-door").nth(PATHS.index(path))
        if not link.is_visible():  # an earlier move may have opened the menu
            self.page.click(".mt-menu > summary")

        def follow_link() -> None:
            link.click()
            self.page.wait_for_url(f"**{path}*")

        self.load(follow_link)

    def cut_during_random_click(self, rng: random.Random, relay: Relay) -> str:
        """Click a random element, cut all connections of the page, and wait until it is back."""
        before = len(self.visit.problems)
        kind = rng.choice(("guide", "selection", "form", "report"))
        done = self.click_random_element(rng, kind)
        self.page.wait_for_timeout(rng.choice((0, 5, 15, 30, 60)))
        relay.cut()
        self.page.wait_for_timeout(200)
        for _ in range(PATIENCE_MS // 250):
            try:
                if not self.read_state()["notice"]:
                    break
            except Exception:  # the page is being loaded again
                self.waiting.clear()
            self.page.wait_for_timeout(250)
        self.waiting.clear()
        self.page.wait_for_selector(LOADED_SELECTOR, state="attached", timeout=PATIENCE_MS)
        self.page.wait_for_timeout(300)
        self.settle()
        self.drop_problems(before, ERRORS_OF_CUT_CONNECTION)
        return f"cut after {done}"

    def read_state(self) -> dict[str, Any]:
        """Return what the page shows, with the saved episode as JSON."""
        state: dict[str, Any] = self.page.evaluate(READ_STATE_JS)
        return state | {"saved": json.loads(state["saved"])}

    def find_problem(self, server_url: str, done: str) -> str:
        """Return what is wrong on the page after a move; empty if nothing is.

        Args:
            server_url: URL of the observed server.
            done: the move.
        """
        now = self.read_state()
        saved = self.saved_by_path.get(self.path, {})
        if has_lost_steps(saved, now["saved"]) and not done.startswith("yes"):
            return f"steps are lost: {saved} became {now['saved']}"
        if now["primaries"] > 1:
            return f"{now['primaries']} primary buttons"
        if now["toasts"] or self.visit.problems:
            return f"errors: {now['toasts']} {self.visit.problems}"
        if now["notice"]:
            return f"notice: {now['notice']}"
        if not now["hasEpisode"]:
            return ""
        if now["budget"] != now["evidence"]:
            return f"{now['budget']} steps and {now['evidence']} in the list"
        return self._compare_with_server(server_url, now["evidence"])

    def _compare_with_server(self, server_url: str, listed: int) -> str:
        """Return what is wrong if the server has no episode with as many steps as are listed."""
        environment = ENVIRONMENT_BY_PATH[self.path]
        deadline = time.monotonic() + 5
        while True:
            counts = httpx.get(f"{server_url}/observed/steps", timeout=30).json()
            if [environment, listed] in [*counts["running"], *counts["ended"][-3:]]:
                return ""
            if time.monotonic() > deadline:
                return f"{listed} steps of {environment} are listed; the server has {counts}"
            time.sleep(0.1)


def has_lost_steps(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Return whether a saved running episode with own steps is not continued by another one."""
    if len(before.get("actions", ())) <= before.get("opening", 0):
        return False
    is_running = before["said"].startswith("step")
    is_same = now.get("reset") == before["reset"]
    return is_running and not (
        is_same and now["actions"][: len(before["actions"])] == before["actions"]
    )
