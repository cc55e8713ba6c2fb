"""Reading a submitted report: which rows are valid, which repeat, and why.

A number may be spelled in any way (12, 12.0, "12.0", 1.2e1), as text in at most 64 characters;
names and dates in one way only, so that no variant of one row can count twice. A row is
invalid, with the reason, when a field is missing, unknown, not a name of the episode or not a
finite number. Nothing here knows what is right.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metric_tracker_rl.engine.definitions.anomaly_types import ANOMALY_TYPES
from metric_tracker_rl.engine.definitions.entity_types import DETECTION_METHODS, ENTITY_TYPES
from metric_tracker_rl.engine.definitions.report_row import (
    KEY_FIELDS,
    NUMBER_FIELDS,
    ROW_FIELDS,
    ReportRow,
)
from metric_tracker_rl.engine.definitions.severity import SEVERITIES
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.wire_models import MetricSubmissionRow, SubmissionIssue, SubmissionPreview
from openenv_kit.errors import ReportError, ToolArgumentError, truncated_repr, unknown_name_message

MAX_REPORT_ROWS = 1000
"""Most rows in one report; a right one has at most six rows a day."""

MAX_NUMBER_CHARS = 64
"""Longest text that is read as a number, in characters, spaces around it not counted."""
ROW_FIELD_SET = frozenset(ROW_FIELDS)
ALLOWED_NAMES_BY_FIELD: dict[str, tuple[str, ...]] = {
    "entity_type": tuple(ENTITY_TYPES),
    "anomaly_type": tuple(ANOMALY_TYPES),
    "detection_method": tuple(DETECTION_METHODS.values()),
    "severity": SEVERITIES,
}
_NUMBER_PATTERN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


@dataclass(frozen=True)
class SubmittedReport:
    """A submitted report after reading.

    Attributes:
        valid_rows: every valid row in the order given, repeats included.
        invalid_issues: a remark on every invalid row.
    """

    valid_rows: tuple[ReportRow, ...]
    invalid_issues: tuple[SubmissionIssue, ...]

    @property
    def submitted_count(self) -> int:
        """Rows given, whatever their state."""
        return len(self.valid_rows) + len(self.invalid_issues)

    @property
    def duplicate_count(self) -> int:
        """Valid rows beyond the first of each key."""
        return len(self.valid_rows) - len({row.key for row in self.valid_rows})


def parse_report(rows: object, episode: FunnelEpisode) -> SubmittedReport:
    """Read a report against an episode's dates and names.

    Args:
        rows: a list of mappings or models.
        episode: the episode reported on.

    Raises:
        ReportError: not a list, or more than `MAX_ROWS` rows.
    """
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        raise ReportError(
            f"rows is {truncated_repr(rows)}; allowed: a list of rows. Nothing was graded."
        )
    if len(rows) > MAX_REPORT_ROWS:
        too_many = f"The report has {len(rows)} rows; allowed: at most {MAX_REPORT_ROWS}."
        raise ReportError(f"{too_many} Nothing was graded.")
    valid: list[ReportRow] = []
    invalid: list[SubmissionIssue] = []
    for raw in rows:
        fields = raw.model_dump() if hasattr(raw, "model_dump") else raw
        try:
            valid.append(_parse_row(fields, episode))
        except ToolArgumentError as problem:
            shown = _copy_safe_fields(fields)
            invalid.append(build_invalid_row_issue(_format_row_key(shown), str(problem), shown))
    return SubmittedReport(tuple(valid), tuple(invalid))


def preview_report(report: SubmittedReport) -> SubmissionPreview:
    """Counts, issues and normalised rows of a report, without any judgement."""
    issues = list(report.invalid_issues)
    seen: set[tuple[str, str, str]] = set()
    for row in report.valid_rows:
        if row.key in seen:
            issues.append(build_duplicate_row_issue(row))
        seen.add(row.key)
    return SubmissionPreview(
        valid_rows=len(report.valid_rows),
        invalid_rows=len(report.invalid_issues),
        duplicate_rows=report.duplicate_count,
        unique_keys=len(seen),
        issues=issues,
        normalized_rows=[
            MetricSubmissionRow.model_validate(row.as_dict()) for row in report.valid_rows
        ],
    )


def build_invalid_row_issue(row_key: str, message: str, row: dict[str, Any]) -> SubmissionIssue:
    """The remark on a row that cannot be read, with the reason."""
    return SubmissionIssue(
        row_key=row_key, issue_type="invalid_row", message=message, submitted_row=row
    )


def build_duplicate_row_issue(row: ReportRow) -> SubmissionIssue:
    """The remark on a row whose key was given before."""
    return SubmissionIssue(
        row_key=row.key.as_text(),
        issue_type="duplicate_row",
        message="The same date, entity_type and entity_name were given before.",
        submitted_row=row.as_dict(),
    )


def parse_number(field_name: str, value: object) -> float:
    """A finite number from an int, a float or plain decimal text; never from a bool.

    Raises:
        ToolArgumentError: none of these, or a text longer than `MAX_NUMBER_CHARS`.
    """
    number: float | None = None
    if isinstance(value, str):
        text = value.strip()
        number = (
            float(text)
            if len(text) <= MAX_NUMBER_CHARS and _NUMBER_PATTERN.fullmatch(text)
            else None
        )
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = None
    if number is None or not math.isfinite(number):
        raise ToolArgumentError(
            f"{field_name} is {truncated_repr(value)}; allowed: a finite number."
        )
    return number


def _parse_row(fields: object, episode: FunnelEpisode) -> ReportRow:
    if not isinstance(fields, Mapping):
        allowed = f"an object with {', '.join(ROW_FIELDS)}"
        raise ToolArgumentError(f"The row is {truncated_repr(fields)}; allowed: {allowed}.")
    if fields.keys() != ROW_FIELD_SET:
        for name in fields:
            require_allowed_name("row field", name, ROW_FIELDS)
        missing = [name for name in ROW_FIELDS if name not in fields]
        raise ToolArgumentError(f"The row lacks {', '.join(missing)}.")
    episode.day_index(fields["date"])
    for name, names in ALLOWED_NAMES_BY_FIELD.items():
        require_allowed_name(name, fields[name], names)
    names = episode.config.funnel_spec.entity_names_by_type[fields["entity_type"]]
    require_allowed_name("entity_name", fields["entity_name"], names)
    numbers = {name: parse_number(name, fields[name]) for name in NUMBER_FIELDS}
    return ReportRow(**{**fields, **numbers})


def require_allowed_name(field_name: str, value: object, allowed: Sequence[str]) -> None:
    """Make sure that a value is one of the allowed names.

    Raises:
        ToolArgumentError: it is not; names the nearest.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ToolArgumentError(unknown_name_message(field_name, value, allowed))


def _copy_safe_fields(fields: object) -> dict[str, Any]:
    """A copy of a bad row that is safe to send back: known fields only, values cut."""
    if not isinstance(fields, Mapping):
        return {"row": truncated_repr(fields)}
    return {name: _truncate_unsafe_value(fields[name]) for name in ROW_FIELDS if name in fields}


def _truncate_unsafe_value(value: object) -> Any:
    plain = value is None or isinstance(value, bool)
    number = isinstance(value, int | float) and abs(value) < 1e15
    text = isinstance(value, str) and len(value) <= 80
    return value if plain or number or text else truncated_repr(value)


def _format_row_key(fields: Mapping[str, Any]) -> str:
    return "|".join(str(fields.get(name, "?")) for name in KEY_FIELDS)
