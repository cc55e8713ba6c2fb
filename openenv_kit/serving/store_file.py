"""The files and tables of a SQLite store: opened by one process at a time, and never split.

SQLite keeps a log and an index next to its file and finds both by name. When somebody deletes or
replaces the file under running workers, two of them must not use different files, and none
may read the old log into the new file. So every worker looks before and after each transaction
whether its files are still the ones on disk, and opens them anew, under a lock, if they are not.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BUSY_S = 30.0
"""Longest wait for other workers' transactions, in seconds."""

RESERVE_SHARE = 16
MAX_RESERVE = 2 << 20
"""Room to log the largest message, and the episodes that it displaces, on a full disk."""

Identity = tuple[tuple[int, int] | None, ...]

SCHEMA_VERSION = 3
"""Raised with every change of the tables. The default file is named after it, so that releases
side by side on one machine do not undo each other's tables."""

APPLICATION_ID = 0x4D545253
"""Marks a file as ours."""

SCHEMA = f"""
CREATE TABLE episodes (
    id TEXT PRIMARY KEY,
    generation TEXT NOT NULL,
    source TEXT NOT NULL,
    client TEXT NOT NULL,
    player TEXT NOT NULL,
    timeline INTEGER NOT NULL,
    start BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    ended TEXT NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX by_player ON episodes (player);
CREATE INDEX by_source ON episodes (source);
CREATE INDEX by_use ON episodes (finished, expires);
CREATE INDEX by_client ON episodes (client, finished, expires);
CREATE TABLE actions (
    episode TEXT NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    action BLOB NOT NULL,
    request TEXT NOT NULL,
    PRIMARY KEY (episode, n)
) WITHOUT ROWID;
-- Sums by client, kept by triggers: counting at each reset would take longer the more there are.
CREATE TABLE clients (
    client TEXT PRIMARY KEY,
    episodes INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER came AFTER INSERT ON episodes BEGIN
    INSERT INTO clients VALUES (NEW.client, 1, NEW.bytes) ON CONFLICT (client)
    DO UPDATE SET episodes = episodes + 1, bytes = bytes + NEW.bytes;
END;
CREATE TRIGGER grew AFTER UPDATE OF bytes ON episodes BEGIN
    UPDATE clients SET bytes = bytes + NEW.bytes - OLD.bytes WHERE client = NEW.client;
END;
CREATE TRIGGER went AFTER DELETE ON episodes BEGIN
    UPDATE clients SET episodes = episodes - 1, bytes = bytes - OLD.bytes
    WHERE client = OLD.client;
    DELETE FROM clients WHERE client = OLD.client AND episodes = 0;
END;
CREATE TABLE counters (name TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE heartbeat (id INTEGER PRIMARY KEY, at REAL NOT NULL);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""


class StoreFile:
    """One SQLite file and what belongs to it.

    Args:
        path: the file; its folder is made where it is missing.
        size: bytes that the store may take on disk, the reserve included.
        prepare: makes a new connection ready: pragmas, tables. Called under the lock.
    """

    def __init__(self, path: str, size: int, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self._path = Path(path)
        self._log, self._index = Path(f"{path}-wal"), Path(f"{path}-shm")
        self._lock = Path(f"{path}-lock")
        self._prepare = prepare
        self._seen: Identity | None = None
        self.reserve = Reserve(Path(f"{path}-reserve"), min(MAX_RESERVE, size // RESERVE_SHARE))

    def connect(self, old: sqlite3.Connection | None = None) -> sqlite3.Connection:
        """A connection to the file as it is now; the old one is closed."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            self._remove_leftovers()
            self._seen = None
            # Closed only now: SQLite then sees that the file was moved, and leaves the names alone.
            if old is not None:
                old.close()
            # Opened by one thread and used by the store's own; never by two at once.
            made = sqlite3.connect(
                self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(made)
            except BaseException:
                made.close()
                raise
            self._seen = self._identity()
        self.reserve.restore()
        return made

    def is_current(self) -> bool:
        """Whether the files on disk are the ones that are open."""
        return self._identity() == self._seen

    def log_size(self) -> int:
        """Bytes of the log."""
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0

    def free_bytes(self, size: int) -> int:
        """Bytes that the file system has left once the file has `size`, its log written back."""
        found = os.statvfs(self._path.parent)
        pending = max(0, size - self._path.stat().st_size)
        # Bytes that the reserve should have again are not there to grow into.
        return max(0, found.f_bavail * found.f_frsize - pending - self.reserve.missing())

    def _identity(self) -> Identity:
        return tuple(map(_identity, (self._path, self._log, self._index)))

    def _remove_leftovers(self) -> None:
        """Remove what belongs to a file that is gone, before SQLite takes it for the new one's."""
        file, log, _ = found = self._identity()
        stale: tuple[Path, ...] = ()
        if file is None:
            stale = self._log, self._index
        elif self._seen is not None and found != self._seen:
            if file == self._seen[0]:
                # Its log or index was deleted: what is left is not whole.
                stale = self._path, self._log, self._index
            elif log == self._seen[1]:
                stale = self._log, self._index
        for path in stale:
            path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among all processes that open this store."""
        while True:
            handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                # A lock on a file that was deleted meanwhile keeps nobody out.
                held = os.fstat(handle)
                if _identity(self._lock) == (held.st_dev, held.st_ino):
                    yield
                    return
            finally:
                os.close(handle)


class Reserve:
    """Bytes set aside on disk. Deleting episodes needs space too: this is given up for it."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def release(self) -> None:
        """Give the bytes back to the file system."""
        with suppress(OSError):
            self._path.unlink()

    def missing(self) -> int:
        """Bytes that were given up and are not set aside again yet."""
        return 0 if self._path.exists() else self._size

    def restore(self) -> None:
        """Set the bytes aside again, where that leaves some to others."""
        try:
            found = os.statvfs(self._path.parent)
            if self._path.exists() or found.f_bavail * found.f_frsize < self._size * 5 // 4:
                return
            self._path.write_bytes(bytes(self._size))
        except OSError:
            self.release()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def make_tables(db: sqlite3.Connection) -> None:
    """Make the tables, dropping those of another release; another program's file is refused."""
    if db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
        return
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    found = {name for (name,) in db.execute(query).fetchall()}
    ours = db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not ours and found - {"episodes", "actions"}:  # the first release set no id
        raise sqlite3.DatabaseError("the file is the database of another program")
    old = "".join(f"DROP TABLE {name};" for name in found)
    db.executescript(f"BEGIN IMMEDIATE; {old} {SCHEMA} COMMIT;")
