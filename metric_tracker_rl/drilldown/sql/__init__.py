"""The analyst's own desk: five dimensions, and read-only SQL in place of slices.

`domains` holds the products in five dimensions as pure data, `guard` says which queries are
allowed, and `database` runs them. DuckDB is imported when the first query of a process is run.
"""
