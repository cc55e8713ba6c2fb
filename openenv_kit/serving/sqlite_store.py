"""Episodes in one SQLite file, shared by all workers of a machine.

Each method is one transaction that holds the only right to write, so nothing read in it goes
stale. What makes room for a new episode: first what has expired; then the finished, the longest
unused first; then the idle, likewise. A client that has used up its own share displaces only its
own. A running episode is never displaced: the new one is refused, with the time to retry.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from openenv_kit.serving import metrics
from openenv_kit.serving.store import (
    MEMORY,
    NEW_EPISODES_SHARE,
    PAGE,
    RETRY_AFTER_S,
    StoredEpisode,
    StoreError,
    StoreFullError,
    StoreLimits,
    unavailable,
)

SPARE_PAGES = 12
"""Pages that a write may take beyond its own bytes: one split in each of the trees, and more."""
ROW_BYTES, FILLING = 24, 3 / 2
"""What a row or an entry of an index takes beyond its texts; a tree's pages are two thirds full."""
MOST_LOCAL, LEAST_LOCAL, OVERFLOW = 1002, 489, PAGE - 4
"""What SQLite keeps of a row in its tree at most, and at least where the rest is on pages of its
own, which hold so much each."""
BUSY_S = 30.0
"""Longest wait for other workers' transactions, in seconds."""
PURGE = 8
"""Expired episodes that are forgotten with each new one."""
FOREVER = math.inf

SCHEMA_VERSION = 5
"""Raised with every change of the tables. The default file is named after it, so that releases
side by side on one machine do not undo each other's tables."""
APPLICATION_ID = 0x4F454B53
"""Marks a file as ours."""
SCHEMA = Path(__file__).with_name("store.sql").read_text(encoding="utf-8").split("\n\n")

T = TypeVar("T")


class SqliteStore:
    """Episodes in one SQLite file, or in the `memory` of this process; see `EpisodeStore`."""

    def __init__(self, path: str, limits: StoreLimits) -> None:
        self._path = path
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="episode-store")
        self._db = self._connect()
        self._closed = False

    def _connect(self) -> sqlite3.Connection:
        """Open the file and make its tables; those of another release are dropped."""
        if self._path != MEMORY:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        # Opened by one thread and used by the store's own; never by two at once.
        db = sqlite3.connect(
            ":memory:" if self._path == MEMORY else self._path,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        log_pages = self._limits.log_pages
        for pragma in (
            f"busy_timeout = {int(BUSY_S * 1000)}",
            # The log outlives a killed process; only a power cut could take the last writes.
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = ON",
            "secure_delete = OFF",  # overwriting what is deleted would take as much log
            "temp_store = MEMORY",
            f"wal_autocheckpoint = {log_pages}",
            f"journal_size_limit = {log_pages * PAGE}",
            f"max_page_count = {self._limits.pages}",
        ):
            db.execute(f"PRAGMA {pragma}")
        db.execute("BEGIN EXCLUSIVE")  # one worker makes the tables, the others wait
        try:
            _make_tables(db)
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return db

    async def create(
        self,
        episode_id: str,
        source: str,
        start: bytes,
        actions: Sequence[bytes] = (),
        *,
        client: str = "",
        player: str = "",
        over: bool = True,
    ) -> str:
        def work() -> str:
            now = time.time()
            query = "DELETE FROM episodes WHERE id IN (SELECT id FROM episodes WHERE "
            self._one(query + "(ended = '') IN (0, 1) AND expires <= ? LIMIT ?)", now, PURGE)
            query = "SELECT timeline FROM episodes WHERE id = ? AND expires > ?"
            timeline = self._one(query, episode_id, now) or 0
            if timeline and not over:
                return ""
            generation, size = secrets.token_hex(8), _row(episode_id, client, player, start)
            for entry in ((player,), (client,), (source,), ()):  # of the indexes
                size += _row(episode_id, *entry)
            size += sum(_row(episode_id, action) for action in actions)
            self._one("DELETE FROM episodes WHERE id = ?", episode_id)
            self._make_room(client, size)
            self._one(
                "INSERT INTO episodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?)",
                *(episode_id, generation, source, client, player, timeline + 1, start, size),
                *(len(actions), now + self._limits.ttl_s),
            )
            self._db.executemany(
                "INSERT INTO actions VALUES (?, ?, ?, '')",
                [(episode_id, n, action) for n, action in enumerate(actions)],
            )
            return generation

        return await self._run("create", work)

    async def find(self, player: str) -> str | None:
        query = "SELECT id FROM episodes WHERE player = ? AND player <> '' AND expires > ?"
        return await self._run("find", lambda: self._one(query, player, time.time()))

    async def load(self, episode_id: str, *, take: bool = False) -> StoredEpisode | None:
        def work() -> StoredEpisode | None:
            now, taken = time.time(), secrets.token_hex(8) if take else None
            found = self._db.execute(
                "UPDATE episodes SET expires = ?, generation = COALESCE(?, generation) "
                "WHERE id = ? AND expires > ? "
                "RETURNING generation, start, player, timeline, ended",
                (now + self._limits.ttl_s, taken, episode_id, now),
            ).fetchall()
            if not found:
                return None
            query = "SELECT action, request FROM actions WHERE episode = ? ORDER BY n"
            rows = self._db.execute(query, (episode_id,)).fetchall()
            actions, requests = zip(*rows, strict=True) if rows else ((), ())
            generation, start, *rest = found[0]
            return StoredEpisode(generation, start, actions, requests, *rest)

        return await self._run("load", work)

    async def append(
        self, episode_id: str, generation: str, index: int, action: bytes, request_id: str = ""
    ) -> bool:
        def work() -> bool:
            size, now = _row(episode_id, action, request_id), time.time()
            client = self._one(
                "UPDATE episodes SET steps = steps + 1, bytes = bytes + ?, expires = ? "
                "WHERE id = ? AND generation = ? AND steps = ? AND expires > ? "
                "AND ended <> 'closed' RETURNING client",
                *(size, now + self._limits.ttl_s, episode_id, generation, index, now),
            )
            if client is None:
                return False
            self._make_room(client, size, running=episode_id)
            row = (episode_id, index, action, request_id)
            self._one("INSERT INTO actions VALUES (?, ?, ?, ?)", *row)
            return True

        return await self._run("append", work)

    async def finish(self, episode_id: str, generation: str, ended: str) -> bool:
        query = (
            "UPDATE episodes SET ended = ? "
            "WHERE id = ? AND generation = ? AND expires > ? AND ended <> 'closed' RETURNING 1"
        )
        values = (ended, episode_id, generation)
        return await self._run("finish", lambda: bool(self._one(query, *values, time.time())))

    async def secret(self) -> str:
        return await self._run("secret", lambda: str(self._one("SELECT value FROM secret")))

    async def draw(self, split: str, order: Sequence[int]) -> int | None:
        def work() -> int | None:
            now = time.time()
            self._one("DELETE FROM drawn WHERE until <= ?", now)
            rows = self._db.execute("SELECT task FROM drawn WHERE split = ?", (split,))
            drawn = {task for (task,) in rows}
            found = next((task for task in order if task not in drawn), None)
            if found is not None:
                row = (split, found, now + self._limits.ttl_s)
                self._one("INSERT INTO drawn VALUES (?, ?, ?)", *row)
            return found

        return await self._run("draw", work)

    async def settle(self, split: str, task: int, *, played: bool) -> None:
        give_back = "DELETE FROM drawn WHERE split = ? AND task = ? AND until < ?"
        query = "INSERT OR REPLACE INTO drawn VALUES (?, ?, ?)" if played else give_back
        await self._run("settle", lambda: self._one(query, split, task, FOREVER))

    async def count(self, source: str) -> int:
        query = "SELECT COUNT(*) FROM episodes WHERE source = ? AND expires > ? AND ended != ?"
        return await self._run("count", lambda: self._one(query, source, time.time(), "closed"))

    async def check(self) -> None:
        query = "INSERT OR REPLACE INTO heartbeat VALUES (1, ?)"
        await self._run("check", lambda: self._one(query, time.time()))

    async def close(self) -> None:
        def work() -> None:  # after what the thread is still doing, never beside it
            self._db.close()
            self._closed = True

        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _run(self, name: str, work: Callable[[], T]) -> T:
        """Do work in a transaction; where it raises a StoreError, nothing was done."""

        def transaction() -> T:
            with metrics.STORE.labels(name).time():
                try:
                    if self._closed:
                        self._db, self._closed = self._connect(), False
                    with self._db as db:  # which commits, or rolls back
                        db.execute("BEGIN IMMEDIATE")
                        return work()
                except (OSError, sqlite3.Error) as problem:
                    raise self._refusal_of(problem) from problem

        return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)

    def _refusal_of(self, problem: Exception) -> StoreError:
        code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
        if code not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
            with suppress(OSError, sqlite3.Error):  # the connection may be worth nothing any more
                self._db, old = self._connect(), self._db
                old.close()
        if code == sqlite3.SQLITE_FULL:
            return unavailable(problem, "is on a disk that is full")
        return unavailable(problem)

    def _one(self, query: str, *values: Any) -> Any:
        """First column of the first row that a statement returns; None without one."""
        rows = self._db.execute(query, values).fetchall()
        return rows[0][0] if rows else None

    def _make_room(self, client: str, size: int, running: str = "") -> None:
        """Make room for an episode, or for one more action of the running episode of that id.

        Raises:
            StoreFullError: whatever there is to displace is running.
        """
        share, more = (1.0, 0) if running else (NEW_EPISODES_SHARE, 1)
        client_bytes = int(self._limits.client_bytes * share)
        most = min(self._limits.write_bytes, client_bytes if client else size)
        if size > most:
            problem = f"This takes {size} bytes; the episode store has room for {most} at a time."
            raise StoreFullError(problem, None)
        held = "SELECT episodes + ? > ? OR bytes + ? > ? FROM clients WHERE client = ?"
        asked = (more, self._limits.client_episodes, size * more, client_bytes, client)
        while client and self._one(held, *asked):
            self._displace(client, running)
        total = "SELECT TOTAL(episodes) >= ? FROM clients"
        while more and self._one(total, self._limits.episodes):
            self._displace("", running)
        wanted = size // PAGE + SPARE_PAGES
        while self._used() + wanted > int(self._limits.pages * share):
            self._displace("", running)

    def _used(self) -> int:
        """Pages that hold something."""
        return int(self._one("PRAGMA page_count")) - int(self._one("PRAGMA freelist_count"))

    def _displace(self, client: str, spared: str) -> None:
        """Forget the next episode to go, of that client or of all."""
        now, limits = time.time(), self._limits
        whose = "client = ? AND" if client else "? = '' AND"
        idle = now + limits.ttl_s - limits.idle_s
        for running, latest in ((1, now), (0, FOREVER), (1, idle)):
            found = self._one(
                f"DELETE FROM episodes WHERE id = (SELECT id FROM episodes WHERE {whose} "
                "(ended = '') = ? AND expires <= ? AND id <> ? ORDER BY expires LIMIT 1) "
                "RETURNING 1",
                *(client, running, latest, spared),
            )
            if found:
                return
        query = f"SELECT MIN(expires) FROM episodes WHERE {whose} ended = ''"
        first = self._one(query, client)
        wait = RETRY_AFTER_S if first is None else max(1, math.ceil(first - idle))
        size = limits.client_bytes if client else limits.size
        raise limits.used_up(wait, own=bool(client), size=size)


def _make_tables(db: sqlite3.Connection) -> None:
    """Make the tables in an empty file, or in one of another release."""
    if db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
        return
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    found = [name for (name,) in db.execute(query).fetchall()]
    if found and db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise sqlite3.DatabaseError("the file is the database of another program")
    marks = (
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {SCHEMA_VERSION}",
    )
    for statement in (*(f"DROP TABLE {name}" for name in found), *SCHEMA, *marks):
        db.execute(statement)


def _row(*texts: str | bytes) -> int:
    """Bytes that a row of these texts takes in the file."""
    size = ROW_BYTES + sum(len(text.encode() if isinstance(text, str) else text) for text in texts)
    if size <= MOST_LOCAL:
        return int(FILLING * size)
    return int(FILLING * LEAST_LOCAL) + math.ceil((size - LEAST_LOCAL) / OVERFLOW) * PAGE
