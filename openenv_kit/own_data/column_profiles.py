"""Describes the columns of a table from its first rows, and finds columns by name."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from openenv_kit.errors import find_nearest_name
from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.date_formats import DateFormat, find_date_format, parse_date_directives
from openenv_kit.own_data.number_formats import MISSING_TEXTS
from openenv_kit.own_data.read_table import TableSource

SAMPLE_ROWS = 2_000
"""Number of rows from which shape and columns are detected."""
MIN_DATE_SHARE = 0.8
"""Smallest share of cells that must be dates (or numbers) in a column of dates (or numbers). It is
below 1 because rows with totals, for example, have no date."""
MAX_METRICS = 50
"""Largest number of distinct texts in a column that names metrics."""
MAX_LISTED_NAMES = 12

_NUMBER = re.compile(r"[-−+(]?\d[\d.,'’ \u00a0\u202f_]*\)?")
_WHOLE_NUMBER = re.compile(r"(?:\d{1,3}(?:[.,'’ \u00a0\u202f_]\d{3})+|\d+)(?:[.,]0+)?")
_DATE_WORDS = re.compile(
    r"date|day|time|hour|month|week|datum|tag|zeit|fecha|jour|timestamp|created|ts$|at$|dt$", re.I
)


@dataclass(frozen=True)
class ColumnProfile:
    """A column of a table, described by its non-empty cells in the first rows.

    Attributes:
        position: position in the table, from 0.
        name: name in the header.
        cells: trimmed texts of the non-empty cells.
    """

    position: int
    name: str
    cells: tuple[str, ...]

    @cached_property
    def date_format(self) -> DateFormat | None:
        """Most frequent date format of the cells; None if the column has no dates.

        Cells that consist of digits are treated as dates only if the column's name contains a word
        such as `date`.
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
        """Whether the cells can be read as numbers, including decimals."""
        return self._compute_matching_share(_NUMBER) >= MIN_DATE_SHARE and not self.is_percent

    @cached_property
    def is_count(self) -> bool:
        """Whether the cells can be read as whole numbers of at least 0."""
        return self.is_number and self._compute_matching_share(_WHOLE_NUMBER) >= MIN_DATE_SHARE

    @cached_property
    def is_flag(self) -> bool:
        """Whether each cell is 0 or 1."""
        return bool(self.cells) and set(self.cells) <= {"0", "1"}

    @cached_property
    def is_percent(self) -> bool:
        """Whether the name or a cell has a percent sign."""
        return "%" in self.name or any(cell.endswith("%") for cell in self.cells)

    @cached_property
    def texts(self) -> frozenset[str]:
        """The distinct texts of the cells."""
        return frozenset(self.cells)

    @cached_property
    def has_few_texts(self) -> bool:
        """Whether the cells are text with at most `MAX_METRICS` distinct values."""
        is_text = not self.is_number and not self.is_percent and self.date_format is None
        return is_text and 1 <= len(self.texts) <= MAX_METRICS

    def _compute_matching_share(self, pattern: re.Pattern[str]) -> float:
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
        raise TableRefused("The table has a header but no rows.")
    profiles = tuple(
        ColumnProfile(position, name, tuple(row[position] for row in rows if row[position]))
        for position, name in enumerate(source.columns)
    )
    if date_format is not None:
        own_format = parse_date_directives(date_format)
        for profile in profiles:
            matching = sum(own_format.matches(cell) for cell in profile.cells)
            if profile.cells and matching >= MIN_DATE_SHARE * len(profile.cells):
                # The cached property of a frozen dataclass is set in its __dict__.
                profile.__dict__["date_format"] = own_format
    return profiles


def find_column(
    profiles: tuple[ColumnProfile, ...], option: str, name: str, given: Collection[str] = ()
) -> ColumnProfile:
    """Return the column with a name that was given by an option.

    Args:
        profiles: the columns.
        option: the option, for the error message.
        name: name of the column.
        given: other names that the option has, which the error message does not suggest.

    Raises:
        TableRefused: no column has this name, or several columns have it.
    """
    found = [profile for profile in profiles if profile.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise TableRefused(
            f"{option} {name}: {len(found)} columns have this name; rename one in the file."
        )
    names = [profile.name for profile in profiles if profile.name]
    nearest = find_nearest_name(name, [other for other in names if other not in given])
    hint = f" Did you mean {nearest!r}?" if nearest else ""
    raise TableRefused(f"{option} {name}: no column has this name.{hint} {describe_columns(names)}")


def describe_columns(names: list[str]) -> str:
    """Return a sentence that lists the first columns and the number of remaining columns."""
    shown = ", ".join(name[:40] for name in names[:MAX_LISTED_NAMES])
    rest = len(names) - MAX_LISTED_NAMES
    return f"Columns: {shown}{f' and {rest} more' if rest > 0 else ''}."
