"""Episode stores: their interface, and its implementations on SQLite and Redis."""
