"""The page in a real Chromium, driven by clicks and keys against a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Visit, WebServer, form_of
from fake_model import fake_model
from playwright.sync_api import Route, expect
from test_web_drill import HEAR

from metric_tracker_rl.engine.episode import Episode, build_episode
from metric_tracker_rl.engine.session import EpisodeSession
from metric_tracker_rl.engine.tasks import resolve_config
from metric_tracker_rl.page.data import FREE
from metric_tracker_rl.policies import get_policy
from openenv_kit.play.driver import moves, observed
from openenv_kit.play.recording import RunRecorder

pytestmark = [pytest.mark.slow, pytest.mark.browser]
OpenVisit = Callable[..., Visit]
TAB = "[role=tab]"
LARGE = 13_000 if os.environ.get("METRIC_TRACKER_FULL") else 400
"""Runs in the largest recording; with the first number it has 30 MB."""
TABS = ("Episode", "Data", "Investigate", "Report", "Watch")


def episode_of(**reset: Any) -> Episode:
    return build_episode(resolve_config(**reset)[1])


def rows_of(method: str) -> list[dict[str, Any]]:
    """Rows that a generator finds in the default task at its default threshold."""
    session = EpisodeSession()
    session.reset()
    reply = session.step({"analysis_method": method, "analysis_args": {"threshold_multiplier": 2}})
    rows: list[dict[str, Any]] = reply.content["analysis_result"]["result"]["generated_rows"]
    return rows


def record(path: Path, task: str, policy: str = "reference") -> int:
    """A recorded run of a policy; returns its number of steps."""
    session, reset = EpisodeSession(), {"task_id": task}
    opening = session.reset(**reset)
    with path.open("w") as stream:
        recorder = RunRecorder(stream, policy, reset, observed(opening))
        for action, reply in moves(session, get_policy(policy), opening):
            recorder.step(action, observed(reply))
        recorder.end(reply.reward)
    return session.steps


def look_for_spikes(mine: Visit) -> None:
    """Start the default task, and run the tool that finds its rows."""
    mine.start("easy_single_spike")
    mine.tab("Investigate")
    mine.choose("#mt-method", "get_rate_spike_from_median_rows")
    mine.sees(".mt-note", "far above")
    mine.page.click("#mt-run")


def test_a_task_is_solved_by_clicks_alone(visit: OpenVisit) -> None:
    mine = visit()
    look_for_spikes(mine)
    mine.page.locator("#mt-answer summary", has_text="The same call").click()
    for way in ("Python", "curl", "MCP"):
        told = mine.page.get_by_role("region", name=way, exact=True)
        expect(told).to_contain_text("get_rate_spike_from_median_rows")
        expect(told).to_contain_text(mine.page.url.partition("/web/")[0])
    rows = episode_of(task_id="easy_single_spike").expected_rows
    for row in rows:
        mine.page.get_by_role("button", name=f"Add {row.entity_name} on {row.date}").click()
    mine.sees("#mt-status", f"{len(rows)} row(s) in the report")
    mine.tab("Report")
    mine.sees("#mt-check", f"{len(rows)} well formed, 0 not, 0 repeated")
    mine.page.click("#mt-submit")
    mine.sees(".mt-score", "1.0000")
    mine.sees("#mt-score", "Nothing was wrong")
    expect(mine.page.locator(".mt-verdict.good")).to_have_count(len(rows))


def test_a_click_counts_though_the_one_before_is_not_answered_yet(visit: OpenVisit) -> None:
    mine = visit()
    look_for_spikes(mine)
    add = mine.page.get_by_role("button", name=re.compile("^Add .* on "))
    expect(add).to_have_count(len(rows_of("get_rate_spike_from_median_rows")))
    held: list[Route] = []
    answered = False

    def hold(request: Route) -> None:
        if answered:
            request.continue_()
        else:
            held.append(request)

    mine.page.route("**/queue/join**", hold)
    for at in range(2):
        add.nth(at).click()
    mine.page.wait_for_timeout(500)
    assert held
    answered = True
    for request in held:
        request.continue_()
    mine.sees("#mt-status", "2 row(s) in the report")


def test_an_echo_in_the_report_costs_and_is_named(visit: OpenVisit) -> None:
    mine = visit()
    mine.tab("Report")
    mine.page.get_by_role("button", name="Build rows with generator methods").click()
    mine.page.get_by_label("Rows of conversion rates far above their median.").check()
    mine.page.click("#mt-generate")
    rows = rows_of("get_rate_spike_from_median_rows")
    right = episode_of(task_id="easy_single_spike").expected_rows
    mine.sees("#mt-check", f"{len(rows)} well formed")
    mine.page.click("#mt-submit")
    mine.sees("#mt-score", "The reporting policy asks for no such row on this date.")
    expect(mine.page.locator(".mt-verdict.bad")).to_have_count(len(rows) - len(right))
    inside = "each => parseFloat(getComputedStyle(each).paddingLeft) >= 16"
    assert mine.page.locator("#mt-score .mt-issues").evaluate(inside), "bullets stick out"
    cut_off = "all => all.filter((each) => each.clientWidth < each.scrollWidth).length"
    assert mine.page.locator("#mt-rows :is(select, input)").evaluate_all(cut_off) == 0
    assert "1.0000" not in mine.text(".mt-score")


def test_a_custom_episode_is_built_and_a_bad_date_is_refused(visit: OpenVisit) -> None:
    mine = visit()
    plain = {"difficulty": "easy", "anomaly_density": "low"}
    dates = episode_of(seed=5, scenario_family="mixed", **plain).dates
    mine.page.get_by_role("button", name="Build your own").click()
    for column, cell in enumerate(("app_opens", "2001-02-03", "9", "up")):
        type_into(mine, "#mt-custom", 0, column, cell)
    # Last: a form that is still opening may put its first seed back.
    seed = mine.page.get_by_label("Seed")
    seed.fill("5")
    seed.press("Tab")
    expect(seed).to_have_value("5")
    mine.page.click("#mt-start-custom")
    mine.sees("#mt-status", "anomaly date is '2001-02-03'")
    mine.sees("#mt-card", f"a date from {dates[0]} to {dates[-1]}")
    mine.sees("#mt-card", "easy_single_spike")
    type_into(mine, "#mt-custom", 0, 1, dates[8])
    mine.page.click("#mt-start-custom")
    mine.sees("#mt-card", "Custom anomalies as applied")
    assert re.search(r"custom\s", mine.text("#mt-card"))
    mine.sees("#mt-card", dates[0])


def open_run(mine: Visit, path: Path) -> None:
    """Choose a file as a visitor does."""
    with mine.page.expect_file_chooser() as chooser:
        mine.page.click("#mt-upload")
    chooser.value.set_files(path)


def type_into(mine: Visit, table: str, line: int, column: int, text: str) -> None:
    """Fill in one cell of a table of rows; its last row is added where it is missing."""
    rows = mine.page.locator(f"{table} tbody tr")
    if rows.count() == line:
        mine.page.locator(f"{table} button", has_text="Add a row").click()
        expect(rows).to_have_count(line + 1)
    cell = rows.nth(line).locator("select, input").nth(column)
    if cell.evaluate("each => each.tagName") == "SELECT":
        cell.select_option(text)
    else:
        cell.fill(text)
        cell.press("Tab")
    expect(cell).to_have_value(text)


def submit_empty(mine: Visit) -> None:
    """Submit a report without rows, and mean it."""
    mine.page.click("#mt-submit")
    mine.sees("#mt-sure", "There is no row in the report.")
    mine.page.click("#mt-sure-yes")


def test_a_date_outside_the_episode_is_explained(visit: OpenVisit) -> None:
    mine = visit()
    dates = episode_of(task_id="easy_single_spike").dates
    mine.tab("Investigate")
    mine.choose("#mt-method", "rows_for_date")
    box = mine.page.get_by_label("date", exact=True)
    box.fill("2020-13-45")
    box.press("Enter")
    mine.page.click("#mt-run")
    mine.sees("#mt-answer", "date '2020-13-45' is not in this episode.")
    mine.sees("#mt-status", f"from {dates[0]} to {dates[-1]}")
    mine.sees("#mt-log", "1 of 64 steps")


def test_a_row_is_validated_as_it_is_filled_in_and_its_values_follow(visit: OpenVisit) -> None:
    mine, episode = visit(), episode_of(task_id="easy_single_spike")
    mine.tab("Report")
    type_into(mine, "#mt-rows", 0, 0, episode.dates[3])
    mine.sees("#mt-check", "0 well formed, 1 not")
    type_into(mine, "#mt-rows", 0, 2, "app_opens")
    expect(mine.page.locator("#mt-rows select").nth(1)).to_have_value("event_count")
    mine.sees("#mt-check", "The row lacks anomaly_type")
    type_into(mine, "#mt-rows", 0, 3, "absolute_drop_in_event_count")
    mine.sees("#mt-check", "1 well formed, 0 not")
    observed = mine.page.get_by_label("observed value, row 1")
    assert float(observed.input_value()) == episode.series.rows[3][0]
    # By keyboard: the cell that was reached keeps the keyboard when the table is drawn anew.
    observed.focus()
    mine.page.keyboard.type("7")
    mine.page.keyboard.press("Tab")
    mine.sees("#mt-status", "1 row(s) in the report")
    expect(mine.page.get_by_label("baseline value, row 1")).to_be_focused()
    mine.press("#mt-rows button", "✕", back=True)
    mine.sees("#mt-check", "No rows yet.")
    mine.press("#mt-rows button", "Add a row")
    day = mine.page.locator(f"#mt-rows [data-field=date] option[value='{episode.dates[3]}']")
    for field, text in (
        ("date", day.inner_text()),
        ("entity_name", "app opens"),
        ("anomaly_type", "absolute drop"),
    ):
        mine.reach(f"#mt-rows [data-field={field}]", key="Shift+Tab" if field == "date" else "Tab")
        mine.page.keyboard.type(text)
    mine.page.keyboard.press("Tab")
    mine.sees("#mt-check", "1 well formed, 0 not")


def test_an_empty_report_is_submitted_only_by_who_says_so_twice(visit: OpenVisit) -> None:
    mine = visit()
    mine.tab("Report")
    mine.page.click("#mt-submit")
    mine.sees("#mt-status", "Nothing was submitted yet")
    mine.page.click("#mt-sure-no")
    expect(mine.page.locator("#mt-sure")).to_be_hidden()
    mine.sees("#mt-status", "0 of 64 steps")
    submit_empty(mine)
    mine.sees(".mt-score", "0.0000")
    mine.sees("#mt-status", "score 0.0000")
    expect(mine.page.locator("#mt-sure")).to_be_hidden()


def test_methods_are_grouped_and_the_call_is_told_as_a_program(
    visit: OpenVisit, web: WebServer
) -> None:
    mine = visit()
    mine.tab("Investigate")
    mine.page.locator("#mt-group").get_by_label("Compare").check()
    mine.sees("#mt-method input", "")
    expect(mine.page.locator("#mt-method input").first).to_have_value("compare_rate_to_median")
    mine.page.locator("#mt-group").get_by_label("All").check()
    mine.choose("#mt-method", "list_dates")
    mine.page.click("#mt-run")
    fold = mine.page.locator("#mt-answer summary", has_text="The same call")
    fold.press("Enter")
    mine.sees("#mt-answer", f'MetricTrackerRlEnv(base_url="{web.url}").sync()')
    shown = mine.page.get_by_role("region", name="curl").inner_text()
    told = subprocess.run(shown, shell=True, capture_output=True, text=True, check=True).stdout
    assert "list_dates done." in told


def test_two_visitors_play_different_tasks_at_once(visit: OpenVisit) -> None:
    one, two = visit(), visit()
    two.start("hard_mixed_multi")
    one.page.bring_to_front()  # one that is behind another is drawn once a second
    one.start("medium_mixed_pair")
    for each in (one, two):
        each.page.bring_to_front()
        each.tab("Investigate")
        each.page.click("#mt-run")
    for each, task in ((one, "medium_mixed_pair"), (two, "hard_mixed_multi")):
        each.sees("#mt-log", "1 of 64 steps")
        each.sees("#mt-status", task)
        row = max(episode_of(task_id=task).expected_rows, key=lambda row: abs(row.delta_value))
        assert row.date.rpartition("-")[2].lstrip("0") in each.text("#mt-answer")
    two.tab("Report")
    submit_empty(two)
    two.sees(".mt-score", "0.0000")
    assert one.page.locator(".mt-score").count() == 0


def test_a_day_clicked_in_a_chart_is_selected_everywhere(visit: OpenVisit) -> None:
    mine, episode = visit(), episode_of(task_id="easy_single_spike")
    dates = episode.dates
    mine.tab("Data")
    mine.unfold(FREE)
    lines = mine.page.locator("#mt-counts .js-plotly-plot")
    expect(lines).to_be_visible()
    mine.page.locator("#mt-counts .scatterlayer .trace .points path").nth(10).click(force=True)
    chosen = mine.page.locator(".mt-day[aria-pressed=true]")
    expect(chosen).to_have_attribute("data-value", dates[10])
    mine.sees(".mt-daytitle", str(int(dates[10][-2:])))
    mine.page.locator("#mt-heat .js-plotly-plot").scroll_into_view_if_needed()
    box = mine.page.locator("#mt-heat .nsewdrag").bounding_box()
    assert box is not None
    mine.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 20.5 / 28)
    expect(chosen).to_have_attribute("data-value", dates[20])
    mine.page.get_by_role("button", name=FREE).click()
    expect(lines).to_be_hidden()
    line = mine.page.locator("#mt-map tr", has_text="orders placed").first
    line.locator("td").nth(12).click()
    expect(chosen).to_have_attribute("data-value", dates[12])
    mine.sees("#mt-map .mt-say", "orders placed: not told yet.")
    mine.sees("#mt-day", "Its hours: orders placed")
    expect(mine.page.locator("#mt-map thead .on")).to_have_attribute("data-day", dates[12])
    mine.tab("Investigate")
    mine.choose("#mt-method", "rows_for_date")
    box = mine.page.get_by_label("date", exact=True)
    expect(box).to_have_value(re.compile(dates[12]))
    mine.page.click("#mt-run")
    mine.sees("#mt-status", "rows_for_date done.")
    mine.tab("Data")
    mine.sees("#mt-day .mt-stages", f"{episode.counts[12][0]:,}")
    small = mine.page.locator("#mt-multiples .plot").first
    small.click(position={"x": 3, "y": 20})
    expect(chosen).to_have_attribute("data-value", dates[0])


def test_points_are_flagged_only_after_the_tool_ran(visit: OpenVisit) -> None:
    mine = visit()
    mine.tab("Data")
    mine.unfold(FREE)
    expect(mine.page.locator("#mt-rates .js-plotly-plot")).to_be_visible()
    assert mine.page.locator(".mt-day.flagged").count() == 0
    assert mine.page.locator("#mt-rates .legendtext", has_text="flagged").count() == 0
    told = mine.page.locator("#mt-map .mt-map tbody td:not(:empty)")
    expect(told).to_have_count(0)
    mine.tab("Investigate")
    mine.choose("#mt-method", "get_rate_spike_from_median_rows")
    mine.page.click("#mt-run")
    mine.sees("#mt-answer", "Rows you could report")
    mine.tab("Data")
    days = {row["date"] for row in rows_of("get_rate_spike_from_median_rows")}
    expect(mine.page.locator(".mt-day.flagged")).to_have_count(len(days))
    expect(mine.page.locator("#mt-rates .legendtext", has_text="flagged")).to_have_count(1)
    expect(told).to_have_count(len(rows_of("get_rate_spike_from_median_rows")))
    expect(mine.page.locator("#mt-map td.now")).to_have_count(told.count())


def test_there_is_no_debug_tab_and_no_answer_before_the_end(
    visit: OpenVisit, web: WebServer
) -> None:
    mine = visit()
    mine.page.evaluate(HEAR)
    mine.start("hard_mixed_multi")
    assert mine.page.get_by_role("tab", name="Debug", exact=True).count() == 0
    mine.tab("Report")
    submit_empty(mine)
    mine.sees("#mt-score", "4 expected row(s) were not reported.")
    page = mine.page.content()
    config = mine.page.request.get(f"{web.url}/web/config").text()
    replies = "".join(mine.page.evaluate("window.told"))
    assert "were not reported" in replies, "replies are not being heard"
    for row in episode_of(task_id="hard_mixed_multi").expected_rows:
        assert "|".join(row.key) not in page + config + replies
    assert "anomaly_schedule" not in page + config + replies


def test_a_recorded_run_is_scrubbed(visit: OpenVisit, tmp_path: Path) -> None:
    mine, path = visit(), tmp_path / "run.jsonl"
    steps = record(path, "hard_mixed_multi")
    mine.tab("Watch")
    mine.tab("Recording")
    open_run(mine, path)
    mine.sees("#mt-scene", f"step 0 of {steps}")
    slider = mine.page.locator("#mt-scrub input[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    mine.sees("#mt-scene", "task_overview()")
    slider.press("End")
    mine.sees("#mt-scene", "1.0000")
    mine.sees("#mt-scene", "The answer is the recorded one.")
    mine.page.locator("#mt-frames button").nth(2).click()
    mine.sees("#mt-scene", f"step 2 of {steps}")


def test_a_changed_recording_and_a_file_that_is_none_are_told(
    visit: OpenVisit, tmp_path: Path
) -> None:
    mine, path = visit(), tmp_path / "run.jsonl"
    record(path, "easy_single_spike")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["digest"] = "0" * 64
    path.write_text("\n".join(json.dumps(line) for line in lines))
    mine.tab("Watch")
    mine.tab("Recording")
    open_run(mine, path)
    mine.sees("#mt-scene", "step 0 of")
    mine.page.click("#mt-step")
    mine.sees("#mt-scene", "The answer differs from the recorded one.")
    whole = path.read_text() + "\n"
    path.write_text(whole * LARGE + whole[:-20])
    open_run(mine, path)
    told = mine.page.locator("#mt-recording")
    expect(told).to_contain_text(f"Run 1 of {LARGE + 1:,}, ")
    ended = len(lines) * LARGE + len(lines)
    expect(told).to_contain_text(f"Line {ended}: not JSON. What stands before it is shown.")
    listed = told.locator("option")
    expect(listed).to_have_count(min(LARGE + 1, 300) + (LARGE >= 300))
    told.locator("select").select_option("2")
    expect(told).to_contain_text("Run 2 of")
    told.get_by_label("Search the runs").fill(f"{LARGE + 1}. ")
    expect(listed.last).to_contain_text(f"{LARGE + 1}. reference: easy_single_spike")
    path.write_text("no run at all\n")
    open_run(mine, path)
    mine.sees("#mt-recording", "Line 1: not JSON.")
    mine.page.evaluate("document.getElementById('mt-recording').dataset.fileBytes = 2")
    open_run(mine, path)
    mine.sees("#mt-recording", "run.jsonl has 0.0 MB; allowed: 0.0 MB.")


def test_a_policy_is_watched_step_by_step_and_alone(visit: OpenVisit) -> None:
    mine = visit()
    mine.tab("Watch")
    mine.page.click("#mt-watch-policy")
    mine.sees("#mt-scene", "reset")
    mine.page.click("#mt-step")
    mine.sees("#mt-scene", "task_overview()")
    mine.page.click("#mt-play")
    mine.sees("#mt-scene", "submit 2 row(s)")
    mine.sees("#mt-scene", "1.0000")
    mine.sees("#mt-play", "Play")
    mine.sees("#mt-status", "0 of 64 steps")


def test_a_model_is_watched_and_its_key_stays_hidden(visit: OpenVisit, web: WebServer) -> None:
    key = "sk-a-key-that-nobody-may-see"
    mine = visit()
    with fake_model() as model:
        mine.tab("Watch")
        mine.tab("Model")
        address = mine.page.get_by_label("OpenAI-compatible endpoint")
        address.fill(model.url)
        mine.page.get_by_label("Model", exact=True).fill("good")
        mine.page.locator("#mt-key input").fill(key)
        # A tab that has just been opened may set its initial values after the first keys.
        address.fill(model.url)
        expect(address).to_have_value(model.url)
        mine.page.click("#mt-watch-model")
        mine.sees("#mt-scene", "good · step")
        mine.page.click("#mt-end")
        mine.sees("#mt-scene", "1.0000")
        assert model.keys[0] == f"Bearer {key}"
        mine.tab("Race")
        mine.choose("#mt-third", "the model named on the Model tab")
        mine.page.click("#mt-race-start")
        mine.sees("#mt-status", "good 0")
        mine.tab("Report")
        submit_empty(mine)
        mine.tab("Watch")
        mine.sees("#mt-race section section:last-child", "1.0000")
    assert key not in mine.page.content()
    expect(mine.page.locator("#mt-key input")).to_have_value("")
    assert key not in web.log.read_text()


def test_the_data_are_saved_as_the_frames_that_analysts_know(
    visit: OpenVisit, tmp_path: Path
) -> None:
    mine, episode = visit(), episode_of(task_id="medium_mixed_pair")
    mine.start("medium_mixed_pair")
    mine.tab("Data")
    mine.unfold(FREE)
    frames = {"daily": (episode.daily, "date"), "hourly": (episode.hourly, ["date", "hour"])}
    for name, (frame, index) in frames.items():
        with mine.page.expect_download() as download:
            mine.page.click(f"#mt-csv-{name}")
        assert download.value.suggested_filename == f"medium_mixed_pair-{name}.csv"
        download.value.save_as(tmp_path / name)
        saved = pd.read_csv(tmp_path / name, index_col=index)
        pd.testing.assert_frame_equal(saved, frame, obj=name)


def test_a_task_is_raced_solved_and_compared_by_keyboard_alone(visit: OpenVisit) -> None:
    mine = visit()
    mine.reach(".mt-tasks input")
    mine.page.keyboard.press("ArrowDown")
    mine.press("#mt-start")
    mine.sees("#mt-card", "medium_mixed_pair")
    mine.press(TAB, "Watch", back=True)
    mine.press(TAB, "Race")
    mine.press("#mt-race-start")
    mine.sees("#mt-status", "race: reference 0")
    mine.press(TAB, "Investigate", back=True)
    mine.type("#mt-method input", "get_rate_spike_from_median_rows")
    form = mine.page.locator(form_of("get_rate_spike_from_median_rows"))
    expect(form).to_be_visible()  # the choice has arrived
    mine.press("#mt-run")
    mine.sees("#mt-log", "1 of 64 steps")
    mine.sees("#mt-status", "race: reference 1")
    mine.press("#mt-add-all")
    mine.sees("#mt-status", "row(s) in the report")
    mine.press(TAB, "Report", back=True)
    mine.press("#mt-submit")
    mine.sees("#mt-score", "score")
    mine.press("#mt-reveal")
    mine.sees("#mt-revealed", "The reference")
    mine.press(TAB, "Watch", back=True)
    expect(mine.page.locator("#mt-race section section")).to_have_count(2)
    mine.sees("#mt-race section section:last-child", "1.0000")
    mine.press("#mt-race .mt-btn")
    mine.sees("#mt-scene", "step 1 of")


def test_a_phone_shows_every_tab_without_scrolling_sideways(visit: OpenVisit) -> None:
    mine = visit(width=400, color_scheme="dark")
    widths: dict[tuple[str, str], int] = {}
    dark: dict[str, bool] = {}
    for scheme in ("dark", "light"):
        mine.page.emulate_media(color_scheme=scheme)
        for tab in TABS:
            mine.tab(tab)
            widths[scheme, tab] = mine.page.evaluate("document.documentElement.scrollWidth")
        dark[scheme] = mine.page.evaluate("document.body.classList.contains('dark')")
    assert {place: width for place, width in widths.items() if width > 400} == {}
    assert dark == {"dark": True, "light": False}
    below = mine.page.get_by_role("tab", name="Episode", exact=True).last.bounding_box()
    assert below is not None
    assert below["y"] + below["height"] < 0.2 * 900, "the head takes a fifth of the screen"
    shown = "getComputedStyle(document.querySelector('.mt-status p')).fontSize"
    sizes = []
    for width in (400, 1400, 1920):
        mine.page.set_viewport_size({"width": width, "height": 900})
        sizes.append(float(mine.page.evaluate(shown).removesuffix("px")))
    assert sizes[0] == sizes[1] < sizes[2]


def test_the_header_links_to_the_docs_and_the_source(visit: OpenVisit, web: WebServer) -> None:
    mine = visit()
    docs = mine.page.get_by_role("link", name="API docs").get_attribute("href")
    source = mine.page.get_by_role("link", name="Source").get_attribute("href")
    assert (docs, source) == ("/docs", "https://example.org/")
    assert mine.page.request.get(f"{web.url}{docs}").ok
