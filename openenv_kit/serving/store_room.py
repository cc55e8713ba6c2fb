"""Eviction in a SQLite store: which episodes make room for a new one, and which never do.

First what has expired; then the finished, the longest unused first; then the idle, likewise. A
client that has used up its own share displaces only its own. A running episode is never
displaced: the new one is refused, with the time to retry.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable

from openenv_kit.serving.episode_store import (
    RETRY_AFTER_S,
    StoreFullError,
    StoreLimits,
    StoreUnavailableError,
)

PAGE = 4096
FILE_SHARE, LOG_SHARE, WRITE_SHARE = 11 / 16, 1 / 16, 1 / 8
"""Parts of the store's bytes: for the file, for the log before it is written back to the file (it
may reach twice that), and for one write. The rest is the reserve's."""

NEW_EPISODES_SHARE = 7 / 8
"""Part of the room, everybody's and each client's, that resets may fill. The rest is for the steps
of the episodes that run."""

SPARE_PAGES = 12
"""Pages that a write may take beyond its own bytes: one split in each of the trees, and more."""

ROW_BYTES = 64
"""Bytes that an episode or an action takes beyond its own text and its episode's name."""


class Room:
    """The space of one store.

    Args:
        limits: what it may hold.
        free_bytes: bytes that the file system has left next to a file of so many; None where
            there is no file.
    """

    def __init__(self, limits: StoreLimits, free_bytes: Callable[[int], int] | None) -> None:
        self._limits = limits
        self._free_bytes = free_bytes
        self.file_pages = max(32, int(limits.size * FILE_SHARE) // PAGE)
        self.log_pages = max(16, min(1000, int(limits.size * LOG_SHARE) // PAGE))
        self._client_bytes = self.file_pages * PAGE * limits.client_percent // 100
        self._write_bytes = int(limits.size * WRITE_SHARE)

    def for_new(self, db: sqlite3.Connection, client: str, size: int, now: float) -> None:
        """Make room for an episode.

        Args:
            db: the store, in a transaction.
            client: whose it is; empty for one without a bound.
            size: its bytes.
            now: the time.

        Raises:
            StoreFullError: whatever there is to displace is running.
        """
        share = int(self._client_bytes * NEW_EPISODES_SHARE)
        self._check_size(size, share if client else size)
        while client and not self._client_fits(db, client, 1, size, share):
            self._displace(db, now, client)
        while _one(db, "SELECT TOTAL(episodes) FROM clients") >= self._limits.episodes:
            self._displace(db, now)
        self._free(db, size, int(self.file_pages * NEW_EPISODES_SHARE), now)

    def for_step(
        self, db: sqlite3.Connection, episode_id: str, client: str, size: int, now: float
    ) -> None:
        """Make room for one more action, whose bytes its episode has been charged already.

        See `for_new`.
        """
        self._check_size(size, self._client_bytes if client else size)
        while client and not self._client_fits(db, client, 0, 0, self._client_bytes):
            self._displace(db, now, client, episode_id)
        self._free(db, size, self.file_pages, now, episode_id)

    def purge(self, db: sqlite3.Connection, now: float, most: int) -> None:
        """Forget what has expired, so many episodes at most."""
        db.execute(
            "DELETE FROM episodes WHERE id IN (SELECT id FROM episodes "
            "WHERE finished IN (0, 1) AND expires <= ? LIMIT ?)",
            (now, most),
        )

    def shed(self, db: sqlite3.Connection, now: float, most: int) -> None:
        """Forget so many episodes that a newcomer might displace, so that a full disk has room."""
        for _ in range(most):
            victim = self._victim(db, now)
            if victim is None:
                return
            db.execute("DELETE FROM episodes WHERE id = ?", (victim,))

    def check_disk(self, db: sqlite3.Connection) -> None:
        """Make sure that the disk has space for a step.

        Raises:
            StoreUnavailableError: it has not.
        """
        taken, free = _one(db, "PRAGMA page_count"), _one(db, "PRAGMA freelist_count")
        if self._pages_on_disk(taken) + free < SPARE_PAGES:
            raise disk_full()

    def _check_size(self, size: int, share: int) -> None:
        most = min(self._write_bytes, share)
        if size > most:
            raise StoreFullError(
                f"This takes {size} bytes; the episode store has room for {most} at a time.", None
            )

    def _client_fits(
        self, db: sqlite3.Connection, client: str, more: int, size: int, share: int
    ) -> bool:
        found = db.execute("SELECT episodes, bytes FROM clients WHERE client = ?", (client,))
        episodes, held = found.fetchone() or (0, 0)
        return episodes + more <= self._limits.client_episodes and held + size <= share

    def _free(
        self, db: sqlite3.Connection, size: int, most: int, now: float, spared: str = ""
    ) -> None:
        """Displace episodes until a write of that size fits into so many pages."""
        wanted = size // (PAGE - ROW_BYTES) + SPARE_PAGES
        while self._pages_left(db, most) < wanted:
            try:
                self._displace(db, now, spared=spared)
            except StoreFullError:
                taken = _one(db, "PRAGMA page_count")
                if self._pages_on_disk(taken) < most - taken:
                    raise disk_full() from None
                raise

    def _pages_left(self, db: sqlite3.Connection, most: int) -> int:
        taken = _one(db, "PRAGMA page_count")
        growth = min(most - taken, self._pages_on_disk(taken))
        return growth + _one(db, "PRAGMA freelist_count")

    def _pages_on_disk(self, taken: int) -> int:
        """Pages by which the file can grow: each is written twice, to the log and to the file."""
        if self._free_bytes is None:
            return self.file_pages
        return self._free_bytes(taken * PAGE) // (2 * PAGE)

    def _displace(
        self, db: sqlite3.Connection, now: float, client: str = "", spared: str = ""
    ) -> None:
        victim = self._victim(db, now, client, spared)
        if victim is None:
            raise self._refusal(db, now, client)
        db.execute("DELETE FROM episodes WHERE id = ?", (victim,))

    def _victim(
        self, db: sqlite3.Connection, now: float, client: str = "", spared: str = ""
    ) -> str | None:
        """The episode to be displaced next, of that client or of all; None if all are running."""
        idle = now + self._limits.life_s - self._limits.idle_s
        whose, named = _of(client)
        for finished, latest in ((0, now), (1, math.inf), (0, idle)):
            found = db.execute(
                f"SELECT id FROM episodes WHERE {whose} finished = ? AND expires <= ? AND id != ? "
                "ORDER BY expires LIMIT 1",
                (*named, finished, latest, spared),
            ).fetchone()
            if found is not None:
                return str(found[0])
        return None

    def _refusal(self, db: sqlite3.Connection, now: float, client: str) -> StoreFullError:
        limits = self._limits
        whose, named = _of(client)
        query = f"SELECT MIN(expires) FROM episodes WHERE {whose} finished = 0"
        first = db.execute(query, named).fetchone()[0]
        wait = RETRY_AFTER_S
        if first is not None:
            wait = max(1, math.ceil(first - limits.life_s + limits.idle_s - now))
        if client:
            return StoreFullError(
                f"Your running episodes take up your share of the episode store: "
                f"{limits.client_percent} % of it, which is {limits.client_episodes} episodes or "
                f"{self._client_bytes} bytes. Finish one, or retry in {wait} s.",
                wait,
                own=True,
            )
        return StoreFullError(
            f"The episode store is full of running episodes; it has room for {limits.episodes} "
            f"episodes or {limits.size} bytes. Retry in {wait} s.",
            wait,
        )


def disk_full() -> StoreUnavailableError:
    """The refusal while the disk is full."""
    return StoreUnavailableError(
        f"The disk that the episode store is on is full. Retry in {RETRY_AFTER_S} s."
    )


def _of(client: str) -> tuple[str, tuple[str, ...]]:
    """Condition, and its values, that an episode is that client's; none for no client."""
    return ("client = ? AND", (client,)) if client else ("", ())


def bytes_of(episode_id: str, *texts: bytes) -> int:
    """Bytes that these texts take when each is kept under that name."""
    return sum(len(text) + len(episode_id.encode()) + ROW_BYTES for text in texts)


def _one(db: sqlite3.Connection, query: str) -> int:
    return int(db.execute(query).fetchone()[0])
