"""Episodes tab of the debugger: forms that start a named task, or an episode by split or seed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any

from openenv_kit.errors import InvalidValueError
from openenv_kit.page.components.elements import heading_html, message_box_html
from openenv_kit.page.components.forms import (
    convert_filled_fields_to_arguments,
    form_html,
    parse_form_event,
)
from openenv_kit.page.components.tool_result import tool_result_html
from openenv_kit.page.environment_view import EnvironmentView
from openenv_kit.page.events import Page, run_or_ask_before_ending_episode, unstyled_html_component
from openenv_kit.page.page_address import reset_of_named_task
from openenv_kit.page.visitor import Visitor

NON_EPISODE_FIELDS = ("status", "message", "task_id", "reward", "done", "metadata")
"""Fields of a reset observation that do not describe the episode."""


def build_episodes_tab(page: Page) -> None:
    """Build the Episodes tab: the forms, and the reset observation of the running episode."""
    unstyled_html_component(heading_html("Choose an episode"))
    unstyled_html_component(episode_forms_html(page.environment_view), elem_id="mt-choose")
    page.add_html_view("episode", _reset_observation_and_system_prompt_html)
    page.add_page_event_handler(
        page.bridge.start,
        partial(_start_episode_from_form_or_ask, page.environment_view),
        page.views,
    )


def build_episode_form_schemas_by_name(
    environment_view: EnvironmentView,
) -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas of the forms that start an episode, by form name."""
    environment, splits = environment_view.environment, environment_view.environment.splits
    seed = {"type": "integer", "description": "another seed, other data"}
    sizes = ", ".join(
        f"{name} {splits.size(name):,}" for name in splits.list_playable_split_names()
    )
    drawn = {
        "split": {
            "enum": list(splits.list_playable_split_names()),
            "description": f"tasks: {sizes}",
        },
        "index": {"type": "integer", "description": "of its task, from 0"},
    }
    other = {
        **(drawn if sizes else {}),
        **{name: {"enum": list(some)} for name, some in environment_view.reset_choices.items()},
        "seed": seed,
    }
    named = {"task": {"enum": list(environment.reset_arguments_by_task_id)}, "seed": seed}
    return {"named": {"properties": named, "required": ["task"]}, "other": {"properties": other}}


def episode_forms_html(environment_view: EnvironmentView) -> str:
    """Return the forms that start an episode. The form for named tasks is expanded."""
    titles = {"named": "A named task", "other": "From a split, or your own"}
    return "".join(
        f"<details{' open' if name == 'named' else ''}><summary>{titles[name]}</summary>"
        f"{form_html(name, 'start', 'Start', schema)}</details>"
        for name, schema in build_episode_form_schemas_by_name(environment_view).items()
    )


def reset_from_form(
    environment_view: EnvironmentView, form_name: str, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Convert the values of an episode form into reset arguments.

    Raises:
        InvalidValueError: the form is unknown, or the seed or the index is not a number.
        ConfigurationError: the task is unknown.
    """
    schemas = build_episode_form_schemas_by_name(environment_view)
    if form_name not in schemas:
        raise InvalidValueError("form", form_name, ", ".join(schemas))
    given = convert_filled_fields_to_arguments(schemas[form_name], values)
    task, split, index = (given.pop(name, None) for name in ("task", "split", "index"))
    chosen: Mapping[str, Any] = {}
    if task:
        chosen = reset_of_named_task(environment_view.environment, str(task))
    elif split:
        chosen = environment_view.environment.splits.task(str(split), index or 0).reset_arguments()
    return {**chosen, **given}


def _start_episode_from_form_or_ask(
    environment_view: EnvironmentView, visitor: Visitor, form_event_json: object
) -> None:
    reset = reset_from_form(environment_view, *parse_form_event(form_event_json))
    run_or_ask_before_ending_episode(
        visitor, "Starting another one", lambda v: v.start_episode(**reset)
    )


def _reset_observation_and_system_prompt_html(
    environment_view: EnvironmentView, visitor: Visitor
) -> str:
    """Return the reset observation and the system prompt that a model would read."""
    if not visitor.has_episode:
        return message_box_html(visitor.problem, "bad")
    opening = visitor.playback_steps[0].observation
    fields = {
        name: value for name, value in opening.items() if value and name not in NON_EPISODE_FIELDS
    }
    return (
        f'<section class="mt-card" id="mt-card">{message_box_html(visitor.problem, "bad")}'
        f'<p class="mt-eyebrow">You play {escape(visitor.task_id)}</p>'
        f"<blockquote>{escape(str(opening.get('message') or ''))}</blockquote>"
        f"<details><summary>Everything in the opening</summary>{tool_result_html(fields)}</details>"
        "<details><summary>The brief that every model gets</summary><blockquote>"
        f"{escape(environment_view.environment.build_system_prompt(opening))}</blockquote></details></section>"
    )
