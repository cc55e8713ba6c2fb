"""Opens DuckDB connections that can access only the given files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openenv_kit.own_data.cleaned_table import TableRefused

if TYPE_CHECKING:
    import duckdb

INSTALL_COMMAND = "pip install 'openenv-metric-tracker-rl[own-data]'"
MEMORY_LIMIT = "512MB"
"""Memory limit of DuckDB. Larger aggregations use a temporary folder."""
MAX_SPILL = "8GB"


def build_missing_package_error(problem: ModuleNotFoundError) -> ModuleNotFoundError:
    """Return an import error with the install command in its message."""
    return ModuleNotFoundError(
        f"{problem.name} is not installed: {INSTALL_COMMAND}", name=problem.name
    )


@contextmanager
def open_locked_connection(
    allowed_files: Sequence[Path], spill_folder: Path, database: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection that can access only the given files, and close it on exit.

    The locked configuration does not prevent writing: `COPY … TO` overwrites an allowed file.
    Callers must therefore reject every statement of a user that is not a SELECT. A database is
    opened read-only. Paths are passed as parameters, never as part of the SQL text.

    Args:
        allowed_files: files that may be read.
        spill_folder: existing folder for data that exceeds the memory limit.
        database: database to open; None for an empty one in memory.

    Raises:
        ModuleNotFoundError: DuckDB is not installed. The message contains the install command.
        TableRefused: the database cannot be opened.
    """
    try:
        import duckdb
    except ModuleNotFoundError as problem:
        raise build_missing_package_error(problem) from None
    config: dict[str, str | bool | int | float | list[str]] = {
        # One thread keeps rows in the order of the file, which line numbers in messages need.
        "threads": 1,
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(spill_folder),
        "max_temp_directory_size": MAX_SPILL,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        # Otherwise a query could read variables of this process.
        "python_enable_replacements": False,
    }
    try:
        connection = duckdb.connect(
            ":memory:" if database is None else str(database),
            read_only=database is not None,
            config=config,
        )
    except duckdb.Error:
        if database is None:
            raise
        raise TableRefused(
            f"{database.name} cannot be opened; --database needs a DuckDB file that no other "
            "process writes to."
        ) from None
    with connection:
        paths = [str(form) for path in allowed_files for form in (path, path.absolute())]
        connection.execute("SET TimeZone = 'UTC'")
        # DuckDB would draw its progress bar on the standard output of the command.
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET allowed_paths = $1", [paths])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def fetch_row(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object] = ()
) -> tuple[Any, ...] | None:
    """Run a query that returns few rows and return the first one; None if there are no rows.

    All rows are fetched, because a connection with unread rows refuses further queries.
    """
    rows = connection.execute(query, list(parameters)).fetchall()
    return rows[0] if rows else None
