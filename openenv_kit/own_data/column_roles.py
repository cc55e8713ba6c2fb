"""The shape of a table and the roles of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TableShape(StrEnum):
    """What each row of a table represents."""

    WIDE = "wide"
    LONG = "long"
    PIVOTED = "pivoted"
    EVENTS = "event log"
    CASES = "one row per case"

    @property
    def is_counted(self) -> bool:
        """Whether rows are counted. In tables of other shapes, the cells contain the counts."""
        return self in (TableShape.EVENTS, TableShape.CASES)


@dataclass(frozen=True, kw_only=True)
class ColumnRoles:
    """The shape of a table and the positions of its columns.

    Attributes:
        shape: meaning of a row.
        date: column of dates; None for a pivoted table.
        time: column of hours, if they are not in the date column.
        metric: column with the stage of each row.
        value: column of counts of a long table.
        id: column that identifies rows.
        stages: columns of counts of a wide table, or of flags of a table with one row per case.
        date_headers: columns of a pivoted table that have a date as their header.
        other_texts: text columns with few distinct values that have no role.
        notes: assumptions that were made.
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
