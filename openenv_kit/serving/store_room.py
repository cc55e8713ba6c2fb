"""Eviction in a SQLite store: which episodes make room for a new one, and which never do.

First what has expired; then the finished, the longest unused first; then the idle, likewise. A
client that has used up its own share displaces only its own. A running episode is never
displaced: the new one is refused, with the time to retry.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable

from openenv_kit.serving.episode_store import (
    RETRY_AFTER_S,
    StoreFullError,
    StoreLimits,
    StoreUnavailableError,
    share_used_up,
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
    """The space of one store. All methods but the constructor are called in a transaction.

    `free_bytes` tells what the file system has left next to a file of so many bytes.
    """

    def __init__(
        self, db: sqlite3.Connection, limits: StoreLimits, free_bytes: Callable[[int], int] | None
    ) -> None:
        self._db = db
        self._limits = limits
        self._free_bytes = free_bytes
        self.file_pages = max(32, int(limits.size * FILE_SHARE) // PAGE)
        self.log_pages = max(16, min(1000, int(limits.size * LOG_SHARE) // PAGE))
        self._client_bytes = self.file_pages * PAGE * limits.client_percent // 100

    def make(self, client: str, size: int, running: str = "") -> None:
        """Make room for an episode, or for one more action of an episode that is running.

        Args:
            client: whose it is; empty for one without a bound.
            size: bytes of what is new; those of an action are charged to its client already.
            running: id of the episode that the action belongs to, which stays.

        Raises:
            StoreFullError: whatever there is to displace is running.
            StoreUnavailableError: the disk is full.
        """
        share, more, charge = (1.0, 0, 0) if running else (NEW_EPISODES_SHARE, 1, size)
        client_bytes = int(self._client_bytes * share)
        most = min(int(self._limits.size * WRITE_SHARE), client_bytes if client else size)
        if size > most:
            raise StoreFullError(
                f"This takes {size} bytes; the episode store has room for {most} at a time.", None
            )
        while client and not self._fits(client, more, client_bytes - charge):
            self._displace(client, running)
        while more and self._one("SELECT TOTAL(episodes) FROM clients") >= self._limits.episodes:
            self._displace()
        wanted = size // (PAGE - ROW_BYTES) + SPARE_PAGES
        while True:
            taken, free, on_disk = self._pages()
            growth = int(self.file_pages * share) - taken
            if min(growth, on_disk) + free >= wanted:
                return
            if not self.forget(spared=running):
                raise disk_full() if on_disk < growth else self._refusal()

    def purge(self, most: int) -> None:
        """Forget what has expired, so many episodes at most."""
        self._db.execute(
            "DELETE FROM episodes WHERE id IN (SELECT id FROM episodes "
            "WHERE finished IN (0, 1) AND expires <= ? LIMIT ?)",
            (time.time(), most),
        )

    def forget(self, client: str = "", spared: str = "") -> bool:
        """Forget the next episode to go, of that client or of all; False if all are running."""
        now = time.time()
        idle = now + self._limits.life_s - self._limits.idle_s
        whose, named = _of(client)
        for finished, latest in ((0, now), (1, math.inf), (0, idle)):
            found = self._db.execute(
                "DELETE FROM episodes WHERE id = (SELECT id FROM episodes "
                f"WHERE {whose} finished = ? AND expires <= ? AND id != ? "
                "ORDER BY expires LIMIT 1) RETURNING id",
                (*named, finished, latest, spared),
            ).fetchall()
            if found:
                return True
        return False

    def check_disk(self) -> None:
        """Raise a StoreUnavailableError where the disk has no space for a step."""
        _, free, on_disk = self._pages()
        if on_disk + free < SPARE_PAGES:
            raise disk_full()

    def _fits(self, client: str, more: int, most: int) -> bool:
        """Whether a client may have so many more episodes, and has no more than so many bytes."""
        query = "SELECT episodes, bytes FROM clients WHERE client = ?"
        episodes, held = self._db.execute(query, (client,)).fetchone() or (0, 0)
        return episodes + more <= self._limits.client_episodes and held <= most

    def _pages(self) -> tuple[int, int, int]:
        """Pages of the file, those of them that are free, and those it can grow by on its disk."""
        taken, free = self._one("PRAGMA page_count"), self._one("PRAGMA freelist_count")
        if self._free_bytes is None:
            return taken, free, self.file_pages
        # Each page is written twice, to the log and to the file.
        return taken, free, self._free_bytes(taken * PAGE) // (2 * PAGE)

    def _displace(self, client: str = "", spared: str = "") -> None:
        if not self.forget(client, spared):
            raise self._refusal(client)

    def _refusal(self, client: str = "") -> StoreFullError:
        limits = self._limits
        whose, named = _of(client)
        query = f"SELECT MIN(expires) FROM episodes WHERE {whose} finished = 0"
        first = self._db.execute(query, named).fetchone()[0]
        wait = RETRY_AFTER_S
        if first is not None:
            wait = max(1, math.ceil(first - limits.life_s + limits.idle_s - time.time()))
        if client:
            return share_used_up(limits, wait, self._client_bytes)
        return StoreFullError(
            f"The episode store is full of running episodes; it has room for {limits.episodes} "
            f"episodes or {limits.size} bytes. Retry in {wait} s.",
            wait,
        )

    def _one(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])


def disk_full() -> StoreUnavailableError:
    """The refusal while the disk is full."""
    return StoreUnavailableError(
        f"The disk that the episode store is on is full. Retry in {RETRY_AFTER_S} s."
    )


def bytes_of(episode_id: str, *texts: bytes) -> int:
    """Bytes that these texts take when each is kept under that name."""
    return sum(len(text) + len(episode_id.encode()) + ROW_BYTES for text in texts)


def _of(client: str) -> tuple[str, tuple[str, ...]]:
    """Condition, and its values, that an episode is that client's; none for no client."""
    return ("client = ? AND", (client,)) if client else ("", ())
