"""Gradio components as this page uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr


def html(value: str = "", **options: Any) -> gr.HTML:
    """HTML without Gradio's own prose styles and padding."""
    return gr.HTML(value, apply_default_css=False, padding=False, elem_classes="mt-html", **options)


def code_box(value: str = "", lines: int = 4, **options: Any) -> gr.Textbox:
    """Several lines of JSON or SQL to type. Gradio's editor would load 0.2 MB with the page."""
    return gr.Textbox(value, lines=lines, max_lines=30, elem_classes="mt-typed", **options)


SAVE = """([name, text]) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}"""


def saves(button: gr.Button, state: gr.State, make: Callable[[Any], list[str]]) -> None:
    """Let a button save a file that is made on demand; `make` returns its name and its text."""
    file = gr.JSON(visible=False)
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    made = button.click(make, state, file, concurrency_limit=None, **quiet)
    made.then(None, file, js=SAVE, api_visibility="private")


def chart(name: str, **options: Any) -> gr.Plot:
    """A plotly chart whose clicks the bridge hears."""
    return gr.Plot(
        show_label=False,
        elem_id=f"mt-{name}",
        elem_classes="mt-chart",
        container=False,
        buttons=[],
        **options,
    )
