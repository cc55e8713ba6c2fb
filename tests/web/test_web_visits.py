"""A visitor who wanders: wrong values, second clicks, small screens. Nothing bricks or misleads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from conftest import PATIENCE_MS, Visit, WebServer, form_of
from playwright.sync_api import Locator, expect
from test_web_browser import episode_of, look_for_spikes, submit_empty

from metric_tracker_rl.engine.tasks import DEFAULT_TASK_ID
from metric_tracker_rl.page.data import FREE

pytestmark = [pytest.mark.slow, pytest.mark.browser]
OpenVisit = Callable[..., Visit]
READABLE = 4.5
"""Least contrast of text with what is behind it (WCAG 2, level AA)."""
LARGE = 3.0
"""Least contrast of text of 24 px or more."""

TEXTS = """
() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const style = getComputedStyle(each);
      if (style.backgroundImage !== 'none') return null;
      const colour = rgba(style.backgroundColor);
      if (colour[3] > 250) return colour;
      if (colour[3] > 5) return null;
    }
    return rgba(getComputedStyle(document.body).backgroundColor);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const words = walker.currentNode.textContent.trim();
    if (!words || element.closest('svg, style, script, [disabled]')) continue;
    if (!element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) continue;
    const back = behind(element);
    if (!back) continue;
    const style = getComputedStyle(element);
    found.push([words.slice(0, 60), rgba(style.color), back, parseFloat(style.fontSize)]);
  }
  return found;
}
"""

STILL = "document.getAnimations().every((each) => each.playState !== 'running')"
"""Whether all colours are what they are going to be."""


def luminance(colour: list[int]) -> float:
    """Relative luminance of an RGB colour, in [0, 1]."""
    shares = [channel / 255 for channel in colour[:3]]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: list[int], other: list[int]) -> float:
    """Contrast of two colours, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def channels(colour: str) -> list[int]:
    return [int(each) for each in re.findall(r"\d+", colour)[:3]]


def box(place: Locator) -> dict[str, float]:
    found = place.bounding_box()
    assert found is not None
    return dict(found)


def choose(mine: Visit, method: str) -> None:
    mine.tab("Investigate")
    mine.choose("#mt-method", method)


def visible_numbers(mine: Visit) -> list[Locator]:
    return mine.page.locator(".mt-form input[type=number]:visible").all()


def test_one_bad_value_spoils_one_call_and_no_other(visit: OpenVisit) -> None:
    mine = visit()
    choose(mine, "get_rows_with_abs_diff_from_median_gt")
    threshold = mine.page.get_by_label("threshold", exact=True)
    threshold.fill("-1")
    threshold.press("Tab")
    mine.page.click("#mt-run")
    mine.sees("#mt-answer", "threshold is -1: input should be greater than or equal to 0")
    mine.choose("#mt-method", "list_dates")
    mine.page.click("#mt-run")
    mine.sees("#mt-status", "list_dates done.")


def test_no_number_in_any_form_keeps_another_method_from_running(visit: OpenVisit) -> None:
    mine = visit()
    for steps, value in enumerate(("-1e30", ""), start=1):
        for method in (
            "list_suspicious_dates",
            "show_raw_data",
            "get_rows_with_abs_diff_from_median_gt",
            "get_median_filter_rows",
            "get_funnel_break_rows",
        ):
            choose(mine, method)
            expect(mine.page.locator(form_of(method))).to_be_visible()
            for number in visible_numbers(mine):
                number.fill(value)
                number.blur()
        mine.choose("#mt-method", "list_dates")
        mine.page.click("#mt-run")
        expect(mine.page.locator("#mt-log"), f"with {value!r}").to_contain_text(f"{steps} of 64")
        mine.sees("#mt-status", "list_dates done.")


def test_the_status_line_stays_in_sight(visit: OpenVisit) -> None:
    mine = visit(width=390)
    mine.tab("Data")
    expect(mine.page.locator("#mt-map .mt-map")).to_be_visible()
    mine.unfold(FREE)
    expect(mine.page.locator("#mt-heat .js-plotly-plot")).to_be_visible()
    for width in (390, 1400):
        mine.page.set_viewport_size({"width": width, "height": 900})
        mine.page.evaluate("window.scrollTo(0, 0)")
        mine.page.evaluate("window.scrollTo(0, 1200)")
        assert mine.page.evaluate("scrollY") == 1200, width
        status = box(mine.page.locator("#mt-status"))
        assert status["y"] == 0, width
        assert status["height"] < 0.35 * 900, width
        assert mine.page.evaluate(
            "document.elementFromPoint(innerWidth / 2, 20).closest('#mt-status') !== null"
        ), width


def test_the_score_is_in_sight_after_submit(visit: OpenVisit) -> None:
    mine = visit(width=390)
    mine.tab("Report")
    mine.page.get_by_role("button", name="Build rows with generator methods").click()
    for width in (390, 1400):
        mine.page.set_viewport_size({"width": width, "height": 900})
        mine.start(DEFAULT_TASK_ID)
        choose(mine, "list_dates")
        mine.tab("Report")
        number = mine.page.locator(".mt-score strong")
        expect(number).to_have_count(0)
        for name in ("far above their median", "far below their median", "funnel"):
            label = mine.page.locator(".mt-generators label", has_text=name).first
            label.locator("input").check()
        mine.page.get_by_label("Threshold multiplier").fill("0.5")
        mine.page.click("#mt-generate")
        mine.sees("#mt-check", "well formed")
        mine.page.locator("#mt-submit").scroll_into_view_if_needed()
        mine.page.click("#mt-submit")
        expect(number, f"{width} wide").to_be_in_viewport(ratio=1)
        below = box(mine.page.locator("#mt-status"))
        assert box(number)["y"] >= below["y"] + below["height"], width


def test_after_the_end_every_button_says_that_it_is_over(visit: OpenVisit) -> None:
    mine = visit()
    look_for_spikes(mine)
    mine.sees("#mt-answer", "Rows you could report")
    mine.tab("Report")
    submit_empty(mine)
    mine.sees(".mt-score", "0.0000")
    mine.page.click("#mt-submit")
    mine.sees("#mt-status", "This episode is over. Start another one")
    mine.sees(".mt-score", "0.0000")
    mine.tab("Investigate")
    mine.page.click("#mt-run")
    mine.sees("#mt-answer", "This episode is over. Start another one")
    mine.sees("#mt-log", "2 of 64 steps")
    mine.start("medium_mixed_pair")
    mine.tab("Investigate")
    mine.sees("#mt-answer", "Nothing asked yet")
    mine.page.click("#mt-run")
    mine.sees("#mt-log", "1 of 64 steps")


def test_steps_that_run_out_end_with_a_score_to_read(visit: OpenVisit) -> None:
    mine = visit()
    mine.page.get_by_role("button", name="Build your own").click()
    fill(mine, "Most steps", "1")
    mine.page.click("#mt-start-custom")
    mine.sees("#mt-status", "0 of 1 steps")
    choose(mine, "list_dates")
    mine.page.click("#mt-run")
    mine.sees("#mt-log", "1 of 1 steps")
    mine.page.click("#mt-run")
    mine.sees("#mt-answer", "More than 1 steps were taken")
    mine.tab("Report")
    mine.sees("#mt-score", "nothing was graded")


def fill(mine: Visit, label: str, text: str) -> None:
    """Type into a field, again if the form was still opening and put its own value back."""
    field = mine.page.get_by_label(label, exact=True)
    for tries_left in (3, 2, 1, 0):
        field.fill(text)
        field.press("Tab")
        try:
            expect(field).to_have_value(text, timeout=5_000)
            return
        except AssertionError:
            if not tries_left:
                raise


def test_most_steps_is_never_what_nobody_asked_for(visit: OpenVisit) -> None:
    mine = visit()
    mine.start("hard_mixed_multi")
    mine.page.get_by_role("button", name="Build your own").click()
    for typed, told, task in (
        ("0", "max_steps is 0", "hard_mixed_multi"),
        ("2.5", "max_steps is 2.5", "hard_mixed_multi"),
        ("", "0 of 64 steps", "custom"),
    ):
        fill(mine, "Most steps", typed)
        mine.page.click("#mt-start-custom")
        mine.sees("#mt-status", told)
        mine.sees("#mt-card", task)


def test_custom_anomalies_are_added_or_take_the_place_of_the_planned_ones(visit: OpenVisit) -> None:
    mine = visit()
    chosen = {"seed": 11, "scenario_family": "mixed", "difficulty": "easy"}
    dates = episode_of(**chosen).dates
    own: dict[str, Any] = {
        "metric_name": "app_opens",
        "date": dates[8],
        "stddev_factor": 9.0,
        "direction": "up",
    }
    keys = mine.page.keyboard
    mine.press(".mt-fold button")
    mine.press("#mt-custom button", "Add a row")
    year, month, day = dates[8].split("-")
    date = mine.page.locator("#mt-custom [data-field=date]")
    mine.reach("#mt-custom [data-field=metric_name]", key="Shift+Tab")
    keys.type("app opens")
    # Over a date that is there, a month that begins with 0 empties the field for one key.
    for typed, means in (
        ("12312020", "2020-12-31"),
        ("01142021", "2021-01-14"),
        (f"{month}{day}{year}", dates[8]),
    ):
        mine.reach("#mt-custom [data-field=date]")
        keys.type(typed, delay=100)
        mine.reach("#mt-custom [data-field=metric_name]", key="Shift+Tab")
        expect(date).to_have_attribute("value", means)
    for field, typed in (("stddev_factor", "9"), ("direction", "up")):
        mine.reach(f"#mt-custom [data-field={field}]")
        keys.type(typed)
    keys.press("Tab")
    for planned in (True, False):
        expected = episode_of(
            **chosen, anomaly_density="low", anomalies=[own], anomaly_count=2 if planned else None
        )
        if not planned:
            mine.page.get_by_label("instead of the planned ones").check()
        mine.page.click("#mt-start-custom")
        mine.sees("#mt-card", "Custom anomalies as applied")
        mine.sees("#mt-card", f"{len(expected.expected_rows)} expected row(s)")
        others = {row.date for row in expected.expected_rows} - {dates[8]}
        assert bool(others) is planned


def test_what_a_chart_says_about_a_point_is_readable(visit: OpenVisit) -> None:
    mine = visit(width=1400, color_scheme="dark")
    mine.tab("Data")
    mine.unfold(FREE)
    pale = []
    for scheme in ("dark", "light"):
        mine.page.emulate_media(color_scheme=scheme)
        for chart in ("#mt-counts", "#mt-heat"):
            mine.page.locator(f"{chart} .js-plotly-plot").scroll_into_view_if_needed()
            mine.page.locator(f"{chart} .nsewdrag").hover()
            labels = mine.page.locator(f"{chart} .hoverlayer text")
            expect(labels.first).to_be_visible()
            expect(mine.page.locator(f"{chart} .modebar")).to_be_hidden()
            back = mine.page.locator(f"{chart} .hoverlayer :is(rect.bg, .hovertext path)").first
            behind = channels(back.evaluate("each => getComputedStyle(each).fill"))
            for fill in labels.evaluate_all("all => all.map(each => getComputedStyle(each).fill)"):
                if contrast(channels(fill), behind) < READABLE:
                    pale.append(f"{scheme}: {chart}: {fill} on {behind}")
        mine.page.mouse.move(0, 0)
    assert pale == []


def test_every_text_is_readable_and_axe_finds_no_barrier_on_any_tab(visit: OpenVisit) -> None:
    mine = visit(width=1400, color_scheme="dark")
    look_for_spikes(mine)
    mine.sees("#mt-answer", "Rows you could report")
    mine.page.click("#mt-add-all")
    mine.tab("Data")
    mine.unfold(FREE)
    mine.tab("Report")
    mine.page.click("#mt-submit")
    mine.sees("#mt-score", "Score")
    mine.tab("Watch")
    mine.page.click("#mt-watch-policy")
    mine.sees("#mt-scene", "step 0 of")
    mine.page.click("#mt-end")
    mine.sees("#mt-scene", "1.0000")
    places = {
        "Episode": "#mt-start",
        "Data": "#mt-heat .js-plotly-plot",
        "Investigate": "#mt-run",
        "Report": "#mt-submit",
        "Watch": "#mt-watch-policy",
    }
    pale = []
    barriers = []
    for scheme in ("dark", "light"):
        mine.page.emulate_media(color_scheme=scheme)
        for tab, place in places.items():
            mine.tab(tab)
            expect(mine.page.locator(place)).to_be_visible()
            mine.page.wait_for_function(STILL)
            for words, front, back, size in mine.page.evaluate(TEXTS):
                found = contrast(front, back)
                if found < (LARGE if size >= 24 else READABLE):
                    pale.append(f"{scheme}: {tab}: {words!r} {found:.2f}")
            barriers += [f"{scheme}: {tab}: {each}" for each in mine.barriers()]
    assert (pale, barriers) == ([], [])
    mine.page.evaluate("document.querySelector('#mt-status').innerHTML += '<img src=\"\">'")
    assert any(each.startswith("image-alt") for each in mine.barriers()), "axe finds nothing at all"


def test_a_page_whose_visitor_is_forgotten_says_so(visit: OpenVisit, web: WebServer) -> None:
    """As after an hour away, or a restart: the page is there, and the server does not know it."""
    mine = visit()
    mine.start("hard_mixed_multi")

    def forgotten(route: Any) -> None:
        body = json.loads(route.request.post_data)
        route.continue_(post_data=json.dumps({**body, "session_hash": "nobodyknows"}))

    def read_there(route: Any) -> None:
        route.continue_(
            url=re.sub("session_hash=[^&]*", "session_hash=nobodyknows", route.request.url)
        )

    mine.page.route("**/queue/join**", forgotten)
    mine.page.route("**/queue/data**", read_there)
    choose(mine, "list_dates")
    mine.page.click("#mt-run")
    toast = mine.page.locator(".toast-body")
    expect(toast).to_contain_text("its episode is gone", timeout=PATIENCE_MS)
    assert DEFAULT_TASK_ID not in mine.text("#mt-status")
    mine.tab("Episode")
    mine.page.click("#mt-start")
    mine.sees("#mt-status", "0 of 64 steps")
