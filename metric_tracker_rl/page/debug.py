"""Tab Debug: the answer and the plan behind it. Built only on servers started in debug mode."""

from __future__ import annotations

import json

import gradio as gr

from metric_tracker_rl.engine.replies import debug_content
from metric_tracker_rl.page.cells import cell
from metric_tracker_rl.page.state import FunnelVisitor
from openenv_kit.page.layout import html
from openenv_kit.page.markup import facts, heading, note
from openenv_kit.page.page import Page, View
from openenv_kit.page.results import rows_table

WARNING = (
    "This server was started in debug mode: anybody who can reach it sees the answers. "
    "Never train or measure an agent against it."
)


def build(page: Page) -> None:
    """Lay out the tab; it is filled whenever an episode starts."""
    html(note(WARNING, "bad"))
    answer = html(elem_id="mt-debug")
    with gr.Accordion("JSON", open=False, elem_classes="mt-fold"):
        raw = gr.Code(language="json", interactive=False, show_label=False, max_lines=30)

    def show(visitor: FunnelVisitor) -> list[str]:
        content = debug_content(visitor.view.episode)
        plain = {name: value for name, value in content.items() if not isinstance(value, list)}
        return [
            heading("Expected rows", "What the grader holds a report against.")
            + rows_table(content["expected_rows"], "expected rows", cell)
            + heading("Anomaly schedule", "The causes that the generator planned.")
            + rows_table(content["anomaly_schedule"], "causes", cell)
            + facts(plain),
            json.dumps(content, indent=1),
        ]

    page.views["debug"] = View([answer, raw], show)
