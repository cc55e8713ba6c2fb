"""Shows the result of a finished episode: headline, outcome of each row, and score components.

Nobody knows the causes in a user's own table. The result of such an episode is therefore the
agreement with the report of the reporting policy, as `metric-tracker investigate` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.grading.grader import SCORE_WEIGHTS
from metric_tracker_rl.page import words
from metric_tracker_rl.page.score import score_waterfall_html
from metric_tracker_rl.page.verdicts import RowVerdict
from metric_tracker_rl.page.visible_state import (
    PlaybackSteps,
    collect_values_and_verdicts_to_show,
    find_table_investigation,
    list_submitted_rows_of_graded_report,
    may_reveal_answers,
)
from metric_tracker_rl.wire_models import RewardBreakdown
from openenv_kit.own_data.agreement_lines import iter_agreement_lines
from openenv_kit.own_data.support import Agreement
from openenv_kit.page.components.elements import (
    collapsed_score_components_html,
    format_short_date,
    message_box_html,
)
from openenv_kit.page.components.grid import CellVerdict, verdict_class
from openenv_kit.tool import format_tool_call_for_display

PLAYER_NAME = "You"


def format_result_headline(steps: PlaybackSteps) -> str:
    """Return the result of a finished episode in one line."""
    last = steps[-1].observation
    breakdown = last.get("reward_breakdown")
    score = f"{float(last.get('reward') or 0.0):.2f}"
    if not breakdown:
        outcome = "No report was submitted" if may_reveal_answers(steps) else "The score"
        return f"{outcome}: {score}"
    expected = breakdown["expected_rows"]
    if not expected:
        return f"There was nothing to find: {score}"
    parts = [f"{breakdown['matched_rows']} of {expected} causes found"]
    if breakdown["extra_rows"]:
        parts.append(f"{breakdown['extra_rows']} too many")
    if any(breakdown[name] < breakdown["recall"] for name in SCORE_WEIGHTS):
        parts.append("some fields wrong")
    return f"{', '.join(parts)}: {score}"


def format_own_table_headline(steps: PlaybackSteps, reset: Mapping[str, Any]) -> str:
    """Return the agreement of a report about a user's table with the policy's, in one line."""
    agreement = _find_agreement(steps, reset)
    if agreement is None or agreement.score is None:
        return format_result_headline(steps)
    policy_rows = len(agreement.both) + len(agreement.only_policy)
    if not policy_rows:
        return "The reporting policy reports nothing in these weeks"
    return f"{len(agreement.both)} of {policy_rows} rows as the reporting policy"


def score_explanation_html(steps: PlaybackSteps, reset: Mapping[str, Any]) -> str:
    """Return HTML with the outcome of each row and the score components of a finished episode."""
    last = steps[-1].observation
    message = message_box_html(str(last.get("message") or ""))
    if not may_reveal_answers(steps):
        return message
    breakdown = last.get("reward_breakdown")
    score = message
    if breakdown:
        score = score_waterfall_html(RewardBreakdown.model_validate(breakdown))
    agreement = _find_agreement(steps, reset)
    if agreement is not None:
        return _agreement_html(agreement) + collapsed_score_components_html(score)
    verdicts = collect_values_and_verdicts_to_show(steps, reset).verdicts
    items = "".join(_verdict_item_html(verdict) for verdict in verdicts)
    summary = f'<ul class="mt-verdicts">{items}</ul>' if items else ""
    return summary + collapsed_score_components_html(score)


def _find_agreement(steps: PlaybackSteps, reset: Mapping[str, Any]) -> Agreement | None:
    """Return the agreement with the policy's report; None if the episode is not of a table."""
    investigation = find_table_investigation(reset)
    if investigation is None:
        return None
    if not steps[-1].observation.get("reward_breakdown"):
        return investigation.compare_submitted_rows(None)
    rows = list_submitted_rows_of_graded_report(investigation.view, steps[-1])
    return investigation.compare_submitted_rows(rows)


def _agreement_html(agreement: Agreement) -> str:
    lines = "".join(
        f"<div><dt>{escape(line.title)}</dt><dd>{escape(line.text)}</dd></div>"
        for line in iter_agreement_lines(agreement, PLAYER_NAME)
    )
    return f'<dl class="mt-own-facts">{lines}</dl>'


def _verdict_item_html(verdict: RowVerdict) -> str:
    """Return the HTML of a list item for a verdict.

    If the row was expected but not submitted, the item contains the tool call that shows it.
    """
    kind, row = verdict.kind, verdict.row
    call = f" {_call_that_shows_row_html(row)}" if kind == CellVerdict.MISSING else ""
    return (
        f'<li class="{verdict_class(kind)}"><b>{verdict.sign} {escape(verdict.outcome)}</b>'
        f"<span>{escape(format_short_date(row.date))}, "
        f"{escape(words.format_entity_name(row.as_dict()))}. "
        f"{escape(verdict.sentence)}{call} {escape(verdict.consequences_text)}</span>"
        "</li>"
    )


def _call_that_shows_row_html(row: ReportRow) -> str:
    """Return an HTML sentence that names the tool call whose result shows an expected row."""
    arguments: dict[str, Any] = {"date": row.date}
    if row.detection_method.startswith("compare"):
        arguments["entity_name"] = row.entity_name
    call = format_tool_call_for_display(row.detection_method, arguments)
    return f"<code>{escape(call)}</code> shows it."
