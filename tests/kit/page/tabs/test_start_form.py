"""The start form and the Play tab, with an environment without its own view."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

import pytest

import openenv_kit.environment as kit
from openenv_kit.errors import ToolArgumentError
from openenv_kit.page.components.forms import form_html
from openenv_kit.page.environment_view import EnvironmentView, get_environment_view_or_default
from openenv_kit.page.first_screen import first_screen_html
from openenv_kit.page.tabs import play, play_views
from openenv_kit.page.tabs.start_form import (
    SAME_SETTINGS,
    start_episode_from_form_or_ask,
    start_form_html,
)
from openenv_kit.page.visitor import Visitor
from support import tiny_environment
from support.tiny_environment import Tiny


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tiny]:
    """The tiny environment as the one that this process serves."""
    monkeypatch.setattr(kit, "find_environment_entry_points", tiny_environment.installed)
    monkeypatch.setenv(kit.ENVIRONMENT_VARIABLE, "tiny")
    kit.get_environment.cache_clear()
    yield kit.get_environment()
    kit.get_environment.cache_clear()


def test_an_environment_without_scenes_gets_the_generic_ones(tiny: Tiny) -> None:
    scenes = get_environment_view_or_default()
    assert type(scenes) is EnvironmentView
    assert scenes.example_episode is not None
    assert scenes.result_headline(scenes.example_episode.steps) == "Score 0.00"
    assert scenes.environment is tiny


@pytest.mark.parametrize(
    ("action", "shown"),
    [
        ({}, "None()"),
        ({"tool": 7}, "7()"),
        ({"tool": "look", "arguments": 3}, "{'tool': 'look', 'arguments': 3}"),
    ],
)
def test_no_action_of_a_recording_breaks_the_page(
    tiny: Tiny, action: dict[str, Any], shown: str
) -> None:
    assert get_environment_view_or_default().format_action_for_display(action) == shown


def test_every_tool_of_every_environment_has_a_form_with_every_argument() -> None:
    for name in ("metric_tracker_rl", "drilldown", "firewatch"):
        for tool in kit.get_environment(name).tools.tools:
            html = form_html(tool.name, "run", "Run", tool.parameters)
            fields = re.findall('data-arg="([^"]*)"', html)
            assert fields == list(tool.parameters.get("properties", {})), tool.name


def test_a_task_is_solved_with_forms_alone(tiny: Tiny) -> None:
    scenes, visitor = get_environment_view_or_default(), Visitor(tiny)
    visitor.is_page_loaded = True
    start_episode_from_form_or_ask(scenes, visitor, '["named", {"task": "three"}]')
    assert "list numbers" in play_views.tools_html(scenes, visitor)
    play._call_tool_from_form(scenes, visitor, '["look", {"side": "above", "digit": "3"}]')
    play._call_tool_from_form(scenes, visitor, '["answer", {"digit": "3"}]')
    assert visitor.last_observation["reward"] == 1.0
    evidence = play_views.evidence_html(scenes, visitor)
    assert evidence.count("<li") >= 2
    assert "Reply of step 2" in evidence


def test_first_screen_without_a_view_has_title_description_and_the_task_list(tiny: Tiny) -> None:
    scenes, visitor = get_environment_view_or_default(), Visitor(tiny)
    html = first_screen_html(scenes, ["tiny"])
    assert escape(tiny.title) in html
    assert escape(tiny.description) in html
    assert "One of" not in html
    assert "One of two environments: tiny, other." in first_screen_html(scenes, ["tiny", "other"])
    assert 'value="three"' in start_form_html(scenes, visitor)


def test_further_settings_offer_every_reset_argument() -> None:
    for name in ("metric_tracker_rl", "drilldown", "firewatch"):
        scenes = get_environment_view_or_default(kit.get_environment(name))
        html = start_form_html(scenes, Visitor(scenes.environment))
        offered = set(re.findall('data-arg="([^"]*)"', html))
        wanted = set(scenes.environment.reset_arguments) - {"task_id", "episode_id"}
        assert wanted <= offered | {"split", "index"}


def test_a_call_that_is_not_an_action_costs_no_step(tiny: Tiny) -> None:
    visitor = Visitor(tiny)
    visitor.start_episode(number=3)
    with pytest.raises(ToolArgumentError, match="Nothing was submitted"):
        visitor.call_tool("answer", {})
    assert (visitor.step_count, visitor.is_done) == (0, False)


def test_episode_of_other_settings_is_restarted_with_another_seed() -> None:
    scenes = get_environment_view_or_default(kit.get_environment("metric_tracker_rl"))
    visitor = Visitor(scenes.environment)
    settings = '["other", {"difficulty": "hard", "seed": "4"}]'
    start_episode_from_form_or_ask(scenes, visitor, settings)
    assert f'value="{SAME_SETTINGS}" selected' in start_form_html(scenes, visitor)
    again = json.dumps(["named", {"task": SAME_SETTINGS, "seed": "5"}])
    start_episode_from_form_or_ask(scenes, visitor, again)
    assert visitor.reset == {"difficulty": "hard", "seed": 5}
    start_episode_from_form_or_ask(scenes, visitor, '["named", {"task": "easy_single_spike"}]')
    assert SAME_SETTINGS not in start_form_html(scenes, visitor)
