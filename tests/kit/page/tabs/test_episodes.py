"""The page of an environment without scenes of its own, which the kit has never seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Any

import pytest

import openenv_kit.environment as kit
from openenv_kit.errors import InvalidValueError, ToolArgumentError
from openenv_kit.page.components.forms import arguments_from_form, form_html
from openenv_kit.page.environment_view import EnvironmentView, environment_view_of
from openenv_kit.page.tabs import episodes, play
from openenv_kit.page.visitor import Visitor
from support import tiny_environment
from support.tiny_environment import STORY, Tiny

OMIT = object()
STORY_ESCAPED = escape(STORY)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tiny]:
    """The tiny environment as the one that this process serves."""
    monkeypatch.setattr(kit, "find_environment_entry_points", tiny_environment.installed)
    monkeypatch.setenv(kit.ENVIRONMENT_VARIABLE, "tiny")
    kit.get_environment.cache_clear()
    yield kit.get_environment()
    kit.get_environment.cache_clear()


def test_an_environment_without_scenes_gets_the_generic_ones(tiny: Tiny) -> None:
    scenes = environment_view_of()
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
    assert environment_view_of().describe_action(action) == shown


def test_a_reset_is_read_from_the_form(tiny: Tiny) -> None:
    scenes = environment_view_of()

    def read(form: str, **values: Any) -> dict[str, Any]:
        return episodes.reset_from_form(scenes, form, values)

    assert read("named", task="seven", seed="") == {"task_id": "seven", "number": 7}
    drawn = {"task_id": "train-2", "number": 2}
    assert read("other", split="train", index="2") == drawn
    assert read("other", seed="9", index="3") == {"seed": 9}
    with pytest.raises(InvalidValueError, match="index is 10"):
        read("other", split="train", index="10")
    with pytest.raises(InvalidValueError, match="seed is 'x'; allowed: a number"):
        read("named", task="three", seed=" x ")
    with pytest.raises(InvalidValueError, match="form is 'gone'"):
        read("gone")


SCHEMAS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "text": ({"type": "string"}, "some", "some"),
    "no_text": ({"type": "string"}, "", OMIT),
    "whole": ({"type": "integer"}, " 2 ", 2),
    "share": ({"type": "number"}, "0.5", 0.5),
    "nothing": ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, " ", OMIT),
    "choice": ({"enum": ["a", "b"]}, "b", "b"),
    "several": ({"type": "array", "items": {"enum": ["a", "b"]}}, '["a"]', ["a"]),
    "switch": ({"type": "boolean"}, False, False),
    "things": ({"type": "array", "items": {"type": "object"}}, "[{}]", [{}]),
    "thing": ({"type": "object"}, '{"a": 1}', {"a": 1}),
    "anything": ({}, "[1]", [1]),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_input_of_every_kind_gives_the_argument_that_was_meant(name: str) -> None:
    schema, typed, meant = SCHEMAS[name]
    parameters = {"properties": {name: schema}}
    expected = {} if meant is OMIT else {name: meant}
    assert arguments_from_form(parameters, {name: typed}) == expected
    assert arguments_from_form(parameters, {}) == {}, "an optional argument is sent as untouched"
    assert f'data-arg="{name}"' in form_html("act", "run", "Run", parameters)


def test_a_text_that_is_no_number_is_refused_by_name() -> None:
    parameters = {"properties": {"most": {"type": "integer", "maximum": 9}}}
    assert "at most 9" in form_html("act", "run", "Run", parameters)
    with pytest.raises(InvalidValueError, match="most is 'all'; allowed: a number, or nothing"):
        arguments_from_form(parameters, {"most": "all"})


def test_every_tool_of_every_environment_has_a_form_with_every_argument() -> None:
    for name in ("metric_tracker_rl", "drilldown", "firewatch"):
        for tool in kit.get_environment(name).tools.tools:
            html = form_html(tool.name, "run", "Run", tool.parameters)
            fields = re.findall('data-arg="([^"]*)"', html)
            assert fields == list(tool.parameters.get("properties", {})), tool.name


def test_a_task_is_solved_with_forms_alone(tiny: Tiny) -> None:
    scenes, visitor = environment_view_of(), Visitor(tiny)
    visitor.is_page_loaded = True
    episodes._start_episode(scenes, visitor, '["named", {"task": "three"}]')
    assert "list_numbers" in play.tool_forms_html(scenes, visitor)
    play._run_tool_form(scenes, visitor, '["look", {"side": "above", "digit": "3"}]')
    play._run_tool_form(scenes, visitor, '["answer", {"digit": "3"}]')
    assert visitor.last_observation["reward"] == 1.0
    assert "Look at your steps again (2)" in play.steps_link_html(scenes, visitor)
    assert STORY_ESCAPED in episodes._episode_card_html(scenes, visitor)


def test_a_call_that_is_not_an_action_costs_no_step(tiny: Tiny) -> None:
    visitor = Visitor(tiny)
    visitor.start_episode(number=3)
    with pytest.raises(ToolArgumentError, match="Nothing was submitted"):
        visitor.call_tool("answer", {})
    assert (visitor.step_count, visitor.is_done) == (0, False)
