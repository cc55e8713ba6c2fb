"""A report: what a row is, and which are valid.

Nothing here knows what is right: a row is checked against the names and dates of the episode. A
report with a row that cannot be read, or with two rows of one place, is refused with the reason
and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import Field

from drilldown_env.change_log import UNATTRIBUTED, Entry
from drilldown_env.cube import MOST_FIXED
from drilldown_env.domain import Domain
from drilldown_env.levels import MIX, RATE, TRAFFIC
from openenv_kit.errors import InvalidValueError, ReportError, UnknownNameError, require_name
from openenv_kit.tool import ToolArguments

MAX_ROWS = 20
"""Most rows in one report; a right one has at most five."""
UP, DOWN = "up", "down"


class Row(ToolArguments):
    """One root, as it is handed in."""

    kind: Literal["rate_change", "traffic_change", "mix_shift", "tracking_loss"]
    stage: str = Field(description="the stage that the step leads into; the first one for traffic")
    direction: Literal["up", "down"] = Field(description="of the segment's traffic or rate")
    segment: dict[str, str] = Field(description="attribute: value, 0 to 3 of them")
    date_from: str = Field(description="YYYY-MM-DD, first day")
    date_to: str = Field(description="YYYY-MM-DD, last day")
    change: str = Field(description="id in the change log, or unattributed")


@dataclass(frozen=True, order=True)
class ReportRow:
    """One valid row.

    Attributes:
        kind: rate_change, traffic_change, mix_shift or tracking_loss.
        stage: the stage that the step leads into; the first one for traffic and mix; the stage
            that lost events for a tracking loss.
        direction: "up" or "down".
        segment: (attribute, value) pairs, sorted; empty for everybody.
        date_from, date_to: ISO dates of the first and the last day.
        change: id of a change-log entry, or `unattributed`.
    """

    kind: str
    stage: str
    direction: str
    segment: tuple[tuple[str, str], ...]
    date_from: str
    date_to: str
    change: str

    @property
    def place(self) -> tuple[object, ...]:
        """What must differ between two rows: step, direction, segment and dates."""
        return self.stage, self.direction, self.segment, self.date_from, self.date_to

    def as_dict(self) -> dict[str, Any]:
        """As it is submitted."""
        return {**asdict(self), "segment": dict(self.segment)}


def read_report(
    rows: Sequence[Row], domain: Domain, dates: Sequence[str], log: Sequence[Entry]
) -> tuple[ReportRow, ...]:
    """The rows of a report, checked against the names and dates of an episode.

    Raises:
        ReportError: a row cannot be read, or two are of one place; says which, what is allowed and
            the nearest match. Nothing was graded.
    """
    found: list[ReportRow] = []
    for number, raw in enumerate(rows, start=1):
        try:
            row = read_row(raw, domain, dates, log)
        except (UnknownNameError, InvalidValueError) as problem:
            raise ReportError(f"row {number}: {problem} Nothing was submitted.") from None
        for earlier, other in enumerate(found, start=1):
            if row.place == other.place:
                raise ReportError(
                    f"rows {earlier} and {number} are of one place (stage, direction, segment and "
                    "dates); hand in one of them. Nothing was submitted."
                )
        found.append(row)
    return tuple(found)


def read_row(raw: Row, domain: Domain, dates: Sequence[str], log: Sequence[Entry]) -> ReportRow:
    """One row.

    Raises:
        UnknownNameError, InvalidValueError: what is wrong, what is allowed, the nearest match.
    """
    stage = require_name(f"stage of a {raw.kind}", raw.stage, stages_of(raw.kind, domain))
    first, last = (
        require_date(n, d, dates)
        for n, d in (("date_from", raw.date_from), ("date_to", raw.date_to))
    )
    if last < first:
        raise InvalidValueError("date_to", last, f"{first} or later")
    changes = (UNATTRIBUTED, *(entry.id for entry in log))
    if raw.change not in changes:
        allowed = f"{UNATTRIBUTED} or an id from {changes[1]} to {changes[-1]}"
        raise InvalidValueError("change", raw.change, allowed)
    segment = read_segment(raw.segment, domain)
    return ReportRow(raw.kind, stage, raw.direction, segment, first, last, raw.change)


def stages_of(kind: str, domain: Domain) -> Sequence[str]:
    """Stages that a root of a kind may have."""
    if kind in (TRAFFIC, MIX):
        return domain.stages[:1]
    return domain.stages[1:] if kind == RATE else domain.stages[1:-1]


def read_segment(raw: Mapping[str, str], domain: Domain) -> tuple[tuple[str, str], ...]:
    """A segment of zero to three values.

    Raises:
        UnknownNameError, InvalidValueError: see `read_row`.
    """
    dims = {dim.name: dim.names for dim in domain.dims}
    for name, value in raw.items():
        require_name("attribute", name, dims)
        require_name(f"value of {name}", value, dims[name])
    if len(raw) > MOST_FIXED:
        raise InvalidValueError("number of values in segment", len(raw), f"0 to {MOST_FIXED}")
    return tuple(sorted(raw.items()))


def require_date(name: str, value: str, dates: Sequence[str]) -> str:
    """A date of the episode.

    Raises:
        InvalidValueError: it is none; says the first and the last.
    """
    if value in dates:
        return value
    raise InvalidValueError(name, value, f"YYYY-MM-DD from {dates[0]} to {dates[-1]}")
