"""Adds the options for reading a table to a command, and reads them from its arguments."""

from __future__ import annotations

import argparse
from dataclasses import fields
from datetime import date
from pathlib import Path

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


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add all options for reading a table to a parser, except the positional argument `table`."""
    add_file_options(parser)
    add_column_options(parser)
    add_cleaning_options(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--name", help="name of the product; default: the file's name")
    group.add_argument("--out", type=Path, metavar="FILE", help="file to write")
    group.add_argument("--force", action="store_true", help="overwrite an existing file")


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the file or query and its format."""
    group = parser.add_argument_group("file")
    group.add_argument("--sql", metavar="SELECT", help="one SELECT to read instead of the file")
    group.add_argument(
        "--database", type=Path, metavar="FILE", help="DuckDB database for --sql; read only"
    )
    group.add_argument(
        "--separator",
        type=_parse_separator,
        metavar="MARK",
        help=f"separator of cells: {', '.join(SEPARATORS)} or the character; default: detected",
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
        "--date-format",
        metavar="FORMAT",
        help="format of dates, such as %%d/%%m/%%Y; default: detected",
    )


def add_column_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name columns and stages."""
    group = parser.add_argument_group("columns")
    group.add_argument(
        "--stages",
        type=_parse_stages,
        default=(),
        metavar="A,B,C",
        help="columns or metrics in funnel order; default: from the table, if its order is clear",
    )
    for option, meaning in (
        ("--date-column", "dates or times"),
        ("--time-column", "hours, if the date column has none"),
        ("--metric-column", "names of the stages in a long or pivoted table"),
        ("--value-column", "counts in a long table"),
        ("--event-column", "names of the stages in an event log"),
        ("--id-column", "row identifiers; only the earliest row of each identifier is kept"),
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
    """Add the options for the selection and the cleaning of days."""
    group = parser.add_argument_group("days")
    group.add_argument(
        "--sum",
        dest="sum_rows",
        action="store_true",
        help="add the counts of rows with the same date",
    )
    group.add_argument("--timezone", metavar="ZONE", help="local time zone, such as Europe/Berlin")
    group.add_argument(
        "--country", metavar="CODE", help="country for public holidays, such as US or US-NY"
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
        help=f"drop the last N days (0 to {MAX_LATE_DAYS}), if counts still change; default: 0",
    )
    group.add_argument(
        "--running-total",
        action="store_true",
        help="counts are totals since the start; use their differences",
    )


def read_import_options(arguments: argparse.Namespace) -> ImportOptions:
    """Return the options from parsed arguments; other attributes are ignored.

    Raises:
        ConfigurationError: an option has an invalid value.
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
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a date; allowed: a date such as 2024-12-31"
        ) from None


def _parse_filter(text: str) -> ColumnFilter:
    column, _, value = _require_pair(text).partition("=")
    return ColumnFilter(column.strip(), value.strip())


def _parse_rename(text: str) -> StageRename:
    old, _, new = _require_pair(text).partition("=")
    return StageRename(old.strip(), new.strip())


def _require_pair(text: str) -> str:
    if not text.partition("=")[0].strip() or "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a pair; allowed: NAME=VALUE")
    return text
