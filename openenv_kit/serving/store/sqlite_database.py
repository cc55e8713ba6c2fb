"""Connection to the SQLite file of a store: opening, transactions and the store's clock."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from openenv_kit.serving import metrics
from openenv_kit.serving.store import clock
from openenv_kit.serving.store.errors import StoreReplacedError, log_and_build_unavailable_error
from openenv_kit.serving.store.file_identity import FileIdentity
from openenv_kit.serving.store.interface import MEMORY_STORE
from openenv_kit.serving.store.limits import SQLITE_PAGE_BYTES, StoreLimits
from openenv_kit.serving.store.sqlite_schema import create_tables_or_require_current_schema

LOCK_TIMEOUT_S = 30
"""Maximum time to wait for the transactions of other workers."""

T = TypeVar("T")


class SqliteDatabase:
    """A connection to one SQLite file, which is reopened after an error.

    Only one thread may use the connection at a time. All methods except `run_transaction` and
    `close` are called within a transaction.

    Args:
        path: path of the file, or `MEMORY_STORE`.
        limits: limits of the store.
    """

    def __init__(self, path: str, limits: StoreLimits) -> None:
        self.path = path
        self._limits = limits
        self._first_file: FileIdentity | None = None
        self._first_secret = ""
        self._open_file_and_create_tables()

    def run_transaction(self, call_name: str, work: Callable[[], T]) -> T:
        """Run a function in a transaction, which is rolled back if it raises an exception.

        Args:
            call_name: name of the call in the metrics.
            work: function that reads and writes through this object.

        Raises:
            StoreUnavailableError: the file cannot be read or written, or was replaced.
        """
        try:
            if self._first_file is not None:
                self._first_file.require_file_still_at_path(self.path)
            if self._is_closed:
                self._open_file_and_create_tables()
            # The connection, as a context manager, commits or rolls back.
            with metrics.STORE_CALL_SECONDS.labels(call_name).time(), self.connection:
                self.execute_without_result("BEGIN IMMEDIATE")
                return work()
        except (OSError, sqlite3.Error) as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_FULL:
                raise log_and_build_unavailable_error(error, "is on a disk that is full") from error
            if code != sqlite3.SQLITE_BUSY:  # the connection may be unusable
                self.close()
            raise log_and_build_unavailable_error(error) from error

    def close(self) -> None:
        """Close the file. The next transaction opens it again."""
        self.connection.close()
        self._is_closed = True

    def fetch_rows(self, query: str, *values: Any) -> list[Any]:
        """Execute a statement and return all result rows."""
        return self.connection.execute(query, values).fetchall()

    def fetch_row(self, query: str, *values: Any) -> Any:
        """Execute a statement and return the first result row, or None if there are no rows."""
        rows = self.fetch_rows(query, *values)
        return rows[0] if rows else None

    def fetch_value(self, query: str, *values: Any) -> Any:
        """Execute a statement and return the first value of the first row, or None."""
        row = self.fetch_row(query, *values)
        return row[0] if row else None

    def execute_without_result(self, query: str, *values: Any) -> None:
        """Execute a statement and ignore its result rows."""
        self.connection.execute(query, values)

    def insert_row(self, table: str, row: dict[str, Any], *, replace: bool = False) -> None:
        """Insert a row.

        Args:
            table: name of the table.
            row: values by column name.
            replace: whether the row replaces an existing row with the same primary key.
        """
        verb = "INSERT OR REPLACE" if replace else "INSERT"
        columns, placeholders = ", ".join(row), ", ".join("?" * len(row))
        self.execute_without_result(
            f"{verb} INTO {table} ({columns}) VALUES ({placeholders})", *row.values()
        )

    def count_used_pages(self) -> int:
        """Return the number of pages that contain data."""
        return int(
            self.fetch_value("PRAGMA page_count") - self.fetch_value("PRAGMA freelist_count")
        )

    def get_store_time_s(self) -> float:
        """Return the current time by the store's clock, in seconds."""
        return clock.get_seconds_since_boot() + self._clock_offset_s

    def save_store_time(self) -> None:
        """Save the current time, so that the clock can continue after the machine was off."""
        self.execute_without_result(
            "UPDATE clock SET store_time_s = MAX(store_time_s, ?), wall_time_s = ?",
            self.get_store_time_s(),
            time.time(),
        )

    def read_secret(self) -> str:
        """Return the secret that was created with the store, in hexadecimal."""
        return str(self.fetch_value("SELECT value FROM secret"))

    def require_unchanged_store_secret(self) -> None:
        """Raise a StoreReplacedError if the secret has changed since the store was first opened."""
        if self.read_secret() != self._first_secret:
            raise StoreReplacedError("was replaced")

    def _open_file_and_create_tables(self) -> None:
        """Open the file, and create its tables if it is new."""
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(
            ":memory:" if self.path == MEMORY_STORE else self.path,
            timeout=LOCK_TIMEOUT_S,
            isolation_level=None,
            # The connection is opened in one thread and used in the store's thread, never at the
            # same time.
            check_same_thread=False,
        )
        try:
            self._set_sqlite_options()
            # One worker creates the tables; the others wait.
            self.execute_without_result("BEGIN EXCLUSIVE")
            create_tables_or_require_current_schema(self.connection)
            self._continue_or_start_stored_clock()
            self._remember_or_require_same_store()
            self.execute_without_result("COMMIT")
        except BaseException:
            self.close()
            raise
        self._is_closed = False

    def _set_sqlite_options(self) -> None:
        limits = self._limits
        for pragma in (
            # The log survives a killed process. Only a power failure can lose the last writes.
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = ON",
            # Overwriting deleted rows with zeros would write the same amount to the log again.
            "secure_delete = OFF",
            "temp_store = MEMORY",
            f"wal_autocheckpoint = {limits.sqlite_log_pages_per_checkpoint}",
            f"journal_size_limit = {limits.sqlite_log_pages_per_checkpoint * SQLITE_PAGE_BYTES}",
            f"max_page_count = {limits.max_sqlite_pages}",
        ):
            self.fetch_rows(f"PRAGMA {pragma}")

    def _continue_or_start_stored_clock(self) -> None:
        """Continue the clock that is stored in the file, or start it in a new file."""
        row = self.fetch_row("SELECT boot_id, offset_s, store_time_s, wall_time_s FROM clock")
        record = clock.ClockRecord(*row) if row else None
        self._clock_offset_s = clock.compute_clock_offset_s(record)
        self.execute_without_result("DELETE FROM clock")
        self.insert_row(
            "clock",
            {
                "boot_id": clock.read_boot_id_or_empty(),
                "offset_s": self._clock_offset_s,
                "store_time_s": self.get_store_time_s(),
                "wall_time_s": time.time(),
            },
        )

    def _remember_or_require_same_store(self) -> None:
        """Remember the store that was opened first; raise an error if it was replaced."""
        if self.path == MEMORY_STORE:  # each opening creates a new store
            self._first_secret = self.read_secret()
            return
        if self._first_secret:
            self.require_unchanged_store_secret()
        self._first_secret = self.read_secret()
        self._first_file = FileIdentity.from_path(self.path)
