"""Tables of the SQLite store, and the version of their schema."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

SCHEMA_VERSION = 11
"""Schema version. Every change of the tables, or of the JSON in them, increments it. It is part of
the default file name, so that releases that run side by side on one machine use different files.
"""
APPLICATION_ID = 0x4F454B53
"""SQLite application id of the store's files."""
SCHEMA_STATEMENTS = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8").split("\n\n")


class SchemaVersionError(sqlite3.DatabaseError):
    """The file contains the tables of another release."""


def create_tables_or_require_current_schema(connection: sqlite3.Connection) -> None:
    """Create the tables, if the file is empty.

    Raises:
        sqlite3.DatabaseError: the file belongs to another program.
        SchemaVersionError: the file contains the tables of another release.
    """
    ((version,),) = connection.execute("PRAGMA user_version")
    if version == SCHEMA_VERSION:
        return
    has_tables = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchone()
    ((application_id,),) = connection.execute("PRAGMA application_id")
    if has_tables and application_id != APPLICATION_ID:
        raise sqlite3.DatabaseError("the file is the database of another program")
    if has_tables:
        raise SchemaVersionError(
            f"it has tables of version {version}, and this release reads version {SCHEMA_VERSION}; "
            "nothing was changed. Use the release that created it, or move the file away: this "
            "release cannot play its episodes"
        )
    for statement in SCHEMA_STATEMENTS:
        connection.execute(statement)
    connection.execute("INSERT INTO secret VALUES (?)", (secrets.token_hex(32),))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
