"""Opens a user's table in DuckDB, with all cells as text."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.file_format import (
    ENCODING_NAMES,
    SEPARATOR_NAMES,
    FileKind,
    TextFormat,
    detect_file_kind,
    detect_text_format,
)
from openenv_kit.own_data.locked_connection import fetch_row, open_locked_connection
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.text_lines import (
    check_bytes,
    copy_as_utf8,
    find_faulty_line,
    find_line_of_row,
)

if TYPE_CHECKING:
    import duckdb

MAX_QUERY_ROWS = 50_000_000


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """A table that is open in DuckDB.

    The view `source_rows` has the column `row` (number of the row, from 1) and the text columns
    `c0`, `c1`, …, which are null for empty cells. The user's column names are never inserted into
    SQL text.

    Attributes:
        connection: locked connection.
        columns: the names of the columns.
        format: `CSV`, `TSV`, `Parquet` or `SQL`.
        separator: name of the separator of a text file.
        encoding: name of the encoding of a text file.
        notes: assumptions that were made.
        path: file that was read; None for a query.
        text_format: format of a text file; None for other tables.
    """

    connection: duckdb.DuckDBPyConnection
    columns: tuple[str, ...]
    format: str
    separator: str = ""
    encoding: str = ""
    notes: tuple[str, ...] = ()
    path: Path | None = None
    text_format: TextFormat | None = None

    @property
    def header_place(self) -> str:
        """Place of the header for a message: `line 1`, or `column names` for other formats."""
        return f"line {self.text_format.header_lines}" if self.text_format else "column names"

    def describe_row(self, row_number: int) -> str:
        """Return the place of a row for a message: `line 7`, or `row 6` for other formats."""
        if self.text_format is None or self.path is None:
            return f"row {row_number}"
        return f"line {find_line_of_row(self.path, self.text_format, row_number)}"


@contextmanager
def open_table(options: ImportOptions) -> Iterator[TableSource]:
    """Open the table that the options select.

    Raises:
        ModuleNotFoundError: DuckDB is not installed.
        TableRefused: the table cannot be opened, or a query in the `with` block cannot read it.
    """
    # The folder contains DuckDB's temporary data and converted copies of the file.
    with tempfile.TemporaryDirectory(prefix="table-") as folder:
        opened = _open_query if options.sql is not None else _open_file
        with opened(options, Path(folder)) as source, _convert_duckdb_errors(source):
            yield source


@contextmanager
def _convert_duckdb_errors(source: TableSource) -> Iterator[None]:
    """Convert DuckDB's errors to `TableRefused` without the lines of the table that they quote."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException:
        raise TableRefused(
            "The table needs more memory than is allowed; aggregate it with --sql, by day or hour."
        ) from None
    except (duckdb.Error, RuntimeError):
        # DuckDB raises RuntimeError if the text of an error, of a damaged file, is not UTF-8.
        message = ""
        if source.path is not None and source.text_format is not None:
            message = find_faulty_line(source.path, source.text_format)
        raise TableRefused(
            message or f"The {source.format} file cannot be read; export it again."
        ) from None


@contextmanager
def _open_file(options: ImportOptions, folder: Path) -> Iterator[TableSource]:
    if options.table is None:
        raise TableRefused("No table was given; pass a file, or --sql with --database.")
    if detect_file_kind(options.table) is FileKind.PARQUET:
        with _open_parquet(options.table, folder, options.max_parquet_rows) as source:
            yield source
    else:
        with _open_text(options.table, options, folder) as source:
            yield source


@contextmanager
def _open_text(path: Path, options: ImportOptions, folder: Path) -> Iterator[TableSource]:
    text_format = detect_text_format(path, options)
    endings = check_bytes(path, text_format)
    source_path, is_gzip = path, text_format.is_gzip
    skipped_lines = text_format.header_lines
    if text_format.encoding != "utf-8" or endings.are_mixed or _has_glob_characters(path):
        # DuckDB needs an extension for other encodings, rejects mixed line endings, and treats a
        # path with * ? or [ as a pattern.
        source_path, is_gzip = folder / "table.csv", False
        copy_as_utf8(path, text_format, source_path)
    with open_locked_connection([source_path], folder) as connection:
        source = TableSource(
            connection=connection,
            columns=text_format.columns,
            format="TSV" if text_format.separator == "\t" else "CSV",
            separator=SEPARATOR_NAMES[text_format.separator],
            encoding=ENCODING_NAMES[text_format.encoding],
            notes=text_format.notes,
            path=path,
            text_format=text_format,
        )
        with _convert_duckdb_errors(source):
            relation = connection.read_csv(
                str(source_path),
                auto_detect=False,
                header=False,
                skiprows=skipped_lines,
                columns={f"c{number}": "VARCHAR" for number in range(len(source.columns))},
                sep=text_format.separator,
                quotechar='"',
                escapechar='"',
                strict_mode=True,
                null_padding=False,
                ignore_errors=False,
                compression="gzip" if is_gzip else "none",
            )
            _create_source_rows(connection, relation)
        yield source


@contextmanager
def _open_parquet(path: Path, folder: Path, max_rows: int) -> Iterator[TableSource]:
    source_path = path
    if _has_glob_characters(path):
        source_path = folder / "table.parquet"
        shutil.copyfile(path, source_path)
    with open_locked_connection([source_path], folder) as connection:
        source = TableSource(connection=connection, columns=(), format="Parquet", path=path)
        with _convert_duckdb_errors(source):
            footer = fetch_row(
                connection, "SELECT num_rows FROM parquet_file_metadata($1)", [str(source_path)]
            )
            if footer is not None and footer[0] > max_rows:
                raise TableRefused(
                    f"The table has {footer[0]:,} rows; the limit is {max_rows:,}; "
                    "aggregate it with --sql, by day or hour."
                )
            relation = connection.read_parquet(str(source_path))
            columns = tuple(relation.columns)
            texts = _build_text_columns([str(kind) for kind in relation.types])
            relation.create_view("parquet_rows")
            text_rows = connection.sql(
                f"SELECT {texts.selected} FROM parquet_rows AS parquet_rows({texts.aliases})"
            )
            _create_source_rows(connection, text_rows)
        yield TableSource(connection=connection, columns=columns, format="Parquet", path=path)


@contextmanager
def _open_query(options: ImportOptions, folder: Path) -> Iterator[TableSource]:
    import duckdb

    if options.table is not None:
        detect_file_kind(options.table)
    allowed_files = [options.table] if options.table is not None else []
    with open_locked_connection(allowed_files, folder, options.database) as connection:
        try:
            select = _require_one_select(connection, options.sql or "")
            relation = connection.sql(select)
            columns = tuple(relation.columns)
            texts = _build_text_columns([str(kind) for kind in relation.types])
            # The rows are stored, because a query without ORDER BY may return another order later.
            connection.execute(
                f"CREATE TEMP TABLE query_rows AS SELECT {texts.selected} FROM (\n{select}\n) "
                f"AS query_result({texts.aliases}) LIMIT {MAX_QUERY_ROWS + 1}"
            )
        except duckdb.Error as problem:
            raise TableRefused(f"--sql failed: {_describe_query_error(problem)}") from None
        connection.execute(
            "CREATE TEMP VIEW source_rows AS SELECT row_number() OVER () AS row, * FROM query_rows"
        )
        row_count = fetch_row(connection, "SELECT count(*) FROM query_rows")
        if row_count is not None and row_count[0] > MAX_QUERY_ROWS:
            raise TableRefused(
                f"--sql returns more than {MAX_QUERY_ROWS:,} rows; aggregate by day or hour."
            )
        yield TableSource(connection=connection, columns=columns, format="SQL")


def _require_one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Return the text of a query's only statement, without its semicolon.

    Raises:
        TableRefused: the text is not exactly one SELECT.
    """
    import duckdb

    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise TableRefused(f"--sql contains {kinds}; allowed: exactly one SELECT.")
    statement = statements[0].query.encode()
    # Offsets of tokens are in bytes. Semicolons in literals and comments are not separate tokens.
    for offset, _ in duckdb.tokenize(statements[0].query):
        if statement[offset : offset + 1] == b";":
            statement = statement[:offset]
            break
    return statement.decode()


def _create_source_rows(
    connection: duckdb.DuckDBPyConnection, relation: duckdb.DuckDBPyRelation
) -> None:
    """Create the view `source_rows` of a relation with the columns `c0`, `c1` and so on."""
    relation.create_view("source_cells")
    connection.execute(
        "CREATE TEMP VIEW source_rows AS SELECT row_number() OVER () AS row, * FROM source_cells"
    )


class _TextColumns(NamedTuple):
    """SQL that converts the typed columns of a table to text.

    Attributes:
        aliases: names `v0`, `v1`, … of the typed columns.
        selected: expressions for the text columns `c0`, `c1`, ….
    """

    aliases: str
    selected: str


def _build_text_columns(kinds: Sequence[str]) -> _TextColumns:
    """Return the SQL that turns each column into text.

    Whole numbers in columns of floats are written without a decimal mark.
    """
    selected = []
    for number, kind in enumerate(kinds):
        text = f"CAST(v{number} AS VARCHAR)"
        if kind in ("FLOAT", "DOUBLE") or kind.startswith("DECIMAL"):
            is_whole = f"v{number} = trunc(v{number}) AND abs(v{number}) < 1e15"
            text = (
                f"CASE WHEN {is_whole} THEN CAST(CAST(v{number} AS BIGINT) AS VARCHAR) "
                f"ELSE {text} END"
            )
        selected.append(f"{text} AS c{number}")
    aliases = ", ".join(f"v{number}" for number in range(len(kinds)))
    return _TextColumns(aliases, ", ".join(selected))


def _has_glob_characters(path: Path) -> bool:
    return any(character in str(path) for character in "*?[")


def _describe_query_error(problem: duckdb.Error) -> str:
    """Return what is wrong with a user's query, without quoting paths or cells of the table."""
    import duckdb

    if isinstance(problem, duckdb.PermissionException):
        return "it accesses another file than the table; pass the file that it may read."
    if isinstance(problem, (duckdb.ParserException, duckdb.BinderException)):
        return str(problem).split("\n", 1)[0].strip()
    if isinstance(problem, duckdb.CatalogException):
        return str(problem).split("\n", 1)[0].strip()
    if isinstance(problem, duckdb.ConversionException):
        return "a cell cannot be converted."
    if isinstance(problem, duckdb.OutOfMemoryException):
        return "it needs more memory than is allowed; aggregate by day or hour."
    return f"{type(problem).__name__.removesuffix('Exception')} error."
