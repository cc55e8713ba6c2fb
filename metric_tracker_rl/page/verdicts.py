"""Verdicts on submitted and missing rows, shown after the end of an episode."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from metric_tracker_rl.engine.definitions.entity_types import DATA_QUALITY, HOURLY_MIX
from metric_tracker_rl.engine.definitions.report_row import (
    GRADED_NAME_FIELDS,
    NUMBER_FIELDS,
    ReportRow,
    RowKey,
)
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.episode.flagged_series import list_flagged_series_by_id
from metric_tracker_rl.engine.grading.grader import is_within_value_tolerance
from metric_tracker_rl.engine.report.parse_report import parse_report
from metric_tracker_rl.page.format_values import format_field_with_unit
from metric_tracker_rl.page.known_values import DayAndColumn
from metric_tracker_rl.page.labels import label_value
from metric_tracker_rl.page.words import format_entity_name
from openenv_kit.errors import ReportError
from openenv_kit.page.components.elements import humanize
from openenv_kit.page.components.grid import GLYPHS, CellVerdict

NEVER_READ, NOT_REPORTED = "never read", "read but not reported"
NOT_REPORTED_SIGN = "○"
"""Mark of a row that was read but not reported. A row that was never read has a question mark."""
OUTCOME_TEXT: dict[CellVerdict, str] = {
    CellVerdict.MATCHED: "found",
    CellVerdict.WRONG_FIELD: "wrong field",
    CellVerdict.CONSEQUENCE: "consequence reported instead",
    CellVerdict.EXTRA: "extra",
    CellVerdict.MISSING: NOT_REPORTED,
}
"""Outcome of a row in words, by kind of verdict."""
ONLY_YOURS = "only in your report"
OWN_TABLE_OUTCOME_TEXT: dict[CellVerdict, str] = {
    CellVerdict.MATCHED: "in both reports",
    CellVerdict.WRONG_FIELD: "in both reports, with other values",
    CellVerdict.CONSEQUENCE: ONLY_YOURS,
    CellVerdict.EXTRA: ONLY_YOURS,
    CellVerdict.MISSING: "only in the policy's report",
}
"""Outcome of a row about a user's table, whose causes nobody knows: it compares two reports."""


class Consequence(NamedTuple):
    """A series that passes its threshold because of another one, which is the cause.

    Attributes:
        column: column of the daily series.
        name: readable name of the series.
    """

    column: int
    name: str


@dataclass(frozen=True)
class RowVerdict:
    """Verdict on a row that was submitted, or that was expected but not submitted.

    Attributes:
        kind: kind of the verdict, such as "matched" or "extra".
        row: the submitted row, or the expected row if it was not submitted.
        day: index of the row's date.
        column: column of the row's entity in the daily series.
        sentence: explanation of the verdict in one sentence.
        is_read: whether a reply contained the row's value.
        consequences: series that passed their thresholds on the same day because of the row, in
            funnel order; empty if the row was not expected.
        is_own_table: whether the row is about a user's table.
    """

    kind: CellVerdict
    row: ReportRow
    day: int
    column: int
    sentence: str
    is_read: bool = True
    consequences: tuple[Consequence, ...] = ()
    is_own_table: bool = False

    @property
    def consequences_text(self) -> str:
        """Sentence that lists the consequences; empty if there are none."""
        names = ", ".join(each.name for each in self.consequences)
        return f"Its consequences: {names}." if names else ""

    @property
    def sign(self) -> str:
        """Character that marks the verdict, in addition to its colour."""
        if self.kind == CellVerdict.MISSING and self.is_read:
            return NOT_REPORTED_SIGN
        return GLYPHS[self.kind]

    @property
    def outcome(self) -> str:
        """Outcome of the row in words, such as "found" or "never read"."""
        if self.is_own_table:
            return OWN_TABLE_OUTCOME_TEXT[self.kind]
        if self.kind == CellVerdict.MISSING and not self.is_read:
            return NEVER_READ
        return OUTCOME_TEXT[self.kind]


def judge_submitted_and_missing_rows(
    submitted_rows: Sequence[Any],
    episode: FunnelEpisode,
    read_values: Container[DayAndColumn] | None = None,
) -> list[RowVerdict]:
    """Return a verdict for each submitted row and each missing expected row, sorted by date.

    Invalid rows are skipped. Of several rows with the same key, only the first gets a verdict.

    Args:
        submitted_rows: rows of the submitted report.
        episode: the finished episode, with its expected rows.
        read_values: days and columns of the values that a reply contained; None if all were read.
    """
    expected_by_key = {row.key: row for row in episode.expected_rows}
    try:
        valid_rows = parse_report(list(submitted_rows), episode).valid_rows
    except ReportError:
        valid_rows = ()
    submitted_by_key = {row.key: row for row in reversed(valid_rows)}
    verdicts = [
        _judge_submitted_row(row, expected_by_key.get(key), episode)
        for key, row in submitted_by_key.items()
    ]
    verdicts += [
        _create_verdict(
            CellVerdict.MISSING, row, "This row was expected and not reported.", episode
        )
        for key, row in expected_by_key.items()
        if key not in submitted_by_key
    ]
    if read_values is not None:
        verdicts = [
            replace(verdict, is_read=(verdict.day, verdict.column) in read_values)
            for verdict in verdicts
        ]
    consequences = group_consequences_by_cause(episode)
    verdicts = [
        replace(verdict, consequences=tuple(sorted(consequences.get(verdict.row.key, ()))))
        for verdict in verdicts
    ]
    return sorted(verdicts, key=lambda verdict: (verdict.day, verdict.column))


def group_consequences_by_cause(episode: FunnelEpisode) -> Mapping[RowKey, list[Consequence]]:
    """Return the consequences of each expected row that has any, by the key of the row.

    A consequence is a series that passes its threshold on the day of an expected row, is not
    expected itself and is not explained by the calendar.
    """
    columns = episode.config.funnel_with_policy_daytime.columns
    expected = {
        (row.date, columns.get_column_of_entity(row.entity_type, row.entity_name))
        for row in episode.expected_rows
    }
    found: defaultdict[RowKey, list[Consequence]] = defaultdict(list)
    for row, _, is_explained in list_flagged_series_by_id(episode):
        column = columns.get_column_of_entity(row.entity_type, row.entity_name)
        roots = [root for root in episode.expected_rows if root.date == row.date]
        if roots and not is_explained and (row.date, column) not in expected:
            cause = find_most_likely_root(row, roots, episode)
            found[cause.key].append(Consequence(column, format_entity_name(row.as_dict())))
    return found


def _judge_submitted_row(
    submitted_row: ReportRow, expected_row: ReportRow | None, episode: FunnelEpisode
) -> RowVerdict:
    if expected_row is None:
        return _judge_unexpected_row(submitted_row, episode)
    wrong = [
        name
        for name in GRADED_NAME_FIELDS
        if getattr(submitted_row, name) != getattr(expected_row, name)
    ]
    wrong += [
        name
        for name in NUMBER_FIELDS
        if not is_within_value_tolerance(getattr(submitted_row, name), getattr(expected_row, name))
    ]
    if not wrong:
        return _create_verdict(
            CellVerdict.MATCHED, submitted_row, "Expected, and every field is right.", episode
        )
    fields = "; ".join(
        f"{humanize(name)}: reported {_format_field(submitted_row, name)}, "
        f"expected {_format_field(expected_row, name)}"
        for name in wrong
    )
    return _create_verdict(
        CellVerdict.WRONG_FIELD,
        submitted_row,
        f"Expected, but with other values. {fields}.",
        episode,
    )


def _format_field(row: ReportRow, name: str) -> str:
    """Return the value of a row's field as text. Numbers are followed by their unit."""
    value = getattr(row, name)
    if isinstance(value, str):
        return label_value(value)
    return format_field_with_unit(name, value, row.as_dict())


def _judge_unexpected_row(row: ReportRow, episode: FunnelEpisode) -> RowVerdict:
    """Return the verdict on a row that the reporting policy does not require.

    The row is a consequence if its series passes its threshold, the calendar does not explain
    this, and a row is expected for the same day. Otherwise it is an extra row.
    """
    series, day = episode.series, episode.day_by_date[row.date]
    column = episode.config.funnel_with_policy_daytime.columns.get_column_of_entity(
        row.entity_type, row.entity_name
    )
    if day not in series.days_past_threshold_by_column[column]:
        return _create_verdict(
            CellVerdict.EXTRA, row, "It is within its threshold on this day.", episode
        )
    explained = series.explained
    is_explainable = not series.funnel.columns.is_excess_column(column)
    if explained is not None and is_explainable and explained[day, column]:
        return _create_verdict(CellVerdict.EXTRA, row, "The public calendar explains it.", episode)
    roots = [root for root in episode.expected_rows if root.date == row.date]
    if not roots:
        return _create_verdict(
            CellVerdict.EXTRA, row, "The reporting policy asks for no row on this day.", episode
        )
    root = format_entity_name(find_most_likely_root(row, roots, episode).as_dict())
    return _create_verdict(
        CellVerdict.CONSEQUENCE, row, f"Consequence of {root}: only causes are reported.", episode
    )


def _create_verdict(
    kind: CellVerdict, row: ReportRow, sentence: str, episode: FunnelEpisode
) -> RowVerdict:
    column = episode.config.funnel_with_policy_daytime.columns.get_column_of_entity(
        row.entity_type, row.entity_name
    )
    return RowVerdict(kind, row, episode.day_by_date[row.date], column, sentence)


def find_most_likely_root(
    row: ReportRow, roots: Sequence[ReportRow], episode: FunnelEpisode
) -> ReportRow:
    """Return which of a day's root anomalies most likely caused a row.

    Impossible counts have priority, because a wrongly counted stage also changes the rates into and
    out of this stage. They are followed by the nearest root upstream of the row in the funnel, and
    then by the nearest root downstream.
    """
    stage = _find_first_affected_stage_index(row.entity_type, row.entity_name, episode)

    def sort_key(root: ReportRow) -> tuple[bool, bool, int]:
        root_stage = _find_first_affected_stage_index(root.entity_type, root.entity_name, episode)
        return root.entity_type != DATA_QUALITY, root_stage > stage, abs(stage - root_stage)

    return min(roots, key=sort_key)


def _find_first_affected_stage_index(
    entity_type: str, entity_name: str, episode: FunnelEpisode
) -> int:
    """Return the index of the first stage whose count changes when an entity changes."""
    funnel = episode.config.funnel_with_policy_daytime
    if entity_type == HOURLY_MIX:
        return 0
    position = funnel.entity_names_by_type[entity_type].index(entity_name)
    if entity_name in funnel.event_count_names:
        return position
    if entity_name in funnel.composite_rate_names:
        return funnel.composite_ends[position - len(funnel.step_rate_names)]
    return position + 1
