"""Parser of submitted reports, which lists invalid and duplicate rows.

Numbers are accepted in any notation (12, 12.0, "12.0", 1.2e1); a string may have at most 64
characters. Names and dates have exactly one valid spelling, so that variants of one row cannot
count twice. A row is invalid if it has a missing or unknown field, a name or date that does not
belong to the episode, or a value that is not a finite number where one is required. This module
does not read the expected rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, JsonValue

from metric_tracker_rl.engine.definitions.anomaly_types import ANOMALY_TYPES
from metric_tracker_rl.engine.definitions.entity_types import DETECTION_METHODS, ENTITY_TYPES
from metric_tracker_rl.engine.definitions.report_row import (
    KEY_FIELDS,
    NUMBER_FIELDS,
    ROW_FIELDS,
    ReportRow,
    RowKey,
)
from metric_tracker_rl.engine.definitions.severity import SEVERITIES
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.wire_models import MetricSubmissionRow, SubmissionIssue, SubmissionPreview
from openenv_kit.errors import (
    ReportError,
    ToolArgumentError,
    build_unknown_name_message,
    truncated_repr,
)

MAX_REPORT_ROWS = 1000
"""Maximum number of rows in one report. A correct report has at most six rows per day."""

MAX_NUMBER_CHARS = 64
"""Maximum length of a string that is parsed as a number, not counting surrounding spaces."""
ROW_FIELD_SET = frozenset(ROW_FIELDS)
ALLOWED_NAMES_BY_FIELD: dict[str, tuple[str, ...]] = {
    "entity_type": tuple(ENTITY_TYPES),
    "anomaly_type": tuple(ANOMALY_TYPES),
    "detection_method": tuple(DETECTION_METHODS.values()),
    "severity": SEVERITIES,
}
MAX_ECHOED_NUMBER = 1e15
"""Numbers with a smaller absolute value are returned unchanged in the issue of an invalid row."""
MAX_ECHOED_CHARS = 80
"""Strings up to this length are returned unchanged in the issue of an invalid row."""
_NUMBER_PATTERN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


@dataclass(frozen=True)
class SubmittedReport:
    """A report after parsing, with its invalid rows separated from the valid ones.

    Attributes:
        valid_rows: the valid rows in submission order, including duplicates.
        invalid_issues: one issue for each invalid row.
    """

    valid_rows: tuple[ReportRow, ...]
    invalid_issues: tuple[SubmissionIssue, ...]

    @property
    def submitted_count(self) -> int:
        """Number of submitted rows, including invalid ones."""
        return len(self.valid_rows) + len(self.invalid_issues)

    @property
    def valid_duplicate_count(self) -> int:
        """Number of valid rows that repeat the key of an earlier row."""
        return len(self.valid_rows) - len({row.key for row in self.valid_rows})


def parse_report(raw_rows: object, episode: FunnelEpisode) -> SubmittedReport:
    """Parse a report and check its rows against an episode's dates and names.

    Args:
        raw_rows: the submitted rows, expected to be a list of mappings or pydantic models.
        episode: the episode that the report is about.

    Raises:
        ReportError: `raw_rows` is not a list, or has more than `MAX_REPORT_ROWS` rows.
    """
    if not isinstance(raw_rows, Sequence) or isinstance(raw_rows, str | bytes):
        raise ReportError(
            f"rows is {truncated_repr(raw_rows)}; allowed: a list of rows. Nothing was graded."
        )
    if len(raw_rows) > MAX_REPORT_ROWS:
        too_many = f"The report has {len(raw_rows)} rows; allowed: at most {MAX_REPORT_ROWS}."
        raise ReportError(f"{too_many} Nothing was graded.")
    valid: list[ReportRow] = []
    invalid: list[SubmissionIssue] = []
    for row in raw_rows:
        fields = row.model_dump() if isinstance(row, BaseModel) else row
        try:
            valid.append(_parse_report_row(fields, episode))
        except ToolArgumentError as problem:
            safe_fields = _copy_known_fields_for_echo(fields)
            row_key = _format_row_key(safe_fields)
            invalid.append(build_invalid_row_issue(row_key, str(problem), safe_fields))
    return SubmittedReport(tuple(valid), tuple(invalid))


def build_report_preview(report: SubmittedReport) -> SubmissionPreview:
    """Return the row counts, format errors and valid rows of a report without grading it.

    Format errors are invalid and duplicate rows. The result does not depend on the expected rows.
    """
    issues = list(report.invalid_issues)
    keys: set[RowKey] = set()
    for row in report.valid_rows:
        if row.key in keys:
            issues.append(build_duplicate_row_issue(row))
        keys.add(row.key)
    return SubmissionPreview(
        valid_rows=len(report.valid_rows),
        invalid_rows=len(report.invalid_issues),
        duplicate_rows=report.valid_duplicate_count,
        unique_keys=len(keys),
        issues=issues,
        normalized_rows=[
            MetricSubmissionRow.model_validate(row.as_dict()) for row in report.valid_rows
        ],
    )


def build_invalid_row_issue(row_key: str, message: str, row: dict[str, Any]) -> SubmissionIssue:
    """Create the issue that tells the player why a submitted row is invalid.

    Args:
        row_key: date, entity type and entity name of the row, as text.
        message: the reason why the row is invalid.
        row: fields of the row.
    """
    return SubmissionIssue(
        row_key=row_key, issue_type="invalid_row", message=message, submitted_row=row
    )


def build_duplicate_row_issue(row: ReportRow) -> SubmissionIssue:
    """Create the issue that tells the player that a row has the same key as an earlier row."""
    return SubmissionIssue(
        row_key=row.key.as_text(),
        issue_type="duplicate_row",
        message="Same date, entity_type and entity_name as an earlier row.",
        submitted_row=row.as_dict(),
    )


def parse_finite_number(field_name: str, value: object) -> float:
    """Parse a submitted number and return it as a float.

    Args:
        field_name: name of the field, for the error message.
        value: the submitted value, expected to be a number or a string that represents a number.

    Raises:
        ToolArgumentError: the value is not a finite number.
    """
    number: float | None = None
    if isinstance(value, str):
        number = _parse_short_number_text(value.strip())
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


def _parse_short_number_text(text: str) -> float | None:
    if len(text) > MAX_NUMBER_CHARS or not _NUMBER_PATTERN.fullmatch(text):
        return None
    return float(text)


def _parse_report_row(raw_row: object, episode: FunnelEpisode) -> ReportRow:
    if not isinstance(raw_row, Mapping):
        allowed = f"an object with {', '.join(ROW_FIELDS)}"
        raise ToolArgumentError(f"The row is {truncated_repr(raw_row)}; allowed: {allowed}.")
    if raw_row.keys() != ROW_FIELD_SET:
        for name in raw_row:
            require_allowed_name("row field", name, ROW_FIELDS)
        missing = [name for name in ROW_FIELDS if name not in raw_row]
        raise ToolArgumentError(f"The row lacks {', '.join(missing)}.")
    episode.get_day_index_of_date(raw_row["date"])
    for name, names in ALLOWED_NAMES_BY_FIELD.items():
        require_allowed_name(name, raw_row[name], names)
    names = episode.config.funnel_with_policy_daytime.entity_names_by_type[raw_row["entity_type"]]
    require_allowed_name("entity_name", raw_row["entity_name"], names)
    numbers = {name: parse_finite_number(name, raw_row[name]) for name in NUMBER_FIELDS}
    return ReportRow(**{**raw_row, **numbers})


def require_allowed_name(field_name: str, value: object, allowed: Sequence[str]) -> None:
    """Raise an error if a submitted value is not one of the allowed names.

    Raises:
        ToolArgumentError: the value is not allowed. The message contains the allowed names and, if
            the value resembles one of them, a suggestion.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ToolArgumentError(build_unknown_name_message(field_name, value, allowed))


def _copy_known_fields_for_echo(raw_row: object) -> dict[str, Any]:
    """Return the fields of an invalid row that may be repeated in the reply.

    Unknown fields are left out, and long values are shortened. If the row is not a mapping, return
    its shortened repr under the name `row`.
    """
    if not isinstance(raw_row, Mapping):
        return {"row": truncated_repr(raw_row)}
    return {name: _shorten_value_for_echo(raw_row[name]) for name in ROW_FIELDS if name in raw_row}


def _shorten_value_for_echo(value: object) -> JsonValue:
    """Return a value unchanged if it is short and a JSON scalar; otherwise, shorten its repr."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) < MAX_ECHOED_NUMBER:
        return value
    if isinstance(value, str) and len(value) <= MAX_ECHOED_CHARS:
        return value
    return truncated_repr(value)


def _format_row_key(row_fields: Mapping[str, Any]) -> str:
    return "|".join(str(row_fields.get(name, "?")) for name in KEY_FIELDS)
