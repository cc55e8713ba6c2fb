"""The picture of a drill-down: segments by week, with the truth after the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from drilldown_env.episode import Episode
from drilldown_env.page.seen import Seen, Segment, days_of, empty, seen_in, segment_of, text_of
from drilldown_env.queries import SliceArguments, run_slice
from drilldown_env.report import ReportRow
from drilldown_env.session import DrillSession
from openenv_kit.page.components import grid
from openenv_kit.page.components.elements import format_short_date, humanize
from openenv_kit.page.components.grid import (
    GLYPHS,
    CellVerdict,
    GridCell,
    GridColumn,
    deviation_css_class,
    verdict_class,
)
from openenv_kit.page.components.row_editor import EditorRow
from openenv_kit.page.environment_view import PlaybackSteps

STEPS = (30, 60, 120, 240, 480)
"""Per mille of the usual at which a cell takes the next colour."""
MOST_DEEP = 8
"""Segments of two or three values that are drawn, the largest changes first."""
EVERYBODY = "everybody"


def overview_html(
    steps: PlaybackSteps,
    reset: Mapping[str, Any],
    selection: str = "",
    rows: Sequence[EditorRow] = (),
) -> str:
    """The picture of a play; see `EnvironmentView.overview_html`."""
    over = bool(steps[-1].observation.get("done"))
    seen, judged = (explained(steps, reset)) if over else (seen_in(steps), [])
    marked = [(kind, row.segment, row.date_from, row.date_to) for kind, row in judged]
    if not over:
        drafts = ((segment_of(str(row.get("segment", ""))), row) for row in rows)
        marked = [
            ("+", segment, str(row.get("date_from", "")), str(row.get("date_to", "")))
            for segment, row in drafts
            if segment is not None
        ]
    lines = [_line(seen, segment, marked) for segment in _drawn(seen, [m[1] for m in marked])]
    heads = _heads(seen)
    known = sum(bool(cell.known) for line in lines for cell in line.cells)
    lead = "Largest change of each segment in each week, in percent of the usual."
    lead += "" if over else f" {known} of {len(lines) * len(heads)} cells known."
    signs = [
        grid.LegendSign(verdict_class(kind), GLYPHS[kind], kind)
        for kind in dict.fromkeys(k for k, _ in judged)
    ]
    legend = grid.grid_legend_html([f"{step / 10:g}" for step in STEPS], "%", signs)
    drawn = grid.grid_html(lead, "Change by segment and week", heads, lines, selection)
    return drawn + legend


def episode_of(reset: Mapping[str, Any]) -> Episode:
    """The episode of a reset, to explain it. Only for after the end."""
    session = DrillSession()
    session.reset(**reset)
    assert session.episode is not None
    return session.episode


def explained(
    frames: PlaybackSteps, reset: Mapping[str, Any]
) -> tuple[Seen, list[tuple[str, ReportRow]]]:
    """Every week of every value, and a verdict on each row. Only for after the end."""
    episode, seen = episode_of(reset), empty(frames[0].observation["config"])
    right = list(episode.expected_rows)
    for groups in ([], *([dim] for dim in seen.config["attributes"])):
        asked = by_week(groups)
        seen.learn(asked, run_slice(episode, SliceArguments(**asked)))
    for row in right:
        asked = by_week([], dict(row.segment))
        seen.learn(asked, run_slice(episode, SliceArguments(**asked)))
    rows = (frames[-1].action.get("arguments") or {}).get("rows") or []
    handed = [_row(each) for each in rows if isinstance(each, Mapping)]
    judged: list[tuple[str, ReportRow]] = []
    for row in right:
        if row in handed:
            judged.append((CellVerdict.MATCHED, row))
        else:
            near = any((e.segment, e.stage) == (row.segment, row.stage) for e in handed)
            judged.append((CellVerdict.WRONG_FIELD if near else CellVerdict.MISSING, row))
    places = {(row.segment, row.stage) for row in right}
    judged += [(CellVerdict.EXTRA, row) for row in handed if (row.segment, row.stage) not in places]
    return seen, judged


def _row(values: Mapping[str, Any]) -> ReportRow:
    segment = values.get("segment")
    pairs = segment.items() if isinstance(segment, Mapping) else ()
    names = ("kind", "stage", "direction", "date_from", "date_to", "change")
    found = {name: str(values.get(name, "")) for name in names}
    return ReportRow(segment=tuple(sorted((str(n), str(v)) for n, v in pairs)), **found)


def verdict_html(kind: str, row: ReportRow) -> str:
    """A verdict in a line, with the call that shows the row."""
    who = text_of(row.segment) or EVERYBODY
    said = (
        f"{who}: {humanize(row.kind)} of {humanize(row.stage)}, {row.direction}, "
        f"{format_short_date(row.date_from)} to {format_short_date(row.date_to)}, "
        f"blamed on {row.change}."
    )
    where = json.dumps(dict(row.segment))
    shows = (
        ""
        if kind == CellVerdict.EXTRA
        else f" <code>slice(where={escape(where)}, measure='change')</code> shows it."
    )
    head = f'<b class="{verdict_class(kind)}">{GLYPHS[kind]} {escape(kind)}</b>'
    return f"<li>{head} {escape(said)}{shows}</li>"


def selected(seen: Seen, place: str) -> tuple[Segment, str] | None:
    """Segment and week of a place on the picture; None where none is selected."""
    name, _, week = place.rpartition("/")
    segment = () if name == EVERYBODY else segment_of(name)
    return (segment, week) if name and segment is not None and week in seen.weeks else None


def _drawn(seen: Seen, marked: Sequence[Segment]) -> list[Segment]:
    """Everybody, each value of each attribute, then what is known below that."""
    attributes = seen.config["attributes"].items()
    usual: list[Segment] = [(), *(((name, v),) for name, values in attributes for v in values)]
    deep = sorted((s for s in seen.segments() if len(s) > 1), key=seen.size, reverse=True)
    return list(dict.fromkeys([*usual, *marked, *deep[:MOST_DEEP]]))


def _heads(seen: Seen) -> list[GridColumn]:
    """The weeks by their first day; a month is named where it begins."""
    heads, month = [], ""
    for week in seen.weeks:
        day, now = format_short_date(week).split()[1:]
        heads.append(
            GridColumn(week, f"week of {format_short_date(week)}", day, now if now != month else "")
        )
        month = now
    return heads


def _line(
    seen: Seen, segment: Segment, marked: Sequence[tuple[str, Segment, str, str]]
) -> grid.GridRow:
    cells = []
    for week in seen.weeks:
        found = seen.strongest(segment, week)
        mark = next(
            (
                kind
                for kind, s, a, b in marked
                if s == segment and a <= days_of(week)[-1] and b >= week
            ),
            "",
        )
        say = "" if not mark else "In the report." if mark == "+" else mark.capitalize()
        shown = _percent(found[1], 0) if found else ""
        style = deviation_css_class(found[1], STEPS) if found else ""
        cells.append(GridCell(style, shown, change_text(found) if found else "", say, mark))
    label = " + ".join(f"{humanize(name)} {value}" for name, value in segment) or EVERYBODY
    return grid.GridRow(text_of(segment) or EVERYBODY, label, cells, min(len(segment), 2))


def change_text(found: tuple[str, float]) -> str:
    """A stage and its change in per mille, in words."""
    return f"{humanize(found[0])} {_percent(found[1], 1)} % against the usual"


def _percent(per_mille: float, digits: int) -> str:
    """With its sign; what is rounded to 0 has none."""
    shown = f"{abs(per_mille) / 10:.{digits}f}"
    sign = "" if not shown.strip("0.") else "−" if per_mille < 0 else "+"
    return f"{sign}{shown}"


def by_week(groups: list[str], where: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Arguments of a `slice` by week."""
    asked: dict[str, Any] = {"group_by": groups, "every": "week", "measure": "change"}
    return {**asked, "where": dict(where)} if where else asked


def by_day(seen: Seen, where: Mapping[str, str], week: str) -> dict[str, Any]:
    """Arguments of a `slice` by day, a week to either side."""
    at = seen.weeks.index(week)
    first, last = (
        seen.weeks[max(at - 1, 0)],
        days_of(seen.weeks[min(at + 1, len(seen.weeks) - 1)])[-1],
    )
    last = min(last, seen.config["last_date"])
    return {"where": dict(where), "every": "day", "measure": "change", "dates": [[first, last]]}
