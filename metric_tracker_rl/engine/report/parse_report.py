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

from metric_tracker_rl.engine.definitions.names import (
    ANOMALY_TYPES,
    DETECTION_METHODS,
    ENTITY_TYPES,
    SEVERITIES,
)
from metric_tracker_rl.engine.episode.episode import Episode
from metric_tracker_rl.engine.reporting_policy.labels import ROW_FIELDS, ReportRow
from metric_tracker_rl.wire_models import MetricSubmissionRow, SubmissionIssue, SubmissionPreview
from openenv_kit.errors import ReportError, ToolArgumentError, echo, unknown_name_message

MAX_ROWS = 1000
"""Most rows in one report; a right one has at most six rows a day."""

MAX_NUMBER_TEXT = 64
"""Longest text that is read as a number, in characters, spaces around it not counted."""
FIELDS_OF_A_ROW = frozenset(ROW_FIELDS)
NUMBER_FIELDS = ("baseline_value", "observed_value", "delta_value")
NAME_FIELDS: dict[str, tuple[str, ...]] = {
    "entity_type": ENTITY_TYPES,
    "anomaly_type": ANOMALY_TYPES,
    "detection_method": tuple(DETECTION_METHODS.values()),
    "severity": SEVERITIES,
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


@dataclass(frozen=True)
class Report:
    """A submitted report after reading.

    Attributes:
        rows: every valid row in the order given, repeats included.
        invalid: a remark on every invalid row.
    """

    rows: tuple[ReportRow, ...]
    invalid: tuple[SubmissionIssue, ...]

    @property
    def submitted(self) -> int:
        """Rows given, whatever their state."""
        return len(self.rows) + len(self.invalid)

    @property
    def duplicates(self) -> int:
        """Valid rows beyond the first of each key."""
        return len(self.rows) - len({row.key for row in self.rows})


def read_report(rows: object, episode: Episode) -> Report:
    """Read a report against an episode's dates and names.

    Args:
        rows: a list of mappings or models.
        episode: the episode reported on.

    Raises:
        ReportError: not a list, or more than `MAX_ROWS` rows.
    """
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        raise ReportError(f"rows is {echo(rows)}; allowed: a list of rows. Nothing was graded.")
    if len(rows) > MAX_ROWS:
        too_many = f"The report has {len(rows)} rows; allowed: at most {MAX_ROWS}."
        raise ReportError(f"{too_many} Nothing was graded.")
    valid: list[ReportRow] = []
    invalid: list[SubmissionIssue] = []
    for raw in rows:
        fields = raw.model_dump() if hasattr(raw, "model_dump") else raw
        try:
            valid.append(_read_row(fields, episode))
        except ToolArgumentError as problem:
            shown = _shown(fields)
            invalid.append(invalid_row(_loose_key(shown), str(problem), shown))
    return Report(tuple(valid), tuple(invalid))


def preview(report: Report) -> SubmissionPreview:
    """Counts, issues and normalised rows of a report, without any judgement."""
    issues = list(report.invalid)
    seen: set[tuple[str, str, str]] = set()
    for row in report.rows:
        if row.key in seen:
            issues.append(duplicate_issue(row))
        seen.add(row.key)
    return SubmissionPreview(
        valid_rows=len(report.rows),
        invalid_rows=len(report.invalid),
        duplicate_rows=report.duplicates,
        unique_keys=len(seen),
        issues=issues,
        normalized_rows=[MetricSubmissionRow.model_validate(row.as_dict()) for row in report.rows],
    )


def invalid_row(key: str, message: str, row: dict[str, Any]) -> SubmissionIssue:
    """The remark on a row that cannot be read, with the reason."""
    return SubmissionIssue(
        row_key=key, issue_type="invalid_row", message=message, submitted_row=row
    )


def duplicate_issue(row: ReportRow) -> SubmissionIssue:
    """The remark on a row whose key was given before."""
    return SubmissionIssue(
        row_key="|".join(row.key),
        issue_type="duplicate_row",
        message="The same date, entity_type and entity_name were given before.",
        submitted_row=row.as_dict(),
    )


def read_number(name: str, value: object) -> float:
    """A finite number from an int, a float or plain decimal text; never from a bool.

    Raises:
        ToolArgumentError: none of these, or a text longer than `MAX_NUMBER_TEXT`.
    """
    number: float | None = None
    if isinstance(value, str):
        text = value.strip()
        number = float(text) if len(text) <= MAX_NUMBER_TEXT and _NUMBER.fullmatch(text) else None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = None
    if number is None or not math.isfinite(number):
        raise ToolArgumentError(f"{name} is {echo(value)}; allowed: a finite number.")
    return number


def _read_row(fields: object, episode: Episode) -> ReportRow:
    if not isinstance(fields, Mapping):
        allowed = f"an object with {', '.join(ROW_FIELDS)}"
        raise ToolArgumentError(f"The row is {echo(fields)}; allowed: {allowed}.")
    if fields.keys() != FIELDS_OF_A_ROW:
        for name in fields:
            require_listed("row field", name, ROW_FIELDS)
        missing = [name for name in ROW_FIELDS if name not in fields]
        raise ToolArgumentError(f"The row lacks {', '.join(missing)}.")
    episode.day_index(fields["date"])
    for name, names in NAME_FIELDS.items():
        require_listed(name, fields[name], names)
    names = episode.config.funnel_spec.entity_names[fields["entity_type"]]
    require_listed("entity_name", fields["entity_name"], names)
    numbers = {name: read_number(name, fields[name]) for name in NUMBER_FIELDS}
    return ReportRow(**{**fields, **numbers})


def require_listed(kind: str, value: object, allowed: Sequence[str]) -> None:
    """Make sure that a value is one of the allowed names.

    Raises:
        ToolArgumentError: it is not; names the nearest.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ToolArgumentError(unknown_name_message(kind, value, allowed))


def _shown(fields: object) -> dict[str, Any]:
    """A copy of a bad row that is safe to send back: known fields only, values cut."""
    if not isinstance(fields, Mapping):
        return {"row": echo(fields)}
    return {name: _safe(fields[name]) for name in ROW_FIELDS if name in fields}


def _safe(value: object) -> Any:
    plain = value is None or isinstance(value, bool)
    number = isinstance(value, int | float) and abs(value) < 1e15
    text = isinstance(value, str) and len(value) <= 80
    return value if plain or number or text else echo(value)


def _loose_key(shown: Mapping[str, Any]) -> str:
    return "|".join(str(shown.get(name, "?")) for name in ("date", "entity_type", "entity_name"))
