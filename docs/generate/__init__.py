"""Writes what the documentation shows from the code itself; see `__main__`."""
