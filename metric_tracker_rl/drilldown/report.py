"""A drill-down report: what a row is, and which submitted rows are valid.

Nothing here knows what is right: a row is checked against the names and dates of the episode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from metric_tracker_rl.drilldown.change_log import UNATTRIBUTED, Entry
from metric_tracker_rl.drilldown.cube import MOST_FIXED
from metric_tracker_rl.drilldown.domains import Domain
from metric_tracker_rl.drilldown.levels import KINDS, MIX, RATE, TRAFFIC
from openenv_kit.errors import (
    InvalidValueError,
    KitError,
    ReportError,
    UnknownNameError,
    echo,
    require_name,
)

MAX_ROWS = 50
"""Most rows in one report; a right one has at most eight."""
FIELDS = ("kind", "stage", "segment", "date_from", "date_to", "change")
"""Fields of a row; all are required."""


class Names(Protocol):
    """What a row is checked against: an episode."""

    @property
    def domain(self) -> Domain:
        """The product."""

    @property
    def dates(self) -> tuple[str, ...]:
        """ISO dates, in order."""

    @property
    def log(self) -> tuple[Entry, ...]:
        """The change log."""


@dataclass(frozen=True, order=True)
class ReportRow:
    """One valid row.

    Attributes:
        kind: rate_change, traffic_change, mix_shift or tracking_loss.
        stage: the stage that the step leads into; the first one for traffic and mix; the stage
            that lost events for a tracking loss.
        segment: (dimension, value) pairs, sorted; empty for everybody.
        date_from, date_to: ISO dates of the first and the last day.
        change: id of a change-log entry, or `unattributed`.
    """

    kind: str
    stage: str
    segment: tuple[tuple[str, str], ...]
    date_from: str
    date_to: str
    change: str

    @property
    def place(self) -> tuple[object, ...]:
        """What must differ between two rows: stage, side, segment and dates."""
        return self.stage, self.is_traffic, self.segment, self.date_from, self.date_to

    @property
    def is_traffic(self) -> bool:
        """Whether it is on the traffic side."""
        return self.kind in (TRAFFIC, MIX)

    def as_dict(self) -> dict[str, Any]:
        """As it is submitted."""
        return {**asdict(self), "segment": dict(self.segment)}


@dataclass(frozen=True)
class InvalidRow:
    """A row that cannot be read, with the reason."""

    message: str
    raw: Any


@dataclass(frozen=True)
class Report:
    """A submitted report after reading.

    Attributes:
        rows: every valid row in the order given, repeats included.
        invalid: every invalid row.
    """

    rows: tuple[ReportRow, ...] = ()
    invalid: tuple[InvalidRow, ...] = ()

    @property
    def submitted(self) -> int:
        """Rows given, whatever their state."""
        return len(self.rows) + len(self.invalid)


def read_report(rows: object, episode: Names) -> Report:
    """A report from what came over the wire.

    Raises:
        ReportError: not a list, or more than `MAX_ROWS` rows; nothing was graded.
    """
    if not isinstance(rows, list | tuple):
        raise ReportError(f"rows is {echo(rows)}; allowed: a list. Nothing was graded.")
    if len(rows) > MAX_ROWS:
        given = f"{len(rows)} rows were given; allowed: at most {MAX_ROWS}"
        raise ReportError(f"{given}. Nothing was graded.")
    valid, invalid = [], []
    for number, raw in enumerate(rows):
        try:
            valid.append(read_row(raw, episode))
        except KitError as problem:
            invalid.append(InvalidRow(f"row {number}: {problem}", raw))
    return Report(tuple(valid), tuple(invalid))


def read_row(raw: object, episode: Names) -> ReportRow:
    """One row.

    Raises:
        UnknownNameError, InvalidValueError: what is wrong, what is allowed, the nearest match.
    """
    if not isinstance(raw, Mapping):
        raise InvalidValueError("row", raw, f"an object with {', '.join(FIELDS)}")
    for field in raw:
        require_name("field", field, FIELDS)
    for field in FIELDS:
        if field not in raw:
            raise InvalidValueError(field, None, "a value; every field is required")
    kind = require_name("kind", raw["kind"], KINDS)
    stage = require_name("stage", raw["stage"], stages_of(kind, episode.domain))
    changes = (UNATTRIBUTED, *(entry.id for entry in episode.log))
    if raw["change"] not in changes:
        raise _unknown_change(raw["change"], changes)
    first, last = (_date(name, raw[name], episode.dates) for name in ("date_from", "date_to"))
    if last < first:
        raise InvalidValueError("date_to", last, f"{first} or later")
    segment = read_segment(raw["segment"], episode.domain)
    return ReportRow(kind, stage, segment, first, last, raw["change"])


def stages_of(kind: str, domain: Domain) -> Sequence[str]:
    """Stages that a root of a kind may have."""
    if kind in (TRAFFIC, MIX):
        return domain.stages[:1]
    return domain.stages[1:] if kind == RATE else domain.stages[1:-1]


def read_segment(raw: object, domain: Domain) -> tuple[tuple[str, str], ...]:
    """A segment of zero to three values.

    Raises:
        UnknownNameError, InvalidValueError: see `read_row`.
    """
    if not isinstance(raw, Mapping):
        raise InvalidValueError("segment", raw, "an object of dimension: value, {} for everybody")
    dims = {dim.name: dim.names for dim in domain.dims}
    for name, value in raw.items():
        require_name("dimension", name, dims)
        require_name(f"value of {name}", value, dims[name])
    if len(raw) > MOST_FIXED:
        raise InvalidValueError("number of values in segment", len(raw), f"0 to {MOST_FIXED}")
    return tuple(sorted(raw.items()))


def preview(report: Report) -> dict[str, Any]:
    """What a report would be read as: form only."""
    repeated = len(report.rows) - len({row.place for row in report.rows})
    return {
        "valid_rows": len(report.rows),
        "invalid_rows": len(report.invalid),
        "repeated_places": repeated,
        "issues": [each.message for each in report.invalid],
        "normalized_rows": [row.as_dict() for row in report.rows],
    }


def _date(name: str, value: object, dates: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in dates:
        return value
    raise InvalidValueError(name, value, f"YYYY-MM-DD from {dates[0]} to {dates[-1]}")


def _unknown_change(value: object, changes: Sequence[str]) -> UnknownNameError:
    """Names the ends of a long list."""
    shown = changes if len(changes) < 8 else (changes[0], changes[1], "…", changes[-1])
    return UnknownNameError("change", value, shown)
