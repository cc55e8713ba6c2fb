"""The episode store: interface, SQLite and Redis."""
