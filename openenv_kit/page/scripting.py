"""The page's few public endpoints, for Gradio's own clients.

They act on the caller's own visitor, as the buttons do; everything else on the page is private.
Programs that play are better served by the environment's own client.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from openenv_kit.errors import InvalidValueError
from openenv_kit.page.page import Act, Page, View
from openenv_kit.page.state import Visitor
from openenv_kit.play.driver import observed
from openenv_kit.play.recording import canonical


def build(page: Page) -> None:
    """Add hidden inputs, `/start`, `/ask`, and the environment's own endpoints."""
    more = page.scenes.endpoints()
    with gr.Column(visible=False):
        value, tool, answer = gr.JSON(), gr.Textbox(), gr.Textbox()
        buttons = {name: gr.Button(name) for name in ("start", "ask", *more)}
    page.views["answer"] = View([answer], lambda visitor: [visitor.problem or _last(visitor)])
    acts: dict[str, Act] = {"start": _start, "ask": _ask, **more}
    for name, act in acts.items():
        inputs = [tool, value] if name == "ask" else [value]
        page.on(buttons[name].click, act, inputs, ["answer"], api_name=name)


def _start(visitor: Visitor, reset: Any) -> None:
    if not isinstance(reset, dict):
        raise InvalidValueError("reset arguments", reset, "an object")
    visitor.start(**{str(name): value for name, value in reset.items()})


def _ask(visitor: Visitor, tool: str, arguments: Any) -> None:
    if not isinstance(arguments, dict | None):
        raise InvalidValueError("arguments", arguments, "an object")
    visitor.call(tool, arguments or {})


def _last(visitor: Visitor) -> str:
    """The last reply as canonical JSON."""
    return canonical(observed(visitor.reply)) if visitor.reply else ""
