"""Result of reading a table: its cleaned counts and a report, or the error for a rejected table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from openenv_kit.errors import KitError
from openenv_kit.own_data.stage_counts import StageCounts

WHAT_FITS = (
    "What fits: counts of two to eight stages, each a part of the one before it, "
    "for at least 84 days."
)
"""Sentence that starts the documentation, the command's help and the error for a rejected table."""


class TableRefused(KitError):
    """Raised if a table cannot be used. The message states the place, the problem and a remedy.

    The message quotes at most one cell, and only from a date or count column, because other cells
    may be confidential.
    """


@dataclass(frozen=True)
class CalendarEntry:
    """A line of the user's calendar.

    Attributes:
        date: day of the event.
        title: name of the event.
        explains: names of the series whose deviations the event explains; empty for all series.
    """

    date: date
    title: str
    explains: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TableDescription:
    """The format and the shape in which a table was read.

    Attributes:
        format: `CSV`, `TSV`, `Parquet` or `SQL`.
        separator: name of the separator, such as `comma`; empty if the table is not a text file.
        encoding: encoding, such as `UTF-8`; empty if the table is not a text file.
        shape: meaning of a row, such as `wide, one row an hour`.
        notes: assumptions that were made, one sentence each.
    """

    format: str
    separator: str = ""
    encoding: str = ""
    shape: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [part for part in (self.format, self.separator, self.encoding) if part]
        return f"{', '.join(parts)}; {self.shape}"


@dataclass(frozen=True, kw_only=True)
class CleanedTable:
    """The cleaned counts of a table, with a report of how they were read.

    Attributes:
        stage_counts: the cleaned counts.
        actions: changes made while cleaning, in order. Each is one line that contains a count.
        warnings: problems that the user should check before using the table.
        description: format and shape of the table.
        renamed_stages: original name in the table by new stage name, for renamed stages.
        calendar: the user's own calendar entries. `stage_counts.holidays` contains their days too.
    """

    stage_counts: StageCounts
    actions: tuple[str, ...]
    warnings: tuple[str, ...]
    description: TableDescription
    renamed_stages: dict[str, str] = field(default_factory=dict)
    calendar: tuple[CalendarEntry, ...] = ()
