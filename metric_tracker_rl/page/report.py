"""Tab Report: collect rows, edit them, see them validated, submit, read the score."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from metric_tracker_rl.analysis_tools import row_generators
from metric_tracker_rl.analysis_tools.lookup import THRESHOLD_SEARCH_SPACE
from metric_tracker_rl.engine.funnel import ORDERING_APP
from metric_tracker_rl.engine.reporting_policy import ROW_FIELDS
from metric_tracker_rl.page.state import FunnelVisitor, key_of, rows_from_table
from metric_tracker_rl.rows import SCORE_PENALTIES, SCORE_SHARES, RewardBreakdown, SubmissionIssue
from openenv_kit.environment import Reply
from openenv_kit.page.layout import fixed, html
from openenv_kit.page.markup import bar, day_name, heading, hint, note, table, text, words
from openenv_kit.page.page import Page, View


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    html(
        heading(
            "Your report",
            "Add rows from an answer, or double-click a cell and type. "
            "A right click on a cell adds and removes rows.",
        )
    )
    rows = gr.Dataframe(
        headers=list(ROW_FIELDS),
        datatype="str",
        type="array",
        interactive=True,
        row_count=1,
        column_count=fixed(len(ROW_FIELDS)),
        # On a narrow screen the table scrolls instead of breaking words.
        column_widths=[f"{max(110, 10 * len(name) + 24)}px" for name in ROW_FIELDS],
        show_label=False,
        wrap=True,
        elem_classes="mt-edit",
        elem_id="mt-rows",
    )
    check = html(elem_id="mt-check")
    with gr.Row(elem_classes="mt-actions"):
        submit = gr.Button("Submit report", variant="primary", elem_id="mt-submit", min_width=150)
        clear = gr.Button("Empty the report", elem_id="mt-clear", min_width=150)
    score = html(elem_id="mt-score")
    with gr.Accordion("Build rows with generator methods", open=False, elem_classes="mt-fold"):
        generators, build_button = _generator_form()

    page.views["check"] = View([check], lambda visitor: [check_html(visitor)])
    page.views["report"] = View([rows, check], lambda v: [_table(v), check_html(v)])
    page.views["score"] = View([score], lambda visitor: [score_html(visitor)])
    page.on(rows.input, _edit, [rows], ["status", "check"], trigger_mode="always_last")
    page.on(clear.click, _clear, (), ["status", "report", "result"])
    page.on(
        build_button.click,
        _generate,
        generators,
        ["status", "result", "log", "report", "data", "score"],
        wait_on=[check],
    )
    shown = ["status", "log", "report", "score"]
    page.on(submit.click, FunnelVisitor.submit, (), shown, wait_on=[score])


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


def _edit(visitor: FunnelVisitor, cells: Sequence[Sequence[Any]]) -> None:
    visitor.ensure_episode()
    visitor.rows = rows_from_table(cells)


def _clear(visitor: FunnelVisitor) -> None:
    visitor.rows = []
    also = "" if visitor.session.done else " It can be submitted like that."
    visitor.note = f"The report is empty.{also}"


def _generate(
    visitor: FunnelVisitor, methods: Sequence[str], metrics: Sequence[str], multiplier: float
) -> None:
    """One step of the episode: `payload_generator`, whose rows go into the report."""
    names = row_generators.GENERATORS
    chosen = [
        {
            "method_name": name,
            "threshold_multiplier": multiplier,
            **({"metric_names": list(metrics)} if metrics and names[name].takes_metrics else {}),
        }
        for name in methods or ()
        if name in names
    ]
    visitor.call("payload_generator", {"generator_methods": chosen})
    if visitor.result:
        added = visitor.add_rows(visitor.offers)
        visitor.note = f"{len(visitor.offers)} row(s) generated, {added} new in the report."


def _table(visitor: FunnelVisitor) -> list[list[str]]:
    empty = [""] * len(ROW_FIELDS)
    return [[_cell(row.get(name, "")) for name in ROW_FIELDS] for row in visitor.rows] or [empty]


def _cell(value: object) -> str:
    return str(value) if isinstance(value, str) else f"{value!r}"


def check_html(visitor: FunnelVisitor) -> str:
    """Form of the report as typed; knows nothing of right or wrong."""
    seen = visitor.preview()
    if not visitor.rows:
        return hint("No rows yet. The right report of an episode without anomalies is empty.")
    total = len(visitor.rows)
    summary = f"{total} row(s): {seen.valid_rows} well formed, {seen.invalid_rows} not, " + (
        f"{seen.duplicate_rows} repeated."
    )
    good = not seen.invalid_rows and not seen.duplicate_rows
    return note(summary, "good" if good else "bad") + _remarks(seen.issues)


def score_html(visitor: FunnelVisitor) -> str:
    """The score with its parts, what was wrong in words, and the verdict row by row."""
    final = visitor.final
    return f'<section class="mt-outcome">{_outcome(final)}</section>' if final else ""


def _outcome(final: Reply) -> str:
    got: RewardBreakdown | None = final.content.get("reward_breakdown")
    if got is None:  # the steps ran out
        number = f'<div class="mt-score"><strong>{final.reward:.4f}</strong></div>'
        return heading("Score") + number + note(final.message, "bad")
    if not final.done:
        return heading("Practice submission") + note(final.message)
    issues: list[SubmissionIssue] = final.content.get("submission_issues", [])
    perfect = " perfect" if got.total_score >= 1.0 else ""
    counts = (
        f"{got.matched_rows} of {got.expected_rows} expected row(s) found, "
        f"{got.missing_rows} missing, {got.extra_rows} extra, {got.duplicate_rows} repeated, "
        f"{got.invalid_rows} not readable."
    )
    wrong = _remarks(issues)
    return (
        heading("Score")
        + f'<div class="mt-score{perfect}"><strong>{got.total_score:.4f}</strong>'
        + f"<p>{counts}</p></div>"
        + f'<div class="mt-bars">{_bars(got)}</div>'
        + (f"<h3>What was wrong</h3>{wrong}" if wrong else note("Nothing was wrong.", "good"))
        + rows_html(final.content.get("submitted_rows", []), issues)
    )


def _bars(got: RewardBreakdown) -> str:
    shares = [bar(words(name), got[name], f"{got[name]:.2f}") for name in SCORE_SHARES]
    penalties = [
        bar(words(name), got[name], f"−{got[name]:.2f}", "penalty")
        for name in SCORE_PENALTIES
        if got[name]
    ]
    return "".join([*shares, *penalties])


def _remarks(issues: Sequence[SubmissionIssue]) -> str:
    lines = "".join(
        f"<li><b>{escape(_where(issue.row_key))}</b> {escape(issue.message)}</li>"
        for issue in issues
    )
    return f'<ul class="mt-issues">{lines}</ul>' if lines else ""


def rows_html(rows: Sequence[dict[str, Any]], issues: Sequence[SubmissionIssue]) -> str:
    """Each submitted row with its verdict."""
    if not rows:
        return ""
    lines = []
    for row in rows:
        wrong = [i.issue_type for i in issues if i.row_key == "|".join(key_of(row))]
        verdict = ", ".join(words(name) for name in dict.fromkeys(wrong)) or "right"
        style = "good" if not wrong else "bad"
        lines.append(
            [
                f'<span class="mt-verdict {style}">{escape(verdict)}</span>',
                escape(day_name(row["date"])),
                text(words(row["entity_name"])),
                text(words(row["anomaly_type"])),
                text(row["observed_value"]),
                text(row["severity"]),
            ]
        )
    columns = ["verdict", "date", "entity", "anomaly", "observed", "severity"]
    return table(columns, lines, "Row by row", numbers=(4,))


def _where(row_key: str) -> str:
    date, _, entity = row_key.partition("|")
    return f"{day_name(date)}, {entity.rpartition('|')[2]}:" if entity else ""
