"""The counts of one episode as a table, and queries over it within bounds.

One read-only database in memory serves every session of an episode. It is made for the first
query, takes about 13 MB, and is closed when nothing holds it any more. A query blocks its caller
for up to `MOST_SECONDS` of work: a server runs it on a thread of its own.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.drilldown.domains import Domain
from metric_tracker_rl.drilldown.sql.guard import MOST_CHARACTERS, TABLE, require_allowed
from openenv_kit.errors import ToolArgumentError, nearest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_ROWS = 300
"""Most rows in one reply."""
MOST_BYTES = 20_000
"""Most bytes of columns and rows in one reply, as compact JSON."""
MOST_SECONDS = 5.0
"""Longest a query may work: processor time, so that a busy machine allows what an idle one does."""
MOST_MEGABYTES = 256
"""Memory that a query may take, as DuckDB counts it."""
MOST_GROWTH = 768 << 20
"""Bytes that the process may grow by during a query: medians escape DuckDB's own limit."""
DIGITS = 9
"""Significant digits of a fraction in a reply."""
MESSAGE = 300
"""Longest part of DuckDB's own message that is told."""
SETTINGS = {
    "threads": "1",  # an order that a query leaves open must not depend on threads
    "memory_limit": f"{MOST_MEGABYTES}MB",
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
}
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|(?<!\w)-?\d[\w.+-]*")
"""Values in DuckDB's messages."""
_AT_ONCE = threading.BoundedSemaphore(max(os.cpu_count() or 1, 2))
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
_MEMORY = Path("/proc/self/statm")


class Database:
    """The table of one episode.

    Args:
        domain: names of its dimensions, values and stages.
        dates: ISO dates, in order.
        counts: shape (leaves, stages, days).
    """

    def __init__(self, domain: Domain, dates: Sequence[str], counts: NDArray[np.int32]) -> None:
        self.domain, self.dates, self.counts = domain, dates, counts
        self.columns = (*domain.dim_names, "date", *domain.stages)
        self._lock = threading.Lock()
        self._connection: DuckDBPyConnection | None = None

    def query(self, text: str, left: Mapping[str, int]) -> tuple[dict[str, Any], dict[str, int]]:
        """Columns and rows of a query, and what it takes of the budget.

        Args:
            text: one SELECT.
            left: rows and bytes that may still be read.

        Raises:
            ToolArgumentError: the query is not allowed, wrong, too large or too slow. Nothing was
                read then.
        """
        if len(text) > MOST_CHARACTERS:
            given = f"a query of {len(text):,} characters"
            raise ToolArgumentError(f"{given}; allowed: {MOST_CHARACTERS:,}. Nothing was read.")
        import duckdb

        most, runs = min(MOST_ROWS, left["rows"]), False
        with self._cursor() as cursor, _AT_ONCE, _stopped_in_time(cursor) as stopped:
            try:
                parsed = cursor.execute("SELECT json_serialize_sql(?)", [text]).fetchall()[0][0]
                require_allowed(parsed)
                cursor.execute("BEGIN TRANSACTION READ ONLY")
                columns = [each[0] for each in cursor.execute(f"DESCRIBE {text}").fetchall()]
                ordered = _ordered(cursor, text, parsed, len(columns))
                runs = True
                rows = cursor.execute(ordered).fetchmany(most + 1)
            except duckdb.OutOfMemoryException:
                raise self._stopped("takes too much memory") from None
            except (duckdb.Error, UnicodeError, RuntimeError) as problem:
                raise self._explained(problem, stopped, masked=runs) from None
        if len(rows) > most:
            raise ToolArgumentError(
                f"The reply would have more than {most:,} rows; allowed: {MOST_ROWS:,} in one "
                f"reply, and {left['rows']:,} are left in all. Aggregate, filter or LIMIT. "
                "Nothing was read."
            )
        told = [[_plain(value) for value in row] for row in rows]
        both = [columns, told]  # names are chosen by the caller, so they are paid for as well
        size = len(json.dumps(both, ensure_ascii=False, separators=(",", ":")).encode())
        if size > (most_bytes := min(MOST_BYTES, left["bytes"])):  # its size would tell of counts
            raise ToolArgumentError(
                f"The reply would have more than {most_bytes:,} bytes; allowed: {MOST_BYTES:,} in "
                f"one reply, and {left['bytes']:,} are left in all. Nothing was read."
            )
        result = {"columns": columns, "rows": told, "row_count": len(told)}
        return result, {"rows": len(told), "bytes": size}

    @contextmanager
    def _cursor(self) -> Iterator[DuckDBPyConnection]:
        with self._lock:
            if self._connection is None:
                self._connection = connected(self.domain, self.dates, self.counts)
                weakref.finalize(self, self._connection.close)
            cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def _explained(
        self, problem: Exception, stopped: Sequence[str], *, masked: bool
    ) -> ToolArgumentError:
        """An error that teaches: DuckDB's own words, cut, and the columns there are.

        Args:
            problem: what DuckDB raised.
            stopped: why the query was stopped, if it was.
            masked: whether to leave out values, as of a query that ran: they would be counts that
                nobody has paid for.
        """
        if stopped:
            return self._stopped(stopped[0])
        message = str(problem).split("\n\nLINE", 1)[0]
        if masked:
            message = _VALUES.sub("…", message)
        told = " ".join(message.split())[:MESSAGE]
        if wrong := re.search(r'column "([^"]{1,60})"', told):
            guess = nearest(wrong[1], self.columns)
            hint = f" Did you mean {guess!r}?" if guess else ""
            told = f"{told}{hint} Columns of {TABLE}: {', '.join(self.columns)}."
        if not told.endswith((".", "?", "!")):
            told += "."
        return ToolArgumentError(f"{told} Nothing was read.")

    def _stopped(self, why: str) -> ToolArgumentError:
        return ToolArgumentError(
            f"The query {why} and was stopped. Group by fewer columns at a time, and by columns as "
            "they are, not as text; aggregate before you join, and join on every column that two "
            "tables share. Nothing was read."
        )


def _ordered(cursor: DuckDBPyConnection, text: str, parsed: str, columns: int) -> str:
    """A query whose last keys to order by are all of its columns.

    Rows that an order leaves equal come in one that depends on what the process did before, and the
    same query would not have the same reply. A LIMIT without an order is left alone: it stops at
    the first rows, in the order of the table.
    """
    told = json.loads(parsed)
    modifiers = told["statements"][0]["node"]["modifiers"]
    types = [each["type"] for each in modifiers]
    if "ORDER_MODIFIER" not in types:
        if "LIMIT_MODIFIER" in types:
            return text
        types.append("ORDER_MODIFIER")
        modifiers.append({"type": "ORDER_MODIFIER", "orders": []})
    orders = modifiers[types.index("ORDER_MODIFIER")]["orders"]
    if any(each["expression"]["class"] == "STAR" for each in orders):
        return text  # ORDER BY ALL
    for place in range(1, columns + 1):
        orders.append(
            {
                "type": "ORDER_DEFAULT",
                "null_order": "ORDER_DEFAULT",
                "expression": {
                    "class": "CONSTANT",
                    "type": "VALUE_CONSTANT",
                    "alias": "",
                    "query_location": 0,
                    "value": {
                        "type": {"id": "INTEGER", "type_info": None},
                        "is_null": False,
                        "value": place,
                    },
                },
            }
        )
    told = cursor.execute("SELECT json_deserialize_sql(?)", [json.dumps(told)]).fetchall()[0][0]
    return str(told)


def connected(
    domain: Domain, dates: Sequence[str], counts: NDArray[np.int32]
) -> DuckDBPyConnection:
    """A locked database in memory with the one table, ordered by leaf and day."""
    import duckdb

    leaves, _, days = counts.shape
    places = np.array(list(np.ndindex(domain.shape)), dtype=np.uint8)
    raw: dict[str, NDArray[Any]] = {
        f"value_{axis}": np.repeat(places[:, axis], days) for axis in range(len(domain.dims))
    }
    raw["day"] = np.tile(np.arange(days, dtype=np.int32), leaves)
    for number in range(len(domain.stages)):
        raw[f"stage_{number}"] = np.ascontiguousarray(counts[:, number]).reshape(-1)
    connection = duckdb.connect(":memory:", config=dict(SETTINGS))
    columns = []
    for axis, dim in enumerate(domain.dims):
        names = ", ".join(_quoted(name, "'") for name in dim.names)
        connection.execute(f"CREATE TYPE values_{axis} AS ENUM ({names})")
        value = f"enum_range(NULL::values_{axis})[value_{axis} + 1]::values_{axis}"
        columns.append(f"{value} AS {_quoted(dim.name)}")
    columns.append(f"DATE '{dates[0]}' + day AS date")
    columns += [f"stage_{n} AS {_quoted(stage)}" for n, stage in enumerate(domain.stages)]
    connection.register("raw", raw)
    connection.execute(f"CREATE TABLE {TABLE} AS SELECT {', '.join(columns)} FROM raw")
    connection.unregister("raw")
    for setting in ("enable_external_access = false", "lock_configuration = true"):
        connection.execute(f"SET {setting}")
    return connection


@contextmanager
def _stopped_in_time(cursor: DuckDBPyConnection) -> Iterator[list[str]]:
    """Interrupt whatever runs too long or takes too much; the list then says why."""
    over = threading.Event()
    why: list[str] = []
    worked = _clock_of_this_thread()
    begun, before = worked(), _memory()

    def watch() -> None:
        while not over.wait(0.02):
            if worked() - begun > MOST_SECONDS:
                why.append(f"took more than {MOST_SECONDS:g} seconds of work")
            elif _memory() - before > MOST_GROWTH:
                why.append("took too much memory")
            if why:
                cursor.interrupt()

    watcher = threading.Thread(target=watch, name="sql-watch", daemon=True)
    watcher.start()
    try:
        yield why
    finally:
        over.set()
        watcher.join()


def _clock_of_this_thread() -> Callable[[], float]:
    """What tells, from any thread, for how many seconds this one has worked."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return time.monotonic
    clock = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.clock_gettime(clock)


def _memory() -> int:
    """Bytes of memory of this process; 0 where the system does not say."""
    try:
        return int(_MEMORY.read_text().split()[1]) * _PAGE
    except OSError:
        return 0


def _plain(value: Any) -> Any:
    """A value as JSON has it; what is no number is null."""
    if isinstance(value, decimal.Decimal):
        value = float(value)
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def _quoted(name: str, mark: str = '"') -> str:
    """A name as SQL writes it."""
    return mark + name.replace(mark, 2 * mark) + mark
