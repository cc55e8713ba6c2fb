"""Drill-down episodes on the page, in a real Chromium against a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from conftest import CUT_OFF, Visit, WebServer, page_client
from playwright.sync_api import expect

from metric_tracker_rl.drilldown.building import build_episode
from metric_tracker_rl.drilldown.tasks import TASKS
from openenv_kit.page.markup import day_name, words

pytestmark = [pytest.mark.slow, pytest.mark.browser]
OpenVisit = Callable[..., Visit]
EASY, BY_SQL = "drill_easy_saas_trial", "drill_sql_saas_trial"
TAB = "[role=tab]"
HEAR = """
() => {
  window.told = [];
  const plain = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await plain(...asked);
    if (String(asked[0].url || asked[0]).includes('/queue/data')) {
      const reader = answer.clone().body.getReader();
      const decoder = new TextDecoder();
      const read = () => reader.read().then(({ done, value }) => {
        if (done) return;
        window.told.push(decoder.decode(value, { stream: true }));
        return read();
      });
      read().catch(() => {});
    }
    return answer;
  };
}
"""
"""Keeps every message that the page is sent in answer to an event."""


def rows_of(task: str) -> list[dict[str, Any]]:
    return [row.as_dict() for row in build_episode(TASKS[task]).expected_rows]


def start(mine: Visit, task: str) -> None:
    """Start a named drill-down task."""
    mine.tab("Drill-down")
    mine.choose("#dd-task", f"{words(TASKS[task].difficulty)}: {words(TASKS[task].product)}")
    mine.page.click("#dd-start")
    mine.sees("#mt-card", task)


def choose_each(mine: Visit, selector: str, options: Sequence[str]) -> None:
    """Pick several options; the list opens anew for each, because it opens on focus alone."""
    for option in options:
        mine.choose(selector, option)
        mine.page.locator(f"{selector} input").first.blur()
        expect(mine.page.get_by_role("option")).to_have_count(0)


def look(mine: Visit) -> None:
    """Slice by plan, drag over the third week, compare it, and read the change log."""
    mine.tab("Investigate")
    choose_each(mine, "#dd-by", ["plan"])
    mine.page.click("#dd-run-slice")
    plot = mine.page.locator("#mt-cut .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    mine.page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
    mine.page.mouse.down()
    mine.page.mouse.move(box["x"] + box["width"] * 0.375, box["y"] + 40, steps=4)
    mine.page.mouse.up()
    mine.sees("#mt-status", "chosen, for a comparison")
    mine.page.get_by_role("tab", name="Compare", exact=True).click()
    mine.page.click("#dd-run-compare")
    mine.sees("#mt-status", "2 of 200 steps")
    mine.sees("#mt-cut .infolayer", "change of")
    mine.tab("Data")
    mine.page.click("#dd-log")
    mine.sees("#dd-entries", "chg-01")


def add(mine: Visit, row: dict[str, Any]) -> None:
    """Add a row to the report by its form."""
    mine.choose("#dd-kind", words(row["kind"]))
    mine.choose("#dd-stage", row["stage"])
    people = [f"{name} = {value}" for name, value in row["segment"].items()]
    choose_each(mine, "#dd-segment", people)
    mine.choose("#dd-row-from", day_name(row["date_from"]))
    mine.choose("#dd-row-to", day_name(row["date_to"]))
    change = mine.page.locator("#dd-change input").first
    change.click()
    mine.page.get_by_role("option", name=re.compile(rf"\b{row['change']}\b")).click()
    mine.page.click("#dd-add")


def test_an_easy_task_is_solved_by_clicks_alone(visit: OpenVisit) -> None:
    mine, rows = visit(width=1400), rows_of(EASY)
    start(mine, EASY)
    mine.sees("#mt-status", "5,200 numbers left")
    look(mine)
    mine.tab("Report")
    for number, row in enumerate(rows, start=1):
        add(mine, row)
        mine.sees("#dd-rows", f"{number} row(s): {number} well formed, 0 not")
    assert mine.page.locator("#dd-score .mt-outcome").count() == 0
    mine.page.click("#dd-submit")
    mine.sees("#dd-score .mt-score", "1.0000")
    mine.sees("#dd-score", f"= ({len(rows)} matched − 0 cost) / {len(rows)} roots")
    expect(mine.page.locator("#dd-score .mt-verdict.good")).to_have_count(len(rows))
    drawn = mine.page.locator("#mt-roots .infolayer text", has_text="its cause taken back")
    expect(drawn).not_to_have_count(0)
    expect(mine.page.locator("#dd-score .mt-outcome")).to_be_in_viewport()


def test_a_query_is_answered_with_a_table_and_a_wrong_one_in_words(visit: OpenVisit) -> None:
    mine = visit(width=390)
    start(mine, BY_SQL)
    mine.tab("Investigate")
    expect(mine.page.locator("#dd-run-slice")).to_be_hidden()
    editor = mine.page.locator("#dd-query textarea")
    editor.fill("SELECT plan, sum(signups) AS joined FROM counts GROUP BY plan ORDER BY plan")
    mine.page.click("#dd-run-sql")
    expect(mine.page.locator("#dd-answer tbody tr")).to_have_count(4)
    mine.sees("#dd-answer", "joined")
    mine.sees("#mt-status", "11,996 numbers left")
    editor.fill("SELECT nothing FROM counts")
    mine.page.click("#dd-run-sql")
    mine.sees("#mt-status", "no column 'nothing'")
    mine.sees("#dd-left", "11,996 of 12,000")
    mine.sees("#dd-calls", "2 of 200 steps")
    for tab in ("Investigate", "Data", "Report", "Episode"):
        mine.tab(tab)
        assert mine.page.evaluate(CUT_OFF) == []


def test_no_message_before_the_end_holds_a_label(visit: OpenVisit) -> None:
    mine = visit()
    mine.page.evaluate(HEAR)
    labels = [
        ", ".join(f"{name} = {value}" for name, value in row["segment"].items())
        for row in rows_of(EASY)
    ]
    start(mine, EASY)
    mine.tab("Investigate")
    mine.page.click("#dd-run-slice")
    mine.sees("#mt-status", "1 of 200 steps")

    def told() -> str:
        return "".join(mine.page.evaluate("window.told"))

    before = told()
    assert "rate into signups, % of pricing_views" in before, "messages are not being heard"
    assert [label for label in [*labels, "taken back"] if label in before] == []
    mine.tab("Report")
    mine.page.click("#dd-submit")
    mine.page.click("#dd-sure-yes")
    mine.sees("#dd-score .mt-score", "0.0000")
    assert [label for label in [*labels, "taken back"] if label not in told()] == []


def add_by_keys(mine: Visit, row: dict[str, Any]) -> None:
    """Fill in the form of a row from its top, and add it."""
    mine.type("#dd-kind input", words(row["kind"]))
    mine.type("#dd-stage input", row["stage"])
    for name, value in row["segment"].items():
        mine.type("#dd-segment input", f"{name} = {value}")
    mine.type("#dd-row-from input", day_name(row["date_from"]))
    mine.type("#dd-row-to input", day_name(row["date_to"]))
    mine.type("#dd-change input", row["change"])
    mine.press("#dd-add")


def test_an_easy_task_is_solved_by_keyboard_alone_and_goes_on_after_a_reload(
    visit: OpenVisit, web: WebServer
) -> None:
    mine, rows = visit(width=1400), rows_of(EASY)
    mine.press(TAB, "Drill-down")
    mine.type("#dd-task input", f"{words(TASKS[EASY].difficulty)}: {words(TASKS[EASY].product)}")
    mine.press("#dd-start")
    mine.sees("#mt-card", EASY)
    mine.press(TAB, "Investigate", back=True)
    mine.type("#dd-by input", "plan")
    mine.type("#dd-from input", day_name(rows[0]["date_from"]))
    mine.press("#dd-run-slice")
    mine.sees("#mt-status", "1 of 200 steps")
    mine.sees("#dd-calls", f'[["{rows[0]["date_from"]}"')
    mine.press(TAB, "Compare", back=True)
    mine.type("#dd-now-from input", day_name(rows[0]["date_from"]))
    mine.type("#dd-now-to input", day_name(rows[0]["date_to"]))
    mine.press("#dd-run-compare")
    mine.sees("#mt-status", "2 of 200 steps")
    mine.press(TAB, "Data", back=True)
    mine.press("#dd-log")
    mine.sees("#dd-entries", "chg-01")
    mine.press(TAB, "Report", back=True)
    for row in rows[:-1]:
        add_by_keys(mine, row)
    with page_client(web.url) as other:  # who plays at the same time
        told = json.loads(other.predict({"task_id": BY_SQL}, api_name="/start"))
        assert told["config"]["product"] == TASKS[BY_SQL].product
    mine.page.reload()
    mine.sees("#mt-status", "3 of 200 steps")
    mine.problems.clear()  # what was open when the page was left
    mine.press(TAB, "Report")
    add_by_keys(mine, rows[-1])
    mine.sees("#dd-rows", f"{len(rows)} row(s): {len(rows)} well formed, 0 not")
    mine.press("#dd-submit")
    mine.sees("#dd-score .mt-score", "1.0000")
    mine.sees("#mt-status", "score 1.0000")
