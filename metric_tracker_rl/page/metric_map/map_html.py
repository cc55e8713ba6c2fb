"""Rendering of an episode's map, which shows deviations by metric and day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date as Date
from html import escape
from typing import Any, NamedTuple

from metric_tracker_rl.engine.configuration.play_rules import FULL_FEEDBACK
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.episode.flagged_series import list_flagged_series_by_id
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.page.metric_map.known_values import KnownValues
from metric_tracker_rl.page.metric_map.map_rows import (
    MapRow,
    RowLabel,
    build_map_rows,
    find_map_row_index_of_column,
    format_signed_and_abbreviated_number,
)
from metric_tracker_rl.page.metric_map.verdicts import (
    VERDICT_TEXT,
    RowVerdict,
    judge_submitted_and_missing_rows,
)
from openenv_kit.page.components import grid
from openenv_kit.page.components.elements import format_short_date
from openenv_kit.page.components.grid import (
    GLYPHS,
    CellVerdict,
    GridCell,
    GridColumn,
    deviation_css_class,
    verdict_class,
)
from openenv_kit.page.playback import PlaybackStep

STEPS = (0.5, 1.0, 1.5, 2.5, 4.0)
"""Limits between the cell colours, in multiples of the threshold."""
RAW_STEPS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Limits between the cell colours with raw disclosure until the episode ends, as deviations."""
WHOLE_DAY = "day"
"""Key of the map row with each day's largest deviation."""
SATURDAY = 5

PlaybackSteps = Sequence[PlaybackStep]


class CellPosition(NamedTuple):
    """Position of a map cell: row index and day index."""

    row_index: int
    day: int


class MapCell(NamedTuple):
    """Content of one map cell.

    Attributes:
        css_class: CSS class that determines the colour.
        text: text shown in the cell.
        description: value and deviation in words.
    """

    css_class: str
    text: str
    description: str


UNKNOWN_CELL = MapCell("", "", "")


class VisibleState(NamedTuple):
    """Values and verdicts of an episode that the page may show.

    Attributes:
        known_values: values that may be shown.
        verdicts: verdicts about the report. The tuple is empty until the episode ends.
        is_complete: whether the page may show all values and verdicts.
    """

    known_values: KnownValues
    verdicts: tuple[RowVerdict, ...]
    is_complete: bool


VerdictsByCell = Mapping[CellPosition, Sequence[RowVerdict]]


def collect_known_values_from_replies(steps: PlaybackSteps) -> KnownValues:
    """Return the values in the replies of an episode."""
    known_values = KnownValues(steps[0].observation["config"])
    for step in steps:
        analysis = step.observation.get("analysis_result")
        known_values.latest = set()
        if analysis:
            known_values.add_values_of_tool_result(analysis)
    return known_values


def may_reveal_answers(steps: PlaybackSteps) -> bool:
    """Return whether an episode has ended and was played with full feedback."""
    feedback = steps[0].observation["config"].get("feedback", FULL_FEEDBACK)
    return bool(steps[-1].observation.get("done")) and feedback == FULL_FEEDBACK


def rebuild_episode_from_reset_arguments(reset: Mapping[str, Any]) -> EpisodeView:
    """Generate an episode with its labels again from its reset arguments.

    Call this function only after the episode has ended, because the labels are the answers.
    """
    session = EpisodeSession()
    session.reset(**reset)
    return session.running_view


def collect_values_and_verdicts_to_show(
    steps: PlaybackSteps, reset: Mapping[str, Any]
) -> VisibleState:
    """Return the values that the player has seen or, after the episode, all values and verdicts."""
    if not may_reveal_answers(steps):
        return VisibleState(collect_known_values_from_replies(steps), (), is_complete=False)
    view = rebuild_episode_from_reset_arguments(reset)
    all_values = KnownValues.from_episode(view.episode, view.public_config)
    verdicts = judge_submitted_and_missing_rows(
        list_submitted_rows_of_graded_report(view, steps[-1]), view.episode
    )
    return VisibleState(all_values, tuple(verdicts), is_complete=True)


def list_submitted_rows_of_graded_report(view: EpisodeView, step: PlaybackStep) -> Sequence[Any]:
    """Return all rows of a graded report, including the rows that were submitted by id.

    The result is empty if the step was not graded.
    """
    if not step.observation.get("reward_breakdown"):
        return ()
    submitted = step.observation.get("submitted_rows")
    if submitted is not None:
        return list(submitted)
    arguments: Mapping[str, Any] = step.action.get("analysis_args") or {}
    flagged_series = list_flagged_series_by_id(view.episode)
    named = [flagged_series[number - 1].row.as_dict() for number in arguments.get("ids") or ()]
    return [*named, *(arguments.get("rows") or step.action.get("classifications") or ())]


def metric_map_html(
    steps: PlaybackSteps,
    reset: Mapping[str, Any],
    selection: str = "",
    report_rows: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the HTML of an episode's map and its legend.

    Args:
        steps: steps played so far.
        reset: reset arguments of the episode.
        selection: selected cell in the form `column/date`.
        report_rows: rows in the report editor, whose cells are marked until the episode ends.
    """
    known_values, verdicts, over = collect_values_and_verdicts_to_show(steps, reset)
    lines = build_map_rows(known_values.funnel)
    places = group_verdicts_by_cell(lines, verdicts)
    marked = set() if over else set(_iter_cells_of_report_rows(known_values, lines, report_rows))
    drawn = [
        grid.GridRow(
            str(line.columns[0]),
            line.label,
            [
                _build_grid_cell(known_values, line, at, day, places, marked)
                for day in range(len(known_values.dates))
            ],
        )
        for at, line in enumerate(lines)
    ]
    suspicion = [_build_largest_deviation_row(known_values)] if known_values.suspicion else []
    measure = (
        "in multiples of the threshold"
        if known_values.thresholds
        else "from the median, in percent"
    )
    name = f"Deviation by metric and day, {measure}"
    columns = known_values.funnel.columns
    known_count = sum(not columns.is_excess_column(column) for _day, column in known_values.values)
    cell_count = len(known_values.dates) * columns.compared.stop
    lead = "" if over else f"{known_count} of {cell_count} cells known."
    picture = grid.grid_html(
        f"{name}. {lead}".strip(),
        name,
        _build_date_column_headers(known_values),
        suspicion + drawn,
        selection,
    )
    return picture + _map_legend_html(known_values, verdicts)


def group_verdicts_by_cell(
    map_rows: Sequence[MapRow], verdicts: Iterable[RowVerdict]
) -> VerdictsByCell:
    """Group verdicts by map cell. Verdicts on expected rows come first."""
    unexpected = (CellVerdict.CONSEQUENCE, CellVerdict.EXTRA)
    by_cell: dict[CellPosition, list[RowVerdict]] = {}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.kind in unexpected):
        position = CellPosition(find_map_row_index_of_column(map_rows, verdict.column), verdict.day)
        by_cell.setdefault(position, []).append(verdict)
    return by_cell


def _iter_cells_of_report_rows(
    known_values: KnownValues, map_rows: Sequence[MapRow], report_rows: Iterable[Mapping[str, Any]]
) -> Iterator[CellPosition]:
    """Yield the map cell of each report row, skipping rows with an invalid date or entity."""
    for row in report_rows:
        day = known_values.find_day_index(row.get("date"))
        column = known_values.funnel.columns.find_column_of_entity(
            row.get("entity_type"), row.get("entity_name")
        )
        if day is not None and column is not None:
            yield CellPosition(find_map_row_index_of_column(map_rows, column), day)


def _build_date_column_headers(known_values: KnownValues) -> list[GridColumn]:
    """Return a column header for each date. The first date of each month shows the month's name."""
    heads, month = [], 0
    for date in known_values.dates:
        day = Date.fromisoformat(date)
        small = f"{day:%b}" if day.month != month else ""
        style = "weekend" if day.weekday() >= SATURDAY else ""
        month = day.month
        heads.append(GridColumn(date, format_short_date(date), str(day.day), small, style))
    return heads


def _build_largest_deviation_row(known_values: KnownValues) -> grid.GridRow:
    """Return the map row with each day's largest deviation, which does not name the metric."""
    cells = []
    for day in range(len(known_values.dates)):
        score = known_values.suspicion.get(day)
        if score is None:
            cells.append(GridCell())
        else:
            description = f"{score:.1f} × threshold, of some metric"
            cells.append(GridCell(deviation_css_class(score, STEPS), f"{score:.1f}", description))
    return grid.GridRow(WHOLE_DAY, RowLabel.LARGEST_DEVIATION, cells)


def _build_grid_cell(
    known_values: KnownValues,
    map_row: MapRow,
    map_row_index: int,
    day: int,
    verdicts_by_cell: VerdictsByCell,
    cells_in_report: set[CellPosition],
) -> GridCell:
    cell = build_map_cell(known_values, map_row, day)
    is_new = any((day, column) in known_values.latest for column in map_row.columns)
    position = CellPosition(map_row_index, day)
    say = ""
    mark = ""
    if verdicts := verdicts_by_cell.get(position):
        say = " ".join(f"{verdict.kind.capitalize()}: {verdict.sentence}" for verdict in verdicts)
        mark = verdicts[0].kind
    elif position in cells_in_report:
        say = "In the report."
        mark = "+"
    return GridCell(cell.css_class, cell.text, cell.description, say, mark, is_new)


def build_map_cell(known_values: KnownValues, map_row: MapRow, day: int) -> MapCell:
    """Return the content of a map cell, or `UNKNOWN_CELL` if nothing is known about it."""
    value = map_row.sum_known_values(known_values, day)
    if map_row.is_impossible_counts_row:
        if value is None:
            return UNKNOWN_CELL
        return MapCell(
            "u4" if value else "a0", f"{value:,.0f}", map_row.format_value_with_unit(value)
        )
    column = map_row.columns[0]
    deviation = known_values.compute_deviation(day, column)
    multiple = known_values.compute_threshold_multiple(day, column)
    baseline = map_row.find_baseline(known_values, day)
    figures = "" if value is None else map_row.format_value_with_unit(value)
    if figures and baseline is not None:
        figures += f" against a median of {map_row.format_value_with_unit(baseline)}"
    if deviation is None:
        if not figures:
            return UNKNOWN_CELL
        return MapCell("k", "•", f"{figures}; its median is not known yet")
    if multiple is not None:
        text = format_signed_and_abbreviated_number(multiple)
        description = _join_deviation_and_value_texts(f"{text} × threshold", figures)
        return MapCell(deviation_css_class(multiple, STEPS), text, description)
    text = format_signed_and_abbreviated_number(100 * deviation, 0)
    unit = "points" if column == known_values.daytime_share_column else "%"
    description = _join_deviation_and_value_texts(f"{text} {unit}", figures)
    return MapCell(deviation_css_class(deviation, RAW_STEPS), text, description)


def _join_deviation_and_value_texts(deviation: str, figures: str) -> str:
    return f"{deviation}; {figures}" if figures else deviation


def _map_legend_html(known_values: KnownValues, verdicts: Sequence[RowVerdict]) -> str:
    signs = [grid.LegendSign("now", "", "from the last call")] if known_values.latest else []
    for kind in dict.fromkeys(verdict.kind for verdict in verdicts):
        meaning = f"{kind}: {VERDICT_TEXT[kind]}"
        signs.append(grid.LegendSign(verdict_class(kind), GLYPHS[kind], meaning))
    if known_values.thresholds is None:
        return grid.grid_legend_html([f"{100 * step:g}" for step in RAW_STEPS], "%", signs)
    return grid.grid_legend_html([f"{step:g}" for step in STEPS], "× threshold", signs)


def verdict_list_item_html(verdict: RowVerdict, *, extra_html: str = "") -> str:
    """Return the HTML list item that describes a verdict.

    Args:
        verdict: the verdict to describe.
        extra_html: HTML to append to the item.
    """
    kind, row = verdict.kind, verdict.row
    return (
        f'<li><b class="{verdict_class(kind)}">{GLYPHS[kind]} {escape(kind)}</b> '
        f"{escape(format_short_date(row.date))}, {escape(row.entity_name.replace('_', ' '))}. "
        f"{escape(verdict.sentence)}{extra_html}</li>"
    )
