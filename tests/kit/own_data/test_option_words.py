"""Options of a table as words of a command line."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import date
from pathlib import Path

from openenv_kit.cli.option_text import parse_option_text
from openenv_kit.own_data.option_words import list_command_words
from openenv_kit.own_data.options import ColumnFilter, ImportOptions, StageRename

TABLE = Path("shop.csv")


def test_words_are_read_as_the_same_options() -> None:
    options = ImportOptions(
        table=TABLE,
        stages=("visits", "add to cart"),
        where=(ColumnFilter("site", "a b"), ColumnFilter("kind", "x")),
        rename=(StageRename("add to cart", "carts"),),
        separator="\t",
        timezone="Europe/Berlin",
        times_are_utc=True,
        country="DE",
        sum_rows=True,
        from_date=date(2024, 1, 1),
        until_date=date(2024, 6, 30),
        late_days=3,
    )
    table, *words = list_command_words(replace(options, name="web", force=True))
    assert table == "shop.csv"
    assert parse_option_text(shlex.join(words), TABLE, options.max_parquet_rows) == options


def test_only_names_of_files_are_printed() -> None:
    options = ImportOptions(
        database=Path("/home/me/shop.duckdb"), sql="select 1", calendar=Path("/home/me/days.csv")
    )
    assert list_command_words(options) == (
        *("--sql", "select 1"),
        *("--database", "shop.duckdb"),
        *("--calendar", "days.csv"),
    )
