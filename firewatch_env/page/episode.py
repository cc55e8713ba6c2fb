"""Tab Episode: choose a named incident or one of a split, and read its opening."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr

from firewatch_env.page.state import FirewatchVisitor
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.task import MAX_TICKS
from openenv_kit.errors import InvalidValueError
from openenv_kit.page.layout import html
from openenv_kit.page.markup import heading, note, words
from openenv_kit.page.page import Page, View

EVERYTHING = (
    *("status", "episode", "headline", "looked_at", "timeline"),
    *("result", "score", "watch"),
)
"""Views of an episode; a new one changes them all."""


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    splits = page.scenes.environment.splits
    ticks = ", ".join(f"{level} {most}" for level, most in MAX_TICKS.items())
    html(heading("Choose an incident", f"60 named ones and splits of drawn ones. Ticks: {ticks}."))
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            tasks = gr.Dropdown(
                [(_label(name), name) for name in NAMED],
                value=page.scenes.environment.default_tasks[0],
                label="Named incident",
                elem_id="fw-task",
            )
            seed = gr.Textbox(
                label="Seed (optional)",
                info="Another seed makes another world for the same name",
                elem_id="fw-seed",
            )
            start = gr.Button("Start this incident", variant="primary", elem_id="mt-start")
            with gr.Accordion("One of a split", open=False, elem_classes="mt-fold"):
                html(
                    '<p class="mt-hint">Drawn incidents; their names tell nothing but the level: '
                    "easy, medium and hard take turns.</p>"
                )
                split = gr.Dropdown(
                    [(f"{each}: {splits.size(each)} incidents", each) for each in splits.names()],
                    value=splits.names()[0],
                    label="Split",
                    elem_id="fw-split",
                )
                index = gr.Number(0, precision=0, label="Place in the split", info="from 0")
                draw = gr.Button("Start it", elem_id="fw-start-split")
        with gr.Column(min_width=300):
            card = html()
    page.views["episode"] = View([card], lambda visitor: [card_html(page, visitor)])
    page.on(start.click, _start, [tasks, seed], EVERYTHING, wait_on=[card], opens=True)
    page.on(
        draw.click,
        lambda visitor, *chosen: _start_drawn(page, visitor, *chosen),
        [split, index],
        EVERYTHING,
        wait_on=[card],
        opens=True,
    )


def _label(name: str) -> str:
    return words(name.removeprefix("task_")).replace(" ", ": ", 1)


def _start(visitor: FirewatchVisitor, task: str, seed: str) -> None:
    given = (seed or "").strip()
    if given and not given.lstrip("-").isdecimal():
        raise InvalidValueError("seed", given, "a whole number, or nothing")
    visitor.start(task_id=task, **({"seed": int(given)} if given else {}))


def _start_drawn(page: Page, visitor: FirewatchVisitor, split: str, index: float | None) -> None:
    task = page.scenes.environment.splits.task(split, int(index or 0))
    visitor.start(**task.reset_arguments())


def card_html(page: Page, visitor: FirewatchVisitor) -> str:
    """The opening, as a model is told it, and the brief that every model is given."""
    environment, reply = page.scenes.environment, visitor.opening
    if reply is None:
        return note(visitor.problem, "bad")
    content: Mapping[str, Any] = reply.content
    at = visitor.progress
    size = f"{len(content['services'])} services, {at['max_steps']} ticks"
    return (
        f'<section class="mt-card" id="mt-card">{note(visitor.problem, "bad")}'
        f'<p class="mt-eyebrow">{escape(visitor.session.task_id)}</p>'
        f"<h3>{escape(str(at['difficulty']).title())}: {size}</h3>"
        f"<blockquote>{escape(environment.introduction(content))}</blockquote>"
        "<p>The <b>Incident</b> tab shows it live.</p>"
        "<details><summary>What a model is told first</summary>"
        f"<blockquote>{escape(environment.brief())}</blockquote></details></section>"
    )
