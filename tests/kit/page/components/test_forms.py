"""Forms for resets and tools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import openenv_kit.environment as kit
from openenv_kit.errors import InvalidValueError
from openenv_kit.page.components.forms import convert_filled_fields_to_arguments, form_html
from openenv_kit.page.environment_view import get_environment_view_or_default
from openenv_kit.page.tabs import start_form
from support import tiny_environment
from support.tiny_environment import Tiny

OMIT = object()


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tiny]:
    """The tiny environment as the one that this process serves."""
    monkeypatch.setattr(kit, "find_environment_entry_points", tiny_environment.installed)
    monkeypatch.setenv(kit.ENVIRONMENT_VARIABLE, "tiny")
    kit.get_environment.cache_clear()
    yield kit.get_environment()
    kit.get_environment.cache_clear()


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


def test_a_reset_is_read_from_the_form(tiny: Tiny) -> None:
    scenes = get_environment_view_or_default()

    def read(form: str, **values: Any) -> dict[str, Any]:
        return start_form.build_reset_from_form(scenes, form, values)

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


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_input_of_every_kind_gives_the_argument_that_was_meant(name: str) -> None:
    schema, typed, meant = SCHEMAS[name]
    parameters = {"properties": {name: schema}}
    expected = {} if meant is OMIT else {name: meant}
    assert convert_filled_fields_to_arguments(parameters, {name: typed}) == expected
    assert convert_filled_fields_to_arguments(parameters, {}) == {}, (
        "an optional argument is sent as untouched"
    )
    assert f'data-arg="{name}"' in form_html("act", "run", "Run", parameters)


def test_a_text_that_is_no_number_is_refused_by_name() -> None:
    parameters = {"properties": {"most": {"type": "integer", "maximum": 9}}}
    assert "at most 9" in form_html("act", "run", "Run", parameters)
    with pytest.raises(InvalidValueError, match="most is 'all'; allowed: a number, or nothing"):
        convert_filled_fields_to_arguments(parameters, {"most": "all"})


def test_code_in_a_description_is_shown_without_backticks() -> None:
    schema = {"properties": {"split": {"type": "string", "description": "name; `index` & more"}}}
    html = form_html("other", "start", "Start", schema)
    assert "<small>name; <code>index</code> &amp; more</small>" in html
