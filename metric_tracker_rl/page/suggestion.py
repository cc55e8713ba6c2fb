"""Formats the suggested next step, which is a tool call with a reason or changes to the report."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from metric_tracker_rl.analysis_tools.lean import SUBMIT_TOOL
from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.report_row import KEY_FIELDS
from metric_tracker_rl.page.labels import label_value
from metric_tracker_rl.page.words import (
    OTHER_REASON,
    REASON_BY_TOOL,
    explain_rule_of_row,
    format_entity_name,
)
from openenv_kit.page.components.elements import format_short_date, humanize
from openenv_kit.page.environment_view import NextStepHint
from openenv_kit.page.suggest_step import ReportDifference, compare_reports
from openenv_kit.tool import ToolCall, format_tool_call_for_display

NO_SUGGESTION = NextStepHint(
    "There is no suggestion for this state. Read a day that stands out, or submit the report."
)


def build_call_hint(call: ToolCall) -> NextStepHint:
    """Return a hint that suggests a tool call and gives a reason for it."""
    day = format_short_date(str(call.arguments.get("date", "")))
    return NextStepHint(
        REASON_BY_TOOL.get(call.name, OTHER_REASON).format(day=day),
        f"Run {format_tool_call_for_display(call.name, call.arguments)}",
        "ask",
        json.dumps([call.name, call.arguments]),
    )


def build_submitted_ids_hint(call: ToolCall) -> NextStepHint:
    """Return a hint that suggests which series ids to submit as the report.

    Reports consist of ids in the lean profile, which is the smaller set of tools.

    Args:
        call: suggested call of the `submit` tool.
    """
    ids = ", ".join(str(each) for each in call.arguments.get("ids", ())) or "none"
    return NextStepHint(
        f"All required data has been read. Causes among the scanned series: {ids}.",
        "Submit these ids",
        "ask",
        json.dumps([SUBMIT_TOOL, call.arguments]),
    )


def build_report_hint(
    rows: Sequence[Mapping[str, Any]],
    suggested_rows: Sequence[Mapping[str, Any]],
    funnel: Funnel,
    instruction: str = "",
) -> NextStepHint:
    """Return a hint that suggests changes to the visitor's report.

    If the report already equals the suggested one, the hint suggests submitting it.

    Args:
        rows: rows of the visitor's report.
        suggested_rows: rows of the suggested report.
        funnel: funnel of the episode.
        instruction: instruction in the reset observation, which contains the rules; may be empty.
    """
    difference = compare_reports(rows, suggested_rows, KEY_FIELDS)
    if difference.is_empty:
        count = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
        text = "Your report has exactly the rows that the rules of the episode require."
        return NextStepHint(text, f"Submit {count}", "submit", "")
    return NextStepHint(
        "All required data has been read. The rules of the episode require these changes to your "
        "report:",
        "Apply changes",
        "apply_report",
        "",
        details_html=difference_html(difference, funnel) + rules_html(instruction),
    )


def rules_html(instruction: str) -> str:
    """Return the rules of an episode as a collapsed element; empty if there is no instruction.

    Each numbered rule starts a new line.
    """
    if not instruction:
        return ""
    lines = re.split(r"\s(?=\(\d\) )", instruction)
    text = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return (
        '<details class="mt-rules" data-keep="rules"><summary>The rules of this episode</summary>'
        f"{text}</details>"
    )


def difference_html(difference: ReportDifference, funnel: Funnel) -> str:
    """Return an HTML list of the rows to add, change or remove, with the reason for each."""
    lines = [
        _change_html("+", "add", row, explain_rule_of_row(row, funnel)) for row in difference.added
    ]
    lines += [
        _change_html(
            "±",
            f"change {' and '.join(humanize(name) for name in change.fields)} of",
            change.row,
            explain_rule_of_row(change.row, funnel),
        )
        for change in difference.changed
    ]
    lines += [
        _change_html(
            "−", "remove", row, "No rule requires it: a consequence, or inside its normal range."
        )
        for row in difference.removed
    ]
    return f'<ul class="mt-changes">{"".join(lines)}</ul>'


def _change_html(sign: str, verb: str, row: Mapping[str, Any], rule: str) -> str:
    date, name = format_short_date(str(row.get("date", ""))), format_entity_name(row)
    kind = label_value(str(row.get("anomaly_type", "")))
    return (
        f'<li><i aria-hidden="true">{sign}</i><span>{escape(verb)} <b>{escape(date)}, '
        f"{escape(name)}</b>{escape(f', {kind}' if kind else '')}<small>{escape(rule)}</small>"
        "</span></li>"
    )
