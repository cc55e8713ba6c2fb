"""Worker process for queries: SQLite in memory, limited in steps and memory.

It is started as a script with the standard library only, reads pickled requests from its standard
input and writes pickled answers to its standard output. A request is (key, tables or None, query
parts, largest number of rows, largest number of steps). An answer is (status, columns, rows,
steps); the status is "ok", "unknown" if the worker does not have the tables, or an error.

The limits are the same on every machine: steps of SQLite's virtual machine and memory. A limit of
CPU time ends the process only if a query does work that SQLite does not count as steps.
"""

from __future__ import annotations

import array
import math
import os
import pickle
import re
import resource
import sqlite3
import struct
import sys
import time
from collections import OrderedDict
from itertools import product
from typing import Any, BinaryIO, NamedTuple

MAX_DATABASES_BYTES = 24 * 2**20
"""Databases that are kept open, in bytes; one takes roughly 5 MB."""
STEPS_PER_TICK = 20_000
"""Steps of SQLite's machine after which they are counted."""
MAX_HEAP_BYTES = 64 * 2**20
"""Memory of SQLite in bytes, for all databases together."""
MAX_CPU_S = 5
"""CPU seconds of one query, five times what the most expensive steps take."""
NICENESS = 5
"""Priority below the server's: on a core that both want, the server gets three quarters."""
MAX_TEXT_BYTES = 4_000
MAX_MEDIAN_VALUES, MAX_HELD_VALUES = 200_000, 400_000
"""Values that one median is taken of, and that all medians of a query hold at a time."""
FUNCTIONS = frozenset(
    (
        *("abs", "avg", "coalesce", "count", "cume_dist", "dense_rank", "first_value", "glob"),
        *("ifnull", "iif", "instr", "lag", "last_value", "lead", "length", "like", "lower", "max"),
        *("median", "min", "nth_value", "ntile", "nullif", "percent_rank", "rank", "round"),
        *("row_number", "sign", "sqrt", "substr", "substring", "sum", "total", "trim", "upper"),
    )
)
TABLES = ("counts", "changes", "calendar")
UNKNOWN_TABLES = "unknown"
TOO_MANY_STEPS = "too many steps"
TOO_MUCH_MEMORY = "it takes more memory than one query may; group earlier"
_SIZES = ("page_count", "page_size")
_CPU = resource.RLIMIT_CPU
_KNOWN = re.compile(
    r"(no such column: \"?[\w.]{1,60}|no such table: [\w.]{1,60}|no such function: \w{1,40}"
    r"|ambiguous column name: [\w.]{1,60}|near \"[^\"]{1,40}\": syntax error"
    r"|wrong number of arguments to function \w{1,40}|misuse of (?:aggregate|window function)"
    r"|incomplete input|integer overflow|string or blob too big"
    r"|\w{1,40}\(\) may not be used as a window function)"
)


class Median:
    """The middle of the values that are not null; the mean of the two middle ones."""

    held = 0
    """Values of all medians of the query that runs."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: Any) -> None:
        """One more value."""
        if isinstance(value, int | float):
            if len(self.values) >= MAX_MEDIAN_VALUES or Median.held >= MAX_HELD_VALUES:
                raise ValueError("too many values")
            self.values.append(value)
            Median.held += 1

    def finalize(self) -> float | None:
        """The median; None of nothing."""
        ordered = sorted(self.values)
        Median.held -= len(ordered)
        half = len(ordered) // 2
        if not ordered:
            return None
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


class QueryAnswer(NamedTuple):
    """What came of a query.

    Attributes:
        status: "ok", or why there is no answer.
        columns, rows: the table.
        steps: that the query took, counted by `STEPS_PER_TICK`.
    """

    status: str
    columns: list[str]
    rows: list[Any]
    steps: int


class Database:
    """The tables of one episode.

    Args:
        tables: dimensions with their values, stages, dates, counts as bytes of 16-bit integers in
            the order (leaf, stage, day), and columns and rows of the change log and the calendar.
    """

    def __init__(self, tables: dict[str, Any]) -> None:
        self.steps = self.max_steps = 0
        self.denied = ""
        # Kept statements would take memory that the next query has not got then.
        self.connection = connection = sqlite3.connect(
            ":memory:", isolation_level=None, cached_statements=0
        )
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute(f"PRAGMA hard_heap_limit={MAX_HEAP_BYTES}")
        self._fill(tables)
        sizes = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _SIZES]
        self.size_bytes = math.prod(sizes)
        for limit, value in (
            (sqlite3.SQLITE_LIMIT_LENGTH, MAX_TEXT_BYTES),
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
        connection.set_authorizer(self._authorize)
        connection.set_progress_handler(self._tick, STEPS_PER_TICK)

    def _fill(self, tables: dict[str, Any]) -> None:
        dims, stages, dates = tables["dimensions"], tables["stages"], tables["dates"]
        columns = ["date TEXT", "day INTEGER", "week INTEGER", "weekday INTEGER"]
        columns += [f'"{name}" TEXT' for name in dims] + [f'"{name}" INTEGER' for name in stages]
        counts = array.array("H")
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
        for table in ("changes", "calendar"):
            names, table_rows = tables[table]
            run(f"CREATE TABLE {table}({', '.join(f'{name} TEXT' for name in names)})")
            marks = ", ".join("?" * len(names))
            self.connection.executemany(f"INSERT INTO {table} VALUES({marks})", table_rows)
        run("COMMIT")

    def _authorize(self, action: int, one: Any, other: Any, *_: Any) -> int:
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
        self.denied = self.denied or "only one SELECT over counts, changes and calendar is allowed"
        return sqlite3.SQLITE_DENY

    def _tick(self) -> int:
        self.steps += STEPS_PER_TICK
        return self.steps > self.max_steps

    def run(self, parts: tuple[str, str, bool], most: int, max_steps: int) -> QueryAnswer:
        """Answer a query.

        Args:
            parts: what comes before and after the place for the last of its order, and whether it
                is ordered.
            most: rows to return at most.
            max_steps: steps that it may take.

        Raises:
            MemoryError: it needs more memory than is left.
        """
        self.steps, self.max_steps, self.denied = 0, max_steps, ""
        Median.held = 0
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
            return QueryAnswer(self._describe_failure(problem), [], [], self._counted_steps)
        return QueryAnswer("ok", names, rows, self._counted_steps)

    @property
    def _counted_steps(self) -> int:
        """Steps of the query that ran, between one tick and all that it was allowed."""
        return min(max(self.steps, STEPS_PER_TICK), self.max_steps)

    def _describe_failure(self, problem: Exception) -> str:
        """Why a query has no answer, in words that do not depend on SQLite's version."""
        if self.denied:
            return self.denied
        if self.steps > self.max_steps:
            return TOO_MANY_STEPS
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
    databases = Databases()
    while (head := requests.read(8)) and len(head) == 8:
        request = pickle.loads(requests.read(struct.unpack("<Q", head)[0]))
        body = pickle.dumps(tuple(databases.answer(*request)))
        answers.write(struct.pack("<Q", len(body)) + body)
        answers.flush()


class Databases:
    """The databases that are open, the last used one last."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Database] = OrderedDict()

    def answer(
        self,
        key: str,
        tables: dict[str, Any] | None,
        parts: tuple[str, str, bool],
        most: int,
        max_steps: int,
    ) -> QueryAnswer:
        """Answer a query; where memory runs out, once more with no other database open.

        Steps are those of the last run alone, so they do not depend on what else was open.
        """
        if key not in self._open and tables is None:
            return QueryAnswer(UNKNOWN_TABLES, [], [], 0)
        steps = 0
        for close_first in (False, True):
            if close_first:
                self._close_all_but(key)
            was_alone = self._open.keys() <= {key}
            try:
                database = self._database(key, tables)
                limit_cpu_time()
                return database.run(parts, most, max_steps)
            except MemoryError:
                steps = self._open[key].steps if key in self._open else 0
            if was_alone:
                break
        return QueryAnswer(TOO_MUCH_MEMORY, [], [], min(max(steps, STEPS_PER_TICK), max_steps))

    def _database(self, key: str, tables: dict[str, Any] | None) -> Database:
        """Return the database of a key, made from the tables if it is not open."""
        if key not in self._open:
            assert tables is not None
            self._open[key] = Database(tables)
            while sum(each.size_bytes for each in self._open.values()) > MAX_DATABASES_BYTES:
                if len(self._open) == 1:
                    break
                self._open.popitem(last=False)[1].connection.close()
        self._open.move_to_end(key)
        return self._open[key]

    def _close_all_but(self, key: str) -> None:
        for other in self._open.keys() - {key}:
            self._open.pop(other).connection.close()


def limit_cpu_time() -> None:
    """Let the system end this process if it uses `MAX_CPU_S` more seconds of CPU time."""
    soft, hard = math.ceil(time.process_time()) + MAX_CPU_S, resource.getrlimit(_CPU)[1]
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(_CPU, (soft, hard))


if __name__ == "__main__":
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # an ended query leaves no file
    serve(sys.stdin.buffer, sys.stdout.buffer)
