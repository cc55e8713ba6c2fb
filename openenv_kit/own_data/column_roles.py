"""The shape of a table and the roles of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TableShape(StrEnum):
    """What a row of a table is."""

    WIDE = "wide"
    LONG = "long"
    PIVOTED = "pivoted"
    EVENTS = "event log"
    CASES = "one row per case"

    @property
    def is_counted(self) -> bool:
        """Whether rows are counted, instead of having counts."""
        return self in (TableShape.EVENTS, TableShape.CASES)


@dataclass(frozen=True, kw_only=True)
class ColumnRoles:
    """The shape of a table and the positions of its columns.

    Attributes:
        shape: what a row is.
        date: column of dates; None if the headers are dates.
        time: column of hours.
        metric: column that names the stage of a row.
        value: column of counts, of a long table.
        id: column that identifies rows.
        stages: columns of counts or flags, of a wide table or one of cases.
        date_headers: columns whose headers are dates, of a pivoted table.
        other_texts: columns of few texts without a role.
        notes: what was assumed.
    """

    shape: TableShape
    date: int | None = None
    time: int | None = None
    metric: int | None = None
    value: int | None = None
    id: int | None = None
    stages: tuple[int, ...] = ()
    date_headers: tuple[int, ...] = ()
    other_texts: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
