"""The tabs of an environment that has no scenes of its own: choose an episode, call its tools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr
from pydantic_core import to_jsonable_python

from openenv_kit.environment import Environment
from openenv_kit.errors import InvalidValueError
from openenv_kit.page import reveal
from openenv_kit.page.bench import build_bench, json_html
from openenv_kit.page.layout import code_box, html
from openenv_kit.page.markup import heading, hint, note, words
from openenv_kit.page.page import Page, View
from openenv_kit.page.results import told_html
from openenv_kit.page.same_call import same_call_html
from openenv_kit.page.state import Visitor
from openenv_kit.page.trace import score_bar
from openenv_kit.play.driver import observed

EVERYTHING = ("status", "episode", "result", "log", "forms", "watch")
"""Views of an episode; a new one changes them all."""
NO_SPLIT = "a named task"


def build_episode(page: Page) -> None:
    """Tab Episode: choose a named task or one of a split, and read its opening."""
    environment = page.scenes.environment
    html(heading("Choose an episode", environment.description))
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            inputs = _choices(environment)
            start = gr.Button("Start", variant="primary", elem_id="mt-start")
        with gr.Column(min_width=300):
            card = html()
    page.views["episode"] = View([card], lambda visitor: [_card_html(page, visitor)])

    def begin(visitor: Visitor, *values: Any) -> None:
        visitor.start(**reset_of(environment, *values))

    page.on(start.click, begin, inputs, EVERYTHING, wait_on=[card], opens=True)


def _choices(environment: Environment) -> list[Any]:
    """Inputs in the order in which `reset_of` takes their values."""
    first, splits = environment.default_tasks[0], environment.splits
    task = gr.Dropdown(list(environment.tasks), value=first, label="Named task")
    with gr.Row(visible=bool(splits.names())):
        sizes = ", ".join(f"{name} {splits.size(name):,}" for name in splits.names())
        split = gr.Dropdown(
            [NO_SPLIT, *splits.names()],
            value=NO_SPLIT,
            label="Or a split",
            info=f"Tasks: {sizes}",
            elem_id="mt-split",
        )
        index = gr.Number(0, precision=0, label="Task of the split", info="from 0")
    rules = [
        gr.Number(default, label=words(name), info=f"empty for {default}")
        for name, default in environment.rules.items()
    ]
    names = ", ".join(name for name in environment.reset_arguments if name != "episode_id")
    more = code_box(lines=2, label=f"Further reset arguments, as JSON ({names})")
    return [task, split, index, more, *rules]


def reset_of(
    environment: Environment, task: str, split: str, index: float | None, more: str, *rules: Any
) -> dict[str, Any]:
    """Arguments of the reset that the form asks for.

    Raises:
        InvalidValueError: further arguments that are not a JSON object.
        ConfigurationError: no such task.
    """
    try:
        further = json.loads(more or "{}")
    except (ValueError, RecursionError):
        further = None
    if not isinstance(further, dict):
        raise InvalidValueError("further reset arguments", more, "a JSON object")
    chosen = environment.tasks.get(task, {"task_id": task})
    if split != NO_SPLIT:
        chosen = environment.splits.task(split, int(index or 0)).reset_arguments()
    limits = zip(environment.rules.items(), rules, strict=True)
    changed = {name: most for (name, usual), most in limits if most not in (None, usual)}
    return {**chosen, **changed, **further}


def _card_html(page: Page, visitor: Visitor) -> str:
    """The opening, as the player gets it, with the brief that every model is given."""
    environment, reply = page.scenes.environment, visitor.opening
    if reply is None:
        return note(visitor.problem, "bad")
    content: Mapping[str, Any] = to_jsonable_python(reply.content)
    brief = environment.brief(to_jsonable_python(observed(reply)))
    return (
        f'<section class="mt-card" id="mt-card">{note(visitor.problem, "bad")}'
        f'<p class="mt-eyebrow">{escape(visitor.session.task_id)}</p>'
        f"<h3>{escape(environment.title)}</h3><p>{escape(reply.message)}</p>{told_html(content)}"
        f"<details><summary>What a model is told first</summary><blockquote>{escape(brief)}"
        "</blockquote></details></section>"
    )


def build_play(page: Page) -> None:
    """Tab Play: every tool with a form, its answer, and the log."""
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300, scale=2):
            call = build_bench(page, page.scenes.environment.tools.tools, label="Tool")
        with gr.Column(min_width=300, scale=3):
            html(heading("Answer"))
            answer = html(elem_id="mt-answer")
            revealing = reveal.lay_out("mt")
    page.views["result"] = View(
        [answer, *revealing],
        lambda visitor: [_result_html(page, visitor), *reveal.show(page.scenes, visitor)],
    )
    reveal.wire(page, revealing[0], "result", revealing[1])
    call(["status", "result", "log", "forms"], [answer])


def _result_html(page: Page, visitor: Visitor) -> str:
    if visitor.problem or visitor.reply is None or not visitor.log:
        empty = hint("Nothing asked yet. Choose a tool and run it.")
        return note(visitor.problem, "bad") or empty
    seen, scenes = observed(visitor.reply), page.scenes
    answer = score_bar(seen) + scenes.outcome_html(seen) + scenes.answer_html(seen)
    same = same_call_html(scenes.environment, visitor.reset, visitor.acted)
    return note(visitor.reply.message) + answer + json_html(scenes.answer(seen)) + same
