"""Options of a table that are read from a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from openenv_kit.cli.option_text import parse_option_text
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.options import ImportOptions

TABLE = Path("shop.csv")


def test_options_of_a_text_are_read_and_the_table_and_limit_are_added() -> None:
    options = parse_option_text("--stages 'visits, orders' --country US", TABLE, 7)
    assert options == ImportOptions(
        table=TABLE, stages=("visits", "orders"), country="US", max_parquet_rows=7
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--stagess a", "No such option: --stagess"),
        ("--sql 'select 1'", "--sql reads another file than the table"),
        ("--calendar events.csv", "--calendar reads another file than the table"),
        ("other.csv", "unexpected extra argument"),
        ("--help", "No such option: --help"),
        ("--where a", "--where is 'a'; allowed: NAME=VALUE"),
        ("'", "No closing quotation"),
        ("--late-days x", "--late-days"),
    ],
)
def test_wrong_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as problem:
        parse_option_text(text, TABLE, 7)
    assert message in str(problem.value)
