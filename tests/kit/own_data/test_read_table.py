"""Each format of a table's file gives the same counts, and DuckDB reads nothing but the table."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import duckdb
import numpy as np
import pytest

from kit.own_data.tables import STAGES, day_text, funnel_counts, load, wide_lines, write_lines
from openenv_kit.own_data.clean_table import load_table
from openenv_kit.own_data.cleaned_table import CleanedTable, TableRefused
from openenv_kit.own_data.options import ImportOptions

COUNTS = funnel_counts()
LINES = wide_lines(COUNTS)
CSV = "\n".join(LINES) + "\n"


def assert_equals_counts(table: CleanedTable) -> None:
    assert table.stage_counts.stages == STAGES
    assert np.array_equal(table.stage_counts.counts, COUNTS)


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "shop.parquet"
    source = write_lines(tmp_path / "source.csv", LINES)
    with duckdb.connect() as connection:
        connection.read_csv(str(source)).write_parquet(str(path))
    source.unlink()
    return path


@pytest.mark.parametrize(
    ("separator", "description"),
    [
        (",", "CSV, comma, UTF-8; wide, one row a day"),
        (";", "CSV, semicolon, UTF-8; wide, one row a day"),
        ("|", "CSV, pipe, UTF-8; wide, one row a day"),
        ("\t", "TSV, tab, UTF-8; wide, one row a day"),
    ],
)
def test_each_separator_is_detected(separator: str, description: str, tmp_path: Path) -> None:
    path = tmp_path / "shop.txt"
    path.write_text(CSV.replace(",", separator))
    table = load(path)
    assert_equals_counts(table)
    assert str(table.description) == description


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (("\ufeff" + CSV).encode(), "UTF-8"),
        (("\ufeff" + CSV).encode("utf-16-le"), "UTF-16"),
        (("\ufeff" + CSV).encode("utf-16-be"), "UTF-16"),
        (CSV.encode("utf-16-le"), "UTF-16"),
        (CSV.replace("date", "für").encode("latin-1"), "Latin-1"),
        (CSV.replace("\n", "\r\n").encode(), "UTF-8"),
        (CSV.replace("\n", "\r").encode(), "UTF-8"),
        (CSV.replace("\n", "\r\n", 9).encode(), "UTF-8"),
        (CSV.rstrip("\n").encode(), "UTF-8"),
    ],
    ids=[
        "bom",
        "utf-16-le",
        "utf-16-be",
        "utf-16 without bom",
        "latin-1",
        "crlf",
        "cr",
        "mixed",
        "no last line end",
    ],
)
def test_each_encoding_and_line_ending_is_detected(
    data: bytes, encoding: str, tmp_path: Path
) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(data)
    table = load(path)
    assert_equals_counts(table)
    assert table.description.encoding == encoding


def test_text_read_as_latin_1_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(CSV.replace("date", "für").encode("latin-1"))
    assert load(path).description.notes == (
        "The text is not UTF-8 and was read as Latin-1; --encoding changes this.",
    )


def test_given_encoding_is_used(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(CSV.replace("date", "für").encode("cp1252"))
    table = load(path, encoding="cp1252")
    assert_equals_counts(table)
    assert table.description.encoding == "Windows-1252"


def test_compressed_csv_is_read(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode()))
    assert_equals_counts(load(path))


def test_compressed_text_in_another_encoding_is_read(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode("utf-16")))
    assert_equals_counts(load(path))


def test_parquet_is_read(parquet: Path) -> None:
    table = load(parquet)
    assert_equals_counts(table)
    assert str(table.description) == "Parquet; wide, one row a day"


def test_parquet_with_floats_and_timestamps_is_read(parquet: Path, tmp_path: Path) -> None:
    floats = tmp_path / "floats.parquet"
    with duckdb.connect() as connection:
        connection.read_parquet(str(parquet)).select(
            "CAST(date AS TIMESTAMP) AS date, visits::DOUBLE AS visits, carts::DECIMAL(9, 2) AS "
            "carts, orders::FLOAT AS orders"
        ).write_parquet(str(floats))
    assert_equals_counts(load(floats))


def test_parquet_with_too_many_rows_is_refused_before_it_is_read(parquet: Path) -> None:
    with pytest.raises(TableRefused) as refusal:
        load(parquet, max_parquet_rows=97)
    assert str(refusal.value) == (
        "The table has 98 rows; the limit is 97; aggregate it with --sql, by day or hour."
    )


def test_query_over_a_local_csv_is_read(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "shop.csv", LINES)
    table = load(path, sql=f"select * from read_csv('{path}') -- all rows")
    assert_equals_counts(table)
    assert str(table.description) == "SQL; wide, one row a day"


def test_query_over_json_lines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "shop.jsonl"
    rows = [
        {"at": day_text(day), **dict(zip(STAGES, map(int, COUNTS[day, 0]), strict=True))}
        for day in range(len(COUNTS))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert_equals_counts(load(path, sql=f"select * from read_json('{path}');"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.duckdb"
    source = write_lines(tmp_path / "source.csv", LINES)
    with duckdb.connect(str(path)) as connection:
        connection.read_csv(str(source)).create("daily")
    source.unlink()
    return path


def test_query_of_a_database_is_read_without_changing_it(database: Path) -> None:
    before = database.read_bytes()
    assert_equals_counts(load_table(ImportOptions(sql="from daily", database=database)))
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    "name",
    ["o'clock.csv", 'say "hi".csv', "a; drop table x.csv", "a*.csv", "[ab].csv", "sho?.csv"],
)
def test_file_names_with_special_characters_are_read(name: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "ab.csv", ["date,visits", "2024-01-01,7"])
    assert_equals_counts(load(write_lines(tmp_path / name, LINES)))


def test_parquet_with_special_characters_in_its_name_is_read(parquet: Path) -> None:
    assert_equals_counts(load(parquet.rename(parquet.with_name("it's [all] *.parquet"))))


def test_reading_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    path = tmp_path / "shop.csv"
    path.write_bytes(CSV.encode("utf-16"))
    load(path)
    assert list(folder.iterdir()) == []
    assert sorted(each.name for each in tmp_path.iterdir()) == ["shop.csv", "temporary"]


@pytest.mark.parametrize("package", ["duckdb", "holidays"])
def test_missing_package_names_the_install_command(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ModuleNotFoundError) as problem:
        load(write_lines(tmp_path / "shop.csv", LINES), country="US")
    assert str(problem.value) == (
        f"{package} is not installed: pip install 'openenv-metric-tracker-rl[own-data]'"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "shop.csv is empty; pass a table with a header and rows."),
        (
            b"PK\x03\x04 archive",
            "shop.csv is a spreadsheet or a ZIP archive; save the table as CSV or Parquet.",
        ),
        (b"PAR1 not Parquet", "The Parquet file cannot be read; export it again."),
        (
            gzip.compress(CSV.encode())[:300],
            "The compressed file is damaged or cut off; export it again.",
        ),
        (b"\n# only comments\n", "The table has no header; its first line must name the columns."),
        (
            CSV.encode()[CSV.index("\n") + 1 :],
            "line 1: a column's name is a number or date; the first line must contain the names of "
            "the columns, or at least 20 dates.",
        ),
        (
            b"visits\n5\n6\n",
            "line 1: only one column was found; pass --separator if "
            "shop.csv separates its cells by another character than comma, semicolon, tab, pipe.",
        ),
        (b"date,visits,orders\n", "The table has a header but no rows."),
    ],
    ids=["empty", "zip", "parquet", "gzip", "comments", "no header", "one column", "no rows"],
)
def test_file_that_is_no_table_is_refused(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(data)
    with pytest.raises(TableRefused) as refusal:
        load(path)
    assert str(refusal.value) == message


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(TableRefused) as refusal:
            load(path)
        assert str(refusal.value) == f"{path.name} is not a file; pass the file of the table."
