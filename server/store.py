"""Where episodes of HTTP and MCP clients are kept: what makes them again, and nothing else.

A store keeps the reset's arguments and the actions since. Whoever wants the episode plays them
again, so any worker can go on where another stopped, also after a crash.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MEMORY = "memory"
PURGE_EVERY = 256
"""Writes between two looks for expired episodes."""


@dataclass(frozen=True)
class StoredEpisode:
    """One episode as it is kept.

    Attributes:
        generation: changes whenever the episode is started over or taken over.
        start: JSON text of the reset's arguments and of the engine's versions.
        actions: JSON text of each action, in order.
        request_ids: the client's name for each request, empty where it gave none.
        player: the player's handle; changes whenever the episode is started over.
        timeline: how many times the episode was started under its id, from 1.
        ended: `completed` or `closed`, empty while it may be played.
    """

    generation: str
    start: bytes
    actions: tuple[bytes, ...]
    request_ids: tuple[str, ...]
    player: str = ""
    timeline: int = 1
    ended: str = ""


class EpisodeStore(Protocol):
    """What a store can do. Called from one thread; other processes use the same store."""

    def create(
        self,
        episode_id: str,
        source: str,
        start: bytes,
        actions: list[bytes],
        *,
        player: str = "",
        over: bool = True,
    ) -> str:
        """Start an episode; returns its generation.

        With `over`, one of that id is started over; without, it stays and nothing is returned.
        """

    def find(self, player: str) -> str | None:
        """Id of the episode that a player's handle belongs to."""

    def take(self, episode_id: str) -> StoredEpisode | None:
        """As `load`, under a new generation: whoever holds the old one can add nothing more."""

    def finish(self, episode_id: str, generation: str, ended: str) -> bool:
        """Mark an episode `completed` or `closed`; False if another writer was first.

        A closed episode takes no more actions and stays closed.
        """

    def next(self, counter: str) -> int:
        """The next number of a counter that all processes share, from 0."""

    def load(self, episode_id: str) -> StoredEpisode | None:
        """The episode, its life prolonged; None if unknown or expired."""

    def append(
        self, episode_id: str, generation: str, index: int, action: bytes, request_id: str
    ) -> bool:
        """Add the action of that index; False if another writer was first, or it is gone."""

    def delete(self, episode_id: str) -> bool:
        """Forget an episode; False if there was none."""

    def count(self, source: str) -> int:
        """Living episodes of that source that nobody closed."""

    def close(self) -> None:
        """Let go of files and connections."""


class SqliteStore:
    """Episodes in one SQLite file, shared by all workers of a machine.

    Args:
        path: the file; `memory` for none.
        ttl_s: life after the last use, in seconds.
        limit: episodes at once.
        clock: seconds since the epoch.
    """

    def __init__(
        self, path: str, ttl_s: float, limit: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._ttl = ttl_s
        self._limit = limit
        self._clock = clock
        self._writes = 0
        name = ":memory:" if path == MEMORY else path
        # Opened by one thread and used by the store's own; never by two at once.
        self._db = sqlite3.connect(
            name, timeout=30.0, isolation_level=None, check_same_thread=False
        )
        # The log outlives a killed process; only a power cut could take the last writes.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(SCHEMA)
        self._add_columns()

    def create(
        self,
        episode_id: str,
        source: str,
        start: bytes,
        actions: list[bytes],
        *,
        player: str = "",
        over: bool = True,
    ) -> str:
        """See `EpisodeStore`."""
        generation = secrets.token_hex(8)
        with self._writing():
            self._make_room()
            query = "SELECT timeline FROM episodes WHERE id = ? AND expires > ?"
            before = self._db.execute(query, (episode_id, self._clock())).fetchone()
            if before and not over:
                return ""
            timeline = before[0] + 1 if before else 1
            self._db.execute("DELETE FROM episodes WHERE id = ?", (episode_id,))
            self._db.execute(
                "INSERT INTO episodes "
                "(id, generation, source, start, steps, expires, player, timeline) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(episode_id, generation, source, start),
                    *(len(actions), self._expiry(), player, timeline),
                ),
            )
            self._db.executemany(
                "INSERT INTO actions (episode, n, action, request) VALUES (?, ?, ?, '')",
                [(episode_id, n, action) for n, action in enumerate(actions)],
            )
        return generation

    def find(self, player: str) -> str | None:
        """See `EpisodeStore`."""
        query = "SELECT id FROM episodes WHERE player = ? AND player <> '' AND expires > ?"
        found = self._db.execute(query, (player, self._clock())).fetchone()
        return None if found is None else str(found[0])

    def load(self, episode_id: str) -> StoredEpisode | None:
        """See `EpisodeStore`."""
        return self._used(episode_id, None)

    def take(self, episode_id: str) -> StoredEpisode | None:
        """See `EpisodeStore`."""
        return self._used(episode_id, secrets.token_hex(8))

    def _used(self, episode_id: str, generation: str | None) -> StoredEpisode | None:
        """The episode, its life prolonged, under a new generation where one is given."""
        with self._writing():
            found = self._db.execute(
                "UPDATE episodes SET expires = ?, generation = COALESCE(?, generation) "
                "WHERE id = ? AND expires > ? "
                "RETURNING generation, start, player, timeline, ended",
                (self._expiry(), generation, episode_id, self._clock()),
            ).fetchone()
            if found is None:
                return None
            rows = self._db.execute(
                "SELECT action, request FROM actions WHERE episode = ? ORDER BY n", (episode_id,)
            ).fetchall()
        actions = tuple(bytes(row[0]) for row in rows)
        requests = tuple(row[1] for row in rows)
        return StoredEpisode(found[0], bytes(found[1]), actions, requests, *found[2:])

    def append(
        self, episode_id: str, generation: str, index: int, action: bytes, request_id: str
    ) -> bool:
        """See `EpisodeStore`."""
        with self._writing():
            taken = self._db.execute(
                "UPDATE episodes SET steps = steps + 1, expires = ? "
                "WHERE id = ? AND generation = ? AND steps = ? AND expires > ? "
                "AND ended <> 'closed'",
                (self._expiry(), episode_id, generation, index, self._clock()),
            )
            if taken.rowcount == 0:
                return False
            self._db.execute(
                "INSERT INTO actions (episode, n, action, request) VALUES (?, ?, ?, ?)",
                (episode_id, index, action, request_id),
            )
        return True

    def finish(self, episode_id: str, generation: str, ended: str) -> bool:
        """See `EpisodeStore`."""
        with self._writing():
            marked = self._db.execute(
                "UPDATE episodes SET ended = ? "
                "WHERE id = ? AND generation = ? AND expires > ? AND ended <> 'closed'",
                (ended, episode_id, generation, self._clock()),
            )
        return marked.rowcount > 0

    def next(self, counter: str) -> int:
        """See `EpisodeStore`."""
        with self._writing():
            taken = self._db.execute(
                "INSERT INTO counters (name, next) VALUES (?, 1) "
                "ON CONFLICT (name) DO UPDATE SET next = next + 1 RETURNING next - 1",
                (counter,),
            ).fetchone()
        return int(taken[0])

    def delete(self, episode_id: str) -> bool:
        """See `EpisodeStore`."""
        with self._writing():
            gone = self._db.execute("DELETE FROM episodes WHERE id = ?", (episode_id,))
        return gone.rowcount > 0

    def count(self, source: str) -> int:
        """See `EpisodeStore`."""
        query = (
            "SELECT COUNT(*) FROM episodes WHERE source = ? AND expires > ? AND ended <> 'closed'"
        )
        return int(self._db.execute(query, (source, self._clock())).fetchone()[0])

    def close(self) -> None:
        """See `EpisodeStore`."""
        self._db.close()

    def _add_columns(self) -> None:
        """Bring a file that an earlier version made to this one's columns."""
        with self._writing():
            known = {row[1] for row in self._db.execute("PRAGMA table_info(episodes)")}
            for name, kind in LATER_COLUMNS.items():
                if name not in known:
                    self._db.execute(f"ALTER TABLE episodes ADD COLUMN {name} {kind}")
            self._db.execute("CREATE INDEX IF NOT EXISTS by_player ON episodes (player)")

    def _expiry(self) -> float:
        return self._clock() + self._ttl

    def _make_room(self) -> None:
        """Forget what has expired, and the longest unused where there are still too many."""
        self._writes += 1
        if self._writes % PURGE_EVERY == 1:
            self._db.execute("DELETE FROM episodes WHERE expires <= ?", (self._clock(),))
        total = int(self._db.execute("SELECT COUNT(*) FROM episodes").fetchone()[0])
        if total >= self._limit:
            self._db.execute(
                "DELETE FROM episodes WHERE id IN "
                "(SELECT id FROM episodes ORDER BY expires LIMIT ?)",
                (total - self._limit + 1,),
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction that holds the only right to write, so nothing read in it goes stale."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


LATER_COLUMNS = {
    "player": "TEXT NOT NULL DEFAULT ''",
    "timeline": "INTEGER NOT NULL DEFAULT 1",
    "ended": "TEXT NOT NULL DEFAULT ''",
}
SCHEMA = """
CREATE TABLE IF NOT EXISTS episodes (
    id TEXT PRIMARY KEY,
    generation TEXT NOT NULL,
    source TEXT NOT NULL,
    start BLOB NOT NULL,
    steps INTEGER NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_expiry ON episodes (expires);
CREATE INDEX IF NOT EXISTS by_source ON episodes (source, expires);
CREATE TABLE IF NOT EXISTS actions (
    episode TEXT NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    action BLOB NOT NULL,
    request TEXT NOT NULL,
    PRIMARY KEY (episode, n)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (
    name TEXT PRIMARY KEY,
    next INTEGER NOT NULL
) WITHOUT ROWID;
"""


def open_store(address: str, ttl_s: float, limit: int) -> tuple[EpisodeStore, str]:
    """The store that a setting names, and where it is, for the log.

    Without a setting: a file in a folder of ours under the temporary folder, and memory where
    nothing can be written.

    Raises:
        OSError, sqlite3.Error: what was asked for cannot be opened.
    """
    if address.startswith(("redis://", "rediss://", "unix://")):
        from server.redis_store import RedisStore

        return RedisStore(address, ttl_s), "redis"
    if address:
        if address != MEMORY:
            Path(address).parent.mkdir(parents=True, exist_ok=True)
        return SqliteStore(address, ttl_s, limit), address
    try:
        path = str(_private_folder() / "episodes.sqlite3")
        return SqliteStore(path, ttl_s, limit), path
    except (OSError, sqlite3.Error):
        return SqliteStore(MEMORY, ttl_s, limit), MEMORY


def _private_folder() -> Path:
    """A folder under the temporary one that belongs to us alone.

    Raises:
        PermissionError: somebody else made it first.
    """
    folder = Path(tempfile.gettempdir()) / f"metric-tracker-rl-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not ours alone")
    return folder
