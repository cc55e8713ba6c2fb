"""What can be asked about a cell of the map, in groups, and the next move that the guide names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from metric_tracker_rl.page.metric_map.known_values import Seen
from metric_tracker_rl.page.metric_map.map_html import WHOLE_DAY, Frames, cell
from metric_tracker_rl.page.metric_map.map_rows import line_at, lines_of
from openenv_kit.page.components.elements import day_name
from openenv_kit.page.environment_view import Ask, Call, Move

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


def selected(seen: Seen, place: str) -> tuple[int, str] | None:
    """Column and date of a place on the map; None where none is selected."""
    column, _, date = place.partition("/")
    column = "0" if column == WHOLE_DAY else column
    if column.isdecimal() and int(column) <= seen.share + 1 and seen.day(date) is not None:
        return int(column), date
    return None


def offered_in(frames: Frames) -> set[str]:
    """Names of the methods of the episode."""
    methods = frames[0].observation.get("available_methods") or ()
    return {each["name"] if isinstance(each, Mapping) else str(each) for each in methods}


def ask(seen: Seen, frames: Frames, place: str) -> Ask:
    """The questions about a place, as far as the episode offers their tools."""
    offered = offered_in(frames)
    groups: dict[str, list[Call]] = {}
    at, title = selected(seen, place), "Click a cell to ask about it"
    known = "<p>Each question is a step.</p>"
    if at is not None:
        column, date = at
        lines = lines_of(seen.funnel)
        line, day = lines[line_at(lines, column)], day_name(date)
        title = f"{day} · {line.label}"
        known = f"<p>{escape(cell(seen, line, seen.day(date) or 0)[2] or 'Nothing known yet.')}</p>"
        name = seen.funnel.metrics[column] if column < seen.share else ""
        groups["This cell"] = _of_cell(seen, column, name, date)
        groups[f"All of {day}"] = [
            Call(label, tool, {"date": date}) for tool, label in OF_A_DAY.items()
        ]
        if name:
            groups[f"{line.label}, every day"] = [
                Call("Its median", "get_metric_median", {"metric_name": name}),
                Call("How much it varies", "get_metric_std_dev_from_median", {"metric_name": name}),
            ]
    groups["All days"] = [Call(label, tool) for tool, label in ALL_DAYS.items()]
    shown = {n: [c for c in calls if c.tool in offered] for n, calls in groups.items()}
    return Ask(title, shown, known)


def _of_cell(seen: Seen, column: int, name: str, date: str) -> list[Call]:
    if name in seen.funnel.counts or name in seen.funnel.rates:
        tool = f"compare_{'count' if name in seen.funnel.counts else 'rate'}_to_median"
        return [Call("How far from its usual?", tool, {"date": date, "entity_name": name})]
    tool = "hourly_rows_for_date" if column == seen.share else "check_impossible_counts"
    return [Call("How far from its usual?", tool, {"date": date})]


def _first_far(seen: Seen, place: str) -> str | None:
    """Place of the first stage or rate that is far from its usual on the selected day, if told."""
    _, date = selected(seen, place) or (0, "")
    day = seen.day(date)
    far = (
        column
        for column in range(seen.share)
        if day is not None and abs(seen.multiple(day, column) or 0.0) >= 1
    )
    first = next(far, None)
    return None if first is None else f"{first}/{date}"


def next_move(seen: Seen, frames: Frames, place: str, offers: Sequence[Any]) -> Move:
    """What the guide says while the report is empty."""
    asked = ask(seen, frames, place)
    if len(frames) == 1:
        tools = offered_in(frames)
        first = next((name for name in FIRST if name in tools), "")
        label = ALL_DAYS.get(first, "")
        text = "Something broke in these numbers. Find which day and which metric: ask first."
        return Move(text, label, "ask", json.dumps([first, {}]))
    if offers:
        text = "Is it the cause, or an echo of an earlier step? Add the cause to your report."
        return Move(text, "Go to the rows it points to", "go", ".mt-offers")
    if selected(seen, place) is None:
        if not seen.suspicion:
            return Move("Click a cell of the map, and ask about it.", *TO_MAP)
        day = max(seen.suspicion, key=lambda each: seen.suspicion[each])
        date = seen.dates[day]
        text = f"{day_name(date)} stands out. Which metric moved?"
        return Move(text, f"Look at {day_name(date)}", "pick", f"0/{date}")
    done = [
        (frame.action.get("analysis_method"), frame.action.get("analysis_args")) for frame in frames
    ]
    calls = [call for some in asked.groups.values() for call in some]
    # The day first, then what is usual: after these two the picture tells which cells are far.
    calls.sort(key=lambda call: PREFERRED.get((call.tool, bool(call.arguments)), len(PREFERRED)))
    far = _first_far(seen, place)
    if far is not None and far != place:
        lines = lines_of(seen.funnel)
        name = lines[line_at(lines, int(far.partition("/")[0]))].label
        return Move("The first step that moved is where to look.", f"Look at {name}", "pick", far)
    if far is not None:
        calls = list(asked.groups["This cell"]) + calls
    fresh = next((call for call in calls if (call.tool, dict(call.arguments)) not in done), None)
    if fresh is None:
        return Move("Nothing is left to ask here: click another cell.", *TO_MAP)
    text = f"{asked.title}: ask what moved, then look one step up the funnel."
    return Move(text, fresh.label, "ask", json.dumps([fresh.tool, fresh.arguments]))
