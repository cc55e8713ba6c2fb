"""Tab Data of a drill-down episode: the change log on a time line, with the report's rows in it.

Counts are not here: they are read, and paid for, on the Investigate tab.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from metric_tracker_rl.page.drill import charts
from metric_tracker_rl.page.drill.answers import log_html
from metric_tracker_rl.page.drill.investigate import AFTER
from metric_tracker_rl.page.drill.state import MetricVisitor
from openenv_kit.page.layout import chart, html
from openenv_kit.page.markup import heading, hint, note
from openenv_kit.page.page import Page, View


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    below = (
        "By component and day. Most entries have nothing to do with a root. "
        "Counts are read on the Investigate tab."
    )
    html(heading("Change log", below))
    with gr.Row(elem_classes="mt-actions"):
        read = gr.Button("Read the change log: one call", elem_id="dd-log")
    unread = html(elem_id="dd-unread")
    time = chart("time", visible=False)
    entries = html(elem_id="dd-entries")
    page.views["drill_log"] = View([read, unread, time, entries], _log)
    page.on(read.click, lambda v: v.call("change_log", {}), (), AFTER, wait_on=[unread])


def _log(visitor: MetricVisitor) -> list[Any]:
    story = visitor.story
    if not story.entries:
        told = note(visitor.problem, "bad") or hint("Not read yet. It takes nothing of the budget.")
        return [gr.update(visible=True), told, gr.update(visible=False), ""]
    line = gr.update(value=charts.timeline(story, visitor.rows), visible=True)
    return [gr.update(visible=False), "", line, log_html(story.entries)]
