"""Tools: arguments and their schemas."""

from __future__ import annotations

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.errors import ToolArgumentError
from openenv_kit.tool import ToolCall, format_tool_call_for_display, parse_tool_call

GOOD = {"analysis_method": "list_dates"}


def test_null_is_accepted_for_optional_tool_argument() -> None:
    session = get_environment("metric_tracker_rl").create_session()
    session.reset(split="test", index=0)
    for method, arguments in (
        ("list_suspicious_dates", {"limit": None}),
        ("get_metric_median", {"metric_name": "app_opens", "metric_names": None}),
    ):
        action = {"analysis_method": method, "analysis_args": arguments}
        assert session.step(action).status == "analyzed"
    required = {"analysis_method": "rows_for_date", "analysis_args": {"date": None}}
    assert session.step(required).status == "error"


def test_null_is_accepted_for_optional_action_field() -> None:
    session = get_environment("metric_tracker_rl").create_session()
    session.reset(split="test", index=0)
    nulls = {
        "classifications": None,
        "payload_generators": None,
        "analysis_args": None,
        "metadata": None,
    }
    assert session.step({**nulls, **GOOD}).status == "analyzed"
    assert session.step({"nonsense": None}).status == "error"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "look()"),
        ({"at": "a", "n": 2}, 'look(at="a", n=2)'),
        ("not an object", "look(not an object)"),
    ],
)
def test_format_tool_call_arguments_are_shown_in_one_line(arguments: object, text: str) -> None:
    assert format_tool_call_for_display("look", arguments) == text


def test_parse_tool_call_without_arguments_has_empty_ones() -> None:
    assert parse_tool_call({"name": "look"}) == ToolCall("look", {})


@pytest.mark.parametrize("value", [None, "look", [], {}, {"name": 3}, {"arguments": {}}])
def test_parse_tool_call_value_that_is_no_call_returns_none(value: object) -> None:
    assert parse_tool_call(value) is None


@pytest.mark.parametrize("name", ["functions.list_dates", "default_api:list_dates", " list_dates "])
def test_decorated_tool_name_is_rejected_with_the_tool_that_was_meant(name: str) -> None:
    with pytest.raises(ToolArgumentError, match="Did you mean 'list_dates'"):
        get_environment("metric_tracker_rl").tools.build_action(name, {})
