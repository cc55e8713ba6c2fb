"""Episodes of each environment in Chromium, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from drilldown_env.page.tree import episode_of
from metric_tracker_rl.page.metric_map.map_html import rebuild_episode_from_reset_arguments
from openenv_kit.environment import get_environment
from openenv_kit.page import page_address
from openenv_kit.page.components.playback_html import convert_playback_to_recording_jsonl
from openenv_kit.page.environment_view import get_environment_view_or_default
from openenv_kit.page.playback import playback_of_policy
from openenv_kit.page.visitor import Visitor
from support.browser import CUT_OFF, Visit, WebServer

pytestmark = [pytest.mark.slow, pytest.mark.browser]

OpenVisit = Callable[..., Visit]
PATHS = {
    "metric_tracker_rl": "/web/",
    "drilldown": "/drilldown/web/",
    "firewatch": "/firewatch/web/",
}
GUIDE = ".mt-status"
PRIMARY = ".mt-status > .mt-btn.primary"
PLAY = "#mt-opening .mt-btn.primary"
EASY = "easy_single_spike"
IN_SIGHT = (
    "([selector]) => document.querySelector(selector).getBoundingClientRect().bottom <= innerHeight"
)


def step(mine: Visit) -> int:
    return int(mine.text(".mt-budget").split()[1])


def play(mine: Visit) -> None:
    """From the opening into an episode of one's own."""
    mine.click(PLAY)
    mine.sees(".mt-budget", "step 0 of")
    expect(mine.page.locator("#mt-opening section")).to_have_count(0)


def next_reset(name: str) -> dict[str, Any]:
    """The episode that whoever is here for the first time plays first."""
    scenes = get_environment_view_or_default(get_environment(name))
    return dict(page_address.choose_unseen_task_reset(scenes, Visitor(scenes.environment)))


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("name", PATHS)
def test_example_episode_is_shown_above_the_fold_and_replays(
    visit: OpenVisit, name: str, width: int
) -> None:
    mine = visit(width=width, path=PATHS[name])
    for place in ("#mt-opening h2", PLAY, ".mt-picture :is(tbody tr:nth-child(9), .fw-node)"):
        assert mine.page.evaluate(IN_SIGHT, [place]), place
    assert mine.page.locator("input:visible, select:visible, textarea:visible").count() == 0
    assert mine.page.locator(".mt-door").count() == 3
    assert mine.page.evaluate(CUT_OFF) == []
    finished = mine.text("#mt-opening .mt-picture")
    mine.page.click("[data-mt=replay]")
    expect(mine.page.locator("#mt-opening .mt-picture")).not_to_have_text(finished)
    expect(mine.page.locator("#mt-opening .mt-picture")).to_have_text(finished, use_inner_text=True)


def test_the_funnel_is_solved_by_clicks_and_what_was_missed_is_told(visit: OpenVisit) -> None:
    mine = visit(width=1400)
    page = mine.page
    play(mine)
    rows = rebuild_episode_from_reset_arguments(
        next_reset("metric_tracker_rl")
    ).episode.expected_rows
    page.click(PRIMARY)
    mine.sees(GUIDE, "stands out")
    first = rows[0]
    page.click(PRIMARY)
    mine.sees("#mt-ask", "app opens")
    page.click(f"#mt-picture tr[data-row='5'] td:nth-child({1 + _column(page, first.date)})")
    mine.sees("#mt-ask", "app open → menu open")
    page.click("#mt-ask >> text=How far from its usual?")
    page.click("[data-mt=add_row]")
    mine.sees(GUIDE, "1 row")
    mine.sees("#mt-answer", "in the report")
    page.click("text=Add a row")
    mine.sees(GUIDE, "Row 2: date is empty")
    page.click(PRIMARY)
    mine.sees(".mt-question", "Like this it is refused, or loses points.")
    page.click(".mt-question [data-mt=no]")
    expect(page.locator(".mt-question")).to_have_count(0)
    page.click("#mt-report tbody tr:nth-child(2) .mt-btn")
    mine.sees(GUIDE, "Submit 1 row")
    page.click(PRIMARY)
    mine.sees("#mt-story h2", f"1 of {len(rows)} found")
    mine.sees("#mt-story", "What was missed")
    expect(page.locator("#mt-story h2")).to_be_in_viewport()
    expect(page.locator(".mt-btn.primary:visible")).to_have_count(1)
    page.click(PRIMARY)
    mine.sees(".mt-budget", "step 0 of")


def _column(page: Any, date: str) -> int:
    return int(page.eval_on_selector(f"#mt-picture [data-col='{date}']", "each => each.cellIndex"))


def test_the_funnel_is_played_by_keyboard_alone(visit: OpenVisit, web: WebServer) -> None:
    mine = visit(width=1400)
    keys = mine.page.keyboard
    mine.press(PLAY)
    mine.sees(".mt-budget", "step 0 of")
    mine.press(PRIMARY)
    mine.sees(".mt-budget", "step 1 of")
    figures = httpx.get(f"{web.url}/metrics").text
    (open_sessions,) = re.findall(r"^openenv_kit_sessions(?:{[^}]*})? (\S+)", figures, re.MULTILINE)
    assert float(open_sessions) >= 1, "the page does not play over the server's own WebSocket"
    mine.reach("#mt-picture td[tabindex]")
    keys.press("ArrowDown")
    keys.press("ArrowRight")
    keys.press("Enter")
    mine.sees("#mt-ask h2", "menu opens" if "menu" in mine.text("#mt-ask h2") else "app opens")
    keys.press("Enter")
    expect(mine.page.locator("#mt-ask [data-mt=ask]").first).to_be_focused()
    keys.press("Enter")
    mine.sees(".mt-budget", "step 2 of")
    expect(mine.page.locator("#mt-ask [data-mt=ask]").first).to_be_focused()
    keys.press("Escape")
    assert mine.page.evaluate("document.activeElement.matches('#mt-picture td')")
    mine.press("#mt-report [data-mt=submit]")
    mine.sees(".mt-question", "nothing was wrong")
    expect(mine.page.locator(".mt-question [data-mt=no]")).to_be_focused()
    mine.press(".mt-question [data-mt=yes]")
    mine.sees("#mt-story h2", "0 of 2 found: 0.00")
    mine.press(PRIMARY)
    mine.sees(".mt-budget", "step 0 of")


@pytest.mark.parametrize("keyboard", [False, True], ids=["mouse", "keyboard"])
def test_the_guide_of_the_drill_down_leads_to_a_row_of_the_report(
    visit: OpenVisit, keyboard: bool
) -> None:
    mine = visit(width=1400, path=PATHS["drilldown"])
    page, mine.keyboard = mine.page, keyboard
    play(mine)
    for number in range(1, 5):
        mine.click(PRIMARY)
        mine.sees(".mt-budget", f"step {number} of")
    mine.click(PRIMARY)
    mine.sees("#mt-ask", "week of")
    mine.click(PRIMARY)
    mine.sees(".mt-budget", "step 5 of")
    mine.click(PRIMARY)
    expect(page.locator("#mt-below td", has_text="chg-01")).to_be_visible()
    mine.click("[data-mt=add_row]")
    mine.sees(GUIDE, "Row 1: kind is empty")
    (right,) = episode_of(next_reset("drilldown")).expected_rows
    for field in ("kind", "stage", "direction", "date_from", "date_to", "change"):
        mine.put(f"#mt-report [data-field={field}]", str(getattr(right, field)))
        expect(page.locator(f"#mt-report [data-field={field}]")).to_have_value(
            str(getattr(right, field))
        )
    segment = ", ".join(f"{name}={value}" for name, value in right.segment)
    mine.put("#mt-report [data-field=segment]", segment)
    mine.sees(GUIDE, "Submit 1 row")
    mine.click(PRIMARY)
    mine.sees("#mt-story h2", "1 of 1 exactly right: 1.00")
    mine.sees("#mt-below", "guilty" if right.change != "unattributed" else "chg-01")


@pytest.mark.parametrize("keyboard", [False, True], ids=["mouse", "keyboard"])
def test_an_incident_is_mended_on_its_graph(visit: OpenVisit, keyboard: bool) -> None:
    mine = visit(width=1400, path=PATHS["firewatch"])
    page, mine.keyboard = mine.page, keyboard
    play(mine)
    environment = get_environment("firewatch")
    reference = playback_of_policy(
        environment.policies["reference"], next_reset("firewatch"), environment
    )
    reference.read_steps_to_end_and_show_last()
    for number, frame in enumerate(reference.steps[1:], start=1):
        name, arguments = environment.tools.tool_call_of_action(frame.action)
        if service := arguments.get("target_service"):
            mine.click(f"#mt-picture .fw-node[data-value='{service}']")
            mine.sees("#mt-ask h2", service)
        if len(arguments) > 1:  # with settings of its own
            if not page.evaluate("document.querySelector('#mt-bench').open"):
                mine.click("#mt-bench > summary")
            mine.put("#mt-bench [type=search]", name)
            expect(page.locator(f"[data-form={name}]")).to_be_visible()
            for argument, value in arguments.items():
                mine.put(f"[data-form={name}] [data-arg={argument}]", str(value))
            mine.click(f"[data-form={name}] [data-send]")
        else:
            mine.click(f"#mt-ask [data-key='{name} {name.replace('_', ' ')}']")
        if environment.tools.find_tool(name).is_final:
            mine.sees(".mt-question", "this ends the episode")
            mine.click(".mt-question [data-mt=yes]")
        mine.sees(".mt-budget", f"step {number} of")
    mine.sees("#mt-story h2", "Mended and declared: 1.00")
    mine.sees("#mt-picture", "the cause")


def test_three_episodes_survive_links_reload_back_and_a_second_tab(
    visit: OpenVisit, web: WebServer
) -> None:
    mine = visit(width=1400)
    page = mine.page
    for number, path in enumerate(PATHS.values()):
        page.goto(f"{web.url}{path}")
        mine.sees("#mt-opening", "Play one yourself")
        play(mine)
        for _ in range(number + 1):
            before = step(mine)
            if path == PATHS["firewatch"]:
                page.click(".fw-node >> nth=0")
                mine.sees("#mt-ask h3", "Look")
            page.click("#mt-ask [data-mt=ask]")
            mine.sees(".mt-budget", f"step {before + 1} of")
    expect(page.locator(".mt-door em")).to_have_text(["step 1", "step 2", "step 3"])
    page.click(".mt-door >> nth=0")
    mine.sees(".mt-budget", "step 1 of")
    page.reload()
    mine.sees(".mt-budget", "step 1 of")
    page.go_back()
    mine.sees(".mt-budget", "step 3 of")
    other = visit(width=1400)
    assert other.page != page
    play(other)
    page.goto(f"{web.url}/web/?task=hard_mixed_multi")
    mine.sees(".mt-question", "You are at step 1")
    page.click(".mt-question [data-mt=no]")
    mine.tab("Watch")
    page.click("[data-form=policy] [data-send]")
    mine.sees("#mt-scene", "step 0 of")
    mine.tab("Episodes")
    page.click("[data-form=named] [data-send]")
    mine.sees(".mt-question", "Starting another one ends it")
    page.click(".mt-question [data-mt=no]")
    mine.sees(".mt-budget", "step 1 of")
    page.goto(f"{web.url}/drilldown/web/")
    mine.sees(".mt-budget", "step 2 of")
    mine.problems.clear()  # what was open when a page was left


def test_a_recording_is_opened_by_its_address_at_its_step_and_walked_by_arrows(
    visit: OpenVisit, web: WebServer
) -> None:
    environment = get_environment("metric_tracker_rl")
    played = playback_of_policy(environment.policies["reference"], {"task_id": EASY}, environment)
    played.read_steps_to_end_and_show_last()
    lines = convert_playback_to_recording_jsonl(played)
    mine = visit(width=1400)
    mine.page.route("**/two.jsonl", lambda route: route.fulfill(body=(lines + lines)[:-9]))
    mine.page.goto(f"{web.url}/web/#run={web.url}/two.jsonl&number=1&step=2")
    mine.page.reload()  # an address that differs in its fragment alone loads nothing
    mine.sees("#mt-recording", "Run 1 of 2")
    mine.sees("#mt-scene", "step 2 of")
    mine.page.click("#mt-scene h3")
    reply, fold = mine.page.locator("#mt-scene .mt-reply"), mine.page.locator("#mt-scene .mt-code")
    reply.evaluate("each => { each.scrollTop = 40 }")
    before = fold.first.bounding_box()
    mine.page.keyboard.press("ArrowRight")
    mine.sees("#mt-scene", "step 3 of")
    assert fold.first.bounding_box() == before, "what stands below an answer jumps"
    assert reply.evaluate("each => each.scrollTop") == 0
    mine.page.keyboard.press("ArrowLeft")
    mine.sees("#mt-scene", "step 2 of")
    mine.sees("#mt-scene", "The same answer as in the recording.")
    mine.page.click("#mt-recording td >> text=unfinished")
    mine.sees("#mt-recording", "Run 2 of 2.")
    mine.sees("#mt-recording", "not JSON. What stands before it is shown.")
    mine.page.keyboard.press("p")
    mine.sees("#mt-recording", "Run 1 of 2.")
    mine.problems.clear()


def test_several_files_and_a_folder_of_runs_are_listed_by_episode_and_player(
    visit: OpenVisit, tmp_path: Path
) -> None:
    environment = get_environment("metric_tracker_rl")
    for number, policy in enumerate(("reference", "null", "null")):
        played = playback_of_policy(environment.policies[policy], {"task_id": EASY}, environment)
        played.read_steps_to_end_and_show_last()
        (tmp_path / f"{number}.jsonl").write_text(convert_playback_to_recording_jsonl(played))
    (tmp_path / "notes.txt").write_text("no run")
    mine = visit(width=1400)
    mine.tab("Watch")
    mine.page.click("#mt-recording > summary")
    files = [tmp_path / "0.jsonl", tmp_path / "1.jsonl"]
    mine.page.set_input_files(".mt-upload >> nth=0", files)
    mine.sees("#mt-recording", "Run 1 of 2.")
    mine.sees("#mt-scene", "reference · step 0 of")
    assert mine.page.locator("#mt-recording thead th").all_inner_texts() == [
        *("episode", "reference", "null")
    ]
    mine.page.set_input_files(".mt-upload >> nth=1", tmp_path)
    mine.sees("#mt-recording", "Run 1 of 3.")
    mine.page.keyboard.press("n")
    mine.sees("#mt-recording", "Run 2 of 3.")
    mine.sees("#mt-scene", "null · step 0 of")
    mine.page.fill(".mt-runs [type=search]", "reference")
    expect(mine.page.locator("#mt-recording td button")).to_have_text(["1.00"])


@pytest.mark.parametrize("name", PATHS)
def test_nothing_is_cut_off_on_a_phone_and_axe_finds_no_barrier(
    visit: OpenVisit, name: str
) -> None:
    mine = visit(width=390, color_scheme="dark", path=PATHS[name])
    for theme in ("dark", "light"):
        assert mine.barriers() == [], theme
        mine.page.click("[data-mt=theme]")
    play(mine)
    place = mine.page.locator("#mt-picture :is(td[tabindex], .fw-node)").first
    place.click()
    expect(mine.page.locator("#mt-ask [data-mt=ask]").first).to_be_visible()
    for theme in ("dark", "light"):
        assert mine.page.evaluate(CUT_OFF) == []
        assert mine.barriers() == [], theme
        mine.page.click("[data-mt=theme]")
    mine.tab("Watch")
    mine.page.click("[data-form=policy] [data-send]")
    mine.sees("#mt-scene", "step 0 of")
    mine.page.click("#mt-scene [data-value=end]")
    expect(mine.page.locator("#mt-scene [data-step='0']")).to_have_count(0)
    for tab in ("Watch", "Episodes"):
        mine.tab(tab)
        for theme in ("dark", "light"):
            assert mine.page.evaluate(CUT_OFF) == []
            assert mine.barriers() == [], (tab, theme)
            mine.page.click("[data-mt=theme]")
