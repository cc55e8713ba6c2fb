"""Tables of the SQLite store."""

from __future__ import annotations

import sqlite3

SCHEMA_VERSION = 3
"""Raised with every change of the tables. The default file is named after it, so that releases
side by side on one machine do not undo each other's tables."""

APPLICATION_ID = 0x4D545253
"""Marks a file as ours."""

SCHEMA = (
    """
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
    ) WITHOUT ROWID
    """,
    "CREATE INDEX by_player ON episodes (player)",
    "CREATE INDEX by_source ON episodes (source)",
    "CREATE INDEX by_use ON episodes (finished, expires)",
    "CREATE INDEX by_client ON episodes (client, finished, expires)",
    """
    CREATE TABLE actions (
        episode TEXT NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
        n INTEGER NOT NULL,
        action BLOB NOT NULL,
        request TEXT NOT NULL,
        PRIMARY KEY (episode, n)
    ) WITHOUT ROWID
    """,
    # Sums by client, kept by triggers: counting at each reset would take longer the more there are.
    """
    CREATE TABLE clients (
        client TEXT PRIMARY KEY,
        episodes INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TRIGGER came AFTER INSERT ON episodes BEGIN
        INSERT INTO clients VALUES (NEW.client, 1, NEW.bytes) ON CONFLICT (client)
        DO UPDATE SET episodes = episodes + 1, bytes = bytes + NEW.bytes;
    END
    """,
    """
    CREATE TRIGGER grew AFTER UPDATE OF bytes ON episodes BEGIN
        UPDATE clients SET bytes = bytes + NEW.bytes - OLD.bytes WHERE client = NEW.client;
    END
    """,
    """
    CREATE TRIGGER went AFTER DELETE ON episodes BEGIN
        UPDATE clients SET episodes = episodes - 1, bytes = bytes - OLD.bytes
        WHERE client = OLD.client;
        DELETE FROM clients WHERE client = OLD.client AND episodes = 0;
    END
    """,
    "CREATE TABLE counters (name TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE heartbeat (id INTEGER PRIMARY KEY, at REAL NOT NULL)",
)


def make_tables(db: sqlite3.Connection) -> None:
    """Tables of the present schema; the episodes of another release are dropped.

    Raises:
        sqlite3.DatabaseError: the file belongs to another program.
    """
    if db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
        return
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    found = {name for (name,) in db.execute(query).fetchall()}
    ours = db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not ours and found - {"episodes", "actions"}:  # the first release set no id
        raise sqlite3.DatabaseError("the file is the database of another program")
    for name in found:
        db.execute(f"DROP TABLE {name}")
    for statement in SCHEMA:
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
