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
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeVar

from openenv_kit.serving import metrics
from openenv_kit.serving.store import clock
from openenv_kit.serving.store.file_identity import FileIdentity
from openenv_kit.serving.store.interface import (
    CLOSED,
    MEMORY,
    NEW_EPISODES_SHARE,
    PAGE,
    NewEpisode,
    StoredEpisode,
    StoreFullError,
    StoreLimits,
    StoreReplacedError,
    StoreUsage,
    unavailable,
)
from openenv_kit.serving.store.sealed_records import SealedPlay, SealedPlaysUsedUpError, SealedStart

SPARE_PAGES = 12
"""Pages that a write may take beyond its own bytes: one split in each of the trees, and more."""
ROW_BYTES, FILLING = 24, 3 / 2
"""What a row or an entry of an index takes beyond its texts; a tree's pages are two thirds full."""
MOST_LOCAL = 1002
"""The longest row that SQLite keeps in its tree; most of a longer one is on pages of its own."""

SCHEMA_VERSION = 10
"""Raised with every change of the tables. The default file is named after it, so that releases
side by side on one machine do not undo each other's tables."""
APPLICATION_ID = 0x4F454B53
"""Marks a file as ours."""
SCHEMA = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8").split("\n\n")

T = TypeVar("T")


class OtherReleaseError(sqlite3.DatabaseError):
    """The tables of the file are those of another release."""


def _transaction(work: Callable[..., T]) -> Callable[..., Coroutine[Any, Any, T]]:
    """Make an async method of what is done in one transaction."""

    @wraps(work)
    async def method(store: SqliteStore, *given: Any, **named: Any) -> T:
        loop, done = asyncio.get_running_loop(), partial(work, store, *given, **named)
        return await loop.run_in_executor(store._thread, store._run, work.__name__, done)

    return method


class SqliteStore:
    """Episodes in one SQLite file, or in the `memory` of this process; see `EpisodeStore`."""

    def __init__(self, path: str, limits: StoreLimits) -> None:
        self._path, self._limits = path, limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="episode-store")
        self._identity: FileIdentity | None = None  # of the file that was opened first
        self._secret = ""  # of the store that was opened first
        self._connect()

    def _connect(self) -> None:
        """Open the file, and make its tables where it is new."""
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        # Opened by one thread and used by the store's own; never by two at once.
        self._db = sqlite3.connect(
            ":memory:" if self._path == MEMORY else self._path,
            timeout=30,  # for other workers' transactions, in seconds
            isolation_level=None,
            check_same_thread=False,
        )
        limits = self._limits
        try:
            for pragma in (
                # The log outlives a killed process; only a power cut could take the last writes.
                "journal_mode = WAL",
                "synchronous = NORMAL",
                "foreign_keys = ON",
                "secure_delete = OFF",  # overwriting what is deleted would take as much log
                "temp_store = MEMORY",
                f"wal_autocheckpoint = {limits.log_pages}",
                f"journal_size_limit = {limits.log_pages * PAGE}",
                f"max_page_count = {limits.pages}",
            ):
                self._one(f"PRAGMA {pragma}")
            self._one("BEGIN EXCLUSIVE")  # one worker makes the tables, the others wait
            self._make_tables()
            self._start_clock()
            self._remember_store()
            self._one("COMMIT")
        except BaseException:
            self._close()
            raise
        self._closed = False

    def _make_tables(self) -> None:
        """Make the tables in an empty file.

        Raises:
            sqlite3.DatabaseError: the file is another program's.
            OtherReleaseError: another release made its tables.
        """
        version = self._one("PRAGMA user_version")
        if version == SCHEMA_VERSION:
            return
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        found = [name for (name,) in self._rows(query)]
        if found and self._one("PRAGMA application_id") != APPLICATION_ID:
            raise sqlite3.DatabaseError("the file is the database of another program")
        if found:
            raise OtherReleaseError(
                f"it has tables of version {version}, and this release reads version "
                f"{SCHEMA_VERSION}; nothing was changed. Go on with the release that made it, or "
                "move the file away: its episodes cannot be played by this one"
            )
        for statement in SCHEMA:
            self._one(statement)
        self._one("INSERT INTO secret VALUES (?)", secrets.token_hex(32))
        self._one(f"PRAGMA application_id = {APPLICATION_ID}")
        self._one(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _start_clock(self) -> None:
        """Go on with the clock that the file has, or start it."""
        rows = self._rows("SELECT boot, offset_s, last_s, wall_s FROM clock")
        self._clock_offset_s = clock.continue_clock(clock.ClockRecord(*rows[0]) if rows else None)
        self._one("DELETE FROM clock")
        self._one(
            "INSERT INTO clock VALUES (?, ?, ?, ?)",
            *(clock.boot_id(), self._clock_offset_s, self._now(), time.time()),
        )

    def _now(self) -> float:
        """Return the time by the store's clock, in seconds."""
        return clock.seconds_since_boot() + self._clock_offset_s

    def _save_clock(self) -> None:
        """Write down how far the clock is, for a start after the machine was off."""
        self._one("UPDATE clock SET last_s = MAX(last_s, ?), wall_s = ?", self._now(), time.time())

    def _remember_store(self) -> None:
        """Note which store this is, so that another one in its place is noticed."""
        secret = str(self._one("SELECT value FROM secret"))
        if self._path != MEMORY:  # which is a new store whenever it is opened
            if self._secret and secret != self._secret:
                raise StoreReplacedError("was replaced")
            self._identity = FileIdentity.of(self._path)
        self._secret = secret

    @_transaction
    def create(self, episode_id: str, new: NewEpisode, *, over: bool = True) -> str:
        now = self._now()
        self._save_clock()
        expired = "SELECT id FROM episodes WHERE (ended = '') IN (0, 1) AND expires <= ? LIMIT 8"
        self._one(f"DELETE FROM episodes WHERE id IN ({expired})", now)
        query = "SELECT timeline FROM episodes WHERE id = ? AND expires > ?"
        timeline = self._one(query, episode_id, now) or 0
        if timeline and not over:
            return ""
        generation = secrets.token_hex(8)
        indexed = ((new.player,), (new.client,), (new.source,), ())
        results = new.slow_results.items()
        texts = (*zip(new.actions), *((result,) for _, result in results))
        rows = ((new.client, new.player, new.start), *indexed, *texts)
        size = sum(_row(episode_id, *row) for row in rows)
        self._one("DELETE FROM episodes WHERE id = ?", episode_id)
        self._make_room(new.client, size, new=True)
        self._one(
            "INSERT INTO episodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?)",
            *(episode_id, generation, new.source, new.client, new.player, timeline + 1),
            *(new.start, size, len(new.actions), now + self._limits.ttl_s),
        )
        for n, action in enumerate(new.actions):
            self._one("INSERT INTO actions VALUES (?, ?, ?, '')", episode_id, n, action)
        for n, result in results:
            self._one("INSERT INTO slow_results VALUES (?, ?, ?)", episode_id, n, result)
        if new.sealed is not None:
            self._count_sealed_play(episode_id, new, new.sealed)
        return generation

    def _count_sealed_play(self, episode_id: str, new: NewEpisode, sealed: SealedStart) -> None:
        """Give the play its number; a SealedPlaysUsedUpError undoes the whole transaction."""
        plays = (sealed.participant, sealed.task_set)
        query = "SELECT COUNT(*) FROM sealed_plays WHERE participant = ? AND task_set = ?"
        if self._one(f"{query} AND task = ?", *plays, sealed.index) >= sealed.max_plays:
            raise SealedPlaysUsedUpError(sealed.max_plays)
        self._one(
            "INSERT INTO sealed_plays VALUES (?, ?, ?, ?, ?, ?, ?, NULL, 0, '')",
            *(*plays, self._one(query, *plays) + 1),
            *(sealed.index, episode_id, new.player, new.start),
        )

    @_transaction
    def find(self, player: str) -> str | None:
        query = "SELECT id FROM episodes WHERE player = ? AND player <> '' AND expires > ?"
        found: str | None = self._one(query, player, self._now())
        return found

    @_transaction
    def load(self, episode_id: str, *, take: bool = False) -> StoredEpisode | None:
        now, taken = self._now(), secrets.token_hex(8) if take else None
        found = self._rows(
            "UPDATE episodes SET expires = ?, generation = COALESCE(?, generation) "
            "WHERE id = ? AND expires > ? RETURNING generation, start, player, timeline, ended",
            *(now + self._limits.ttl_s, taken, episode_id, now),
        )
        if not found:
            return None
        query = "SELECT action, request FROM actions WHERE episode = ? ORDER BY n"
        rows = self._rows(query, episode_id)
        actions, requests = zip(*rows, strict=True) if rows else ((), ())
        generation, start, player, timeline, ended = found[0]
        query = "SELECT n, result FROM slow_results WHERE episode = ?"
        results = dict(self._rows(query, episode_id))
        return StoredEpisode(generation, start, actions, requests, player, timeline, ended, results)

    @_transaction
    def append(
        self, episode_id: str, generation: str, index: int, action: bytes, request_id: str = ""
    ) -> bool:
        size, now = _row(episode_id, action, request_id), self._now()
        client = self._one(
            "UPDATE episodes SET steps = steps + 1, bytes = bytes + ?, expires = ? "
            "WHERE id = ? AND generation = ? AND steps = ? AND expires > ? "
            "AND ended <> 'closed' RETURNING client",
            *(size, now + self._limits.ttl_s, episode_id, generation, index, now),
        )
        if client is None:
            return False
        self._make_room(client, size, new=False)
        self._one("INSERT INTO actions VALUES (?, ?, ?, ?)", episode_id, index, action, request_id)
        return True

    @_transaction
    def retract(self, episode_id: str, generation: str, index: int) -> bool:
        query = "SELECT action, request FROM actions WHERE episode = ? AND n = ?"
        size = sum(_row(episode_id, *row) for row in self._rows(query, episode_id, index))
        found = self._rows(
            "UPDATE episodes SET steps = steps - 1, bytes = bytes - ? "
            "WHERE id = ? AND generation = ? AND steps = ? RETURNING 1",
            *(size, episode_id, generation, index + 1),
        )
        for table in ("actions", "slow_results"):
            if found:
                self._one(f"DELETE FROM {table} WHERE episode = ? AND n = ?", episode_id, index)
        return bool(found)

    @_transaction
    def add_slow_result(self, episode_id: str, generation: str, index: int, result: bytes) -> bool:
        size, now = _row(episode_id, result), self._now()
        client = self._one(
            "UPDATE episodes SET bytes = bytes + ? WHERE id = ? AND generation = ? AND steps > ? "
            "AND expires > ? AND NOT EXISTS (SELECT 1 FROM slow_results WHERE episode = id "
            "AND n = ?) RETURNING client",
            *(size, episode_id, generation, index, now, index),
        )
        if client is None:
            return False
        self._make_room(client, size, new=False)
        self._one("INSERT INTO slow_results VALUES (?, ?, ?)", episode_id, index, result)
        return True

    @_transaction
    def finish(self, episode_id: str, generation: str, ended: str) -> bool:
        query = (
            "UPDATE episodes SET ended = ? "
            "WHERE id = ? AND generation = ? AND expires > ? AND ended <> 'closed' RETURNING 1"
        )
        return bool(self._one(query, ended, episode_id, generation, self._now()))

    @_transaction
    def secret(self) -> str:
        return str(self._one("SELECT value FROM secret"))

    @_transaction
    def draw(self, split: str, order: Sequence[int]) -> int | None:
        now = self._now()
        self._one("DELETE FROM drawn WHERE until <= ?", now)
        drawn = {task for (task,) in self._rows("SELECT task FROM drawn WHERE split = ?", split)}
        found = next((task for task in order if task not in drawn), None)
        if found is not None:
            self._one("INSERT INTO drawn VALUES (?, ?, ?)", split, found, now + self._limits.ttl_s)
        return found

    @_transaction
    def settle(self, split: str, task: int, *, played: bool) -> None:
        give_back = "DELETE FROM drawn WHERE split = ? AND task = ? AND until < ?"
        query = "INSERT OR REPLACE INTO drawn VALUES (?, ?, ?)" if played else give_back
        self._one(query, split, task, math.inf)

    @_transaction
    def list_sealed_plays(self, participant: str, task_set: str) -> list[SealedPlay]:
        rows = self._rows(
            "SELECT number, task, episode, player, start, score, steps, actions_digest "
            "FROM sealed_plays WHERE participant = ? AND task_set = ? ORDER BY number",
            *(participant, task_set),
        )
        return [SealedPlay(*row) for row in rows]

    @_transaction
    def finish_sealed_play(
        self, player: str, score: float, steps: int, actions_digest: str
    ) -> None:
        self._one(
            "UPDATE sealed_plays SET score = ?, steps = ?, actions_digest = ? "
            "WHERE player = ? AND score IS NULL",
            *(score, steps, actions_digest, player),
        )

    @_transaction
    def count(self, source: str) -> int:
        query = "SELECT COUNT(*) FROM episodes WHERE source = ? AND expires > ? AND ended != ?"
        return int(self._one(query, source, self._now(), CLOSED))

    @_transaction
    def check(self) -> None:
        written = self._now()
        self._one("INSERT OR REPLACE INTO heartbeat VALUES (1, ?)", written)
        self._save_clock()
        if self._one("SELECT at FROM heartbeat WHERE id = 1") != written:
            raise sqlite3.DatabaseError("what was written is not what is read")
        if self._one("SELECT value FROM secret") != self._secret:
            raise StoreReplacedError("was replaced")

    @_transaction
    def usage(self) -> StoreUsage:
        pages = self._one("PRAGMA page_count") - self._one("PRAGMA freelist_count")
        episodes = int(self._one("SELECT TOTAL(episodes) FROM clients"))
        return StoreUsage(episodes, pages * PAGE, self._limits.pages * PAGE)

    async def close(self) -> None:
        # After what the thread is still doing, never during it.
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)

    def _close(self) -> None:
        """Close the file; whoever uses the store again opens it."""
        self._db.close()
        self._closed = True

    def _run(self, name: str, work: Callable[[], T]) -> T:
        """Do work in a transaction; where it raises a StoreError, nothing was done."""
        try:
            if self._identity is not None:
                self._identity.require_at(self._path)
            if self._closed:
                self._connect()
            with metrics.STORE.labels(name).time(), self._db:  # which commits, or rolls back
                self._one("BEGIN IMMEDIATE")
                return work()
        except (OSError, sqlite3.Error) as problem:
            code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_FULL:
                raise unavailable(problem, "is on a disk that is full") from problem
            if code != sqlite3.SQLITE_BUSY:  # the connection may be worth nothing any more
                self._close()
            raise unavailable(problem) from problem

    def _rows(self, query: str, *values: Any) -> list[Any]:
        return self._db.execute(query, values).fetchall()

    def _one(self, query: str, *values: Any) -> Any:
        """First column of the first row that a statement returns; None without one."""
        rows = self._rows(query, *values)
        return rows[0][0] if rows else None

    def _make_room(self, client: str, size: int, *, new: bool) -> None:
        """Make room for a new episode, or for one more action of a running one.

        A StoreFullError says that whatever there is to displace is running.
        """
        limits, share = self._limits, NEW_EPISODES_SHARE if new else 1
        client_bytes = int(limits.client_bytes * share)
        most = min(limits.write_bytes, client_bytes if client else size)
        if size > most:
            problem = f"This takes {size} bytes; the episode store has room for {most} at a time."
            raise StoreFullError(problem, None)
        held = "SELECT episodes + ? > ? OR bytes + ? > ? FROM clients WHERE client = ?"
        asked = (new, limits.client_episodes, size * new, client_bytes, client)
        while client and self._one(held, *asked):
            self._displace(client)
        while new and self._one("SELECT TOTAL(episodes) FROM clients") >= limits.episodes:
            self._displace("")
        pages = int(limits.pages * share) - size // PAGE - SPARE_PAGES
        while self._one("PRAGMA page_count") - self._one("PRAGMA freelist_count") > pages:
            self._displace("")

    def _displace(self, client: str) -> None:
        """Forget the next episode to go, of that client or of all."""
        limits, whose = self._limits, "client = ? AND" if client else "? = '' AND"
        now = self._now()
        for running, latest in ((1, now), (0, math.inf), (1, limits.idle_until(now))):
            query = (
                f"DELETE FROM episodes WHERE id = (SELECT id FROM episodes WHERE {whose} "
                "(ended = '') = ? AND expires <= ? ORDER BY expires LIMIT 1) RETURNING 1"
            )
            if self._one(query, client, running, latest):
                return
        first = self._one(f"SELECT MIN(expires) FROM episodes WHERE {whose} ended = ''", client)
        size = limits.client_bytes if client else limits.size
        raise limits.used_up(first, now, own=bool(client), size=size)


def _row(*texts: str | bytes) -> int:
    """Bytes that a row of these texts takes in the file."""
    size = ROW_BYTES + sum(len(text.encode() if isinstance(text, str) else text) for text in texts)
    return int(FILLING * size) if size <= MOST_LOCAL else size + PAGE
