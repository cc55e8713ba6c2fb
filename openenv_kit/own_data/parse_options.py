"""Adds the options that describe a table to a command line, and reads them from its arguments."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import NoReturn

from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.options import (
    DECIMAL_MARKS,
    ENCODINGS,
    MAX_LATE_DAYS,
    SEPARATORS,
    THOUSANDS_MARKS,
    ColumnFilter,
    ImportOptions,
    StageRename,
)

OTHER_FILE_OPTIONS = ("sql", "database", "calendar")
"""Options that read other files than the table."""


class _OptionTextParser(argparse.ArgumentParser):
    """Parser that raises an error instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"The options are wrong: {message}.")


def parse_option_text(text: str, table: Path, max_parquet_rows: int) -> ImportOptions:
    """Return the options of an uploaded table, which a visitor typed as on a command line.

    Args:
        text: such as `--stages visits,orders --country US`.
        table: uploaded file.
        max_parquet_rows: largest number of rows of a Parquet file.

    Raises:
        ConfigurationError: an option is unknown, has a wrong value, or would read another file.
    """
    parser = _OptionTextParser(add_help=False, allow_abbrev=False)
    add_file_options(parser)
    add_column_options(parser)
    add_cleaning_options(parser)
    try:
        words = shlex.split(text)
    except ValueError as problem:
        raise ConfigurationError(f"The options are wrong: {problem}.") from None
    arguments = parser.parse_args(words)
    for name in OTHER_FILE_OPTIONS:
        if getattr(arguments, name) is not None:
            raise ConfigurationError(
                f"--{name} reads another file than the table, so it is not allowed here; use "
                "`metric-tracker import`."
            )
    arguments.table, arguments.max_parquet_rows = table, max_parquet_rows
    return options_from_arguments(arguments)


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add every option of a table to a parser, without the positional table."""
    add_file_options(parser)
    add_column_options(parser)
    add_cleaning_options(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--name", help="name of the product; default: the file's name")
    group.add_argument("--out", type=Path, metavar="FILE", help="file to write")
    group.add_argument("--force", action="store_true", help="overwrite an existing file")


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is read and in which format."""
    group = parser.add_argument_group("file")
    group.add_argument("--sql", metavar="SELECT", help="one SELECT to read instead of the file")
    group.add_argument(
        "--database", type=Path, metavar="FILE", help="DuckDB database for --sql; read only"
    )
    group.add_argument(
        "--separator",
        type=_parse_separator,
        metavar="MARK",
        help=f"between cells: {', '.join(SEPARATORS)} or the character itself; default: detected",
    )
    group.add_argument(
        "--encoding", choices=ENCODINGS, help="encoding of a text file; default: detected"
    )
    group.add_argument(
        "--decimal", choices=DECIMAL_MARKS, help="decimal mark of counts; default: detected"
    )
    group.add_argument(
        "--thousands",
        choices=THOUSANDS_MARKS,
        help="mark between groups of three digits; default: detected",
    )
    group.add_argument(
        "--date-format", metavar="FORMAT", help="such as %%d/%%m/%%Y; default: detected"
    )


def add_column_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name columns and stages."""
    group = parser.add_argument_group("columns")
    group.add_argument(
        "--stages",
        type=_parse_stages,
        default=(),
        metavar="A,B,C",
        help="columns or metrics in funnel order; default: taken from the table if evident",
    )
    for option, meaning in (
        ("--date-column", "dates or times"),
        ("--time-column", "hours, if the date column has none"),
        ("--metric-column", "names of the stages in a long or pivoted table"),
        ("--value-column", "counts in a long table"),
        ("--event-column", "names of the stages in an event log"),
        ("--id-column", "identity of a row; of rows with one id, one is kept"),
    ):
        group.add_argument(option, metavar="NAME", help=f"column of {meaning}")
    group.add_argument(
        "--where",
        type=_parse_filter,
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="keep only rows with this value; may be repeated",
    )
    group.add_argument(
        "--rename",
        type=_parse_rename,
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="give a stage another name; may be repeated",
    )


def add_cleaning_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which days count and how."""
    group = parser.add_argument_group("days")
    group.add_argument(
        "--sum", dest="sum_rows", action="store_true", help="add up the rows of one date"
    )
    group.add_argument("--timezone", metavar="ZONE", help="local time zone, such as Europe/Berlin")
    group.add_argument(
        "--country", metavar="CODE", help="country of the public holidays: US, or US-NY"
    )
    group.add_argument(
        "--calendar", type=Path, metavar="FILE", help="CSV with the columns date, title, explains"
    )
    group.add_argument(
        "--from", dest="from_date", type=_parse_date, metavar="DATE", help="first day to use"
    )
    group.add_argument(
        "--until", dest="until_date", type=_parse_date, metavar="DATE", help="last day to use"
    )
    group.add_argument(
        "--keep-last", action="store_true", help="keep the last day even if it looks incomplete"
    )
    group.add_argument(
        "--late-days",
        type=int,
        default=0,
        metavar="N",
        help=f"drop the last N days, 0 to {MAX_LATE_DAYS}, whose counts still change; default: 0",
    )
    group.add_argument(
        "--running-total",
        action="store_true",
        help="counts are totals since the start; use their differences",
    )


def options_from_arguments(arguments: argparse.Namespace) -> ImportOptions:
    """Return the options that were parsed; attributes that are no option are ignored.

    Raises:
        ConfigurationError: an option has a wrong value.
    """
    given = vars(arguments)
    names = (option.name for option in fields(ImportOptions))
    values = {name: given[name] for name in names if name in given}
    for name in ("where", "rename"):
        if name in values:
            values[name] = tuple(values[name])
    return ImportOptions(**values)


def _parse_stages(text: str) -> tuple[str, ...]:
    return tuple(stage.strip() for stage in text.split(",") if stage.strip())


def _parse_separator(text: str) -> str:
    return SEPARATORS.get(text, "\t" if text == "\\t" else text)


def _parse_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; allowed: 2024-12-31") from None


def _parse_filter(text: str) -> ColumnFilter:
    column, _, value = _require_pair(text).partition("=")
    return ColumnFilter(column.strip(), value.strip())


def _parse_rename(text: str) -> StageRename:
    old, _, new = _require_pair(text).partition("=")
    return StageRename(old.strip(), new.strip())


def _require_pair(text: str) -> str:
    if not text.partition("=")[0].strip() or "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no pair; allowed: NAME=VALUE")
    return text
