"""Suggested questions about a map cell, and the suggested next step."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from metric_tracker_rl.page.metric_map.known_values import KnownValues
from metric_tracker_rl.page.metric_map.map_html import WHOLE_DAY, PlaybackSteps, build_map_cell
from metric_tracker_rl.page.metric_map.map_rows import build_map_rows, find_map_row_index_of_column
from openenv_kit.page.components.elements import format_short_date
from openenv_kit.page.environment_view import NextStepHint, QuestionPanel, SuggestedCall

ALL_DAYS_QUESTIONS = {
    "list_suspicious_dates": "Which days look odd?",
    "scan": "What is flagged, day by day?",
    "get_metric_median": "What is usual? (every median)",
    "list_calendar": "Which events were planned?",
    "calendar": "Which events were planned?",
    "task_overview": "What are the rules?",
    "overview": "What are the rules?",
}
"""Labels of questions without arguments, by tool."""
DAY_QUESTIONS = {
    "rows_for_date": "Its counts and rates",
    "hourly_rows_for_date": "Its hours",
    "detect_funnel_break": "Did a step break?",
    "check_impossible_counts": "Counts that cannot be?",
}
PREFERRED = {("rows_for_date", True): 0, ("get_metric_median", False): 1}
"""Rank of suggested calls, by tool name and whether the call has arguments."""
GO_TO_MAP = ("Go to the map", "go", "#mt-picture")
"""Label, event and target of a button that scrolls to the map."""
FIRST_QUESTIONS = ("list_suspicious_dates", "scan", "get_metric_median", "overview")


class Selection(NamedTuple):
    """Selected map cell: column of the daily series and ISO date."""

    column: int
    date: str


def parse_selected_cell(known_values: KnownValues, selection: str) -> Selection | None:
    """Parse a selection such as `3/2024-05-01`; return None if the map has no such cell."""
    column, _, date = selection.partition("/")
    column = "0" if column == WHOLE_DAY else column
    if (
        column.isdecimal()
        and int(column) <= known_values.funnel.columns.excess.start
        and known_values.find_day_index(date) is not None
    ):
        return Selection(int(column), date)
    return None


def list_offered_analysis_method_names(steps: PlaybackSteps) -> set[str]:
    """Return the names of the analysis methods that the episode offers."""
    methods = steps[0].observation.get("available_methods") or ()
    return {method["name"] if isinstance(method, Mapping) else str(method) for method in methods}


def build_question_panel(
    known_values: KnownValues, steps: PlaybackSteps, selection: str
) -> QuestionPanel:
    """Return the panel of questions about the selected cell that the episode's tools can answer."""
    offered = list_offered_analysis_method_names(steps)
    groups: dict[str, list[SuggestedCall]] = {}
    at, title = parse_selected_cell(known_values, selection), "Click a cell to ask about it"
    known = "<p>Each question is a step.</p>"
    if at is not None:
        column, date = at
        lines = build_map_rows(known_values.funnel)
        line, day = lines[find_map_row_index_of_column(lines, column)], format_short_date(date)
        title = f"{day} · {line.label}"
        cell_text = build_map_cell(
            known_values, line, known_values.find_day_index(date) or 0
        ).description
        known = f"<p>{escape(cell_text or 'Nothing known yet.')}</p>"
        name = (
            known_values.funnel.count_and_rate_names[column]
            if column < known_values.daytime_share_column
            else ""
        )
        groups["This cell"] = _list_questions_about_cell(known_values, column, name, date)
        groups[f"All of {day}"] = [
            SuggestedCall(label, tool, {"date": date}) for tool, label in DAY_QUESTIONS.items()
        ]
        if name:
            groups[f"{line.label}, every day"] = [
                SuggestedCall("Its median", "get_metric_median", {"metric_name": name}),
                SuggestedCall(
                    "How much it varies", "get_metric_std_dev_from_median", {"metric_name": name}
                ),
            ]
    groups["All days"] = [SuggestedCall(label, tool) for tool, label in ALL_DAYS_QUESTIONS.items()]
    offered_groups = {
        name: [call for call in calls if call.tool in offered] for name, calls in groups.items()
    }
    return QuestionPanel(title, offered_groups, known)


def _list_questions_about_cell(
    known_values: KnownValues, column: int, metric_name: str, date: str
) -> list[SuggestedCall]:
    funnel = known_values.funnel
    if metric_name in funnel.event_count_names or metric_name in funnel.conversion_rate_names:
        tool = f"compare_{'count' if metric_name in funnel.event_count_names else 'rate'}_to_median"
        return [
            SuggestedCall(
                "How far from its usual?", tool, {"date": date, "entity_name": metric_name}
            )
        ]
    tool = (
        "hourly_rows_for_date"
        if column == known_values.daytime_share_column
        else "check_impossible_counts"
    )
    return [SuggestedCall("How far from its usual?", tool, {"date": date})]


def _find_first_flagged_cell_of_selected_day(
    known_values: KnownValues, selection: str
) -> str | None:
    """Return `column/date` of the first metric known to be flagged on the selected day, or None."""
    _, date = parse_selected_cell(known_values, selection) or (0, "")
    day = known_values.find_day_index(date)
    far = (
        column
        for column in range(known_values.daytime_share_column)
        if day is not None and abs(known_values.compute_threshold_multiple(day, column) or 0.0) >= 1
    )
    first = next(far, None)
    return None if first is None else f"{first}/{date}"


def build_next_step_hint(
    known_values: KnownValues, steps: PlaybackSteps, selection: str, suggested_rows: Sequence[Any]
) -> NextStepHint:
    """Return the next step to suggest to a player whose report is still empty."""
    panel = build_question_panel(known_values, steps, selection)
    if len(steps) == 1:
        tools = list_offered_analysis_method_names(steps)
        first = next((name for name in FIRST_QUESTIONS if name in tools), "")
        label = ALL_DAYS_QUESTIONS.get(first, "")
        text = "Something broke in these numbers. Find which day and which metric: ask first."
        return NextStepHint(text, label, "ask", json.dumps([first, {}]))
    if suggested_rows:
        text = "Is it the cause, or a consequence of an earlier step? Add the cause to your report."
        return NextStepHint(text, "Go to the rows it points to", "go", ".mt-offers")
    if parse_selected_cell(known_values, selection) is None:
        if not known_values.suspicion:
            return NextStepHint("Click a cell of the map, and ask about it.", *GO_TO_MAP)
        day = max(known_values.suspicion, key=lambda day: known_values.suspicion[day])
        date = known_values.dates[day]
        text = f"{format_short_date(date)} stands out. Which metric moved?"
        return NextStepHint(text, f"Look at {format_short_date(date)}", "pick", f"0/{date}")
    done = [
        (step.action.get("analysis_method"), step.action.get("analysis_args")) for step in steps
    ]
    calls = [call for some in panel.groups.values() for call in some]
    # Once the day's values and the medians are known, the map shows which cells are flagged.
    calls.sort(key=lambda call: PREFERRED.get((call.tool, bool(call.arguments)), len(PREFERRED)))
    far = _find_first_flagged_cell_of_selected_day(known_values, selection)
    if far is not None and far != selection:
        lines = build_map_rows(known_values.funnel)
        name = lines[find_map_row_index_of_column(lines, int(far.partition("/")[0]))].label
        return NextStepHint(
            "The first step that moved is where to look.", f"Look at {name}", "pick", far
        )
    if far is not None:
        calls = list(panel.groups["This cell"]) + calls
    fresh = next((call for call in calls if (call.tool, dict(call.arguments)) not in done), None)
    if fresh is None:
        return NextStepHint("Nothing is left to ask here: click another cell.", *GO_TO_MAP)
    text = f"{panel.title}: ask what moved, then look one step up the funnel."
    return NextStepHint(text, fresh.label, "ask", json.dumps([fresh.tool, fresh.arguments]))
