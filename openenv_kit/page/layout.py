"""Gradio components as this page uses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr


def html(value: str = "", **options: Any) -> gr.HTML:
    """HTML without Gradio's own prose styles and padding."""
    return gr.HTML(value, apply_default_css=False, padding=False, elem_classes="mt-html", **options)


def code_box(value: str = "", lines: int = 4, **options: Any) -> gr.Textbox:
    """Several lines of JSON or SQL to type. Gradio's editor would load 0.2 MB with the page."""
    return gr.Textbox(value, lines=lines, max_lines=30, elem_classes="mt-typed", **options)


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


def editable(columns: Sequence[str], **options: Any) -> gr.Dataframe:
    """A table of texts to type in, one empty line to begin with.

    Its menus offer no columns to add or delete: Gradio passes the pair of their number and "fixed"
    on to its table as it is; its own `column_limits` does nothing yet.
    """
    fixed: Any = (len(columns), "fixed")
    return gr.Dataframe(
        [[""] * len(columns)],
        headers=list(columns),
        datatype="str",
        type="array",
        interactive=True,
        row_count=1,
        column_count=fixed,
        elem_classes="mt-edit",
        **options,
    )
