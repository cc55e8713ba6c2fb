"""Episodes of each environment in Chromium, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from drilldown_env.page.tree import episode_of
from openenv_kit.environment import get_environment
from openenv_kit.page import page_address
from openenv_kit.page.environment_view import get_environment_view_or_default
from openenv_kit.page.playback import create_playback_of_policy
from openenv_kit.page.visitor import Visitor
from support.browser import CUT_OFF, Visit, WebServer

pytestmark = [pytest.mark.slow, pytest.mark.browser]

OpenVisit = Callable[..., Visit]
PATHS = {
    "metric_tracker_rl": "/web/",
    "drilldown": "/drilldown/web/",
    "firewatch": "/firewatch/web/",
}
STATUS = ".mt-status"
GUIDE = "#mt-guide"
FOLLOW = "#mt-guide .mt-btn.accent"
SUBMIT = ".mt-status [data-mt=submit]"
PLAY = "#mt-first .mt-btn.primary"
EASY = "easy_single_spike"
OPENING_STEPS = {"metric_tracker_rl": 3, "drilldown": 1, "firewatch": 0}
IN_SIGHT = (
    "([selector]) => document.querySelector(selector).getBoundingClientRect().bottom <= innerHeight"
)


def step(mine: Visit) -> int:
    return int(mine.text(".mt-budget").split()[0])


def play(mine: Visit, opening_steps: int = 3) -> None:
    """From the first screen into an episode of one's own."""
    mine.click(PLAY)
    mine.sees(".mt-budget", f"{opening_steps} of")
    expect(mine.page.locator("#mt-first section")).to_have_count(0)


def follow(mine: Visit) -> str:
    """Do what the page suggests, and wait for its effect; return the button's label."""
    before = mine.text("#mt-guide")
    label = mine.text(FOLLOW)
    mine.click(FOLLOW)
    expect(mine.page.locator("#mt-guide")).not_to_have_text(before, use_inner_text=True)
    return label


def next_reset(name: str) -> dict[str, Any]:
    """The episode that whoever is here for the first time plays first."""
    scenes = get_environment_view_or_default(get_environment(name))
    return dict(page_address.choose_unseen_task_reset(scenes, Visitor(scenes.environment)))


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
@pytest.mark.parametrize("name", PATHS)
def test_first_screen_fits_without_scrolling(
    visit: OpenVisit, name: str, width: int, height: int
) -> None:
    mine = visit(width=width, path=PATHS[name])
    mine.page.set_viewport_size({"width": width, "height": height})
    places = ["#mt-first h2", "#mt-first .mt-pitch > p:nth-of-type(3)", PLAY]
    if width > 1000 and name == "metric_tracker_rl":
        places += [f"#mt-first .mt-charts:nth-child({number})" for number in (1, 2, 3)]
    for place in places:
        assert mine.page.evaluate(IN_SIGHT, [place]), place
    expect(mine.page.locator(".mt-door")).to_have_count(3)
    expect(mine.page.locator("#mt-start select >> nth=0")).to_be_visible()
    assert mine.page.evaluate(CUT_OFF) == []


@pytest.mark.parametrize("keyboard", [False, True], ids=["mouse", "keyboard"])
def test_the_funnel_is_solved_with_the_page_and_its_suggestions(
    visit: OpenVisit, keyboard: bool
) -> None:
    mine = visit(width=1440)
    mine.keyboard = keyboard
    play(mine)
    mine.click(".mt-status [data-mt=suggest]")
    mine.sees(GUIDE, "Run task_overview()")
    labels = []
    while mine.page.locator(f"{FOLLOW}[data-mt=submit]").count() == 0:
        labels.append(follow(mine))
        assert len(labels) < 20
    assert labels[-1] == "Apply changes"
    assert step(mine) == 3 + len(labels) - 1
    mine.click(FOLLOW)
    mine.sees("#mt-result h2", "2 of 2 causes found: 1.00")
    expect(mine.page.locator("#mt-result h2")).to_be_in_viewport()
    mine.sees(".mt-status", "Another easy episode")
    mine.click(".mt-status .primary")
    mine.sees(".mt-budget", "3 of")


@pytest.mark.parametrize("width", [390, 1440])
def test_suggestion_is_visible_where_the_page_is_scrolled_to(visit: OpenVisit, width: int) -> None:
    mine = visit(width=width)
    play(mine)
    mine.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    mine.click(".mt-status [data-mt=suggest]")
    expect(mine.page.locator(FOLLOW)).to_be_in_viewport(ratio=1)
    while mine.page.locator(f"{FOLLOW}[data-mt=submit]").count() == 0:
        follow(mine)
        expect(mine.page.locator(".mt-suggestion")).to_be_in_viewport(ratio=1)
    status, guide = (mine.page.locator(s).bounding_box() for s in (STATUS, ".mt-suggestion"))
    assert width == 390 or guide["y"] >= status["y"] + status["height"]


def test_title_leads_to_the_first_screen_and_asks_before_it_ends_an_episode(
    visit: OpenVisit,
) -> None:
    mine = visit(width=1440)
    play(mine)
    mine.click("#mt-tools [data-value=list_dates]")
    mine.click("#mt-tools [data-send]")
    mine.sees(".mt-budget", "4 of")
    mine.click(".mt-head h1 a")
    mine.sees("dialog.mt-question", "The first screen ends it without a score")
    mine.click("dialog.mt-question .primary")
    expect(mine.page.locator(PLAY)).to_be_visible()
    assert "task=" not in mine.page.url
    mine.page.reload()
    expect(mine.page.locator(PLAY)).to_be_visible()
    mine.problems.clear()  # the reload ends the request of the page's heartbeat


def test_charts_select_a_day_by_click_and_arrow_without_a_step(visit: OpenVisit) -> None:
    mine = visit(width=1440)
    play(mine)
    plot = mine.page.locator("#mt-picture .plot").nth(3)
    box = plot.bounding_box()
    assert box is not None
    plot.hover(position={"x": 2, "y": 10})
    caption = mine.page.locator("#mt-picture figcaption span").nth(3)
    expect(caption).to_contain_text("12 May")
    plot.click(position={"x": box["width"] * 1.5 / 28, "y": 10})
    mine.sees("#mt-ask h2", "Fri 13 May: what stands out")
    mine.sees("#mt-ask", "menu opens")
    cursors = mine.page.locator("#mt-picture .cursor")
    expect(cursors.first).to_have_attribute("style", re.compile("left: 5[.]35"))
    expect(cursors.last).to_have_attribute("style", re.compile("left: 5[.]35"))
    mine.page.keyboard.press("ArrowRight")
    mine.sees("#mt-ask h2", "Sat 14 May: what stands out")
    mine.sees("#mt-below", "Hours of Sat 14 May")
    assert step(mine) == 3
    mine.page.click("#mt-ask [data-mt=ask] >> nth=0")
    mine.sees(".mt-budget", "4 of")
    expect(cursors.first).to_have_attribute("style", re.compile("left: ?8[.]9"))


def test_a_reported_day_becomes_a_row_that_can_be_edited_previewed_and_submitted(
    visit: OpenVisit, web: WebServer
) -> None:
    mine = visit(width=1440)
    page = mine.page
    play(mine)
    figures = httpx.get(f"{web.url}/metrics").text
    (open_sessions,) = re.findall(r"^openenv_kit_sessions(?:{[^}]*})? (\S+)", figures, re.MULTILINE)
    assert float(open_sessions) >= 1, "the page does not play over the server's own WebSocket"
    page.click("#mt-ask [data-mt=draft] >> nth=2")
    mine.sees("#mt-ask [data-mt=draft] >> nth=2", "Reported")
    mine.sees(SUBMIT, "Submit (1)")
    mine.sees("#mt-report", "Thu 2 Jun")
    page.click("text=Add a row")
    mine.sees("#mt-report", "date is empty")
    page.click(SUBMIT)
    mine.sees("dialog.mt-question", "Row 2: date is empty")
    expect(page.locator("dialog [data-mt=no]")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.mt-question")).to_have_count(0)
    page.click("#mt-report [aria-label='Delete row 2']")
    mine.sees(SUBMIT, "Submit (1)")
    page.click("[data-mt=preview]")
    mine.sees(".mt-budget", "4 of")
    mine.sees("#mt-evidence", "valid rows")
    page.click(SUBMIT)
    mine.sees("#mt-result h2", "1 of 2 causes found")
    mine.sees("#mt-result", "read but not reported")
    with page.expect_download() as download:
        page.click("[data-mt=save_play]")
    assert download.value.suggested_filename == f"{EASY}.jsonl"
    mine.sees(".mt-status", f"Saved as {EASY}.jsonl")


def test_address_of_a_play_opens_it_in_another_browser_at_its_step(
    visit: OpenVisit, web: WebServer
) -> None:
    mine = visit(width=1440)
    play(mine)
    mine.page.click("#mt-ask [data-mt=ask] >> nth=0")
    mine.sees(".mt-budget", "4 of")
    mine.page.wait_for_function("location.hash.startsWith('#play=')")
    mine.page.wait_for_timeout(200)
    address = mine.page.url
    assert len(address.partition("#play=")[2]) < 600
    mine.page.evaluate("sessionStorage.clear(); Storage.prototype.getItem = () => null")
    other = visit(width=1440)
    other.page.goto(address)
    other.page.reload()  # an address that differs in its fragment alone loads nothing
    other.sees(".mt-budget", "4 of")
    other.sees("#mt-evidence", "Reply of step 4")
    other.problems.clear()


def test_lost_connection_is_retried_and_the_episode_comes_back(visit: OpenVisit) -> None:
    mine = visit(width=1440)
    play(mine)
    mine.page.click("#mt-ask [data-mt=ask] >> nth=0")
    mine.sees(".mt-budget", "4 of")
    mine.page.context.set_offline(True)
    mine.page.click("#mt-ask [data-mt=ask] >> nth=0")
    mine.sees("#mt-notice", "The connection was lost. Trying again in 1 s")
    mine.sees("#mt-notice", "Trying again in 2 s")
    mine.page.context.set_offline(False)
    expect(mine.page.locator("#mt-notice")).to_have_count(0)
    mine.sees(".mt-budget", "4 of")
    mine.sees("#mt-evidence", "Reply of step 4")
    mine.problems.clear()


def test_full_server_is_shown_with_a_countdown(visit: OpenVisit) -> None:
    mine = visit(width=1440)
    busy = {"status": 503, "headers": {"retry-after": "2"}, "body": '{"detail": "full"}'}
    mine.page.route("**/queue/join*", lambda route: route.fulfill(**busy))
    mine.click(PLAY)
    mine.sees("#mt-notice", "Try again in 1 s")
    expect(mine.page.locator("#mt-notice")).to_have_count(0)
    mine.page.unroute_all()
    play(mine)
    mine.problems.clear()


def test_opening_calls_can_be_switched_off_and_made_with_a_button(visit: OpenVisit) -> None:
    mine = visit(width=1440)
    mine.page.uncheck("[data-switch=read_data]")
    mine.page.click("#mt-start [data-form=named] [data-send]")
    mine.sees(".mt-budget", "0 of")
    mine.sees("#mt-picture", "not read yet")
    mine.page.click("[data-mt=make_opening_calls]")
    mine.sees(".mt-budget", "3 of")
    expect(mine.page.locator("#mt-picture path.line")).to_have_count(11)


def test_tools_are_found_by_name_and_description_and_run_from_their_form(visit: OpenVisit) -> None:
    mine = visit(width=1440)
    page = mine.page
    play(mine)
    page.fill("#mt-tools [type=search]", "check impossible")
    expect(page.locator("#mt-tools li:visible")).to_have_count(1)
    page.click("#mt-tools li:visible button")
    expect(page.locator("[data-form=check_impossible_counts] [data-arg=date]")).to_have_value(
        "2022-06-02"
    )
    page.fill("[data-arg=date]", "2030-01-01")
    page.click("[data-form=check_impossible_counts] [data-send]")
    mine.sees("#mt-tools [role=alert]", "2030-01-01")
    mine.sees(".mt-budget", "4 of")
    page.click("#mt-evidence [data-value='1']")
    mine.sees("#mt-evidence", "Reply of step 1")


@pytest.mark.parametrize("keyboard", [False, True], ids=["mouse", "keyboard"])
def test_the_suggestions_of_the_drill_down_lead_to_a_row_of_the_report(
    visit: OpenVisit, keyboard: bool
) -> None:
    mine = visit(width=1440, path=PATHS["drilldown"])
    page, mine.keyboard = mine.page, keyboard
    play(mine, OPENING_STEPS["drilldown"])
    mine.click(".mt-status [data-mt=suggest]")
    for _ in range(12):
        if page.locator("#mt-below td", has_text="chg-01").count():
            break
        follow(mine)
    mine.click("#mt-evidence [data-mt=add_row]")
    mine.sees("#mt-report", "kind is empty")
    (right,) = episode_of(next_reset("drilldown")).expected_rows
    for field in ("kind", "stage", "direction", "date_from", "date_to", "change"):
        mine.put(f"#mt-report [data-field={field}]", str(getattr(right, field)))
        expect(page.locator(f"#mt-report [data-field={field}]")).to_have_value(
            str(getattr(right, field))
        )
    segment = ", ".join(f"{name}={value}" for name, value in right.segment)
    mine.put("#mt-report [data-field=segment]", segment)
    mine.sees(SUBMIT, "Submit (1)")
    mine.click(SUBMIT)
    mine.sees("#mt-result h2", "1 of 1 exactly right: 1.00")
    mine.sees("#mt-below", "guilty" if right.change != "unattributed" else "chg-01")


def test_an_incident_is_mended_on_its_map(visit: OpenVisit) -> None:
    mine = visit(width=1440, path=PATHS["firewatch"])
    page = mine.page
    play(mine, OPENING_STEPS["firewatch"])
    environment = get_environment("firewatch")
    reference = create_playback_of_policy(
        environment.policies["reference"], next_reset("firewatch"), environment
    )
    for number, frame in enumerate(reference.steps[1:], start=1):
        name, arguments = environment.tools.tool_call_of_action(frame.action)
        if service := arguments.get("target_service"):
            mine.click(f"#mt-picture .fw-node[data-value='{service}']")
            mine.sees("#mt-ask h2", service)
        if len(arguments) > 1:  # with settings of its own
            mine.click(f"#mt-tools [data-value={name}]")
            expect(page.locator(f"[data-form={name}]")).to_be_visible()
            for argument, value in arguments.items():
                mine.put(f"[data-form={name}] [data-arg={argument}]", str(value))
            mine.click(f"[data-form={name}] [data-send]")
        else:
            mine.click(f"#mt-ask [data-key='{name} {name.replace('_', ' ')}']")
        if environment.tools.find_tool(name).is_final:
            mine.sees("dialog.mt-question", "this ends the episode")
            mine.click("dialog [data-mt=yes]")
        mine.sees(".mt-budget", f"{number} of")
    mine.sees("#mt-result h2", "Mended and declared: 1.00")
    mine.sees("#mt-picture", "the cause")


def test_three_episodes_survive_links_reload_back_and_a_second_tab(
    visit: OpenVisit, web: WebServer
) -> None:
    mine = visit(width=1440)
    page = mine.page
    counts = []
    for name, path in PATHS.items():
        page.goto(f"{web.url}{path}")
        mine.sees("#mt-first", "Play an easy episode")
        play(mine, OPENING_STEPS[name])
        before = step(mine)
        if path == PATHS["firewatch"]:
            page.click(".fw-node >> nth=0")
            mine.sees("#mt-ask h3", "Look")
        page.click("#mt-ask [data-mt=ask]")
        mine.sees(".mt-budget", f"{before + 1} of")
        counts.append(before + 1)
    page.click(".mt-menu > summary")
    expect(page.locator(".mt-door em")).to_have_text([f"step {count}" for count in counts])
    page.click(".mt-door >> nth=0")
    mine.sees(".mt-budget", f"{counts[0]} of")
    page.reload()
    mine.sees(".mt-budget", f"{counts[0]} of")
    page.go_back()
    mine.sees(".mt-budget", f"{counts[2]} of")
    other = visit(width=1440)
    assert other.page != page
    play(other)
    page.goto(f"{web.url}/web/?task=hard_mixed_multi")
    mine.sees("dialog.mt-question", f"You are at step {counts[0]}")
    page.click("dialog [data-mt=no]")
    page.click("#mt-start [data-form=named] [data-send]")
    mine.sees("dialog.mt-question", "Starting another one ends it")
    page.click("dialog [data-mt=no]")
    mine.sees(".mt-budget", f"{counts[0]} of")
    page.click("[data-mt=theme]")
    mine.tab("Runs")
    mine.tab("Play")
    mine.sees(".mt-budget", f"{counts[0]} of")
    mine.problems.clear()  # what was open when a page was left


@pytest.mark.parametrize("name", PATHS)
def test_nothing_is_cut_off_on_a_phone_and_axe_finds_no_barrier(
    visit: OpenVisit, name: str
) -> None:
    mine = visit(width=390, color_scheme="dark", path=PATHS[name])

    def check(state: str) -> None:
        for theme in ("dark", "light"):
            assert mine.page.evaluate(CUT_OFF) == [], (state, theme)
            assert mine.barriers() == [], (state, theme)
            mine.page.click("[data-mt=theme]")

    check("first screen")
    play(mine, OPENING_STEPS[name])
    mine.page.locator("#mt-picture :is(td[tabindex], .fw-node, .plot)").first.click()
    expect(mine.page.locator("#mt-ask [data-mt=ask]").first).to_be_visible()
    mine.page.click("[data-mt=suggest]")
    mine.page.wait_for_selector(".mt-suggestion")
    for fold in mine.page.locator("#mt-room summary, #mt-start summary").all():
        fold.click()
    check("episode")


@pytest.mark.parametrize("width", [360, 390, 720, 768, 1440, 1920])
def test_page_never_scrolls_sideways(visit: OpenVisit, width: int) -> None:
    mine = visit(width=width)
    play(mine)
    for tab in ("Runs", "Leaderboard", "Connect", "Play"):
        mine.tab(tab)
        assert mine.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert mine.page.evaluate(CUT_OFF) == []


def test_play_on_a_phone_is_at_most_2600_pixels_high_after_three_steps(visit: OpenVisit) -> None:
    mine = visit(width=390)
    play(mine)
    assert mine.page.evaluate("document.documentElement.scrollHeight") <= 2600


def test_checkbox_that_is_reached_by_keyboard_has_an_outline(visit: OpenVisit) -> None:
    mine = visit(width=1440)
    mine.reach("[data-switch=read_data]")
    expect(mine.page.locator("[data-switch=read_data]")).to_have_css("outline-style", "solid")


@pytest.mark.parametrize("width", [390, 1440])
def test_finished_episode_has_no_barriers_and_names_the_cause_of_each_consequence(
    visit: OpenVisit, width: int
) -> None:
    mine = visit(width=width)
    play(mine)
    mine.click("#mt-ask [data-mt=draft] >> nth=2")
    mine.sees(SUBMIT, "Submit (1)")
    mine.click(SUBMIT)
    mine.sees("#mt-result h2", "1 of 2 causes found")
    mine.sees("#mt-result", "Its consequences: orders placed, payment successful")
    mine.sees("#mt-ask", "follows from product added to cart → order placed")
    mine.page.click("#mt-result summary")
    for _ in ("light", "dark"):
        assert mine.barriers() == []
        assert mine.page.evaluate(CUT_OFF) == []
        mine.page.click("[data-mt=theme]")
