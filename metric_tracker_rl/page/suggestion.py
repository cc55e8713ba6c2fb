"""The suggested next step in words: a call with its reason, or changes to the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from metric_tracker_rl.analysis_tools.lean import SUBMIT_TOOL
from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.report_row import KEY_FIELDS
from metric_tracker_rl.page.words import (
    OTHER_REASON,
    REASON_BY_TOOL,
    explain_rule_of_row,
    name_of_entity,
)
from openenv_kit.page.components.elements import format_short_date, humanize
from openenv_kit.page.environment_view import NextStepHint
from openenv_kit.page.suggest_step import ReportDifference, compare_reports
from openenv_kit.tool import ToolCall, format_tool_call_for_display

NO_SUGGESTION = NextStepHint(
    "There is no suggestion for this state. Read a day that stands out, or submit the report."
)


def hint_of_call(call: ToolCall) -> NextStepHint:
    """Return the hint that suggests a call, with its reason."""
    return NextStepHint(
        REASON_BY_TOOL.get(call.name, OTHER_REASON),
        f"Run {format_tool_call_for_display(call.name, call.arguments)}",
        "ask",
        json.dumps([call.name, call.arguments]),
    )


def hint_of_submitted_ids(call: ToolCall) -> NextStepHint:
    """Return the hint that suggests the report of the lean profile, which consists of ids."""
    ids = ", ".join(str(each) for each in call.arguments.get("ids", ())) or "none"
    return NextStepHint(
        f"Everything needed was read. Causes among the scanned series: {ids}.",
        "Submit these ids",
        "ask",
        json.dumps([SUBMIT_TOOL, call.arguments]),
    )


def hint_of_report(
    rows: Sequence[Mapping[str, Any]], suggested_rows: Sequence[Mapping[str, Any]], funnel: Funnel
) -> NextStepHint:
    """Return the hint that suggests a report, as the difference to the visitor's rows.

    Args:
        rows: rows of the visitor's report.
        suggested_rows: rows of the suggested report.
        funnel: the funnel, whose names the rules refer to.
    """
    difference = compare_reports(rows, suggested_rows, KEY_FIELDS)
    if difference.is_empty:
        count = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
        text = "Your report has exactly the rows that the reporting policy asks for."
        return NextStepHint(text, f"Submit {count}", "submit", "")
    return NextStepHint(
        "Everything needed was read. The reporting policy asks for these changes to your report:",
        "Apply to the report",
        "apply_report",
        "",
        details_html=difference_html(difference, funnel),
    )


def difference_html(difference: ReportDifference, funnel: Funnel) -> str:
    """Return the changes as a list, with the rule behind each row."""
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
        _change_html("−", "remove", row, "No rule asks for it: it is a consequence or inside.")
        for row in difference.removed
    ]
    return f'<ul class="mt-changes">{"".join(lines)}</ul>'


def _change_html(sign: str, verb: str, row: Mapping[str, Any], rule: str) -> str:
    date, name = format_short_date(str(row.get("date", ""))), name_of_entity(row)
    kind = humanize(str(row.get("anomaly_type", "")))
    return (
        f'<li><i aria-hidden="true">{sign}</i><span>{escape(verb)} <b>{escape(date)}, '
        f"{escape(name)}</b>{escape(f', {kind}' if kind else '')}<small>{escape(rule)}</small>"
        "</span></li>"
    )
