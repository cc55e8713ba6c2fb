"""After the end: what each submitted row is, and what is missing, in words and on the map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metric_tracker_rl.engine.definitions.entity_types import DATA_QUALITY, HOURLY_MIX
from metric_tracker_rl.engine.definitions.report_row import (
    GRADED_NAME_FIELDS,
    NUMBER_FIELDS,
    ReportRow,
)
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.grading.grader import values_match
from metric_tracker_rl.engine.report.parse_report import parse_report
from openenv_kit.errors import ReportError
from openenv_kit.page.components.elements import humanize
from openenv_kit.page.components.grid import ECHO, EXTRA, MATCHED, MISSING, WRONG

VERDICT_TEXT = {
    MATCHED: "an expected row, every field right",
    WRONG: "an expected row with a wrong field",
    ECHO: "follows from a root of the same day",
    EXTRA: "nothing is to be reported there",
    MISSING: "an expected row that was not reported",
}
"""What the legend says of each kind."""


@dataclass(frozen=True)
class RowVerdict:
    """What became of one place of a report.

    Attributes:
        kind: a key of `VERDICT_TEXT`.
        row: as submitted; of a missing one, as expected.
        day: place of its date.
        column: of the daily series.
        sentence: one sentence about it.
    """

    kind: str
    row: ReportRow
    day: int
    column: int
    sentence: str


def judge_rows(rows: Sequence[Any], episode: FunnelEpisode) -> list[RowVerdict]:
    """A verdict for each place that was reported or should have been, by date.

    Rows that cannot be read have no place; of rows that repeat one, the first counts.

    Args:
        rows: as submitted.
        episode: holds the right rows. Only for after the end.
    """
    right = {row.key: row for row in episode.expected_rows}
    try:
        handed = {row.key: row for row in reversed(parse_report(list(rows), episode).valid_rows)}
    except ReportError:
        handed = {}
    found = [_judge_row(row, right.get(key), episode) for key, row in handed.items()]
    found += [
        _create_verdict(MISSING, row, "This row was expected and not reported.", episode)
        for key, row in right.items()
        if key not in handed
    ]
    return sorted(found, key=lambda each: (each.day, each.column))


def _judge_row(row: ReportRow, right: ReportRow | None, episode: FunnelEpisode) -> RowVerdict:
    if right is None:
        return _judge_unexpected_row(row, episode)
    wrong = [name for name in GRADED_NAME_FIELDS if getattr(row, name) != getattr(right, name)]
    wrong += [
        name for name in NUMBER_FIELDS if not values_match(getattr(row, name), getattr(right, name))
    ]
    if not wrong:
        return _create_verdict(MATCHED, row, "Expected, and every field is right.", episode)
    names = " and ".join(humanize(name) for name in wrong)
    verb = "is" if len(wrong) == 1 else "are"
    return _create_verdict(WRONG, row, f"Expected, but its {names} {verb} wrong.", episode)


def _judge_unexpected_row(row: ReportRow, episode: FunnelEpisode) -> RowVerdict:
    """An echo where the series is flagged and the day has a root; else nobody asked for it."""
    series, day = episode.series, episode.day_by_date[row.date]
    column = episode.config.funnel_spec.columns.column_of(row.entity_type, row.entity_name)
    if day not in series.days_past_threshold[column]:
        return _create_verdict(EXTRA, row, "It is within its threshold on this day.", episode)
    explained = series.explained
    is_explainable = not series.funnel.columns.is_excess(column)
    if explained is not None and is_explainable and explained[day, column]:
        return _create_verdict(EXTRA, row, "The public calendar explains it.", episode)
    roots = [each for each in episode.expected_rows if each.date == row.date]
    if not roots:
        return _create_verdict(
            EXTRA, row, "The reporting policy asks for no row on this day.", episode
        )
    root = row_title(nearest_root(row, roots, episode))
    return _create_verdict(ECHO, row, f"Echo of {root}: the root alone is reported.", episode)


def _create_verdict(kind: str, row: ReportRow, sentence: str, episode: FunnelEpisode) -> RowVerdict:
    column = episode.config.funnel_spec.columns.column_of(row.entity_type, row.entity_name)
    return RowVerdict(kind, row, episode.day_by_date[row.date], column, sentence)


def row_title(row: ReportRow) -> str:
    """What a row is about, as people read it."""
    if row.entity_type == DATA_QUALITY:
        below, _, above = humanize(row.entity_name).partition(" lte ")
        return f"more {below} than {above}"
    return humanize(row.entity_name).replace(":", ": ")


def nearest_root(row: ReportRow, roots: Sequence[ReportRow], episode: FunnelEpisode) -> ReportRow:
    """The root that a row echoes: impossible counts, or else the nearest one up the funnel.

    Where none is up the funnel it is the nearest one below: a stage that was counted wrongly shows
    in the rate into it and in the rate out of it.
    """
    at = _first_stage_of(row.entity_type, row.entity_name, episode)

    def far(root: ReportRow) -> tuple[bool, bool, int]:
        stage = _first_stage_of(root.entity_type, root.entity_name, episode)
        return root.entity_type != DATA_QUALITY, stage > at, abs(at - stage)

    return min(roots, key=far)


def _first_stage_of(kind: str, name: str, episode: FunnelEpisode) -> int:
    """The stage at which a series shows a change first."""
    funnel = episode.config.funnel_spec
    if kind == HOURLY_MIX:
        return 0
    place = funnel.entity_names_by_type[kind].index(name)
    if name in funnel.count_names:
        return place
    if name in funnel.composite_rate_names:
        return funnel.composite_ends[place - len(funnel.step_rate_names)]
    return place + 1
