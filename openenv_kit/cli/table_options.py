"""Adds the options for reading a user's table to a Typer command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from openenv_kit.own_data.options import (
    ENCODINGS,
    MAX_LATE_DAYS,
    SEPARATORS,
    ColumnFilter,
    ImportOptions,
    StageRename,
)

OPTIONS_PARAMETER = "options"
"""Name of the parameter that `with_table_options` replaces with command-line options."""
_FILE, _COLUMNS, _DAYS = "File", "Columns", "Days"
"""Groups of options in the help."""


def build_import_options(
    table: Annotated[
        Path | None,
        typer.Argument(help="CSV, TSV (also .gz) or Parquet file. Not needed with --database."),
    ] = None,
    stages: Annotated[
        str,
        typer.Option(
            help="Columns or metrics in funnel order, separated by commas. Default: from the "
            "table, if its order is clear.",
            rich_help_panel=_COLUMNS,
        ),
    ] = "",
    date_column: Annotated[
        str | None,
        typer.Option(help="Column of dates or times.", rich_help_panel=_COLUMNS),
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(
            help="Column of hours, if the date column has none.", rich_help_panel=_COLUMNS
        ),
    ] = None,
    metric_column: Annotated[
        str | None,
        typer.Option(
            help="Column of a long or pivoted table with the names of the stages.",
            rich_help_panel=_COLUMNS,
        ),
    ] = None,
    value_column: Annotated[
        str | None,
        typer.Option(help="Column of a long table with the counts.", rich_help_panel=_COLUMNS),
    ] = None,
    event_column: Annotated[
        str | None,
        typer.Option(
            help="Column of an event log with the names of the stages.", rich_help_panel=_COLUMNS
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(
            help="Column of row identifiers; only the earliest row of each is kept.",
            rich_help_panel=_COLUMNS,
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Keep only rows with this value; may be repeated.",
            rich_help_panel=_COLUMNS,
        ),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="Give a stage another name; may be repeated.",
            rich_help_panel=_COLUMNS,
        ),
    ] = None,
    sql: Annotated[
        str | None,
        typer.Option(help="One SELECT to read instead of the whole file.", rich_help_panel=_FILE),
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option(help="DuckDB database for --sql; opened read-only.", rich_help_panel=_FILE),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(
            help=f"Separator of cells: {', '.join(SEPARATORS)} or the character. Default: "
            "detected.",
            rich_help_panel=_FILE,
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            help=f"Encoding of a text file: {', '.join(ENCODINGS)}. Default: detected.",
            rich_help_panel=_FILE,
        ),
    ] = None,
    decimal: Annotated[
        str | None,
        typer.Option(
            help="Decimal mark of the counts: . or ,. Default: detected.", rich_help_panel=_FILE
        ),
    ] = None,
    thousands: Annotated[
        str | None,
        typer.Option(
            help="Mark between groups of three digits. Default: detected.", rich_help_panel=_FILE
        ),
    ] = None,
    date_format: Annotated[
        str | None,
        typer.Option(
            help="Format of dates, such as %d/%m/%Y. Default: detected.", rich_help_panel=_FILE
        ),
    ] = None,
    sum_rows: Annotated[
        bool,
        typer.Option(
            "--sum", help="Add the counts of rows with the same date.", rich_help_panel=_DAYS
        ),
    ] = False,
    timezone: Annotated[
        str | None,
        typer.Option(help="Local time zone, such as Europe/Berlin.", rich_help_panel=_DAYS),
    ] = None,
    times_are_utc: Annotated[
        bool,
        typer.Option(
            "--times-are-utc",
            help="Times without an offset are in UTC, not local; needs --timezone.",
            rich_help_panel=_DAYS,
        ),
    ] = False,
    country: Annotated[
        str | None,
        typer.Option(
            help="Country for public holidays, such as US or US-NY.", rich_help_panel=_DAYS
        ),
    ] = None,
    calendar: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with the columns date, title and explains.", rich_help_panel=_DAYS
        ),
    ] = None,
    from_date: Annotated[
        datetime | None,
        typer.Option(
            "--from", formats=["%Y-%m-%d"], help="First day to use.", rich_help_panel=_DAYS
        ),
    ] = None,
    until_date: Annotated[
        datetime | None,
        typer.Option(
            "--until", formats=["%Y-%m-%d"], help="Last day to use.", rich_help_panel=_DAYS
        ),
    ] = None,
    keep_last: Annotated[
        bool,
        typer.Option(
            "--keep-last",
            help="Keep the last day even if it looks incomplete.",
            rich_help_panel=_DAYS,
        ),
    ] = False,
    late_days: Annotated[
        int,
        typer.Option(
            help=f"Number of days to drop at the end, 0 to {MAX_LATE_DAYS}, because their counts "
            "may still change.",
            rich_help_panel=_DAYS,
        ),
    ] = 0,
    running_total: Annotated[
        bool,
        typer.Option(
            "--running-total",
            help="The counts are totals since the start; use their differences.",
            rich_help_panel=_DAYS,
        ),
    ] = False,
) -> ImportOptions:
    """Build the import options from the values of the command-line options.

    Raises:
        ConfigurationError: an option has an invalid value.
    """
    return ImportOptions(
        table=table,
        stages=tuple(stage.strip() for stage in stages.split(",") if stage.strip()),
        date_column=date_column,
        time_column=time_column,
        metric_column=metric_column,
        value_column=value_column,
        event_column=event_column,
        id_column=id_column,
        where=tuple(ColumnFilter(*_split_pair("--where", text)) for text in where or ()),
        rename=tuple(StageRename(*_split_pair("--rename", text)) for text in rename or ()),
        sql=sql,
        database=database,
        separator=None if separator is None else _parse_separator(separator),
        encoding=encoding,
        decimal=decimal,
        thousands=thousands,
        date_format=date_format,
        sum_rows=sum_rows,
        timezone=timezone,
        times_are_utc=times_are_utc,
        country=country,
        calendar=calendar,
        from_date=None if from_date is None else from_date.date(),
        until_date=None if until_date is None else until_date.date(),
        keep_last=keep_last,
        late_days=late_days,
        running_total=running_total,
    )


def with_table_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `options` of a command with command-line options for reading a table.

    Typer reads options from the signature of a command, so the signature is replaced.
    """
    table_parameters = _get_evaluated_parameters(build_import_options)
    own_parameters = _get_evaluated_parameters(command)
    del own_parameters[OPTIONS_PARAMETER]

    @wraps(command)
    def command_with_options(**values: Any) -> None:
        options = build_import_options(**{name: values.pop(name) for name in table_parameters})
        command(options=options, **values)

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*table_parameters.values(), *own_parameters.values())
    ]
    command_with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command_with_options


def _get_evaluated_parameters(function: Callable[..., object]) -> dict[str, inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    return {
        name: parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(function).parameters.items()
    }


def _split_pair(option: str, text: str) -> tuple[str, str]:
    left, mark, right = text.partition("=")
    if not mark or not left.strip():
        raise typer.BadParameter(f"{option} is {text!r}; allowed: NAME=VALUE")
    return left.strip(), right.strip()


def _parse_separator(text: str) -> str:
    return SEPARATORS.get(text, "\t" if text == "\\t" else text)
