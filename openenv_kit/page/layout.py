"""Gradio components as this page uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr


def html(value: str = "", **options: Any) -> gr.HTML:
    """HTML without Gradio's own prose styles and padding."""
    return gr.HTML(value, apply_default_css=False, padding=False, elem_classes="mt-html", **options)


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
