"""Episodes in one SQLite file, shared by all workers of a machine."""

from __future__ import annotations

import contextlib
import logging
import secrets
import sqlite3
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from openenv_kit.serving.episode_store import (
    MEMORY,
    StoredEpisode,
    StoreLimits,
    StoreUnavailableError,
    unavailable,
)
from openenv_kit.serving.store_file import StoreFile, make_tables
from openenv_kit.serving.store_room import PAGE, Room, bytes_of, disk_full

PURGE_EVERY = 256
"""Episodes created between two looks for expired ones; so many are forgotten at a time."""

ATTEMPTS = 3
"""Tries of one transaction: the file may be replaced under it, or the disk full."""

SHED_AT_ONCE = 16
"""Episodes given up at a time when the disk itself is full."""

logger = logging.getLogger("metric_tracker.store")

P = ParamSpec("P")
T = TypeVar("T")


def _written(
    method: Callable[Concatenate[SqliteStore, P], T],
) -> Callable[Concatenate[SqliteStore, P], T]:
    """Make a method one transaction, tried again where that helps; see `SqliteStore._write`."""

    @wraps(method)
    def written(store: SqliteStore, /, *arguments: P.args, **options: P.kwargs) -> T:
        return store._write(lambda: method(store, *arguments, **options))

    return written


class SqliteStore:
    """Episodes in one SQLite file, or in the `memory` of this process; see `EpisodeStore`."""

    def __init__(self, path: str, limits: StoreLimits) -> None:
        self._limits = limits
        self._created = 0
        self._broken = False
        self._file = None if path == MEMORY else StoreFile(path, limits.size, self._prepare)
        if self._file is None:
            self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            self._prepare(self._db)
        else:
            self._db = self._file.connect()

    @_written
    def create(
        self,
        episode_id: str,
        source: str,
        start: bytes,
        actions: list[bytes],
        *,
        client: str = "",
        player: str = "",
        over: bool = True,
    ) -> str:
        if self._created % PURGE_EVERY == 0:
            self._room.purge(PURGE_EVERY)
            self._restore_reserve()
        self._created += 1
        now = time.time()
        query = "SELECT timeline FROM episodes WHERE id = ? AND expires > ?"
        timeline = self._one(query, episode_id, now) or 0
        if timeline and not over:
            return ""
        generation, size = secrets.token_hex(8), bytes_of(episode_id, start, *actions)
        self._db.execute("DELETE FROM episodes WHERE id = ?", (episode_id,))
        self._room.make(client, size)
        self._db.execute(
            "INSERT INTO episodes (id, generation, source, client, player, timeline, start, "
            "bytes, steps, finished, ended, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', ?)",
            (
                *(episode_id, generation, source, client, player, timeline + 1, start),
                *(size, len(actions), now + self._limits.life_s),
            ),
        )
        self._db.executemany(
            "INSERT INTO actions (episode, n, action, request) VALUES (?, ?, ?, '')",
            [(episode_id, n, action) for n, action in enumerate(actions)],
        )
        return generation

    @_written
    def find(self, player: str) -> str | None:
        query = "SELECT id FROM episodes WHERE player = ? AND player <> '' AND expires > ?"
        found: str | None = self._one(query, player, time.time())
        return found

    @_written
    def load(self, episode_id: str, *, take: bool = False) -> StoredEpisode | None:
        now = time.time()
        found = self._db.execute(
            "SELECT generation, start, player, timeline, ended, expires FROM episodes "
            "WHERE id = ? AND expires > ?",
            (episode_id, now),
        ).fetchone()
        if found is None:
            return None
        self._prolong(episode_id, found[5], now)
        generation = found[0]
        if take:
            generation = secrets.token_hex(8)
            query = "UPDATE episodes SET generation = ? WHERE id = ?"
            self._db.execute(query, (generation, episode_id))
        query = "SELECT action, request FROM actions WHERE episode = ? ORDER BY n"
        rows = self._db.execute(query, (episode_id,)).fetchall()
        actions, requests = zip(*rows, strict=True) if rows else ((), ())
        return StoredEpisode(generation, found[1], actions, requests, *found[2:5])

    @_written
    def append(
        self, episode_id: str, generation: str, index: int, action: bytes, request_id: str
    ) -> bool:
        size, now = bytes_of(episode_id, action, request_id.encode()), time.time()
        taken = self._db.execute(
            "UPDATE episodes SET steps = steps + 1, bytes = bytes + ? "
            "WHERE id = ? AND generation = ? AND steps = ? AND expires > ? "
            "AND ended <> 'closed' RETURNING client, expires",
            (size, episode_id, generation, index, now),
        ).fetchone()
        if taken is None:
            return False
        self._prolong(episode_id, taken[1], now)
        self._room.make(taken[0], size, episode_id)
        self._db.execute(
            "INSERT INTO actions (episode, n, action, request) VALUES (?, ?, ?, ?)",
            (episode_id, index, action, request_id),
        )
        return True

    @_written
    def finish(self, episode_id: str, generation: str, ended: str) -> bool:
        query = (
            "UPDATE episodes SET finished = 1, ended = ? "
            "WHERE id = ? AND generation = ? AND expires > ? AND ended <> 'closed' RETURNING id"
        )
        return self._one(query, ended, episode_id, generation, time.time()) is not None

    @_written
    def next(self, counter: str) -> int:
        query = (
            "INSERT INTO counters (name, next) VALUES (?, 1) "
            "ON CONFLICT (name) DO UPDATE SET next = next + 1 RETURNING next - 1"
        )
        return int(self._one(query, counter))

    @_written
    def count(self, source: str) -> int:
        query = (
            "SELECT COUNT(*) FROM episodes WHERE source = ? AND expires > ? AND ended <> 'closed'"
        )
        return int(self._one(query, source, time.time()))

    @_written
    def check(self) -> None:
        query = "INSERT OR REPLACE INTO heartbeat (id, at) VALUES (1, ?)"
        self._db.execute(query, (time.time(),))
        self._room.check_disk()
        self._restore_reserve()

    def close(self) -> None:
        self._db.close()

    def _restore_reserve(self) -> None:
        if self._file is not None:
            self._file.reserve.restore()

    def _prolong(self, episode_id: str, expires: float, now: float) -> None:
        """Let an episode live on from now; seldom enough that most steps need not write it."""
        if expires < now + self._limits.ttl_s:
            query = "UPDATE episodes SET expires = ? WHERE id = ?"
            self._db.execute(query, (now + self._limits.life_s, episode_id))

    def _one(self, query: str, *values: Any) -> Any:
        """First column of the first row that a statement returns; None without one."""
        rows = self._db.execute(query, values).fetchall()
        return rows[0][0] if rows else None

    def _write(self, work: Callable[[], T]) -> T:
        """Do work in a transaction; where it raises a StoreError, nothing was done."""
        try:
            for attempt in range(ATTEMPTS):
                self._follow()
                try:
                    result = self._transaction(work)
                except sqlite3.Error as problem:
                    if not self._make_space(problem, attempt):
                        raise
                    continue
                if self._file is None or self._file.is_current():
                    return result
                # Written to a file that nobody else can see any more: once more, to the new one.
        except (OSError, sqlite3.Error) as problem:
            # Full and busy pass; after anything else the connection may be worth nothing.
            self._broken = _code(problem) not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY)
            refusal = unavailable(problem)
            raise (disk_full() if _code(problem) == sqlite3.SQLITE_FULL else refusal) from problem
        raise StoreUnavailableError("The episode store was replaced again and again.")

    def _follow(self) -> None:
        """Open the file anew where another one has taken its place."""
        if self._file is None or (not self._broken and self._file.is_current()):
            return
        logger.warning("episode store reopened: its file was deleted, replaced or damaged")
        self._db = self._file.connect(self._db)
        self._broken = False

    def _transaction(self, work: Callable[[], T]) -> T:
        """A transaction that holds the only right to write, so nothing read in it goes stale."""
        with self._db as db:  # which commits, or rolls back
            db.execute("BEGIN IMMEDIATE")
            result = work()
        if self._file is not None and self._file.log_size() > 2 * self._room.log_pages * PAGE:
            # What was done is done: an error here must not have it done once more.
            with contextlib.suppress(sqlite3.Error):
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return result

    def _make_space(self, problem: sqlite3.Error, attempt: int) -> bool:
        """After a write that the disk had no space for: whether it is worth trying again.

        Forgetting an episode takes space in the log first, and the log cannot be written back
        while the file cannot grow. The reserve is what makes both possible.
        """
        if self._file is None or _code(problem) != sqlite3.SQLITE_FULL:
            return False
        # Written back, the log starts again in the space that it has.
        restart = "PRAGMA wal_checkpoint(RESTART)"
        if attempt == 0:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute(restart)
            return True
        self._file.reserve.release()
        self._db.execute(restart)
        self._transaction(lambda: all(self._room.forget() for _ in range(SHED_AT_ONCE)))
        self._db.execute(restart)
        return True

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Pragmas and tables of a new connection."""
        free_bytes = self._file.free_bytes if self._file else None
        self._room = Room(db, self._limits, free_bytes)
        for pragma in (
            # The log outlives a killed process; only a power cut could take the last writes.
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = ON",
            # Overwriting what is deleted would take as much log as it had bytes.
            "secure_delete = OFF",
            "temp_store = MEMORY",
            f"wal_autocheckpoint = {self._room.log_pages}",
            f"journal_size_limit = {self._room.log_pages * PAGE}",
            f"max_page_count = {self._room.file_pages + SHED_AT_ONCE}",
        ):
            db.execute(f"PRAGMA {pragma}")
        make_tables(db)


def _code(problem: BaseException) -> int | None:
    """SQLite's primary result code."""
    code = getattr(problem, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
