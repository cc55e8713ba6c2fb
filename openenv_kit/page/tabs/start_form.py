"""Builds and handles the form that starts an episode on the Play tab."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from openenv_kit.errors import InvalidValueError
from openenv_kit.page.begin_episode import begin_episode
from openenv_kit.page.components.elements import button_html
from openenv_kit.page.components.forms import (
    convert_filled_fields_to_arguments,
    form_html,
    parse_form_event,
)
from openenv_kit.page.environment_view import EnvironmentView
from openenv_kit.page.episode_title import format_title_of_running_episode
from openenv_kit.page.events import run_or_ask_before_ending_episode
from openenv_kit.page.page_address import build_reset_of_named_task
from openenv_kit.page.visitor import Visitor

SAME_SETTINGS = "same_settings"
"""Name in the list of tasks for the running episode, if it is not a named task."""
EPISODE_ARGUMENTS = ("task_id", "episode_id", "split", "index")
"""Reset arguments that have no field of their own, because the forms set them in another way or
only programs use them.
"""


def build_start_form_schemas_by_name(
    environment_view: EnvironmentView,
) -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas of the forms that start an episode, by form name."""
    environment, splits = environment_view.environment, environment_view.environment.splits
    seed = {"type": "integer"}
    sizes = ", ".join(
        f"{name} {splits.size(name):,}" for name in splits.list_playable_split_names()
    )
    drawn = {
        "split": {
            "enum": list(splits.list_playable_split_names()),
            "description": f"tasks: {sizes}",
        },
        "index": {"type": "integer", "description": "number of the task in the split, from 0"},
    }
    other = {
        **(drawn if sizes else {}),
        **{name: {"enum": list(some)} for name, some in environment_view.reset_choices.items()},
        "seed": {
            **seed,
            "description": "seed of these settings; the field above belongs to the task",
        },
    }
    other |= {
        name: {"type": argument.json_type, "description": argument.description}
        for name, argument in environment.reset_arguments.items()
        if name not in (*EPISODE_ARGUMENTS, *other)
    }
    named = {"task": {"enum": list(environment.reset_arguments_by_task_id)}, "seed": seed}
    return {
        "named": {"properties": named, "required": ["task", "seed"]},
        "other": {"properties": other},
    }


def start_form_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the form with the list of tasks, and a collapsed form with more settings.

    The fields contain the task and the seed of the running episode.
    """
    schemas = build_start_form_schemas_by_name(environment_view)
    reset = visitor.reset
    tasks = list(environment_view.environment.reset_arguments_by_task_id)
    values = {"task": reset.get("task_id"), "seed": reset.get("seed")}
    if visitor.has_episode and values["task"] not in tasks:
        values["task"] = SAME_SETTINGS
        schemas["named"]["properties"]["task"] = {
            "enum": [SAME_SETTINGS, *tasks],
            "labels": {SAME_SETTINGS: format_title_of_running_episode(visitor)},
        }
    primary = "" if visitor.has_episode else "quiet"
    named = form_html("named", "start", "Start", schemas["named"], values)
    other = form_html("other", "start", "Start with these settings", schemas["other"])
    switch = _read_data_switch_html(environment_view, visitor)
    return (
        f'<div class="mt-start {primary}">{named}{switch}'
        f'<details data-keep="settings"><summary>More settings</summary>{other}</details></div>'
    )


def _read_data_switch_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the checkbox for the opening calls; empty if the environment has none.

    It states how many calls are made in the running episode, or at most if there is none.
    """
    count = environment_view.opening_call_count
    if visitor.has_episode:
        count = environment_view.count_opening_calls(visitor.playback_steps[:1]) or count
    if not count:
        return ""
    checked = " checked" if visitor.may_read_data else ""
    return (
        f'<label class="mt-switch"><input type="checkbox" data-switch="read_data" '
        f'data-key="read_data"{checked}> Read the data for me ({_count_steps(count)})</label>'
    )


def _count_steps(count: int) -> str:
    return f"{count} step{'' if count == 1 else 's'}"


def opening_calls_button_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return a button that makes the opening calls; empty if none are possible at this step."""
    if visitor.is_done or environment_view.next_opening_call(visitor.playback_steps[:1]) is None:
        return ""
    if visitor.step_count:
        return ""
    count = environment_view.count_opening_calls(visitor.playback_steps[:1])
    label = f"Read the data ({_count_steps(count)})"
    text = escape("The charts fill as replies arrive.")
    return (
        f'<p class="mt-callout"><span>{text}</span>'
        f"{button_html('make_opening_calls', '', label, css_class='primary')}</p>"
    )


def build_reset_from_form(
    environment_view: EnvironmentView, form_name: str, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Convert the values of a start form into reset arguments.

    Raises:
        InvalidValueError: the form is unknown, or the seed or the index is not a number.
        ConfigurationError: the task is unknown.
    """
    schemas = build_start_form_schemas_by_name(environment_view)
    if form_name not in schemas:
        raise InvalidValueError("form", form_name, ", ".join(schemas))
    given = convert_filled_fields_to_arguments(schemas[form_name], values)
    task, split, index = (given.pop(name, None) for name in ("task", "split", "index"))
    chosen: Mapping[str, Any] = {}
    if task:
        chosen = build_reset_of_named_task(environment_view.environment, str(task))
    elif split:
        chosen = environment_view.environment.splits.task(str(split), index or 0).reset_arguments()
    return {**chosen, **given}


def start_episode_from_form_or_ask(
    environment_view: EnvironmentView, visitor: Visitor, form_event_json: object
) -> None:
    """Start the episode that a form describes; if one is running, request confirmation first."""
    name, values = parse_form_event(form_event_json)
    if values.get("task") == SAME_SETTINGS:
        seed = build_reset_from_form(environment_view, name, {"seed": values.get("seed", "")})
        reset = {**visitor.reset, **seed}
    else:
        reset = build_reset_from_form(environment_view, name, values)
    run_or_ask_before_ending_episode(
        visitor, "Starting another one", lambda v: begin_episode(environment_view, v, reset)
    )


def switch_opening_calls(visitor: Visitor, is_on: object) -> None:
    """Enable or disable the opening calls of later episodes."""
    visitor.may_read_data = str(is_on) == "yes"
