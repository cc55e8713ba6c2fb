"""Tab Investigate: every analysis method with a form, its result, and the log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

from metric_tracker_rl.page.cells import cell, day_button
from metric_tracker_rl.page.fields import make_field
from metric_tracker_rl.page.state import FunnelVisitor, key_of
from metric_tracker_rl.tools import CATALOGUE
from openenv_kit.page.bench import build_bench, json_view, shortened
from openenv_kit.page.layout import html
from openenv_kit.page.markup import button, heading, hint, note, table, text, words
from openenv_kit.page.page import Page, View
from openenv_kit.page.results import result_html

FIRST = "list_suspicious_dates"
METHODS = [tool for tool in CATALOGUE.tools if tool.reads_only]


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300, scale=2):
            call = build_bench(page, METHODS, label="Analysis method", first=FIRST, make=make_field)
        with gr.Column(min_width=300, scale=3):
            html(heading("Answer"))
            add_all = gr.Button("Add to report", visible=False, elem_id="mt-add-all")
            answer = html(elem_id="mt-answer")
            raw = json_view()
    page.views["result"] = View([answer, add_all, raw], _result)
    call(["status", "result", "log", "data", "forms", "score"], [answer])
    after = ["status", "result", "report"]
    page.on(add_all.click, lambda v: _add(v, range(len(v.offers))), (), after)
    # Every click counts, and one after the other, so that the last answer shows them all.
    page.on_bridge(
        page.bridge.pick_row,
        lambda v, at: _add(v, [at]),
        after,
        trigger_mode="multiple",
        concurrency_limit=1,
    )


def _add(visitor: FunnelVisitor, places: Sequence[Any]) -> None:
    """Add offered rows by their place in the list of offers."""
    wanted = [int(place) for place in places if str(place).isdigit()]
    rows = [visitor.offers[at] for at in wanted if at < len(visitor.offers)]
    added = visitor.add_rows(rows)
    known = len(rows) - added
    also = f"; {known} already there" if known else ""
    visitor.note = f"{added} row(s) added to the report{also}."


def _result(visitor: FunnelVisitor) -> Sequence[Any]:
    if visitor.result is None:
        empty = note(visitor.problem, "bad") or hint(
            "Nothing asked yet. Choose a method and run it."
        )
        return [empty, gr.update(visible=False), ""]
    result = visitor.result["result"]
    taken = {key_of(row) for row in visitor.rows}
    free = sum(key_of(row) not in taken for row in visitor.offers)
    left_out = ["generated_rows"] if visitor.offers else []
    label = f"Add all {free} row(s) to the report"
    return [
        offers_html(visitor) + result_html(result, left_out, cell),
        gr.update(visible=free > 0, value=label),
        shortened(json.dumps(result, indent=1)),
    ]


def offers_html(visitor: FunnelVisitor) -> str:
    """The rows a result points to, each with a button that puts it in the report."""
    if not visitor.offers:
        return ""
    taken = {key_of(row) for row in visitor.rows}
    lines = []
    for at, row in enumerate(visitor.offers):
        there = key_of(row) in taken
        name = f"Add {row['entity_name']} on {row['date']}"
        lines.append(
            [
                '<span class="mt-in">in report</span>'
                if there
                else button("pick_row", at, "Add", hint=name),
                day_button(row["date"]),
                text(words(row["entity_name"])),
                text(words(row["anomaly_type"])),
                text(row["observed_value"]),
                text(row["baseline_value"]),
                text(row["severity"]),
            ]
        )
    columns = ["report", "date", "entity", "anomaly", "observed", "median", "severity"]
    return table(columns, lines, f"Rows you could report ({len(lines)})", numbers=(4, 5))
