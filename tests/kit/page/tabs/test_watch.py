"""The tab Watch."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import gradio as gr
import pytest

from metric_tracker_rl.policies import get_policy
from openenv_kit.page.components.playback_html import navigation_and_current_step_html
from openenv_kit.page.environment_view import get_environment_view_or_default
from openenv_kit.page.events import run_in_thread_one_at_a_time
from openenv_kit.page.playback import playback_of_policy
from openenv_kit.page.visitor import Visitor


def visitor() -> Visitor:
    new = Visitor()
    new.is_page_loaded = True
    return new


async def test_a_visitor_takes_one_thread_and_none_after_leaving() -> None:
    busy, done = list[int](), list[int]()

    def work(who: Visitor, number: int) -> list[Any]:
        busy.append(number)
        time.sleep(0.01 * (5 - number))
        done.append(number)
        who.is_disconnected = number == 3
        assert busy.pop() == number
        return [len(busy)]

    who = visitor()
    asked = (run_in_thread_one_at_a_time(who, work, number) for number in range(5))
    *answers, late = await asyncio.gather(*asked, return_exceptions=True)
    assert (answers, done) == ([[0]] * 4, [0, 1, 2, 3])
    assert isinstance(late, gr.Error)


def test_a_click_leads_on_back_and_to_the_end_and_nothing_else_does() -> None:
    played = playback_of_policy(get_policy("null"), {})
    for at, now in (("on", 1), ("0", 0), ("end", 1), ("9" * 99, 1), ("-1", 1), (None, 1), ({}, 1)):
        played.show_navigation_target(at)
        assert played.index == now, at


@pytest.mark.parametrize(("at", "off"), [(0, ["← Back"]), (1, ["Step →", "Play", "To the end"])])
def test_a_button_that_would_do_nothing_says_so(at: int, off: list[str]) -> None:
    played = playback_of_policy(get_policy("null"), {})
    played.read_steps_to_end_and_show_last()
    played.show_step_clamped(at)
    shown = navigation_and_current_step_html(get_environment_view_or_default(), played)
    assert re.findall(r'aria-disabled="true">(.*?)</button>', shown) == off
