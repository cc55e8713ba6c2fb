"""The page's few public endpoints, for Gradio's own clients: start, ask, submit.

They act on the caller's own visitor, as the buttons do; everything else on the page is private.
Programs that play are better served by the environment's own client.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from openenv_kit.errors import InvalidValueError
from openenv_kit.page.page import Page, View
from openenv_kit.page.state import Visitor
from openenv_kit.play.driver import observed
from openenv_kit.play.recording import canonical


def build(page: Page) -> None:
    """Add the hidden inputs and the three endpoints."""
    with gr.Column(visible=False):
        arguments = gr.JSON()
        method = gr.Textbox()
        answer = gr.Textbox()
        buttons = [gr.Button(name) for name in ("start", "ask", "submit")]
    page.views["answer"] = View([answer], lambda visitor: [visitor.problem or _last(visitor)])
    start, ask, submit = buttons

    def wire() -> None:
        shown = ["answer"]
        page.on(start.click, _start, [arguments], shown, api_name="start")
        page.on(ask.click, _ask, [method, arguments], shown, api_name="ask")
        page.on(submit.click, _submit, [arguments], shown, api_name="submit")

    page.wiring.append(wire)


def _start(visitor: Visitor, reset: Any) -> None:
    if not isinstance(reset, dict):
        raise InvalidValueError("reset arguments", reset, "an object")
    visitor.start(**{str(name): value for name, value in reset.items()})


def _ask(visitor: Visitor, method: str, arguments: Any) -> None:
    if not isinstance(arguments, dict | None):
        raise InvalidValueError("arguments", arguments, "an object")
    visitor.analyse(method, arguments or {})


def _submit(visitor: Visitor, rows: Any) -> None:
    if not isinstance(rows, list):
        raise InvalidValueError("rows", rows, "a list of rows")
    visitor.rows = rows
    visitor.submit()


def _last(visitor: Visitor) -> str:
    """The last reply as canonical JSON."""
    return canonical(observed(visitor.reply)) if visitor.reply else ""
