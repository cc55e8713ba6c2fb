"""Watching a model: what it says and calls is shown as it was, and told in the page's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Visit
from fake_model import FakeModel, fake_model
from playwright.sync_api import expect

from metric_tracker_rl.policies import get_policy
from openenv_kit.page.model import without_settings
from openenv_kit.page.scenes import scenes_of
from openenv_kit.page.watch import show
from openenv_kit.page.watching import Frame, scripted

pytestmark = pytest.mark.slow

OpenVisit = Callable[..., Visit]


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
        expect(words).to_have_text("First the dates.")


@pytest.mark.browser
def test_a_call_that_is_refused_is_shown_as_the_model_made_it(visit: OpenVisit) -> None:
    mine = visit()
    with fake_model() as model:
        watch_model(mine, model, "broken-json")
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
