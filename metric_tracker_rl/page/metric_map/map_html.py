"""The map of an episode: metric × day, in multiples of the reporting threshold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date as Date
from html import escape
from typing import Any

from metric_tracker_rl.engine.configuration.play_rules import FULL_FEEDBACK
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.episode.flagged_series import list_flagged_series
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.page.metric_map.known_values import KnownValues
from metric_tracker_rl.page.metric_map.map_rows import (
    MapRow,
    build_map_rows,
    format_signed,
    map_row_index,
)
from metric_tracker_rl.page.metric_map.verdicts import VERDICT_TEXT, RowVerdict, judge_rows
from openenv_kit.page.components import grid
from openenv_kit.page.components.elements import format_day
from openenv_kit.page.components.grid import (
    ECHO,
    EXTRA,
    GLYPHS,
    GridCell,
    GridColumn,
    deviation_class,
    verdict_class,
)
from openenv_kit.page.playback import PlaybackStep

STEPS = (0.5, 1.0, 1.5, 2.5, 4.0)
"""Multiples of the threshold at which a cell takes the next colour."""
RAW_STEPS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Deviations at which it does so in raw play, where no threshold counts before the end."""
SUSPICION = "largest of the day"
WHOLE_DAY = "day"
"""Key of that line, which is of no metric."""
SATURDAY = 5

PlaybackSteps = Sequence[PlaybackStep]
VerdictsByCell = Mapping[tuple[int, int], Sequence[RowVerdict]]
"""By line and day."""


def known_values_of(frames: PlaybackSteps) -> KnownValues:
    """What the replies of a play have told."""
    seen = KnownValues(frames[0].observation["config"])
    for frame in frames:
        answered = frame.observation.get("analysis_result")
        seen.latest = set()
        if answered:
            seen.read_tool_result(answered)
    return seen


def may_reveal_answers(frames: PlaybackSteps) -> bool:
    """Whether a play is over and may be shown: one that tells its score alone may not."""
    feedback = frames[0].observation["config"].get("feedback", FULL_FEEDBACK)
    return bool(frames[-1].observation.get("done")) and feedback == FULL_FEEDBACK


def rebuild_episode(reset: Mapping[str, Any]) -> EpisodeView:
    """The episode of a reset, to explain it. Only for after the end."""
    session = EpisodeSession()
    session.reset(**reset)
    return session.running_view


def visible_state(
    frames: PlaybackSteps, reset: Mapping[str, Any]
) -> tuple[KnownValues, tuple[RowVerdict, ...], bool]:
    """What may be drawn: before the end what was told; after it everything, with verdicts.

    Returns:
        What is drawn, verdicts, and whether that is everything.
    """
    if not may_reveal_answers(frames):
        return known_values_of(frames), (), False
    view = rebuild_episode(reset)
    every = KnownValues.from_episode(view.episode, view.public_config)
    return every, tuple(judge_rows(submitted_rows(view, frames[-1]), view.episode)), True


def submitted_rows(view: EpisodeView, frame: PlaybackStep) -> Sequence[Any]:
    """Rows that a player's last action handed in, in full; none where nothing was graded."""
    if not frame.observation.get("reward_breakdown"):
        return ()
    submitted = frame.observation.get("submitted_rows")
    if submitted is not None:
        return list(submitted)
    asked: Mapping[str, Any] = frame.action.get("analysis_args") or {}
    found = list_flagged_series(view.episode)
    named = [found[number - 1].row.as_dict() for number in asked.get("ids") or ()]
    return [*named, *(asked.get("rows") or frame.action.get("classifications") or ())]


def map_html(
    frames: PlaybackSteps,
    reset: Mapping[str, Any],
    place: str = "",
    rows: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The map of a play, with its legend.

    Args:
        frames: replies so far.
        reset: arguments that make the episode.
        place: selected cell, `column/date`.
        rows: the report so far; marked before the end.
    """
    seen, judged, over = visible_state(frames, reset)
    lines = build_map_rows(seen.funnel)
    places = verdicts_by_cell(lines, judged)
    marked = set() if over else set(_cells_of_rows(seen, lines, rows))
    drawn = [
        grid.GridRow(
            str(line.columns[0]),
            line.label,
            [_grid_cell(seen, line, at, day, places, marked) for day in range(len(seen.dates))],
        )
        for at, line in enumerate(lines)
    ]
    suspicion = [_suspicion_row(seen)] if seen.suspicion else []
    measure = "in multiples of the threshold" if seen.thresholds else "from the median, in percent"
    name = f"Deviation by metric and day, {measure}"
    known = len({each for each in seen.values if not seen.funnel.columns.is_excess(each[1])})
    cells = len(seen.dates) * seen.funnel.columns.compared.stop
    lead = "" if over else f"{known} of {cells} cells known."
    picture = grid.grid_html(
        f"{name}. {lead}".strip(), name, _date_columns(seen), suspicion + drawn, place
    )
    return picture + _legend_html(seen, judged)


def verdicts_by_cell(lines: Sequence[MapRow], judged: Iterable[RowVerdict]) -> VerdictsByCell:
    """Verdicts by the cell in which they stand, that of a root first."""
    found: dict[tuple[int, int], list[RowVerdict]] = {}
    for each in sorted(judged, key=lambda each: each.kind in (ECHO, EXTRA)):
        found.setdefault((map_row_index(lines, each.column), each.day), []).append(each)
    return found


def _cells_of_rows(
    seen: KnownValues, lines: Sequence[MapRow], rows: Iterable[Mapping[str, Any]]
) -> Iterable[tuple[int, int]]:
    """Line and day of the rows in the report; a row may hold anything."""
    for row in rows:
        day = seen.day_index(row.get("date"))
        column = seen.funnel.columns.find_column(row.get("entity_type"), row.get("entity_name"))
        if day is not None and column is not None:
            yield map_row_index(lines, column), day


def _date_columns(seen: KnownValues) -> list[GridColumn]:
    """The line of dates; a month is named where it begins."""
    heads, month = [], 0
    for date in seen.dates:
        day = Date.fromisoformat(date)
        small = f"{day:%b}" if day.month != month else ""
        style = "weekend" if day.weekday() >= SATURDAY else ""
        month = day.month
        heads.append(GridColumn(date, format_day(date), str(day.day), small, style))
    return heads


def _suspicion_row(seen: KnownValues) -> grid.GridRow:
    """Scores of days that a tool told, which name no metric."""
    cells = []
    for day in range(len(seen.dates)):
        score = seen.suspicion.get(day)
        known = "" if score is None else f"{score:.1f} × threshold, of some metric"
        shown = "" if score is None else f"{score:.1f}"
        cells.append(GridCell(deviation_class(score or 0.0, STEPS) if known else "", shown, known))
    return grid.GridRow(WHOLE_DAY, SUSPICION, cells)


def _grid_cell(
    seen: KnownValues,
    line: MapRow,
    at: int,
    day: int,
    judged: VerdictsByCell,
    marked: set[tuple[int, int]],
) -> GridCell:
    style, shown, known = describe_cell(seen, line, day)
    now = any((day, column) in seen.latest for column in line.columns)
    if said := judged.get((at, day)):
        sentences = " ".join(f"{each.kind.capitalize()}: {each.sentence}" for each in said)
        return GridCell(style, shown, known, sentences, said[0].kind, now)
    inside = (at, day) in marked
    return GridCell(
        style, shown, known, "In the report." if inside else "", "+" if inside else "", now
    )


def describe_cell(seen: KnownValues, line: MapRow, day: int) -> tuple[str, str, str]:
    """Class, text and sentence of a cell; all empty where nothing was told."""
    value = line.value(seen, day)
    if line.is_impossible_counts(seen):
        if value is None:
            return "", "", ""
        return ("u4" if value else "a0"), f"{value:,.0f}", line.format_with_unit(value)
    column = line.columns[0]
    change, multiple = seen.deviation(day, column), seen.threshold_multiple(day, column)
    usual = line.baseline(seen, day)
    figures = "" if value is None else line.format_with_unit(value)
    if figures and usual is not None:
        figures += f" against a median of {line.format_with_unit(usual)}"
    if change is None:
        return ("k", "•", f"{figures}; its median is not known yet") if figures else ("", "", "")
    if multiple is not None:
        said = _join_sentence(f"{format_signed(multiple)} × threshold", figures)
        return deviation_class(multiple, STEPS), format_signed(multiple), said
    percent = f"{format_signed(100 * change, 0)} {'points' if column == seen.share_column else '%'}"
    return (
        deviation_class(change, RAW_STEPS),
        format_signed(100 * change, 0),
        _join_sentence(percent, figures),
    )


def _join_sentence(deviation: str, figures: str) -> str:
    return f"{deviation}; {figures}" if figures else deviation


def _legend_html(seen: KnownValues, judged: Sequence[RowVerdict]) -> str:
    raw = seen.thresholds is None
    steps = [f"{100 * step:g}" for step in RAW_STEPS] if raw else [f"{step:g}" for step in STEPS]
    signs = [("now", "", "from the last call")] if seen.latest else []
    kinds = dict.fromkeys(each.kind for each in judged)
    signs += [
        (verdict_class(each), GLYPHS[each], f"{each}: {VERDICT_TEXT[each]}") for each in kinds
    ]
    return grid.legend_html(steps, "%" if raw else "× threshold", signs)


def verdict_html(verdict: RowVerdict) -> str:
    """Return a list item that states a verdict."""
    kind, row = verdict.kind, verdict.row
    return (
        f'<li><b class="{verdict_class(kind)}">{GLYPHS[kind]} {escape(kind)}</b> '
        f"{escape(format_day(row.date))}, {escape(row.entity_name.replace('_', ' '))}. "
        f"{escape(verdict.sentence)}</li>"
    )
