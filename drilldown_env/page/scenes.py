"""The drill-down's part of the page: its tree of segments by week, its questions, its report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from drilldown_env.page.report import DrillReport
from drilldown_env.page.seen import seen_in, text_of
from drilldown_env.page.tree import (
    EVERYBODY,
    by_day,
    by_week,
    change_text,
    episode_of,
    explained,
    overview_html,
    selected,
    verdict_html,
)
from drilldown_env.report import ReportRow
from openenv_kit.environment import Environment
from openenv_kit.page.components.elements import (
    collapsed_score_components_html,
    format_short_date,
    humanize,
    message_box_html,
    table_html,
    value_html,
)
from openenv_kit.page.components.grid import CellVerdict
from openenv_kit.page.environment_view import (
    EnvironmentView,
    NextStepHint,
    PlaybackSteps,
    QuestionPanel,
    SuggestedCall,
)
from openenv_kit.page.row_outcomes import RowOutcome
from openenv_kit.page.visitor import Visitor

CLOSER, ALL = "Closer · 1 call each", "Everybody, week by week · 1 call each"
WHY = "Why · free"
TO_TREE = ("Go to the picture", "go", "#mt-picture")


def asking(text: str, call: SuggestedCall) -> NextStepHint:
    """A next move that asks for a call."""
    return NextStepHint(text, call.label, "ask", json.dumps([call.tool, call.arguments]))


class DrillScenes(EnvironmentView):
    """See `openenv_kit.page.environment_view.EnvironmentView`."""

    opening_call_count = 1
    overview_html = staticmethod(overview_html)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.headline = "Can an AI agent find which customers changed, and why?"
        self.sentences = (
            "Each episode starts with an alert: a number of a product moved. The data has "
            "several dimensions, such as platform and country, and the change is in one part of"
            " them.",
            "The player, a language model or you, slices the data by dimension and time, and "
            "reports which segment changed, in which days, and which entry of the change log is"
            " to blame.",
            "The report is scored from 0 to 1. Exactly right rows earn most; extra rows cost "
            "points.",
        )

    def next_opening_call(self, steps: PlaybackSteps) -> SuggestedCall | None:
        if len(steps) > 1:
            return None
        first = next(iter(seen_in(steps).config["attributes"]))
        return SuggestedCall(f"By {humanize(first)}", "slice", by_week([first]))

    def details_html(self, visitor: Visitor) -> str:
        seen = seen_in(visitor.playback_steps)
        guilty = set()
        if visitor.is_done:
            guilty = {row.change for row in episode_of(visitor.reset).expected_rows}
        rows = [
            [("<b>guilty</b> " if each["id"] in guilty else "") + value_html(each["id"])]
            + [value_html(each[name]) for name in ("date", "component", "owner", "change")]
            for each in seen.log
        ]
        return (
            table_html(["entry", "date", "component", "owner", "change"], rows, "Change log")
            if rows
            else ""
        )

    def result_headline(self, steps: PlaybackSteps) -> str:
        last = steps[-1].observation
        parts, score = last.get("score_parts"), float(last.get("reward") or 0.0)
        if not parts:
            return f"No report was handed in: {score:.2f}"
        if not parts["roots"]:
            return f"There was nothing to find: {score:.2f}"
        return f"{parts['exact_rows']} of {parts['roots']} exactly right: {score:.2f}"

    def score_explanation_html(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> str:
        judged = explained(steps, reset)[1]
        wrong = [each for each in judged if each[0] != CellVerdict.MATCHED]
        lines = "".join(verdict_html(kind, row) for kind, row in wrong)
        missed = f'<h3>What was missed</h3><ul class="mt-issues">{lines}</ul>'
        score = super().score_explanation_html(steps, reset)
        return (
            missed if wrong else message_box_html("Every row was right.", "good")
        ) + collapsed_score_components_html(score)

    def row_outcomes(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> list[RowOutcome]:
        read_segments = seen_in(steps).segments()
        report_step = len(steps) - 1
        outcomes = []
        for kind, row in explained(steps, reset)[1]:
            is_missing = kind == CellVerdict.MISSING
            outcome = {
                CellVerdict.MATCHED: "found",
                CellVerdict.WRONG_FIELD: "wrong field",
                CellVerdict.EXTRA: "extra",
            }.get(CellVerdict(kind))
            if outcome is None:
                is_read = row.segment in read_segments
                outcome = "read but not reported" if is_read else "never read"
            who = text_of(row.segment) or EVERYBODY
            outcomes.append(
                RowOutcome(
                    title=f"{who}: {humanize(row.kind)} of {humanize(row.stage)}, {row.direction}",
                    outcome=outcome,
                    is_good=kind == CellVerdict.MATCHED,
                    step=None if is_missing else report_step,
                    sentence=_describe_dates_and_change(row, is_right=kind != CellVerdict.EXTRA),
                )
            )
        return outcomes

    def question_panel(self, visitor: Visitor) -> QuestionPanel | None:
        if visitor.is_done:
            return None
        seen, groups = seen_in(visitor.playback_steps), {}
        dims = list(seen.config["attributes"])
        at = selected(seen, visitor.selection)
        left = visitor.last_observation.get("calls_left")
        title = "Click a cell to ask about it"
        known = "" if left is None else f"<p>{left} calls left.</p>"
        if at is not None:
            segment, week = at
            title = f"{text_of(segment) or EVERYBODY} · week of {format_short_date(week)}"
            strongest = seen.strongest(segment, week)
            known += (
                f"<p>{escape(change_text(strongest) if strongest else 'Nothing known yet.')}</p>"
            )
            where = dict(segment)
            groups[CLOSER] = [
                SuggestedCall("Day by day", "slice", by_day(seen, where, week)),
                *(
                    SuggestedCall(f"Split by {humanize(dim)}", "slice", by_week([dim], where))
                    for dim in dims
                    if dim not in where
                ),
            ]
        groups[ALL] = [
            SuggestedCall(f"By {humanize(dim)}", "slice", by_week([dim])) for dim in dims
        ]
        groups[WHY] = [SuggestedCall("Read the change log", "change_log")]
        return QuestionPanel(title, groups, known)

    def suggest_next_step(self, visitor: Visitor) -> NextStepHint:
        asked = self.question_panel(visitor)
        done = [frame.action.get("arguments") for frame in visitor.playback_steps]
        seen = seen_in(visitor.playback_steps)
        groups = asked.groups if asked else {}
        for call in groups.get(ALL, ()):
            if call.arguments not in done:
                return asking("Who changed? Look at each attribute, week by week.", call)
        at = selected(seen, visitor.selection)
        if at is None:
            cells = [(s, week) for s in seen.segments() for week in seen.weeks]
            if not cells:
                text = "No answer held any counts yet: ask about everybody."
                return NextStepHint(text, "Go to the questions", "go", "#mt-ask")
            segment, week = max(cells, key=lambda each: abs((seen.strongest(*each) or ("", 0))[1]))
            name = text_of(segment) or EVERYBODY
            label = f"Look at {name}"
            return NextStepHint(
                "One cell stands out. Look closer.", label, "pick", f"{name}/{week}"
            )
        call = groups[CLOSER][0]
        if call.arguments not in done:
            return asking("On which days did it begin and end?", call)
        if not seen.log:
            return asking("Who is to blame? Reading the change log is free.", groups[WHY][0])
        text = "Is it all of them, or a part? Split it; then add it to your report."
        for call in groups[CLOSER]:
            if call.arguments not in done:
                return asking(text, call)
        if self.report_editor(visitor).suggested_rows():
            return NextStepHint(text, "Add it to the report", "add_row", "0")
        return NextStepHint("Nothing is left to ask here: click another cell.", *TO_TREE)

    def report_editor(self, visitor: Visitor) -> DrillReport:
        return DrillReport(visitor)

    def reply_html_without_status_and_message(self, observation: Mapping[str, Any]) -> str:
        result = observation.get("result") or {}
        if "columns" not in result:
            return super().reply_html_without_status_and_message(observation)
        columns, rows = result["columns"], result["rows"][:60]
        heads = list(result.get("dates") or result.get("days") or ())
        lists = [at for at in range(len(columns)) if rows and isinstance(rows[0][at], list)]
        if not lists:
            return table_html(columns, [[value_html(value) for value in row] for row in rows])
        labels = lists[0]
        return "".join(
            table_html(
                [*columns[:labels], *heads],
                [[value_html(value) for value in (*row[:labels], *row[at])] for row in rows],
                humanize(columns[at]),
            )
            for at in lists
        )


def _describe_dates_and_change(row: ReportRow, *, is_right: bool) -> str:
    text = (
        f"{format_short_date(row.date_from)} to {format_short_date(row.date_to)}, "
        f"change {row.change}."
    )
    return f"Right: {text}" if is_right else text
