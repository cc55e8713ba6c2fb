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
    MEMORY_STORE,
    NEW_EPISODES_SHARE,
    SQLITE_PAGE_BYTES,
    NewEpisode,
    StoredEpisode,
    StoreFullError,
    StoreLimits,
    StoreReplacedError,
    StoreUsage,
    build_unavailable_error,
)
from openenv_kit.serving.store.sealed_records import (
    SealedEpisode,
    SealedStartRequest,
    SealedStartsUsedUpError,
)

SPARE_WRITE_PAGES = 12
"""Pages that a write may take beyond its own bytes: one split in each of the trees, and more."""
ROW_OVERHEAD_BYTES, TREE_SIZE_FACTOR = 24, 3 / 2
"""What a row or an entry of an index takes beyond its texts; a tree's pages are two thirds full."""
MAX_ROW_BYTES_IN_TREE = 1002
"""The longest row that SQLite keeps in its tree; most of a longer one is on pages of its own."""

SCHEMA_VERSION = 10
"""Raised with every change of the tables. The default file is named after it, so that releases
side by side on one machine do not undo each other's tables."""
APPLICATION_ID = 0x4F454B53
"""Marks a file as ours."""
SCHEMA_STATEMENTS = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8").split("\n\n")

T = TypeVar("T")


class SchemaVersionError(sqlite3.DatabaseError):
    """The tables of the file are those of another release."""


def _as_async_transaction(work: Callable[..., T]) -> Callable[..., Coroutine[Any, Any, T]]:
    """Make an async method of what is done in one transaction."""

    @wraps(work)
    async def method(store: SqliteStore, *given: Any, **named: Any) -> T:
        loop, done = asyncio.get_running_loop(), partial(work, store, *given, **named)
        return await loop.run_in_executor(
            store._thread, store._run_transaction, work.__name__, done
        )

    return method


class SqliteStore:
    """Episodes in one SQLite file, or in the `memory` of this process; see `EpisodeStore`."""

    def __init__(self, path: str, limits: StoreLimits) -> None:
        self._path, self._limits = path, limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="episode-store")
        self._identity: FileIdentity | None = None  # of the file that was opened first
        self._secret = ""  # of the store that was opened first
        self._open_database()

    def _open_database(self) -> None:
        """Open the file, and make its tables where it is new."""
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        # Opened by one thread and used by the store's own; never by two at once.
        self._db = sqlite3.connect(
            ":memory:" if self._path == MEMORY_STORE else self._path,
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
                f"wal_autocheckpoint = {limits.max_log_pages}",
                f"journal_size_limit = {limits.max_log_pages * SQLITE_PAGE_BYTES}",
                f"max_page_count = {limits.max_pages}",
            ):
                self._fetch_value(f"PRAGMA {pragma}")
            self._fetch_value("BEGIN EXCLUSIVE")  # one worker makes the tables, the others wait
            self._make_tables()
            self._start_clock()
            self._remember_store_identity()
            self._fetch_value("COMMIT")
        except BaseException:
            self._close_database()
            raise
        self._closed = False

    def _make_tables(self) -> None:
        """Make the tables in an empty file.

        Raises:
            sqlite3.DatabaseError: the file is another program's.
            OtherReleaseError: another release made its tables.
        """
        version = self._fetch_value("PRAGMA user_version")
        if version == SCHEMA_VERSION:
            return
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        found = [name for (name,) in self._fetch_rows(query)]
        if found and self._fetch_value("PRAGMA application_id") != APPLICATION_ID:
            raise sqlite3.DatabaseError("the file is the database of another program")
        if found:
            raise SchemaVersionError(
                f"it has tables of version {version}, and this release reads version "
                f"{SCHEMA_VERSION}; nothing was changed. Go on with the release that made it, or "
                "move the file away: its episodes cannot be played by this one"
            )
        for statement in SCHEMA_STATEMENTS:
            self._fetch_value(statement)
        self._fetch_value("INSERT INTO secret VALUES (?)", secrets.token_hex(32))
        self._fetch_value(f"PRAGMA application_id = {APPLICATION_ID}")
        self._fetch_value(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _start_clock(self) -> None:
        """Go on with the clock that the file has, or start it."""
        rows = self._fetch_rows("SELECT boot, offset_s, last_s, wall_s FROM clock")
        self._clock_offset_s = clock.compute_clock_offset_s(
            clock.ClockRecord(*rows[0]) if rows else None
        )
        self._fetch_value("DELETE FROM clock")
        self._fetch_value(
            "INSERT INTO clock VALUES (?, ?, ?, ?)",
            *(clock.read_boot_id(), self._clock_offset_s, self._current_time_s(), time.time()),
        )

    def _current_time_s(self) -> float:
        """Return the time by the store's clock, in seconds."""
        return clock.seconds_since_boot() + self._clock_offset_s

    def _save_clock(self) -> None:
        """Write down how far the clock is, for a start after the machine was off."""
        self._fetch_value(
            "UPDATE clock SET last_s = MAX(last_s, ?), wall_s = ?",
            self._current_time_s(),
            time.time(),
        )

    def _remember_store_identity(self) -> None:
        """Note which store this is, so that another one in its place is noticed."""
        secret = str(self._fetch_value("SELECT value FROM secret"))
        if self._path != MEMORY_STORE:  # which is a new store whenever it is opened
            if self._secret and secret != self._secret:
                raise StoreReplacedError("was replaced")
            self._identity = FileIdentity.from_path(self._path)
        self._secret = secret

    @_as_async_transaction
    def create(self, episode_id: str, new_episode: NewEpisode, *, overwrite: bool = True) -> str:
        now = self._current_time_s()
        self._save_clock()
        expired = "SELECT id FROM episodes WHERE (ended = '') IN (0, 1) AND expires <= ? LIMIT 8"
        self._fetch_value(f"DELETE FROM episodes WHERE id IN ({expired})", now)
        query = "SELECT timeline FROM episodes WHERE id = ? AND expires > ?"
        timeline = self._fetch_value(query, episode_id, now) or 0
        if timeline and not overwrite:
            return ""
        generation = secrets.token_hex(8)
        indexed = (
            (new_episode.player_id,),
            (new_episode.client_address,),
            (new_episode.transport,),
            (),
        )
        results = new_episode.slow_results.items()
        texts = (*zip(new_episode.actions), *((result,) for _, result in results))
        rows = (
            (new_episode.client_address, new_episode.player_id, new_episode.start_json),
            *indexed,
            *texts,
        )
        size = sum(_row_bytes(episode_id, *row) for row in rows)
        self._fetch_value("DELETE FROM episodes WHERE id = ?", episode_id)
        self._evict_until_fits(new_episode.client_address, size, is_new_episode=True)
        self._fetch_value(
            "INSERT INTO episodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?)",
            *(
                episode_id,
                generation,
                new_episode.transport,
                new_episode.client_address,
                new_episode.player_id,
                timeline + 1,
            ),
            *(new_episode.start_json, size, len(new_episode.actions), now + self._limits.ttl_s),
        )
        for n, action in enumerate(new_episode.actions):
            self._fetch_value("INSERT INTO actions VALUES (?, ?, ?, '')", episode_id, n, action)
        for n, result in results:
            self._fetch_value("INSERT INTO slow_results VALUES (?, ?, ?)", episode_id, n, result)
        if new_episode.sealed_start is not None:
            self._add_sealed_episode(episode_id, new_episode, new_episode.sealed_start)
        return generation

    def _add_sealed_episode(
        self, episode_id: str, new_episode: NewEpisode, sealed_start: SealedStartRequest
    ) -> None:
        """Give the play its number; a SealedPlaysUsedUpError undoes the whole transaction."""
        plays = (sealed_start.participant, sealed_start.task_set_key)
        query = "SELECT COUNT(*) FROM sealed_plays WHERE participant = ? AND task_set = ?"
        if (
            self._fetch_value(f"{query} AND task = ?", *plays, sealed_start.index)
            >= sealed_start.max_starts
        ):
            raise SealedStartsUsedUpError(sealed_start.max_starts)
        self._fetch_value(
            "INSERT INTO sealed_plays VALUES (?, ?, ?, ?, ?, ?, ?, NULL, 0, '')",
            *(*plays, self._fetch_value(query, *plays) + 1),
            *(sealed_start.index, episode_id, new_episode.player_id, new_episode.start_json),
        )

    @_as_async_transaction
    def find_by_player(self, player_id: str) -> str | None:
        query = "SELECT id FROM episodes WHERE player = ? AND player <> '' AND expires > ?"
        found: str | None = self._fetch_value(query, player_id, self._current_time_s())
        return found

    @_as_async_transaction
    def load(self, episode_id: str, *, new_lease: bool = False) -> StoredEpisode | None:
        now, taken = self._current_time_s(), secrets.token_hex(8) if new_lease else None
        found = self._fetch_rows(
            "UPDATE episodes SET expires = ?, generation = COALESCE(?, generation) "
            "WHERE id = ? AND expires > ? RETURNING generation, start, player, timeline, ended",
            *(now + self._limits.ttl_s, taken, episode_id, now),
        )
        if not found:
            return None
        query = "SELECT action, request FROM actions WHERE episode = ? ORDER BY n"
        rows = self._fetch_rows(query, episode_id)
        actions, requests = zip(*rows, strict=True) if rows else ((), ())
        generation, start, player, timeline, ended = found[0]
        query = "SELECT n, result FROM slow_results WHERE episode = ?"
        results = dict(self._fetch_rows(query, episode_id))
        return StoredEpisode(generation, start, actions, requests, player, timeline, ended, results)

    @_as_async_transaction
    def append_action(
        self,
        episode_id: str,
        lease_id: str,
        action_index: int,
        action_json: bytes,
        request_id: str = "",
    ) -> bool:
        size, now = _row_bytes(episode_id, action_json, request_id), self._current_time_s()
        client = self._fetch_value(
            "UPDATE episodes SET steps = steps + 1, bytes = bytes + ?, expires = ? "
            "WHERE id = ? AND generation = ? AND steps = ? AND expires > ? "
            "AND ended <> 'closed' RETURNING client",
            *(size, now + self._limits.ttl_s, episode_id, lease_id, action_index, now),
        )
        if client is None:
            return False
        self._evict_until_fits(client, size, is_new_episode=False)
        self._fetch_value(
            "INSERT INTO actions VALUES (?, ?, ?, ?)",
            episode_id,
            action_index,
            action_json,
            request_id,
        )
        return True

    @_as_async_transaction
    def remove_last_action(self, episode_id: str, lease_id: str, action_index: int) -> bool:
        query = "SELECT action, request FROM actions WHERE episode = ? AND n = ?"
        size = sum(
            _row_bytes(episode_id, *row)
            for row in self._fetch_rows(query, episode_id, action_index)
        )
        found = self._fetch_rows(
            "UPDATE episodes SET steps = steps - 1, bytes = bytes - ? "
            "WHERE id = ? AND generation = ? AND steps = ? RETURNING 1",
            *(size, episode_id, lease_id, action_index + 1),
        )
        for table in ("actions", "slow_results"):
            if found:
                self._fetch_value(
                    f"DELETE FROM {table} WHERE episode = ? AND n = ?", episode_id, action_index
                )
        return bool(found)

    @_as_async_transaction
    def add_slow_result(
        self, episode_id: str, lease_id: str, action_index: int, compressed_result: bytes
    ) -> bool:
        size, now = _row_bytes(episode_id, compressed_result), self._current_time_s()
        client = self._fetch_value(
            "UPDATE episodes SET bytes = bytes + ? WHERE id = ? AND generation = ? AND steps > ? "
            "AND expires > ? AND NOT EXISTS (SELECT 1 FROM slow_results WHERE episode = id "
            "AND n = ?) RETURNING client",
            *(size, episode_id, lease_id, action_index, now, action_index),
        )
        if client is None:
            return False
        self._evict_until_fits(client, size, is_new_episode=False)
        self._fetch_value(
            "INSERT INTO slow_results VALUES (?, ?, ?)", episode_id, action_index, compressed_result
        )
        return True

    @_as_async_transaction
    def mark_ended(self, episode_id: str, lease_id: str, end_status: str) -> bool:
        query = (
            "UPDATE episodes SET ended = ? "
            "WHERE id = ? AND generation = ? AND expires > ? AND ended <> 'closed' RETURNING 1"
        )
        return bool(
            self._fetch_value(query, end_status, episode_id, lease_id, self._current_time_s())
        )

    @_as_async_transaction
    def get_secret(self) -> str:
        return str(self._fetch_value("SELECT value FROM secret"))

    @_as_async_transaction
    def reserve_task(self, split: str, task_order: Sequence[int]) -> int | None:
        now = self._current_time_s()
        self._fetch_value("DELETE FROM drawn WHERE until <= ?", now)
        drawn = {
            task for (task,) in self._fetch_rows("SELECT task FROM drawn WHERE split = ?", split)
        }
        found = next((task for task in task_order if task not in drawn), None)
        if found is not None:
            self._fetch_value(
                "INSERT INTO drawn VALUES (?, ?, ?)", split, found, now + self._limits.ttl_s
            )
        return found

    @_as_async_transaction
    def confirm_or_release_task(self, split: str, task_index: int, *, is_played: bool) -> None:
        give_back = "DELETE FROM drawn WHERE split = ? AND task = ? AND until < ?"
        query = "INSERT OR REPLACE INTO drawn VALUES (?, ?, ?)" if is_played else give_back
        self._fetch_value(query, split, task_index, math.inf)

    @_as_async_transaction
    def list_sealed_episodes(self, participant: str, task_set_key: str) -> list[SealedEpisode]:
        rows = self._fetch_rows(
            "SELECT number, task, episode, player, start, score, steps, actions_digest "
            "FROM sealed_plays WHERE participant = ? AND task_set = ? ORDER BY number",
            *(participant, task_set_key),
        )
        return [SealedEpisode(*row) for row in rows]

    @_as_async_transaction
    def record_sealed_result(
        self, player_id: str, score: float, step_count: int, actions_digest: str
    ) -> None:
        self._fetch_value(
            "UPDATE sealed_plays SET score = ?, steps = ?, actions_digest = ? "
            "WHERE player = ? AND score IS NULL",
            *(score, step_count, actions_digest, player_id),
        )

    @_as_async_transaction
    def count_open_episodes(self, transport: str) -> int:
        query = "SELECT COUNT(*) FROM episodes WHERE source = ? AND expires > ? AND ended != ?"
        return int(self._fetch_value(query, transport, self._current_time_s(), CLOSED))

    @_as_async_transaction
    def check_writable(self) -> None:
        written = self._current_time_s()
        self._fetch_value("INSERT OR REPLACE INTO heartbeat VALUES (1, ?)", written)
        self._save_clock()
        if self._fetch_value("SELECT at FROM heartbeat WHERE id = 1") != written:
            raise sqlite3.DatabaseError("what was written is not what is read")
        if self._fetch_value("SELECT value FROM secret") != self._secret:
            raise StoreReplacedError("was replaced")

    @_as_async_transaction
    def get_usage(self) -> StoreUsage:
        pages = self._fetch_value("PRAGMA page_count") - self._fetch_value("PRAGMA freelist_count")
        episodes = int(self._fetch_value("SELECT TOTAL(episodes) FROM clients"))
        return StoreUsage(
            episodes, pages * SQLITE_PAGE_BYTES, self._limits.max_pages * SQLITE_PAGE_BYTES
        )

    async def close(self) -> None:
        # After what the thread is still doing, never during it.
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close_database)

    def _close_database(self) -> None:
        """Close the file; whoever uses the store again opens it."""
        self._db.close()
        self._closed = True

    def _run_transaction(self, call_name: str, work: Callable[[], T]) -> T:
        """Do work in a transaction; where it raises a StoreError, nothing was done."""
        try:
            if self._identity is not None:
                self._identity.require_same_file(self._path)
            if self._closed:
                self._open_database()
            with (
                metrics.STORE_CALL_SECONDS.labels(call_name).time(),
                self._db,
            ):  # which commits, or rolls back
                self._fetch_value("BEGIN IMMEDIATE")
                return work()
        except (OSError, sqlite3.Error) as problem:
            code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_FULL:
                raise build_unavailable_error(problem, "is on a disk that is full") from problem
            if code != sqlite3.SQLITE_BUSY:  # the connection may be worth nothing any more
                self._close_database()
            raise build_unavailable_error(problem) from problem

    def _fetch_rows(self, query: str, *values: Any) -> list[Any]:
        return self._db.execute(query, values).fetchall()

    def _fetch_value(self, query: str, *values: Any) -> Any:
        """First column of the first row that a statement returns; None without one."""
        rows = self._fetch_rows(query, *values)
        return rows[0][0] if rows else None

    def _evict_until_fits(
        self, client_address: str, size_bytes: int, *, is_new_episode: bool
    ) -> None:
        """Make room for a new episode, or for one more action of a running one.

        A StoreFullError says that whatever there is to displace is running.
        """
        limits, share = self._limits, NEW_EPISODES_SHARE if is_new_episode else 1
        client_bytes = int(limits.max_client_bytes * share)
        most = min(limits.max_write_bytes, client_bytes if client_address else size_bytes)
        if size_bytes > most:
            problem = (
                f"This takes {size_bytes} bytes; the episode store has room for {most} at a time."
            )
            raise StoreFullError(problem, None)
        held = "SELECT episodes + ? > ? OR bytes + ? > ? FROM clients WHERE client = ?"
        asked = (
            is_new_episode,
            limits.max_client_episodes,
            size_bytes * is_new_episode,
            client_bytes,
            client_address,
        )
        while client_address and self._fetch_value(held, *asked):
            self._evict_one_episode(client_address)
        while (
            is_new_episode
            and self._fetch_value("SELECT TOTAL(episodes) FROM clients") >= limits.max_episodes
        ):
            self._evict_one_episode("")
        pages = int(limits.max_pages * share) - size_bytes // SQLITE_PAGE_BYTES - SPARE_WRITE_PAGES
        while (
            self._fetch_value("PRAGMA page_count") - self._fetch_value("PRAGMA freelist_count")
            > pages
        ):
            self._evict_one_episode("")

    def _evict_one_episode(self, client_address: str) -> None:
        """Forget the next episode to go, of that client or of all."""
        limits, whose = self._limits, "client = ? AND" if client_address else "? = '' AND"
        now = self._current_time_s()
        for running, latest in ((1, now), (0, math.inf), (1, limits.latest_idle_expiry_s(now))):
            query = (
                f"DELETE FROM episodes WHERE id = (SELECT id FROM episodes WHERE {whose} "
                "(ended = '') = ? AND expires <= ? ORDER BY expires LIMIT 1) RETURNING 1"
            )
            if self._fetch_value(query, client_address, running, latest):
                return
        first = self._fetch_value(
            f"SELECT MIN(expires) FROM episodes WHERE {whose} ended = ''", client_address
        )
        size = limits.max_client_bytes if client_address else limits.max_bytes
        raise limits.full_error(first, now, is_client_limit=bool(client_address), limit_bytes=size)


def _row_bytes(*texts: str | bytes) -> int:
    """Bytes that a row of these texts takes in the file."""
    size = ROW_OVERHEAD_BYTES + sum(
        len(text.encode() if isinstance(text, str) else text) for text in texts
    )
    return (
        int(TREE_SIZE_FACTOR * size) if size <= MAX_ROW_BYTES_IN_TREE else size + SQLITE_PAGE_BYTES
    )
