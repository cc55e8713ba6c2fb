"""The map of an episode: metric × day, in multiples of the reporting threshold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date as Date
from html import escape
from typing import Any

from metric_tracker_rl.engine.configuration.play_rules import FULL_FEEDBACK, EpisodeView
from metric_tracker_rl.engine.episode.flagged_series import candidates
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.page.metric_map.known_values import Seen
from metric_tracker_rl.page.metric_map.map_rows import Line, line_at, lines_of, signed
from metric_tracker_rl.page.metric_map.verdicts import MEANING, Verdict, verdicts
from openenv_kit.page.components import grid
from openenv_kit.page.components.elements import day_name
from openenv_kit.page.components.grid import ECHO, EXTRA, GLYPHS, Cell, Head, level, style_of
from openenv_kit.page.playback import Frame

STEPS = (0.5, 1.0, 1.5, 2.5, 4.0)
"""Multiples of the threshold at which a cell takes the next colour."""
RAW_STEPS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Deviations at which it does so in raw play, where no threshold counts before the end."""
SUSPICION = "largest of the day"
WHOLE_DAY = "day"
"""Key of that line, which is of no metric."""
SATURDAY = 5

Frames = Sequence[Frame]
Verdicts = Mapping[tuple[int, int], Sequence[Verdict]]
"""By line and day."""


def seen_in(frames: Frames) -> Seen:
    """What the replies of a play have told."""
    seen = Seen(frames[0].observation["config"])
    for frame in frames:
        answered = frame.observation.get("analysis_result")
        seen.latest = set()
        if answered:
            seen.read(answered)
    return seen


def explained(frames: Frames) -> bool:
    """Whether a play is over and may be shown: one that tells its score alone may not."""
    feedback = frames[0].observation["config"].get("feedback", FULL_FEEDBACK)
    return bool(frames[-1].observation.get("done")) and feedback == FULL_FEEDBACK


def made_again(reset: Mapping[str, Any]) -> EpisodeView:
    """The episode of a reset, to explain it. Only for after the end."""
    session = EpisodeSession()
    session.reset(**reset)
    return session.playing


def shown_of(frames: Frames, reset: Mapping[str, Any]) -> tuple[Seen, tuple[Verdict, ...], bool]:
    """What may be drawn: before the end what was told; after it everything, with verdicts.

    Returns:
        What is drawn, verdicts, and whether that is everything.
    """
    if not explained(frames):
        return seen_in(frames), (), False
    view = made_again(reset)
    every = Seen.everything(view.episode, view.config)
    return every, tuple(verdicts(submitted_rows(view, frames[-1]), view.episode)), True


def submitted_rows(view: EpisodeView, frame: Frame) -> Sequence[Any]:
    """Rows that a player's last action handed in, in full; none where nothing was graded."""
    if not frame.observation.get("reward_breakdown"):
        return ()
    submitted = frame.observation.get("submitted_rows")
    if submitted is not None:
        return list(submitted)
    asked: Mapping[str, Any] = frame.action.get("analysis_args") or {}
    found = candidates(view.episode)
    named = [found[number - 1].row.as_dict() for number in asked.get("ids") or ()]
    return [*named, *(asked.get("rows") or frame.action.get("classifications") or ())]


def map_html(
    frames: Frames,
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
    seen, judged, over = shown_of(frames, reset)
    lines = lines_of(seen.funnel)
    places = by_place(lines, judged)
    marked = set() if over else set(_places(seen, lines, rows))
    drawn = [
        grid.Line(
            str(line.columns[0]),
            line.label,
            [_cell(seen, line, at, day, places, marked) for day in range(len(seen.dates))],
        )
        for at, line in enumerate(lines)
    ]
    suspicion = [_suspicion(seen)] if seen.suspicion else []
    measure = "in multiples of the threshold" if seen.thresholds else "from the median, in percent"
    name = f"Deviation by metric and day, {measure}"
    known = len({each for each in seen.values if each[1] <= seen.share})
    lead = "" if over else f"{known} of {len(seen.dates) * (seen.share + 1)} cells known."
    picture = grid.grid_html(
        f"{name}. {lead}".strip(), name, _heads(seen), suspicion + drawn, place
    )
    return picture + _legend(seen, judged)


def by_place(lines: Sequence[Line], judged: Iterable[Verdict]) -> Verdicts:
    """Verdicts by the cell in which they stand, that of a root first."""
    found: dict[tuple[int, int], list[Verdict]] = {}
    for each in sorted(judged, key=lambda each: each.kind in (ECHO, EXTRA)):
        found.setdefault((line_at(lines, each.column), each.day), []).append(each)
    return found


def _places(
    seen: Seen, lines: Sequence[Line], rows: Iterable[Mapping[str, Any]]
) -> Iterable[tuple[int, int]]:
    """Line and day of the rows in the report; a row may hold anything."""
    for row in rows:
        day = seen.day(row.get("date"))
        column = seen.funnel.columns.get((str(row.get("entity_type")), str(row.get("entity_name"))))
        if day is not None and column is not None:
            yield line_at(lines, column), day


def _heads(seen: Seen) -> list[Head]:
    """The line of dates; a month is named where it begins."""
    heads, month = [], 0
    for date in seen.dates:
        day = Date.fromisoformat(date)
        small = f"{day:%b}" if day.month != month else ""
        style = "weekend" if day.weekday() >= SATURDAY else ""
        month = day.month
        heads.append(Head(date, day_name(date), str(day.day), small, style))
    return heads


def _suspicion(seen: Seen) -> grid.Line:
    """Scores of days that a tool told, which name no metric."""
    cells = []
    for day in range(len(seen.dates)):
        score = seen.suspicion.get(day)
        known = "" if score is None else f"{score:.1f} × threshold, of some metric"
        shown = "" if score is None else f"{score:.1f}"
        cells.append(Cell(level(score or 0.0, STEPS) if known else "", shown, known))
    return grid.Line(WHOLE_DAY, SUSPICION, cells)


def _cell(
    seen: Seen, line: Line, at: int, day: int, judged: Verdicts, marked: set[tuple[int, int]]
) -> Cell:
    style, shown, known = cell(seen, line, day)
    now = any((day, column) in seen.latest for column in line.columns)
    if said := judged.get((at, day)):
        sentences = " ".join(f"{each.kind.capitalize()}: {each.said}" for each in said)
        return Cell(style, shown, known, sentences, said[0].kind, now)
    inside = (at, day) in marked
    return Cell(style, shown, known, "In the report." if inside else "", "+" if inside else "", now)


def cell(seen: Seen, line: Line, day: int) -> tuple[str, str, str]:
    """Class, text and sentence of a cell; all empty where nothing was told."""
    value = line.value(seen, day)
    if line.counts_events(seen):
        if value is None:
            return "", "", ""
        return ("u4" if value else "a0"), f"{value:,.0f}", line.shown(value)
    column = line.columns[0]
    change, multiple = seen.change(day, column), seen.multiple(day, column)
    usual = line.usual(seen, day)
    figures = "" if value is None else line.shown(value)
    if figures and usual is not None:
        figures += f" against a median of {line.shown(usual)}"
    if change is None:
        return ("k", "•", f"{figures}; its median is not known yet") if figures else ("", "", "")
    if multiple is not None:
        said = _said(f"{signed(multiple)} × threshold", figures)
        return level(multiple, STEPS), signed(multiple), said
    percent = f"{signed(100 * change, 0)} {'points' if column == seen.share else '%'}"
    return level(change, RAW_STEPS), signed(100 * change, 0), _said(percent, figures)


def _said(deviation: str, figures: str) -> str:
    return f"{deviation}; {figures}" if figures else deviation


def _legend(seen: Seen, judged: Sequence[Verdict]) -> str:
    raw = seen.thresholds is None
    steps = [f"{100 * step:g}" for step in RAW_STEPS] if raw else [f"{step:g}" for step in STEPS]
    signs = [("now", "", "from the last call")] if seen.latest else []
    kinds = dict.fromkeys(each.kind for each in judged)
    signs += [(style_of(each), GLYPHS[each], f"{each}: {MEANING[each]}") for each in kinds]
    return grid.legend_html(steps, "%" if raw else "× threshold", signs)


def verdict_html(each: Verdict) -> str:
    """A verdict in a line."""
    return (
        f'<li><b class="{style_of(each.kind)}">{GLYPHS[each.kind]} {escape(each.kind)}</b> '
        f"{escape(day_name(each.row.date))}, {escape(each.row.entity_name.replace('_', ' '))}. "
        f"{escape(each.said)}</li>"
    )
