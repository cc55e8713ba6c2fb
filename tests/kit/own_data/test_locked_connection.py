"""Queries and the connection to DuckDB read the given files only, and write nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from kit.own_data.tables import funnel_counts, load, wide_lines, write_lines
from openenv_kit.own_data.clean_table import load_table
from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.locked_connection import open_locked_connection
from openenv_kit.own_data.options import ImportOptions

LINES = wide_lines(funnel_counts())
CSV = "\n".join(LINES) + "\n"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.duckdb"
    source = write_lines(tmp_path / "source.csv", LINES)
    with duckdb.connect(str(path)) as connection:
        connection.read_csv(str(source)).create("daily")
    source.unlink()
    return path


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select 1; select 2", "--sql contains SELECT, SELECT; allowed: exactly one SELECT."),
        ("drop table daily", "--sql contains DROP; allowed: exactly one SELECT."),
        ("copy daily to 'x.csv'", "--sql contains COPY; allowed: exactly one SELECT."),
        ("-- nothing", "--sql contains nothing; allowed: exactly one SELECT."),
        ("attach 'x.db'", "--sql contains ATTACH; allowed: exactly one SELECT."),
        ("set threads = 4", "--sql contains SET; allowed: exactly one SELECT."),
        ("pragma database_list", "--sql contains PRAGMA; allowed: exactly one SELECT."),
    ],
)
def test_query_other_than_one_select_is_refused(sql: str, message: str, database: Path) -> None:
    with pytest.raises(TableRefused) as refusal:
        load_table(ImportOptions(sql=sql, database=database))
    assert str(refusal.value) == message


def test_query_that_changes_rows_inside_a_select_is_refused(database: Path) -> None:
    before = database.read_bytes()
    sql = "with removed as (delete from daily returning *) select * from removed"
    with pytest.raises(TableRefused, match="--sql failed"):
        load_table(ImportOptions(sql=sql, database=database))
    assert database.read_bytes() == before


def test_query_cannot_read_other_files(tmp_path: Path, database: Path) -> None:
    other = write_lines(tmp_path / "other.csv", LINES)
    for reader in ("read_csv", "read_text", "read_json", "read_blob", "glob"):
        with pytest.raises(TableRefused, match="another file than the table"):
            load_table(ImportOptions(sql=f"from {reader}('{other}')", database=database))


def test_query_cannot_change_the_configuration(database: Path) -> None:
    sql = "select set_config('threads', '4', false)"
    with pytest.raises(TableRefused, match="--sql failed"):
        load_table(ImportOptions(sql=sql, database=database))


def test_message_about_a_failed_query_quotes_no_cell(database: Path) -> None:
    sql = "select visits::varchar || 'x'::integer from daily"
    with pytest.raises(TableRefused) as refusal:
        load_table(ImportOptions(sql=sql, database=database))
    assert str(refusal.value) == "--sql failed: a cell cannot be converted."


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that may read shop.csv, for statements that `--sql` does not allow."""
    path = write_lines(tmp_path / "shop.csv", LINES)
    spill = tmp_path / "spill"
    spill.mkdir()
    with open_locked_connection([path], spill) as connection:
        yield connection


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to '{folder}/new.csv'",
        "copy (select 1) to '{folder}/shop.csv'",
        "attach '{folder}/new.duckdb'",
        "from read_csv('{folder}/other.csv')",
        "export database '{folder}/exported'",
        "install httpfs",
        "set enable_external_access = true",
        "set allowed_paths = ['/']",
        "set threads = 4",
    ],
)
def test_locked_connection_refuses_other_files_and_settings(
    statement: str, locked: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    write_lines(tmp_path / "other.csv", LINES)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(duckdb.Error, match=r"disabled by configuration|has been locked"):
        locked.execute(statement.format(folder=tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "shop.csv").read_text() == CSV


def test_locked_connection_reads_the_allowed_file(
    locked: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    rows = locked.execute("SELECT count(*) FROM read_csv($1)", [str(tmp_path / "shop.csv")])
    assert rows.fetchall() == [(98,)]


def test_query_cannot_overwrite_the_table(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "shop.csv", LINES)
    with pytest.raises(TableRefused) as refusal:
        load(path, sql=f"copy (select 1) to '{path}' (use_tmp_file false)")
    assert str(refusal.value) == "--sql contains COPY; allowed: exactly one SELECT."
    assert path.read_text() == CSV


def test_query_cannot_read_variables_of_the_process(database: Path) -> None:
    with pytest.raises(TableRefused, match=r"--sql failed: Catalog Error: Table with name LINES"):
        load_table(ImportOptions(sql="from LINES", database=database))


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "shop.duckdb", LINES)
    with pytest.raises(TableRefused) as refusal:
        load_table(ImportOptions(sql="select 1", database=path))
    assert str(refusal.value) == (
        "shop.duckdb cannot be opened; --database needs a DuckDB file that no other process writes "
        "to."
    )
