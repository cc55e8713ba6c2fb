"""Options of a table: their checks, and their form on a command line."""

from __future__ import annotations

import argparse
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.options import ColumnFilter, ImportOptions, StageRename
from openenv_kit.own_data.parse_options import add_table_options, options_from_arguments

TABLE = Path("shop.csv")


def parse(*arguments: str) -> ImportOptions:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("table", type=Path, nargs="?")
    add_table_options(parser)
    return options_from_arguments(parser.parse_args(arguments))


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
        *("--name", "shop", "--out", "shop.toml", "--force"),
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
        name="shop",
        out=Path("shop.toml"),
        force=True,
        sql="select 1",
        database=Path("shop.duckdb"),
    )


def test_each_field_has_an_option_with_a_help_text() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_table_options(parser)
    help_texts = {action.dest: action.help for action in parser._actions}
    assert set(help_texts) == {field.name for field in fields(ImportOptions)} - {
        "table",
        "max_parquet_rows",
    }
    assert all(help_texts.values())
    parser.format_help()  # An unescaped percent sign would raise.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"table": None}, "No table was given; allowed: a file, or --sql with --database."),
        ({"database": Path("x.duckdb")}, "--database needs --sql, the SELECT to read from it."),
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
        (("--where", "country"), "'country' is no pair; allowed: NAME=VALUE"),
        (("--rename", "=visits"), "'=visits' is no pair; allowed: NAME=VALUE"),
        (("--from", "1.1.2024"), "'1.1.2024' is no date; allowed: 2024-12-31"),
    ],
)
def test_argument_that_cannot_be_parsed_is_refused(
    arguments: tuple[str, str], message: str
) -> None:
    with pytest.raises(argparse.ArgumentError) as problem:
        parse("shop.csv", *arguments)
    assert problem.value.message == message
