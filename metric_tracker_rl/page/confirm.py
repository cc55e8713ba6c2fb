"""Submitting a report: one without rows is submitted only when the visitor says so twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from metric_tracker_rl.page.state import FunnelVisitor
from openenv_kit.page.layout import html
from openenv_kit.page.markup import note
from openenv_kit.page.page import Page, View

ASKED = (
    "There is no row in the report. The empty report says that nothing was wrong in this episode, "
    "and ends it."
)


def confirmation(name: str) -> tuple[gr.Column, gr.Button, gr.Button]:
    """The question, hidden until it is asked, with its two answers."""
    with gr.Column(visible=False, elem_id=name) as asked:
        html(note(ASKED, "bad"))
        with gr.Row(elem_classes="mt-actions"):
            yes = gr.Button("Submit the empty report", variant="stop", elem_id=f"{name}-yes")
            no = gr.Button("Go back", elem_id=f"{name}-no")
    return asked, yes, no


def confirmed_submit(
    page: Page,
    submit: gr.Button,
    sure: tuple[gr.Column, gr.Button, gr.Button],
    shown: Sequence[str],
    wait_on: Any,
) -> None:
    """Make the buttons work; adds a view of the question to those that are shown."""
    asked, yes, no = sure
    name = str(asked.elem_id)
    page.views[name] = View([asked], lambda v: [gr.update(visible=v.unsure)])
    views = [*shown, name]
    page.on(submit.click, _submit, (), views, wait_on=[wait_on])
    page.on(yes.click, _confirmed, (), views, wait_on=[wait_on])
    page.on(no.click, _go_back, (), ["status", name])


def _submit(visitor: FunnelVisitor) -> None:
    if visitor.rows or visitor.session.done:
        visitor.submit()
        return
    visitor.unsure = True
    visitor.note = "Nothing was submitted yet: the report is empty."


def _confirmed(visitor: FunnelVisitor) -> None:
    visitor.submit()


def _go_back(visitor: FunnelVisitor) -> None:
    visitor.unsure = False
    visitor.note = "Nothing was submitted."
