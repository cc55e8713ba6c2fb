"""Options for reading a table: the format of its file and how rows are turned into stage counts."""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

from openenv_kit.errors import ConfigurationError, InvalidValueError, find_nearest_name

MAX_LATE_DAYS = 60
"""Largest value of `--late-days`. If counts change for more days, daily data is not usable."""
MAX_PARQUET_ROWS = 200_000_000
"""Largest number of rows of a Parquet file. Its size does not limit them, because a column of one
repeated value takes no space."""
ENCODINGS = ("utf-8", "utf-16", "latin-1", "cp1252")
"""Encodings that `--encoding` allows."""
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""Separator characters of text files by their name in options and messages."""
DECIMAL_MARKS = (".", ",")
THOUSANDS_MARKS = (".", ",", "'", " ", "_")
DATE_DIRECTIVES = "YymdHIMSfpbBz"
"""Directives of `strptime` that `--date-format` allows."""


class ColumnFilter(NamedTuple):
    """Condition that a row contains `value` in the column `column`."""

    column: str
    value: str


class StageRename(NamedTuple):
    """Old and new name of a stage."""

    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Options of the commands that read a table: `table`, or `sql` and `database`, is required.

    Attributes:
        table: file to read; if `sql` is given, the file that the query may read.
        stages: names of columns or metrics in funnel order; empty to take them from the table.
        date_column: column of dates or times.
        time_column: column of the hour, if the date column has none.
        metric_column: column of a long or pivoted table with the names of the stages.
        value_column: column of a long table with the counts.
        event_column: column of an event log with the names of the stages.
        id_column: column that identifies a row; only the earliest row of each id is kept.
        sql: SELECT statement to read instead of a whole file.
        database: DuckDB database for the query, opened read-only.
        where: conditions that a row must meet to be kept.
        sum_rows: whether the counts of rows with the same date and stage are added.
        separator: character between the cells of a text file; None to detect it.
        decimal: decimal mark of the counts; None to detect it.
        thousands: mark between groups of three digits; None to detect it.
        encoding: encoding of a text file; None to detect it.
        date_format: format of the date column for `strptime`; None to detect it.
        timezone: time zone that times with an offset are converted to.
        times_are_utc: whether times without an offset are in UTC; needs `timezone`.
        country: country code for public holidays, such as `US`, or with a subdivision, `US-NY`.
        calendar: CSV file with the columns date, title and explains.
        from_date: first day to use.
        until_date: last day to use.
        keep_last: whether the last day is kept even if it looks incomplete.
        late_days: number of days to drop at the end because their counts may still change.
        running_total: whether counts are totals since the start; their differences are then used.
        rename: stages to rename, with their new names.
        name: name of the product; None to derive it from the name of the file.
        out: file to write; None to derive its name from the product.
        force: whether an existing file is overwritten.
        max_parquet_rows: largest allowed number of rows of a Parquet file, according to its footer.
    """

    table: Path | None = None
    stages: tuple[str, ...] = ()
    date_column: str | None = None
    time_column: str | None = None
    metric_column: str | None = None
    value_column: str | None = None
    event_column: str | None = None
    id_column: str | None = None
    sql: str | None = None
    database: Path | None = None
    where: tuple[ColumnFilter, ...] = ()
    sum_rows: bool = False
    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    date_format: str | None = None
    timezone: str | None = None
    times_are_utc: bool = False
    country: str | None = None
    calendar: Path | None = None
    from_date: date | None = None
    until_date: date | None = None
    keep_last: bool = False
    late_days: int = 0
    running_total: bool = False
    rename: tuple[StageRename, ...] = field(default=())
    name: str | None = None
    out: Path | None = None
    force: bool = False
    max_parquet_rows: int = MAX_PARQUET_ROWS

    @property
    def input_files(self) -> tuple[Path, ...]:
        """Files that the command reads."""
        files = (self.table, self.database, self.calendar)
        return tuple(path for path in files if path is not None)

    def __post_init__(self) -> None:
        """Check each option and the combinations of options.

        Raises:
            ConfigurationError: an option has an invalid value. The message names the option.
        """
        _check_sources(self)
        _check_columns(self)
        _check_choice("--separator", self.separator, tuple(SEPARATORS.values()))
        _check_choice("--decimal", self.decimal, DECIMAL_MARKS)
        _check_choice("--thousands", self.thousands, THOUSANDS_MARKS)
        _check_choice("--encoding", self.encoding, ENCODINGS)
        if self.decimal is not None and self.decimal == self.thousands:
            raise ConfigurationError("--decimal and --thousands must differ.")
        if self.date_format is not None:
            _check_date_format(self.date_format)
        if self.timezone is not None and self.timezone not in zoneinfo.available_timezones():
            nearest = find_nearest_name(self.timezone, zoneinfo.available_timezones())
            hint = f" Did you mean {nearest!r}?" if nearest else ""
            raise ConfigurationError(
                f"--timezone is {self.timezone!r}; allowed: a name such as Europe/Berlin.{hint}"
            )
        if self.times_are_utc and self.timezone is None:
            raise ConfigurationError(
                "--times-are-utc needs --timezone, such as Europe/Berlin, so that days begin at "
                "local midnight."
            )
        if self.country is not None and not re.fullmatch(
            r"[A-Z]{2}(-[A-Z0-9]{1,5})?", self.country
        ):
            raise InvalidValueError("--country", self.country, "a code such as US or US-NY")
        if not 0 <= self.late_days <= MAX_LATE_DAYS:
            raise InvalidValueError(
                "--late-days", self.late_days, f"a whole number from 0 to {MAX_LATE_DAYS}"
            )
        if self.from_date and self.until_date and self.from_date > self.until_date:
            raise ConfigurationError(
                f"--from is {self.from_date}, which is after --until ({self.until_date})."
            )
        if self.name is not None and not re.fullmatch(r"[a-z0-9_]{1,40}", self.name):
            raise InvalidValueError(
                "--name", self.name, "1 to 40 lower-case letters, digits and underscores"
            )


def _check_sources(options: ImportOptions) -> None:
    if options.database is not None and options.sql is None:
        raise ConfigurationError("--database needs --sql with a SELECT that reads from it.")
    if options.table is None and options.database is None:
        raise ConfigurationError("No table was given; allowed: a file, or --sql with --database.")
    if options.sql is not None and not options.sql.strip():
        raise InvalidValueError("--sql", options.sql, "one SELECT")


def _check_columns(options: ImportOptions) -> None:
    if len(set(options.stages)) < len(options.stages):
        raise ConfigurationError("--stages names a stage twice.")
    if options.event_column and (options.metric_column or options.value_column):
        raise ConfigurationError(
            "--event-column is for event logs, --metric-column and --value-column are for tables "
            "of counts; pass one or the other."
        )
    for rename in options.rename:
        if not rename.old or not rename.new:
            raise InvalidValueError("--rename", "=".join(rename), "OLD=NEW")
    for row_filter in options.where:
        if not row_filter.column:
            raise InvalidValueError("--where", "=".join(row_filter), "COLUMN=VALUE")


def _check_choice(option: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise InvalidValueError(option, value, ", ".join(repr(choice) for choice in allowed))


def _check_date_format(date_format: str) -> None:
    directives = re.findall(r"%(.?)", date_format)
    unknown = [f"%{letter}" for letter in directives if letter not in tuple(DATE_DIRECTIVES + "%")]
    if unknown:
        allowed = " ".join(f"%{letter}" for letter in DATE_DIRECTIVES)
        raise InvalidValueError("--date-format", date_format, f"the directives {allowed}")
    has_year = "Y" in directives or "y" in directives
    has_month = any(letter in directives for letter in "mbB")
    if not has_year or not has_month or "d" not in directives:
        raise InvalidValueError("--date-format", date_format, "a format with year, month and day")
    if len(set(directives)) < len(directives):
        raise InvalidValueError("--date-format", date_format, "each directive once")
