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
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.drilldown.domains import Domain
from metric_tracker_rl.drilldown.levels import MOST_NUMBERS
from metric_tracker_rl.drilldown.sql.bounds import stopped_in_time
from metric_tracker_rl.drilldown.sql.guard import MOST_CHARACTERS, TABLE, Asked, read_query
from openenv_kit.errors import ToolArgumentError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_ROWS = 300
"""Most rows in one reply."""
MOST_BYTES = 20_000
"""Most bytes of columns and rows in one reply, as compact JSON."""
MOST_MEGABYTES = 256
"""Memory that a query may take, as DuckDB counts it."""
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
ALL = "FORCE_AGGREGATES"
"""What DuckDB's parser says of GROUP BY ALL."""
_AT_ONCE = threading.BoundedSemaphore(max(os.cpu_count() or 1, 2))


class FailedQueryError(ToolArgumentError):
    """A query that ran and has no reply. That alone tells of what it computed, so it is paid for.

    Args:
        message: why.
        spent: what it takes of the budget, by unit.
    """

    def __init__(self, message: str, spent: Mapping[str, int]) -> None:
        super().__init__(f"{message} The query ran, and costs its {spent['numbers']:,} numbers.")
        self.spent = spent


class Database:
    """The table of one episode.

    Args:
        domain: names of its dimensions, values and stages.
        dates: ISO dates, in order.
        counts: shape (leaves, stages, days).
    """

    def __init__(self, domain: Domain, dates: Sequence[str], counts: NDArray[np.int32]) -> None:
        self.domain, self.dates, self.counts = domain, dates, counts
        self.attributes = (*domain.dim_names, "date")
        self._lock = threading.Lock()
        self._connection: DuckDBPyConnection | None = None

    def query(self, text: str, left: Mapping[str, int]) -> tuple[dict[str, Any], dict[str, int]]:
        """Columns and rows of a query, and what it takes of the budget.

        A query computes one number for each of its aggregates and groups, whether or not HAVING
        or LIMIT leaves them in the reply; without an aggregate, one for each column of a row.

        Args:
            text: one SELECT.
            left: numbers that may still be computed, rows and bytes that may still be read.

        Raises:
            ToolArgumentError: the query is not allowed, wrong or too large; nothing was read then.
            FailedQueryError: it ran, and has no reply.
        """
        if len(text) > MOST_CHARACTERS:
            given = f"a query of {len(text):,} characters"
            raise ToolArgumentError(f"{given}; allowed: {MOST_CHARACTERS:,}. Nothing was read.")
        import duckdb

        most, spent = min(MOST_ROWS, left["rows"]), {}
        with self._cursor() as cursor, _AT_ONCE, stopped_in_time(cursor) as stopped:
            try:
                parsed = cursor.execute("SELECT json_serialize_sql(?)", [text]).fetchall()[0][0]
                asked = read_query(parsed, self.attributes, self.domain.stages)
                cursor.execute("BEGIN TRANSACTION READ ONLY")
                columns = [each[0] for each in cursor.execute(f"DESCRIBE {text}").fetchall()]
                groups, each = _groups(cursor, asked), asked.aggregates or len(columns)
                _require_paid(groups, each, left["numbers"])
                if groups > most and asked.whole:
                    raise _failed({}, _too_many(f"{groups:,}", left))
                ordered = _ordered(cursor, text, asked, len(columns))
                spent = {"numbers": groups * each}
                rows = cursor.execute(ordered).fetchmany(most + 1)
            except duckdb.OutOfMemoryException:
                raise _failed(spent, "The query takes too much memory and was stopped.") from None
            except (duckdb.Error, UnicodeError, RuntimeError) as problem:
                why = _explained(problem, stopped, masked=bool(spent))
                raise _failed(spent, why) from None
        if len(rows) > most:
            raise _failed(spent, _too_many(f"more than {most:,}", left))
        told = [[_plain(value) for value in row] for row in rows]
        both = [columns, told]  # names are chosen by the caller, so they are paid for as well
        size = len(json.dumps(both, ensure_ascii=False, separators=(",", ":")).encode())
        if size > (most_bytes := min(MOST_BYTES, left["bytes"])):  # its size would tell of counts
            raise _failed(
                spent,
                f"The reply would have more than {most_bytes:,} bytes; allowed: {MOST_BYTES:,} in "
                f"one reply, and {left['bytes']:,} are left in all.",
            )
        result = {"columns": columns, "rows": told, "row_count": len(told), **spent}
        return result, {**spent, "rows": len(told), "bytes": size}

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


def _explained(problem: Exception, stopped: Sequence[str], *, masked: bool) -> str:
    """An error that teaches: DuckDB's own words, cut.

    Args:
        problem: what DuckDB raised.
        stopped: why the query was stopped, if it was.
        masked: whether to leave out values, as of a query that ran: they would be counts.
    """
    if stopped:
        return f"The query {stopped[0]} and was stopped."
    message = str(problem).split("\n\nLINE", 1)[0]
    if masked:
        message = _VALUES.sub("…", message)
    told = " ".join(message.split())[:MESSAGE]
    return told if told.endswith((".", "?", "!")) else f"{told}."


def _too_many(rows: str, left: Mapping[str, int]) -> str:
    return (
        f"The reply would have {rows} rows; allowed: {MOST_ROWS:,} in one reply, and "
        f"{left['rows']:,} are left in all. Aggregate, filter or LIMIT."
    )


def _failed(spent: Mapping[str, int], why: str) -> ToolArgumentError:
    """An error that says what a query without a reply costs."""
    return FailedQueryError(why, spent) if spent else ToolArgumentError(f"{why} Nothing was read.")


def _groups(cursor: DuckDBPyConnection, asked: Asked) -> int:
    """Groups that a query makes before HAVING and LIMIT; without any, rows."""
    node = asked.node
    if asked.aggregates and not node["group_expressions"] and node["aggregate_handling"] != ALL:
        return 1
    bare = {**node, "having": None, "modifiers": []}
    return int(cursor.execute(f"SELECT count(*) FROM ({_written(cursor, bare)})").fetchall()[0][0])


def _require_paid(groups: int, each: int, left: int) -> None:
    """Nothing, where a query computes no more than it may."""
    if groups * each > min(MOST_NUMBERS, left):
        raise ToolArgumentError(
            f"The query would compute {groups * each:,} numbers: {groups:,} groups, and {each:,} "
            f"aggregates or columns of each; allowed: {MOST_NUMBERS:,} in one query, and {left:,} "
            "are left in all. HAVING and LIMIT take none away, WHERE does. Nothing was read."
        )


def _written(cursor: DuckDBPyConnection, node: Mapping[str, Any]) -> str:
    """A SELECT as text."""
    whole = {"error": False, "statements": [{"node": node, "named_param_map": []}]}
    told = cursor.execute("SELECT json_deserialize_sql(?)", [json.dumps(whole)]).fetchall()
    return str(told[0][0])


def _ordered(cursor: DuckDBPyConnection, text: str, asked: Asked, columns: int) -> str:
    """A query whose last keys to order by are all of its columns.

    Rows that an order leaves equal come in one that depends on what the process did before, and the
    same query would not have the same reply.
    """
    modifiers = asked.node["modifiers"]
    types = [each["type"] for each in modifiers]
    if "ORDER_MODIFIER" not in types:
        types.insert(0, "ORDER_MODIFIER")
        modifiers.insert(0, {"type": "ORDER_MODIFIER", "orders": []})
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
    return _written(cursor, asked.node)


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
