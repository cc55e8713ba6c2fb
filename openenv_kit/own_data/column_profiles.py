"""Describes the columns of a table from its first rows, and finds columns by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from openenv_kit.errors import find_nearest_name
from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.date_formats import DateFormat, find_date_format, format_from_directives
from openenv_kit.own_data.number_formats import MISSING_TEXTS
from openenv_kit.own_data.read_table import TableSource

SAMPLE_ROWS = 2_000
"""Number of rows from which shape and columns are detected."""
MIN_DATE_SHARE = 0.8
"""Smallest share of a column's cells that are dates. Totals at the end are no dates."""
MAX_METRICS = 50
"""Largest number of different texts in a column that names metrics."""
MAX_LISTED_NAMES = 12

_NUMBER = re.compile(r"[-−+(]?\d[\d.,'’ \u00a0\u202f_]*\)?")
_WHOLE_NUMBER = re.compile(r"(?:\d{1,3}(?:[.,'’ \u00a0\u202f_]\d{3})+|\d+)(?:[.,]0+)?")
_DATE_WORDS = re.compile(
    r"date|day|time|hour|month|week|datum|tag|zeit|fecha|jour|timestamp|created|ts$|at$|dt$", re.I
)


@dataclass(frozen=True)
class ColumnProfile:
    """A column and its cells in the first rows.

    Attributes:
        position: position in the table, from 0.
        name: name in the header.
        cells: trimmed texts of the cells that are not empty.
    """

    position: int
    name: str
    cells: tuple[str, ...]

    @cached_property
    def date_format(self) -> DateFormat | None:
        """Format of most cells; None if they are not dates.

        Digits alone are dates only if the column's name says so.
        """
        formats: dict[DateFormat, int] = {}
        for cell in self.cells:
            found = find_date_format(cell)
            if found is not None and (not cell.isdigit() or _DATE_WORDS.search(self.name)):
                formats[found] = formats.get(found, 0) + 1
        if not formats or sum(formats.values()) < MIN_DATE_SHARE * len(self.cells):
            return None
        return max(formats, key=lambda date_format: formats[date_format])

    @cached_property
    def is_number(self) -> bool:
        """Whether the cells are numbers, decimals included."""
        return self._share(_NUMBER) >= MIN_DATE_SHARE and not self.is_percent

    @cached_property
    def is_count(self) -> bool:
        """Whether the cells can be whole numbers that are not negative."""
        return self.is_number and self._share(_WHOLE_NUMBER) >= MIN_DATE_SHARE

    @cached_property
    def is_flag(self) -> bool:
        """Whether the cells are 0 and 1 only."""
        return bool(self.cells) and set(self.cells) <= {"0", "1"}

    @cached_property
    def is_percent(self) -> bool:
        """Whether the name or the cells are marked as percentages."""
        return "%" in self.name or any(cell.endswith("%") for cell in self.cells)

    @cached_property
    def texts(self) -> frozenset[str]:
        """The different cells."""
        return frozenset(self.cells)

    @cached_property
    def has_few_texts(self) -> bool:
        """Whether the cells are a few different texts that are no numbers."""
        is_text = not self.is_number and not self.is_percent and self.date_format is None
        return is_text and 1 <= len(self.texts) <= MAX_METRICS

    def _share(self, pattern: re.Pattern[str]) -> float:
        cells = [cell for cell in self.cells if cell.lower() not in MISSING_TEXTS]
        if not cells:
            return 0.0
        return sum(pattern.fullmatch(cell) is not None for cell in cells) / len(cells)


def profile_columns(source: TableSource, date_format: str | None) -> tuple[ColumnProfile, ...]:
    """Return the profiles of a table's columns from its first rows.

    Raises:
        TableRefused: the table has no rows.
    """
    names = ", ".join(f"trim(c{position})" for position in range(len(source.columns)))
    rows = source.connection.execute(
        f"SELECT {names} FROM source_rows LIMIT {SAMPLE_ROWS}"
    ).fetchall()
    if not rows:
        raise TableRefused("The table has names of columns but no rows.")
    profiles = tuple(
        ColumnProfile(position, name, tuple(row[position] for row in rows if row[position]))
        for position, name in enumerate(source.columns)
    )
    if date_format is not None:
        own_format = format_from_directives(date_format)
        for profile in profiles:
            matching = sum(own_format.matches(cell) for cell in profile.cells)
            if profile.cells and matching >= MIN_DATE_SHARE * len(profile.cells):
                # The cached property of a frozen dataclass is set in its __dict__.
                profile.__dict__["date_format"] = own_format
    return profiles


def find_column(profiles: tuple[ColumnProfile, ...], option: str, name: str) -> ColumnProfile:
    """Return the column that an option names.

    Raises:
        TableRefused: no column, or several, have the name.
    """
    found = [profile for profile in profiles if profile.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise TableRefused(
            f"{option} {name}: {len(found)} columns have this name; rename one in the file."
        )
    names = [profile.name for profile in profiles if profile.name]
    nearest = find_nearest_name(name, names)
    hint = f" Did you mean {nearest!r}?" if nearest else ""
    raise TableRefused(f"{option} {name}: no column has this name.{hint} {list_columns(names)}")


def list_columns(names: list[str]) -> str:
    """Return a sentence that lists columns, shortened if they are many."""
    shown = ", ".join(name[:40] for name in names[:MAX_LISTED_NAMES])
    rest = len(names) - MAX_LISTED_NAMES
    return f"Columns: {shown}{f' and {rest} more' if rest > 0 else ''}."
