"""Tab Episodes: a named task, or another one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any

from openenv_kit.errors import InvalidValueError
from openenv_kit.page.components.elements import heading, note
from openenv_kit.page.components.forms import arguments_of, form_html, sent
from openenv_kit.page.components.tool_result import result_html
from openenv_kit.page.environment_view import Scenes
from openenv_kit.page.events import Page, ask_first, html
from openenv_kit.page.page_address import reset_of_task
from openenv_kit.page.visitor import Visitor

FRAME = ("status", "message", "task_id", "reward", "done", "metadata")
"""Fields of an opening that say nothing of its episode."""


def build_episode(page: Page) -> None:
    """Choose an episode, and read the opening of the running one."""
    html(heading("Choose an episode"))
    html(forms_html(page.scenes), elem_id="mt-choose")
    page.add_view("episode", _card_html)
    page.on_bridge(page.bridge.start, partial(_start, page.scenes), page.views)


def schemas_of(scenes: Scenes) -> dict[str, dict[str, Any]]:
    """Fields of each form."""
    environment, splits = scenes.environment, scenes.environment.splits
    seed = {"type": "integer", "description": "another seed, other data"}
    sizes = ", ".join(f"{name} {splits.size(name):,}" for name in splits.names())
    drawn = {
        "split": {"enum": list(splits.names()), "description": f"tasks: {sizes}"},
        "index": {"type": "integer", "description": "of its task, from 0"},
    }
    other = {
        **(drawn if sizes else {}),
        **{name: {"enum": list(some)} for name, some in scenes.reset_choices.items()},
        "seed": seed,
    }
    named = {"task": {"enum": list(environment.tasks)}, "seed": seed}
    return {"named": {"properties": named, "required": ["task"]}, "other": {"properties": other}}


def forms_html(scenes: Scenes) -> str:
    """The forms; that of a named task stands open."""
    titles = {"named": "A named task", "other": "From a split, or your own"}
    return "".join(
        f"<details{' open' if name == 'named' else ''}><summary>{titles[name]}</summary>"
        f"{form_html(name, 'start', 'Start', schema)}</details>"
        for name, schema in schemas_of(scenes).items()
    )


def reset_of(scenes: Scenes, form: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the reset that a form asks for.

    Raises:
        InvalidValueError: no such form, or a seed or an index that is no number.
        ConfigurationError: no such task.
    """
    schemas = schemas_of(scenes)
    if form not in schemas:
        raise InvalidValueError("form", form, ", ".join(schemas))
    given = arguments_of(schemas[form], values)
    task, split, index = (given.pop(name, None) for name in ("task", "split", "index"))
    chosen: Mapping[str, Any] = {}
    if task:
        chosen = reset_of_task(scenes.environment, str(task))
    elif split:
        chosen = scenes.environment.splits.task(str(split), index or 0).reset_arguments()
    return {**chosen, **given}


def _start(scenes: Scenes, visitor: Visitor, form: object) -> None:
    reset = reset_of(scenes, *sent(form))
    ask_first(visitor, "Starting another one", lambda v: v.start(**reset))


def _card_html(scenes: Scenes, visitor: Visitor) -> str:
    """The opening, as the player gets it, with the brief that every model is given."""
    if not visitor.started:
        return note(visitor.problem, "bad")
    opening = visitor.frames[0].observation
    fields = {name: value for name, value in opening.items() if value and name not in FRAME}
    return (
        f'<section class="mt-card" id="mt-card">{note(visitor.problem, "bad")}'
        f'<p class="mt-eyebrow">You play {escape(visitor.task_id)}</p>'
        f"<blockquote>{escape(str(opening.get('message') or ''))}</blockquote>"
        f"<details><summary>Everything in the opening</summary>{result_html(fields)}</details>"
        "<details><summary>The brief that every model gets</summary><blockquote>"
        f"{escape(scenes.environment.brief(opening))}</blockquote></details></section>"
    )
