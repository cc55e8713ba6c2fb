"""What can be asked about a cell of the map, in groups, and the next move that the guide names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from metric_tracker_rl.page.metric_map.known_values import KnownValues
from metric_tracker_rl.page.metric_map.map_html import WHOLE_DAY, PlaybackSteps, describe_cell
from metric_tracker_rl.page.metric_map.map_rows import build_map_rows, map_row_index
from openenv_kit.page.components.elements import format_day
from openenv_kit.page.environment_view import NextStepHint, QuestionPanel, SuggestedCall

ALL_DAYS = {
    "list_suspicious_dates": "Which days look odd?",
    "scan": "What is flagged, day by day?",
    "get_metric_median": "What is usual? (every median)",
    "list_calendar": "Which events were planned?",
    "calendar": "Which events were planned?",
    "task_overview": "What are the rules?",
    "overview": "What are the rules?",
}
"""Questions without arguments, by tool."""
OF_A_DAY = {
    "rows_for_date": "Its counts and rates",
    "hourly_rows_for_date": "Its hours",
    "detect_funnel_break": "Did a step break?",
    "check_impossible_counts": "Counts that cannot be?",
}
PREFERRED = {("rows_for_date", True): 0, ("get_metric_median", False): 1}
"""What the guide names first about a day: tool, and whether it takes arguments."""
TO_MAP = ("Go to the map", "go", "#mt-picture")
FIRST = ("list_suspicious_dates", "scan", "get_metric_median", "overview")


def parse_selection(seen: KnownValues, place: str) -> tuple[int, str] | None:
    """Column and date of a place on the map; None where none is selected."""
    column, _, date = place.partition("/")
    column = "0" if column == WHOLE_DAY else column
    if (
        column.isdecimal()
        and int(column) <= seen.funnel.columns.excess.start
        and seen.day_index(date) is not None
    ):
        return int(column), date
    return None


def offered_method_names(frames: PlaybackSteps) -> set[str]:
    """Names of the methods of the episode."""
    methods = frames[0].observation.get("available_methods") or ()
    return {each["name"] if isinstance(each, Mapping) else str(each) for each in methods}


def build_question_panel(seen: KnownValues, frames: PlaybackSteps, place: str) -> QuestionPanel:
    """The questions about a place, as far as the episode offers their tools."""
    offered = offered_method_names(frames)
    groups: dict[str, list[SuggestedCall]] = {}
    at, title = parse_selection(seen, place), "Click a cell to ask about it"
    known = "<p>Each question is a step.</p>"
    if at is not None:
        column, date = at
        lines = build_map_rows(seen.funnel)
        line, day = lines[map_row_index(lines, column)], format_day(date)
        title = f"{day} · {line.label}"
        cell_text = describe_cell(seen, line, seen.day_index(date) or 0)[2]
        known = f"<p>{escape(cell_text or 'Nothing known yet.')}</p>"
        name = seen.funnel.metric_names[column] if column < seen.share_column else ""
        groups["This cell"] = _cell_questions(seen, column, name, date)
        groups[f"All of {day}"] = [
            SuggestedCall(label, tool, {"date": date}) for tool, label in OF_A_DAY.items()
        ]
        if name:
            groups[f"{line.label}, every day"] = [
                SuggestedCall("Its median", "get_metric_median", {"metric_name": name}),
                SuggestedCall(
                    "How much it varies", "get_metric_std_dev_from_median", {"metric_name": name}
                ),
            ]
    groups["All days"] = [SuggestedCall(label, tool) for tool, label in ALL_DAYS.items()]
    shown = {n: [c for c in calls if c.tool in offered] for n, calls in groups.items()}
    return QuestionPanel(title, shown, known)


def _cell_questions(seen: KnownValues, column: int, name: str, date: str) -> list[SuggestedCall]:
    if name in seen.funnel.count_names or name in seen.funnel.rate_names:
        tool = f"compare_{'count' if name in seen.funnel.count_names else 'rate'}_to_median"
        return [SuggestedCall("How far from its usual?", tool, {"date": date, "entity_name": name})]
    tool = "hourly_rows_for_date" if column == seen.share_column else "check_impossible_counts"
    return [SuggestedCall("How far from its usual?", tool, {"date": date})]


def _first_cell_past_threshold(seen: KnownValues, place: str) -> str | None:
    """Place of the first stage or rate that is far from its usual on the selected day, if told."""
    _, date = parse_selection(seen, place) or (0, "")
    day = seen.day_index(date)
    far = (
        column
        for column in range(seen.share_column)
        if day is not None and abs(seen.threshold_multiple(day, column) or 0.0) >= 1
    )
    first = next(far, None)
    return None if first is None else f"{first}/{date}"


def build_next_step_hint(
    seen: KnownValues, frames: PlaybackSteps, place: str, offers: Sequence[Any]
) -> NextStepHint:
    """What the guide says while the report is empty."""
    asked = build_question_panel(seen, frames, place)
    if len(frames) == 1:
        tools = offered_method_names(frames)
        first = next((name for name in FIRST if name in tools), "")
        label = ALL_DAYS.get(first, "")
        text = "Something broke in these numbers. Find which day and which metric: ask first."
        return NextStepHint(text, label, "ask", json.dumps([first, {}]))
    if offers:
        text = "Is it the cause, or an echo of an earlier step? Add the cause to your report."
        return NextStepHint(text, "Go to the rows it points to", "go", ".mt-offers")
    if parse_selection(seen, place) is None:
        if not seen.suspicion:
            return NextStepHint("Click a cell of the map, and ask about it.", *TO_MAP)
        day = max(seen.suspicion, key=lambda each: seen.suspicion[each])
        date = seen.dates[day]
        text = f"{format_day(date)} stands out. Which metric moved?"
        return NextStepHint(text, f"Look at {format_day(date)}", "pick", f"0/{date}")
    done = [
        (frame.action.get("analysis_method"), frame.action.get("analysis_args")) for frame in frames
    ]
    calls = [call for some in asked.groups.values() for call in some]
    # The day first, then what is usual: after these two the picture tells which cells are far.
    calls.sort(key=lambda call: PREFERRED.get((call.tool, bool(call.arguments)), len(PREFERRED)))
    far = _first_cell_past_threshold(seen, place)
    if far is not None and far != place:
        lines = build_map_rows(seen.funnel)
        name = lines[map_row_index(lines, int(far.partition("/")[0]))].label
        return NextStepHint(
            "The first step that moved is where to look.", f"Look at {name}", "pick", far
        )
    if far is not None:
        calls = list(asked.groups["This cell"]) + calls
    fresh = next((call for call in calls if (call.tool, dict(call.arguments)) not in done), None)
    if fresh is None:
        return NextStepHint("Nothing is left to ask here: click another cell.", *TO_MAP)
    text = f"{asked.title}: ask what moved, then look one step up the funnel."
    return NextStepHint(text, fresh.label, "ask", json.dumps([fresh.tool, fresh.arguments]))
