"""Opens DuckDB with access to the given files only."""

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
"""Memory that DuckDB may use; larger aggregations spill to a temporary folder."""
MAX_SPILL = "8GB"


def missing_package_error(problem: ModuleNotFoundError) -> ModuleNotFoundError:
    """Return an import error that names the install command."""
    return ModuleNotFoundError(
        f"{problem.name} is not installed: {INSTALL_COMMAND}", name=problem.name
    )


@contextmanager
def open_locked_connection(
    allowed_files: Sequence[Path], spill_folder: Path, database: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection that reads the given files and nothing else, and close it at the end.

    Files are passed as values, never inside SQL text. The locked configuration alone does not keep
    a query from writing: `COPY … TO` an allowed file overwrites it. So callers must also run only
    SELECT statements of users, and a database is opened read-only.

    Args:
        allowed_files: files that may be read.
        spill_folder: existing folder for data that exceeds the memory limit.
        database: database to open; None for an empty one in memory.

    Raises:
        ModuleNotFoundError: DuckDB is not installed; the message has the install command.
        TableRefused: the database cannot be opened.
    """
    try:
        import duckdb
    except ModuleNotFoundError as problem:
        raise missing_package_error(problem) from None
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
        # The bar would be written to the user's standard output.
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET allowed_paths = $1", [paths])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def fetch_row(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object] = ()
) -> tuple[Any, ...] | None:
    """Return the first row of a query with few rows; None if it has no row.

    All rows are fetched, because a connection refuses other work while rows are left.
    """
    rows = connection.execute(query, list(parameters)).fetchall()
    return rows[0] if rows else None
