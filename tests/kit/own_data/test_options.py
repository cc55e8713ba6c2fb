"""Options of a table: their checks, and their form on a command line."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from inspect import signature
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from openenv_kit.cli.table_options import with_table_options
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.options import ColumnFilter, ImportOptions, StageRename

TABLE = Path("shop.csv")


def run_command(*arguments: str) -> tuple[Result, list[ImportOptions]]:
    """Run a command that has the options of a table; return its result and its options."""
    received: list[ImportOptions] = []

    def read_table(options: ImportOptions) -> None:
        received.append(options)

    app = typer.Typer()
    app.command()(with_table_options(read_table))
    return CliRunner().invoke(app, arguments), received


def ignore_options(options: ImportOptions) -> None:
    """Do nothing; a command whose only options are those of a table."""
    del options


def parse(*arguments: str) -> ImportOptions:
    result, received = run_command(*arguments)
    assert result.exit_code == 0, result.output
    return received[0]


def test_command_line_without_options_gives_the_defaults() -> None:
    assert parse("shop.csv") == ImportOptions(table=TABLE)


def test_each_option_of_the_command_line_is_read() -> None:
    options = parse(
        *("shop.csv", "--stages", "a, b,c", "--date-column", "d", "--time-column", "t"),
        *("--metric-column", "m", "--value-column", "v", "--id-column", "i"),
        *("--where", "country=DE", "--where", "x=a=b", "--sum", "--separator", "tab"),
        *("--decimal", ",", "--thousands", ".", "--encoding", "latin-1"),
        *("--date-format", "%d.%m.%Y", "--timezone", "Europe/Berlin", "--country", "US-NY"),
        *("--calendar", "events.csv", "--from", "2024-01-01", "--until", "2024-12-31"),
        *("--keep-last", "--late-days", "3", "--running-total", "--rename", "a=visits"),
        *("--sql", "select 1", "--database", "shop.duckdb"),
    )
    assert options == ImportOptions(
        table=TABLE,
        stages=("a", "b", "c"),
        date_column="d",
        time_column="t",
        metric_column="m",
        value_column="v",
        id_column="i",
        where=(ColumnFilter("country", "DE"), ColumnFilter("x", "a=b")),
        sum_rows=True,
        separator="\t",
        decimal=",",
        thousands=".",
        encoding="latin-1",
        date_format="%d.%m.%Y",
        timezone="Europe/Berlin",
        country="US-NY",
        calendar=Path("events.csv"),
        from_date=date(2024, 1, 1),
        until_date=date(2024, 12, 31),
        keep_last=True,
        late_days=3,
        running_total=True,
        rename=(StageRename("a", "visits"),),
        sql="select 1",
        database=Path("shop.duckdb"),
    )


def test_each_field_but_those_of_the_import_and_limits_has_an_option_with_a_help_text() -> None:
    parameters = signature(with_table_options(ignore_options)).parameters
    fields_of_import = {"name", "out", "force", "max_parquet_rows"}
    assert set(parameters) == {field.name for field in fields(ImportOptions)} - fields_of_import
    assert all(get_args(parameter.annotation)[1].help for parameter in parameters.values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"table": None}, "No table was given; allowed: a file, or --sql with --database."),
        (
            {"database": Path("x.duckdb")},
            "--database needs --sql with a SELECT that reads from it.",
        ),
        ({"sql": " "}, "--sql is ' '; allowed: one SELECT."),
        ({"stages": ("a", "b", "a")}, "--stages names a stage twice."),
        (
            {"event_column": "e", "value_column": "v"},
            "--event-column is for event logs, --metric-column and --value-column are for tables "
            "of counts; pass one or the other.",
        ),
        ({"separator": "x"}, "--separator is 'x'; allowed: ',', ';', '\\t', '|'."),
        ({"decimal": ";"}, "--decimal is ';'; allowed: '.', ','."),
        ({"thousands": ";"}, """--thousands is ';'; allowed: '.', ',', "'", ' ', '_'."""),
        ({"thousands": ".", "decimal": "."}, "--decimal and --thousands must differ."),
        (
            {"encoding": "ascii"},
            "--encoding is 'ascii'; allowed: 'utf-8', 'utf-16', 'latin-1', 'cp1252'.",
        ),
        (
            {"date_format": "%d %Q %Y"},
            "--date-format is '%d %Q %Y'; allowed: the directives %Y %y %m %d %H %I %M %S %f %p "
            "%b %B %z.",
        ),
        (
            {"date_format": "%m/%Y"},
            "--date-format is '%m/%Y'; allowed: a format with year, month and day.",
        ),
        (
            {"date_format": "%d%d%m%Y"},
            "--date-format is '%d%d%m%Y'; allowed: each directive once.",
        ),
        (
            {"timezone": "Europe/Berln"},
            "--timezone is 'Europe/Berln'; allowed: a name such as Europe/Berlin. Did you mean "
            "'Europe/Berlin'?",
        ),
        ({"country": "usa"}, "--country is 'usa'; allowed: a code such as US or US-NY."),
        ({"late_days": 61}, "--late-days is 61; allowed: a whole number from 0 to 60."),
        (
            {"from_date": date(2024, 2, 1), "until_date": date(2024, 1, 1)},
            "--from is 2024-02-01, which is after --until (2024-01-01).",
        ),
        (
            {"name": "My shop"},
            "--name is 'My shop'; allowed: 1 to 40 lower-case letters, digits and underscores.",
        ),
        ({"rename": (StageRename("a", ""),)}, "--rename is 'a='; allowed: OLD=NEW."),
        ({"where": (ColumnFilter("", "a"),)}, "--where is '=a'; allowed: COLUMN=VALUE."),
    ],
)
def test_wrong_option_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as problem:
        ImportOptions(**{"table": TABLE, **given})
    assert str(problem.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--where", "country"), "--where is 'country'; allowed: NAME=VALUE"),
        (("--rename", "=visits"), "--rename is '=visits'; allowed: NAME=VALUE"),
        (("--from", "1.1.2024"), "'1.1.2024' does not"),
    ],
)
def test_argument_that_cannot_be_parsed_is_refused(
    arguments: tuple[str, str], message: str
) -> None:
    result, received = run_command("shop.csv", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert received == []
