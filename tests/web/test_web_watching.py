"""Watching a model: what it says and calls is shown as it was, and told in the page's words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Visit, WebServer
from fake_model import FakeModel, fake_model
from playwright.sync_api import expect

from metric_tracker_rl.policies import get_policy
from openenv_kit.environment import get_environment
from openenv_kit.page.model import without_settings
from openenv_kit.page.scenes import scenes_of
from openenv_kit.page.trace import as_jsonl, next_error, scene_html
from openenv_kit.page.watch import _load, show
from openenv_kit.page.watching import Frame, recorded, runs_of, scripted
from openenv_kit.play.recording import RecordingError

pytestmark = pytest.mark.slow

OpenVisit = Callable[..., Visit]
TAB = "[role=tab]"


def watch_model(mine: Visit, model: FakeModel, name: str) -> None:
    """Let a scripted model play to its end."""
    mine.tab("Watch")
    mine.tab("Model")
    address = mine.page.get_by_label("OpenAI-compatible endpoint")
    address.fill(model.url)
    mine.page.get_by_label("Model", exact=True).fill(name)
    mine.page.locator("#mt-key input").fill("sk-some-key")
    # A tab that has just been opened may set its initial values after the first keys.
    address.fill(model.url)
    expect(address).to_have_value(model.url)
    mine.page.click("#mt-watch-model")
    mine.sees("#mt-scene", f"{name} · step")
    mine.page.click("#mt-end")


@pytest.mark.browser
def test_what_a_model_says_is_shown_with_and_without_a_call(visit: OpenVisit) -> None:
    mine = visit()
    with fake_model() as model:
        watch_model(mine, model, "thinks-aloud")
        mine.sees("#mt-scene", "submit 0 row(s)")
        mine.sees("#mt-scene", "step 3 of 3")
        words = mine.page.locator("#mt-scene blockquote")
        expect(words).to_have_text("Then it is empty.")
        mine.page.click("#mt-back")
        mine.sees("#mt-scene h3", "an answer without a tool call")
        expect(words).to_have_text("All <b>seems</b> well.")
        mine.page.click("#mt-back")
        mine.sees("#mt-scene h3", "list_dates()")
        expect(words).to_have_text(["Which <i>days</i> are there?", "First the dates."])
        mine.sees("#mt-scene .mt-took", "tokens 1,050 · took")


@pytest.mark.browser
def test_a_call_that_is_refused_is_shown_as_the_model_made_it(visit: OpenVisit) -> None:
    mine = visit()
    with fake_model() as model:
        mine.watch_model(model.url, "broken-json")
        mine.sees("#mt-scene", "1.0000")
    moves = mine.text("#mt-frames")
    for call in (
        'rows_for_date({"date": "2024-09-14")',
        "rows_for_date([1, 2])",
        "show_me_everything()",
        "submit_solution(row=[])",
        'rows_for_date(day="monday")',
        "unnamed()",
    ):
        assert call in moves
    assert "unreadable" not in moves
    mine.page.locator("#mt-frames button", has_text="show_me_everything").click()
    mine.sees("#mt-scene", "show_me_everything")
    mine.sees("#mt-scene", "Allowed:")


@pytest.mark.browser
def test_the_end_of_a_play_is_told_without_names_of_settings(visit: OpenVisit) -> None:
    mine = visit()
    with fake_model() as model:
        watch_model(mine, model, "never-stops")
        mine.sees("#mt-scene", "No report was submitted: no rounds left.")
        watch_model(mine, model, "bad-key")
        mine.sees("#mt-scene .bad", "The endpoint refused the key (HTTP 401).")


@pytest.mark.parametrize(
    ("note", "told"),
    [
        ("no tokens (TOKEN_BUDGET) left.", "no tokens left."),
        ("the answer was cut at MAX_TOKENS (4096)", "the answer was cut at 4096 tokens"),
        ("Unknown date 'A_B'. (See RULES)", "Unknown date 'A_B'. (See RULES)"),
    ],
)
def test_names_of_settings_and_nothing_else_are_left_out(note: str, told: str) -> None:
    assert without_settings(note) == told


@pytest.mark.parametrize(
    "arguments", [["2024-01-01"], '{"date": ', {"date": ["2024-01-01"]}, {"date": {}}, None, 7]
)
def test_no_arguments_of_a_watched_call_break_the_page(arguments: Any) -> None:
    visitor = scenes_of().visitor()
    visitor.start()
    playback = scripted(get_policy("null"), {})
    said = {"status": "error", "message": "no"}
    playback.frames.append(
        Frame({"analysis_method": "rows_for_date", "analysis_args": arguments}, said)
    )
    playback.catch_up()
    visitor.watch(playback)
    assert "rows_for_date(" in show(scenes_of(), visitor)[0]


def test_a_watched_play_is_saved_as_a_recording_that_plays_again(tmp_path: Path) -> None:
    played = scripted(get_policy("reference"), {"task_id": "medium_mixed_pair"})
    played.run_to_end()
    assert all(frame.facts["took"].endswith(" ms") for frame in played.frames[1:])
    file = tmp_path / "run.jsonl"
    file.write_text(as_jsonl(played))
    ((run,), broken) = runs_of(file)
    assert (run.player, run.score, broken) == ("reference", 1.0, "")
    again = recorded(run)
    assert [frame.action for frame in again.frames] == [frame.action for frame in played.frames]
    assert all(frame.same for frame in again.frames)


def test_of_a_file_that_was_cut_off_the_rest_is_shown_and_the_line_named(tmp_path: Path) -> None:
    played = scripted(get_policy("reference"), {})
    played.run_to_end()
    whole, file = as_jsonl(played), tmp_path / "run.jsonl"
    lines = whole.splitlines()
    file.write_text(whole[: len(whole) - len(lines[-1]) - len(lines[-2]) // 2])
    visitor = scenes_of().visitor()
    visitor.start()
    _load(visitor, str(file))
    scene = show(scenes_of(), visitor)[0]
    assert f"line {len(lines) - 1}: not JSON. What stands before it is shown." in scene
    assert f"step 0 of {len(played.frames) - 2}" in scene
    file.write_text(lines[0][:40])
    with pytest.raises(RecordingError, match="line 1: not JSON"):
        _load(visitor, str(file))


@pytest.mark.parametrize("name", ["metric_tracker_rl", "firewatch"])
def test_words_without_a_call_are_shown_in_every_environment(name: str) -> None:
    environment = get_environment(name)
    reset = environment.tasks[environment.default_tasks[0]]
    played = scripted(environment.policies["reference"], reset, environment)
    played.frames.append(Frame({}, {"status": "said"}, words="All <b>seems</b> well."))
    played.catch_up()
    scene = scene_html(scenes_of(environment), played)
    assert "All &lt;b&gt;seems&lt;/b&gt; well." in scene
    assert "JSON, as an agent reads it" not in scene


def test_the_next_error_is_found_round_the_end() -> None:
    played = scripted(get_policy("null"), {})
    assert next_error(played) is None
    good, bad = Frame({"a": 1}, {"status": "told"}), Frame({"a": 1}, {"status": "error"})
    played.frames += [good, bad, good, Frame({}, {}, refused=("x", 1)), Frame({}, {}, same=False)]
    found = []
    for _ in range(4):
        place = next_error(played)
        assert place is not None
        found.append(place)
        played.go(place)
    assert found == [2, 4, 5, 2]


@pytest.mark.browser
def test_a_trace_is_read_saved_and_opened_again_by_keyboard(
    visit: OpenVisit, web: WebServer, tmp_path: Path
) -> None:
    mine = visit(width=1400)
    mine.tab("Watch")
    mine.page.locator("#mt-watch-policy").press("Enter")
    mine.sees("#mt-scene", "step 0 of")
    for step, key in enumerate("jjk", start=1):
        mine.page.locator("#mt-scene").click()
        mine.page.keyboard.press(key)
        mine.sees("#mt-scene", f"step {step if key == 'j' else 1} of")
    mine.page.keyboard.press("e")
    mine.sees("#mt-scene", "No step so far has an error.")
    mine.page.keyboard.press("/")
    mine.page.keyboard.type("task_overview")
    expect(mine.page.locator("#mt-frames li:visible")).to_have_count(1)
    with mine.page.expect_download() as download:
        mine.press("#mt-save", back=True)
    file = tmp_path / download.value.suggested_filename
    assert file.name == "easy_single_spike.jsonl"
    download.value.save_as(file)
    lines = file.read_text().splitlines()
    assert len(lines) == 3
    mine.press(TAB, "Recording", back=True)
    mine.open_file(file)
    mine.sees("#mt-recording", "Run 1 of 1")
    mine.sees("#mt-scene", "step 0 of 2")
    a_run_of_an_address_is_chosen(mine, web, "\n".join([*lines[:2], *lines])[:-9])


def a_run_of_an_address_is_chosen(mine: Visit, web: WebServer, cut_off: str) -> None:
    """By keyboard; two runs, and the last line of the second is broken."""
    mine.page.route("**/two.jsonl", lambda route: route.fulfill(body=cut_off))
    mine.page.goto(f"{web.url}/web/?run={web.url}/two.jsonl&number=1")
    mine.sees("#mt-recording", "Run 1 of 2")
    mine.reach("#mt-recording select")
    mine.page.keyboard.press("ArrowDown")
    mine.sees("#mt-recording", "Run 2 of 2")
    mine.sees("#mt-recording", "Line 5: not JSON. What stands before it is shown.")
    mine.sees("#mt-scene", "step 0 of 1")
    mine.press("#mt-step")
    mine.sees("#mt-scene", "step 1 of 1")
    mine.problems.clear()  # what was open when the page was left
