"""Tab Report: collect rows, edit them, see them validated, submit, read the score; tab Debug."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from metric_tracker_rl.analysis_tools import row_generators
from metric_tracker_rl.analysis_tools.arguments import MOST_ROWS
from metric_tracker_rl.analysis_tools.lookup import THRESHOLD_SEARCH_SPACE
from metric_tracker_rl.engine.funnel import ORDERING_APP
from metric_tracker_rl.engine.replies import debug_content
from metric_tracker_rl.page.confirm import confirmation, confirmed_submit
from metric_tracker_rl.page.hero.scene import of_visitor
from metric_tracker_rl.page.hero.verdicts import ECHO, MISSING, Verdict
from metric_tracker_rl.page.investigate import cell
from metric_tracker_rl.page.rows import EDIT_REPORT, filled_in, report_columns
from metric_tracker_rl.page.score import score_waterfall
from metric_tracker_rl.page.state import FunnelVisitor, key_of
from metric_tracker_rl.page.units import with_unit
from metric_tracker_rl.rows import RewardBreakdown, SubmissionIssue
from openenv_kit.environment import Reply
from openenv_kit.page import reveal
from openenv_kit.page.bench import json_html
from openenv_kit.page.layout import html
from openenv_kit.page.markup import day_name, facts, heading, hint, note, table, text, words
from openenv_kit.page.page import Page, View
from openenv_kit.page.results import rows_table
from openenv_kit.page.rows import edited, editor_html

WARNING = (
    "This server was started in debug mode: anybody who can reach it sees the answers. "
    "Never train or measure an agent against it."
)


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    how = (
        "Add rows from an answer, or choose a date, an entity and an anomaly: "
        "the values follow from the data."
    )
    html(heading("Your report", how))
    rows = html(elem_id="mt-rows")
    check = html(elem_id="mt-check")
    with gr.Row(elem_classes="mt-actions"):
        submit = gr.Button("Submit report", variant="primary", elem_id="mt-submit", min_width=150)
        clear = gr.Button("Empty the report", elem_id="mt-clear", min_width=150)
    sure = confirmation("mt-sure")
    score = html(elem_id="mt-score")
    revealing = reveal.lay_out("mt")
    with gr.Accordion("Build rows with generator methods", open=False, elem_classes="mt-fold"):
        generators, build_button = _generator_form()

    page.views["check"] = View([check], lambda visitor: [check_html(visitor)])
    page.views["report"] = View([rows, check], lambda v: [table_html(v), check_html(v)])
    page.views["score"] = View(
        [score, *revealing], lambda v: [score_html(v), *reveal.show(page.scenes, v)]
    )
    reveal.wire(page, revealing[0], "score", revealing[1])
    one_by_one = {"trigger_mode": "multiple", "concurrency_limit": 1}
    shown = ["status", "report", "result", "map"]
    page.on_bridge(page.bridge.edit_report, _edit, shown, **one_by_one)
    page.on(clear.click, _clear, (), shown)
    page.on(
        build_button.click,
        _generate,
        generators,
        ["status", "result", "log", "report", "data", "score"],
        wait_on=[check],
    )
    shown = ["status", "log", "report", "score", "data"]
    confirmed_submit(page, submit, sure, shown, score)


def _generator_form() -> tuple[list[Any], gr.Button]:
    choices = [(each.description, name) for name, each in row_generators.GENERATORS.items()]
    methods = gr.CheckboxGroup(choices, label="Generators", elem_classes="mt-generators")
    metrics = gr.Dropdown(
        list(ORDERING_APP.metrics),
        multiselect=True,
        label="Metrics (optional)",
        info="Only for generators that look at several metrics; empty for all",
    )
    space = THRESHOLD_SEARCH_SPACE["threshold_multiplier"]
    multiplier = gr.Number(
        space["default"],
        step=space["step"],
        label="Threshold multiplier",
        info="How many standard deviations from the median a value must exceed",
    )
    button = gr.Button("Generate and add rows", elem_id="mt-generate")
    return [methods, metrics, multiplier], button


def _edit(visitor: FunnelVisitor, told: Any) -> None:
    """Change one cell, add a row or delete one."""
    view = visitor.view
    visitor.rows, at = edited(visitor.rows, report_columns(view), told)
    if 0 <= at < len(visitor.rows):
        changed = filled_in(view, visitor.rows[at])
        visitor.rows = [*visitor.rows[:at], changed, *visitor.rows[at + 1 :]]


def _clear(visitor: FunnelVisitor) -> None:
    visitor.rows, visitor.unsure = [], False
    also = "" if visitor.session.done else " It can be submitted like that."
    visitor.note = f"The report is empty.{also}"


def _generate(
    visitor: FunnelVisitor, methods: Sequence[str], metrics: Sequence[str], multiplier: float
) -> None:
    """One step of the episode: `payload_generator`, whose rows go into the report."""
    chosen = []
    for name in methods or ():
        if name in row_generators.GENERATORS:
            method = {"method_name": name, "threshold_multiplier": multiplier}
            if metrics and row_generators.GENERATORS[name].takes_metrics:
                method["metric_names"] = list(metrics)
            chosen.append(method)
    visitor.call("payload_generator", {"generator_methods": chosen, "limit": MOST_ROWS})
    if visitor.result:
        added = visitor.add_rows(visitor.offers)
        visitor.note = f"{len(visitor.offers)} row(s) generated, {added} new in the report."


def table_html(visitor: FunnelVisitor) -> str:
    """The report as a table to fill in."""
    return editor_html(EDIT_REPORT, report_columns(visitor.view), visitor.rows, "Rows")


def check_html(visitor: FunnelVisitor) -> str:
    """Form of the report as typed; knows nothing of right or wrong."""
    seen = visitor.preview()
    if not visitor.rows:
        return hint("No rows yet. The right report of an episode without anomalies is empty.")
    summary = (
        f"{len(visitor.rows)} row(s): {seen.valid_rows} well formed, {seen.invalid_rows} not, "
        f"{seen.duplicate_rows} repeated."
    )
    bad = seen.invalid_rows or seen.duplicate_rows
    return note(summary, "bad" if bad else "good") + _remarks(seen.issues)


def score_html(visitor: FunnelVisitor) -> str:
    """The score with its parts, what was wrong in words, and the verdict row by row."""
    if visitor.final is None:
        return ""
    judged = of_visitor(visitor)[1]
    return f'<section class="mt-outcome">{_outcome(visitor.final, judged)}</section>'


def _outcome(final: Reply, judged: Sequence[Verdict]) -> str:
    got: RewardBreakdown | None = final.content.get("reward_breakdown")
    if got is None:  # the steps ran out
        number = f'<div class="mt-score"><strong>{final.reward:.4f}</strong></div>'
        return heading("Score") + number + note(final.message, "bad")
    if not final.done:
        return heading("Practice submission") + note(final.message)
    issues: list[SubmissionIssue] = final.content.get("submission_issues", [])
    wrong = _remarks(issues)
    return (
        heading("Score", "weighted shares × precision − penalties")
        + f'<div class="mt-score{" perfect" if got.total_score >= 1.0 else ""}">'
        + f"<strong>{got.total_score:.4f}</strong>"
        + f"<p>{got.matched_rows} of {got.expected_rows} expected row(s) found, "
        + f"{got.missing_rows} missing, {got.extra_rows} extra, {got.duplicate_rows} repeated, "
        + f"{got.invalid_rows} not readable.</p></div>"
        + score_waterfall(got)
        + (f"<h3>What was wrong</h3>{wrong}" if wrong else note("Nothing was wrong.", "good"))
        + rows_html(final.content.get("submitted_rows", []), issues, judged)
    )


def _remarks(issues: Sequence[SubmissionIssue]) -> str:
    lines = ""
    for issue in issues:
        date, _, entity = issue.row_key.partition("|")
        where = f"{day_name(date)}, {entity.rpartition('|')[2]}:" if entity else ""
        lines += f"<li><b>{escape(where)}</b> {escape(issue.message)}</li>"
    return f'<ul class="mt-issues">{lines}</ul>' if lines else ""


def rows_html(
    rows: Sequence[dict[str, Any]],
    issues: Sequence[SubmissionIssue],
    judged: Sequence[Verdict] = (),
) -> str:
    """Each submitted row with its verdict and the reason; then what is missing."""
    said = {each.row.key: each for each in judged}
    lines = []
    for row in rows:
        wrong = [i.issue_type for i in issues if i.row_key == "|".join(key_of(row))]
        why = said.get(key_of(row))
        kinds = [words(name) for name in dict.fromkeys(wrong)]
        if why and why.kind == ECHO:
            kinds = [ECHO, *(kind for kind in kinds if kind != "extra row")]
        verdict, style = (", ".join(kinds), "bad") if kinds else ("right", "good")
        lines.append(_verdict_line(verdict, style, row, why))
    for each in judged:
        if each.kind == MISSING:
            lines.append(_verdict_line(MISSING, "bad", each.row.as_dict(), each))
    if not lines:
        return ""
    columns = ["verdict", "date", "entity", "anomaly", "observed", "severity", "why"]
    return table(columns, lines, "Row by row", numbers=(4,))


def _verdict_line(
    verdict: str, style: str, row: Mapping[str, Any], why: Verdict | None
) -> list[str]:
    return [
        f'<span class="mt-verdict {style}">{escape(verdict)}</span>',
        escape(day_name(row["date"])),
        *(text(words(row[name])) for name in ("entity_name", "anomaly_type")),
        with_unit("observed_value", row["observed_value"], row),
        text(row["severity"]),
        escape(why.said) if why else "",
    ]


def build_debug(page: Page) -> None:
    """Lay out tab Debug, on servers in debug mode: the answer and the plan behind it."""
    html(note(WARNING, "bad"))
    answer = html(elem_id="mt-debug")

    def show(visitor: FunnelVisitor) -> list[str]:
        opening = visitor.opening
        if visitor.drills and opening is not None:
            told = opening.content["debug"]
            rows = rows_table(told["expected_rows"], "expected rows")
            return [heading("Expected rows") + rows + json_html(told, "JSON")]
        content = debug_content(visitor.view.episode)
        plain = {name: value for name, value in content.items() if not isinstance(value, list)}
        return [
            heading("Expected rows", "What the grader holds a report against.")
            + rows_table(content["expected_rows"], "expected rows", cell)
            + heading("Anomaly schedule", "The causes that the generator planned.")
            + rows_table(content["anomaly_schedule"], "causes", cell)
            + facts(plain)
            + json_html(content, "JSON"),
        ]

    page.views["debug"] = View([answer], show)
