"""Gradio components as this page uses them."""

from __future__ import annotations

from typing import Any

import gradio as gr


def html(value: str = "", **options: Any) -> gr.HTML:
    """HTML without Gradio's own prose styles and padding."""
    return gr.HTML(value, apply_default_css=False, padding=False, elem_classes="mt-html", **options)


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


def fixed(columns: int) -> Any:
    """Column count of an editable table whose menus offer no columns to add or delete.

    Gradio passes such a pair on to its table as it is; its own `column_limits` does nothing yet.
    """
    return columns, "fixed"
