"""The process that runs queries: SQLite in memory, bounded by work and by memory.

It is started as a plain script with nothing but the standard library, reads pickled requests from
its standard input and answers on its standard output. A request is (key, tables or None, query);
the answer (status, columns, rows), where status is "ok", "unknown" for tables that it does not
hold, or what is wrong with the query.

What bounds a query is the same wherever it runs: instructions of SQLite's machine, and memory that
it has to itself. No clock decides.
"""

from __future__ import annotations

import array
import pickle
import re
import sqlite3
import struct
import sys
from collections import OrderedDict
from itertools import product
from typing import Any, BinaryIO

KEPT = 6
"""Databases that are kept open; one takes roughly 6 MB."""
MOST_WORK, TICK = 20_000_000, 20_000
"""Instructions of one query, ten times what the heaviest of the tests' ordinary ones takes; and how
often they are counted."""
HEAP = 96 * 2**20
"""Memory of SQLite in bytes, for all databases together."""
LONGEST_TEXT = 4_000
MOST_VALUES = 200_000
"""Values that one median is taken of."""
FUNCTIONS = frozenset(
    (
        *("abs", "avg", "coalesce", "count", "cume_dist", "dense_rank", "first_value", "glob"),
        *("ifnull", "iif", "instr", "lag", "last_value", "lead", "length", "like", "lower", "max"),
        *("median", "min", "nth_value", "ntile", "nullif", "percent_rank", "rank", "round"),
        *("row_number", "sign", "sqrt", "substr", "substring", "sum", "total", "trim", "upper"),
    )
)
TABLES = ("counts", "changes")
_KNOWN = re.compile(
    r"(no such column: \"?[\w.]{1,60}|no such table: [\w.]{1,60}|no such function: \w{1,40}"
    r"|ambiguous column name: [\w.]{1,60}|near \"[^\"]{1,40}\": syntax error"
    r"|wrong number of arguments to function \w{1,40}|misuse of (?:aggregate|window function)"
    r"|incomplete input|integer overflow|string or blob too big"
    r"|\w{1,40}\(\) may not be used as a window function)"
)


class Median:
    """The middle of the values that are not null; the mean of the two middle ones."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: Any) -> None:
        """One more value."""
        if isinstance(value, int | float):
            if len(self.values) >= MOST_VALUES:
                raise ValueError("too many values")
            self.values.append(value)

    def finalize(self) -> float | None:
        """The median; None of nothing."""
        ordered = sorted(self.values)
        half = len(ordered) // 2
        if not ordered:
            return None
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


class Database:
    """The tables of one episode.

    Args:
        tables: dimensions with their values, stages, dates, counts as bytes of 32-bit integers in
            the order (leaf, stage, day), and the rows of the change log.
    """

    def __init__(self, tables: dict[str, Any]) -> None:
        self.work, self.denied = 0, ""
        self.connection = connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute(f"PRAGMA hard_heap_limit={HEAP}")
        self._fill(tables)
        for limit, value in (
            (sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_TEXT),
            (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 100),
            (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 40),
            (sqlite3.SQLITE_LIMIT_COLUMN, 100),
            (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 60),
            (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        ):
            connection.setlimit(limit, value)
        connection.create_aggregate("median", 1, Median)  # type: ignore[arg-type]
        connection.create_function("sqrt", 1, _sqrt, deterministic=True)
        connection.create_function("round", 1, _round, deterministic=True)
        connection.create_function("round", 2, _round, deterministic=True)
        connection.create_function("sign", 1, _sign, deterministic=True)
        connection.set_authorizer(self._allowed)
        connection.set_progress_handler(self._tick, TICK)

    def _fill(self, tables: dict[str, Any]) -> None:
        dims, stages, dates = tables["dims"], tables["stages"], tables["dates"]
        columns = ["date TEXT", "day INTEGER", "week INTEGER", "weekday INTEGER"]
        columns += [f'"{name}" TEXT' for name in dims] + [f'"{name}" INTEGER' for name in stages]
        counts = array.array("i")
        counts.frombytes(tables["counts"])
        days, width = len(dates), len(stages) * len(dates)
        rows = (
            (date, day, day // 7, day % 7, *leaf, *counts[leaf_at + day : leaf_at + width : days])
            for day, date in enumerate(dates)
            for leaf_at, leaf in (
                (number * width, leaf) for number, leaf in enumerate(product(*dims.values()))
            )
        )
        run = self.connection.execute
        run("BEGIN")
        run(f"CREATE TABLE counts({', '.join(columns)})")
        marks = ", ".join("?" * len(columns))
        self.connection.executemany(f"INSERT INTO counts VALUES({marks})", rows)
        run("CREATE INDEX by_day ON counts(day)")
        run("CREATE TABLE changes(id TEXT, date TEXT, component TEXT, owner TEXT, change TEXT)")
        self.connection.executemany("INSERT INTO changes VALUES(?, ?, ?, ?, ?)", tables["changes"])
        run("COMMIT")

    def _allowed(self, action: int, one: Any, other: Any, *_: Any) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and (not one or one in TABLES):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            if other.lower() in FUNCTIONS:
                return sqlite3.SQLITE_OK
            self.denied = f"the function {other[:40]} is not offered"
        elif action == sqlite3.SQLITE_READ:
            self.denied = f"no such table: {one[:40]}"
        self.denied = self.denied or "only one SELECT over counts and changes is allowed"
        return sqlite3.SQLITE_DENY

    def _tick(self) -> int:
        self.work += TICK
        return self.work > MOST_WORK

    def run(self, parts: tuple[str, str, bool], most: int) -> tuple[str, list[str], list[Any]]:
        """Answer a query.

        Args:
            parts: what comes before and after the place for the last of its order, and whether it
                is ordered.
            most: rows to return at most.
        """
        self.work, self.denied = 0, ""
        before, after, ordered = parts
        try:
            probe = self.connection.execute(f"SELECT * FROM ({before} {after}) LIMIT 0")
            places = ", ".join(str(place + 1) for place in range(len(probe.description)))
            order = f", {places}" if ordered else f" ORDER BY {places}"
            cursor = self.connection.execute(f"{before}{order} {after}")
            rows = cursor.fetchmany(most)
            names = [each[0] for each in cursor.description]
            cursor.close()
        except MemoryError:
            raise
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as problem:
            return self._reason(problem), [], []
        return "ok", names, rows

    def _reason(self, problem: Exception) -> str:
        """Why a query has no answer, in words that do not depend on SQLite's version."""
        if self.denied:
            return self.denied
        if self.work > MOST_WORK:
            return "it takes more work than one query may; group earlier, or join fewer rows"
        found = _KNOWN.match(str(problem))
        return found.group(0).replace('"', "") if found else "it is not a SELECT that can be run"


def _sqrt(value: Any) -> float | None:
    return float(value) ** 0.5 if isinstance(value, int | float) and value >= 0 else None


def _round(value: Any, digits: Any = 0) -> float | None:
    if not isinstance(value, int | float) or not isinstance(digits, int):
        return None
    return float(round(value, max(min(digits, 15), 0)))


def _sign(value: Any) -> int | None:
    return (value > 0) - (value < 0) if isinstance(value, int | float) else None


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    databases: OrderedDict[str, tuple[dict[str, Any], Database]] = OrderedDict()
    while (head := requests.read(8)) and len(head) == 8:
        key, tables, parts, most = pickle.loads(requests.read(struct.unpack("<Q", head)[0]))
        answer: tuple[str, list[str], list[Any]] = ("unknown", [], [])
        if key in databases or tables is not None:
            answer = _answer(databases, key, tables, parts, most)
        body = pickle.dumps(answer)
        answers.write(struct.pack("<Q", len(body)) + body)
        answers.flush()


def _answer(
    databases: OrderedDict[str, tuple[dict[str, Any], Database]],
    key: str,
    tables: dict[str, Any] | None,
    parts: tuple[str, str, bool],
    most: int,
) -> tuple[str, list[str], list[Any]]:
    """The answer to a query; where memory runs out, once more with no other database open."""
    try:
        if tables is not None:
            while len(databases) >= KEPT:
                databases.popitem(last=False)[1][1].connection.close()
            databases[key] = tables, Database(tables)
        databases.move_to_end(key)
        return databases[key][1].run(parts, most)
    except MemoryError:
        known = tables if tables is not None else databases[key][0]
        while databases:
            databases.popitem()[1][1].connection.close()
        try:
            alone = Database(known)
            databases[key] = known, alone
            return alone.run(parts, most)
        except MemoryError:
            return "it takes more memory than one query may; group earlier", [], []


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
