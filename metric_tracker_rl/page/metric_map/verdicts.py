"""After the end: what each submitted row is, and what is missing, in words and on the map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metric_tracker_rl.engine.definitions.names import DATA_QUALITY, HOURLY_MIX
from metric_tracker_rl.engine.episode.episode import Episode
from metric_tracker_rl.engine.grading.grader import WORD_FIELDS, values_match
from metric_tracker_rl.engine.report.parse_report import NUMBER_FIELDS, read_report
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow
from openenv_kit.errors import ReportError
from openenv_kit.page.components.elements import words
from openenv_kit.page.components.grid import ECHO, EXTRA, MATCHED, MISSING, WRONG

MEANING = {
    MATCHED: "an expected row, every field right",
    WRONG: "an expected row with a wrong field",
    ECHO: "follows from a root of the same day",
    EXTRA: "nothing is to be reported there",
    MISSING: "an expected row that was not reported",
}
"""What the legend says of each kind."""


@dataclass(frozen=True)
class Verdict:
    """What became of one place of a report.

    Attributes:
        kind: a key of `MEANING`.
        row: as submitted; of a missing one, as expected.
        day: place of its date.
        column: of the daily series.
        said: one sentence about it.
    """

    kind: str
    row: ReportRow
    day: int
    column: int
    said: str


def verdicts(rows: Sequence[Any], episode: Episode) -> list[Verdict]:
    """A verdict for each place that was reported or should have been, by date.

    Rows that cannot be read have no place; of rows that repeat one, the first counts.

    Args:
        rows: as submitted.
        episode: holds the right rows. Only for after the end.
    """
    right = {row.key: row for row in episode.expected_rows}
    try:
        handed = {row.key: row for row in reversed(read_report(list(rows), episode).rows)}
    except ReportError:
        handed = {}
    found = [_verdict(row, right.get(key), episode) for key, row in handed.items()]
    found += [
        _made(MISSING, row, "This row was expected and not reported.", episode)
        for key, row in right.items()
        if key not in handed
    ]
    return sorted(found, key=lambda each: (each.day, each.column))


def _verdict(row: ReportRow, right: ReportRow | None, episode: Episode) -> Verdict:
    if right is None:
        return _unexpected(row, episode)
    wrong = [name for name in WORD_FIELDS if getattr(row, name) != getattr(right, name)]
    wrong += [
        name for name in NUMBER_FIELDS if not values_match(getattr(row, name), getattr(right, name))
    ]
    if not wrong:
        return _made(MATCHED, row, "Expected, and every field is right.", episode)
    names = " and ".join(words(name) for name in wrong)
    verb = "is" if len(wrong) == 1 else "are"
    return _made(WRONG, row, f"Expected, but its {names} {verb} wrong.", episode)


def _unexpected(row: ReportRow, episode: Episode) -> Verdict:
    """An echo where the series is flagged and the day has a root; else nobody asked for it."""
    series, day = episode.series, episode.day_of[row.date]
    column = episode.config.funnel_spec.columns[row.entity_type, row.entity_name]
    if day not in series.far_days[column]:
        return _made(EXTRA, row, "It is within its threshold on this day.", episode)
    explained = series.explained
    if explained is not None and column <= series.share_column and explained[day, column]:
        return _made(EXTRA, row, "The public calendar explains it.", episode)
    roots = [each for each in episode.expected_rows if each.date == row.date]
    if not roots:
        return _made(EXTRA, row, "The reporting policy asks for no row on this day.", episode)
    root = name_of(root_of(row, roots, episode))
    return _made(ECHO, row, f"Echo of {root}: the root alone is reported.", episode)


def _made(kind: str, row: ReportRow, said: str, episode: Episode) -> Verdict:
    column = episode.config.funnel_spec.columns[row.entity_type, row.entity_name]
    return Verdict(kind, row, episode.day_of[row.date], column, said)


def name_of(row: ReportRow) -> str:
    """What a row is about, as people read it."""
    if row.entity_type == DATA_QUALITY:
        below, _, above = words(row.entity_name).partition(" lte ")
        return f"more {below} than {above}"
    return words(row.entity_name).replace(":", ": ")


def root_of(row: ReportRow, roots: Sequence[ReportRow], episode: Episode) -> ReportRow:
    """The root that a row echoes: impossible counts, or else the nearest one up the funnel.

    Where none is up the funnel it is the nearest one below: a stage that was counted wrongly shows
    in the rate into it and in the rate out of it.
    """
    at = _stage(row.entity_type, row.entity_name, episode)

    def far(root: ReportRow) -> tuple[bool, bool, int]:
        stage = _stage(root.entity_type, root.entity_name, episode)
        return root.entity_type != DATA_QUALITY, stage > at, abs(at - stage)

    return min(roots, key=far)


def _stage(kind: str, name: str, episode: Episode) -> int:
    """The stage at which a series shows a change first."""
    funnel = episode.config.funnel_spec
    if kind == HOURLY_MIX:
        return 0
    place = funnel.entity_names[kind].index(name)
    if name in funnel.counts:
        return place
    if name in funnel.composite_rates:
        return funnel.composite_ends[place - len(funnel.step_rates)]
    return place + 1
