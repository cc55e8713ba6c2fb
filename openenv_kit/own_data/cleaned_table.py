"""The result of reading a table: its cleaned counts, what was done to it, or why it was refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from openenv_kit.errors import KitError
from openenv_kit.own_data.stage_counts import StageCounts

WHAT_FITS = (
    "What fits: counts of two to eight stages, each a part of the one before it, "
    "for at least 84 days."
)
"""First sentence of the documentation, of the command's help and of every refusal it prints."""


class TableRefused(KitError):
    """A table cannot be used; the message names the place, what was found and what helps.

    The message quotes at most one cell, and only of a date or count column.
    """


@dataclass(frozen=True)
class CalendarEntry:
    """A line of the user's calendar.

    Attributes:
        date: day of the event.
        title: name of the event.
        explains: series whose deviations the event explains; empty for all.
    """

    date: date
    title: str
    explains: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TableDescription:
    """How a table was read.

    Attributes:
        format: `CSV`, `TSV`, `Parquet` or `SQL`.
        separator: name of the separator, such as `comma`; empty except for text files.
        encoding: such as `UTF-8`; empty except for text files.
        shape: such as `wide, one row an hour`.
        notes: what was assumed, one sentence each.
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
    """The counts of a table and everything that reading it reports.

    Attributes:
        stage_counts: the cleaned counts.
        actions: what cleaning did, one line with a count each, in the order of the conditions.
        warnings: what the user should look at before the table is used.
        description: what was read.
        renamed_stages: name in the table by stage, for stages whose name changed.
        calendar: the user's own calendar entries; `stage_counts.holidays` names their days too.
    """

    stage_counts: StageCounts
    actions: tuple[str, ...]
    warnings: tuple[str, ...]
    description: TableDescription
    renamed_stages: dict[str, str] = field(default_factory=dict)
    calendar: tuple[CalendarEntry, ...] = ()
