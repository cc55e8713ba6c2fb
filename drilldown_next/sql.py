"""Answers one SELECT over an episode's counts, change log and calendar.

Queries run in worker processes; see `sql_worker`. This module reads them, completes their order and
rejects what differs between versions of SQLite: texts made from numbers. Fractions have six
significant digits. The cost of a query is counted in steps of SQLite's virtual machine.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pickle
import re
import select
import signal
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from drilldown_next.calendar import CALENDAR_COLUMNS, format_calendar
from drilldown_next.change_log import LOG_COLUMNS, format_log, format_scope
from drilldown_next.episode import Episode
from drilldown_next.sql_worker import TOO_MANY_STEPS, UNKNOWN_TABLES
from openenv_kit.errors import KitError, ToolArgumentError

MAX_QUERY_CHARACTERS = 6_000
"""Characters of a query."""
MAX_ROWS, MAX_BYTES = 300, 20_000
"""Rows of an answer, and bytes of them as JSON; the rest is left out, and the answer says so."""
MAX_QUERY_STEPS = 20_000_000
"""Steps of one query, ten times what the heaviest of the tests' ordinary ones takes."""
MAX_EPISODE_STEPS = 200_000_000
"""Steps of all queries of an episode: 10 s of a worker process where steps are most expensive."""
MAX_WAIT_S = 120.0
"""Seconds after which a query's process is ended: for a machine that stands still."""
WORKER_COUNT = max(1, min((os.cpu_count() or 1) // 2, 2))
"""Processes of each server worker; they leave half of the cores to everything else."""
CAST_TYPES = ("INTEGER", "INT", "REAL", "FLOAT")
_SCRIPT = Path(__file__).with_name("sql_worker.py")
_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\])
    |(?P<word>[A-Za-z_]\w*)|(?P<number>\d[\w.]*)|(?P<sign>\|\||.)""",
    re.VERBOSE | re.DOTALL,
)


class CpuTimeError(Exception):
    """A worker process was ended because its query used too much CPU time."""


class UnavailableError(KitError):
    """A query was stopped because the machine is busy. It may be asked again."""


class QueryOutcome(NamedTuple):
    """The outcome of a query; one of `answer`, `refusal` and `stopped` is set.

    Attributes:
        steps: number of SQLite steps that the query is charged.
        answer: `columns`, `rows`, and `cut` if rows were left out.
        refusal: reason why the query has no answer; the same for equal queries.
        stopped: reason why the query was stopped although it may be correct.
    """

    steps: int
    answer: dict[str, Any] | None = None
    refusal: str = ""
    stopped: str = ""


class QueryParts(NamedTuple):
    """A query, divided where the rest of its order is inserted.

    Attributes:
        before, after: text before and after that position.
        is_ordered: whether the query has an ORDER BY.
    """

    before: str
    after: str
    is_ordered: bool


def execute_query(episode: Episode, query: str, max_steps: int = MAX_QUERY_STEPS) -> QueryOutcome:
    """Run a query and return its outcome.

    Args:
        episode: the episode whose tables it reads.
        query: one SELECT.
        max_steps: largest number of SQLite steps, at most `MAX_QUERY_STEPS`.
    """
    allowed = min(max_steps, MAX_QUERY_STEPS)
    try:
        parts = read_query(query)
        status, columns, rows, steps = _get_worker(episode.config.identity).run_query(
            episode, parts, allowed
        )
    except ToolArgumentError as problem:
        return QueryOutcome(0, refusal=str(problem))
    except UnavailableError as problem:
        return QueryOutcome(allowed, stopped=str(problem))
    if status == TOO_MANY_STEPS:
        status = f"it takes more than {allowed:,} steps; group earlier, or join fewer rows"
    if status != "ok":
        return QueryOutcome(steps, refusal=f"sql: {status}.")
    return QueryOutcome(steps, _build_answer(columns, rows))


def _build_answer(columns: list[str], rows: list[Any]) -> dict[str, Any]:
    """Return the table that a player is shown."""
    answer: dict[str, Any] = {"columns": columns, "rows": []}
    size = 0
    for row in rows[:MAX_ROWS]:
        shown = [_convert_value(value) for value in row]
        size += len(json.dumps(shown))
        if size > MAX_BYTES:
            break
        answer["rows"].append(shown)
    if len(answer["rows"]) < len(rows):
        answer["cut"] = f"the first {len(answer['rows'])} rows; there are more"
    return answer


def read_query(query: str) -> QueryParts:
    """Divide a query where the rest of its order is inserted.

    Raises:
        ToolArgumentError: it is not one SELECT, or makes text from numbers.
    """
    tokens = [m for m in _TOKEN.finditer(query) if m.lastgroup != "skip"]
    while tokens and tokens[-1].group() == ";":
        tokens.pop()
    words = [m.group().upper() if m.lastgroup in ("word", "sign") else m.lastgroup for m in tokens]
    if not words or words[0] not in ("SELECT", "WITH"):
        raise ToolArgumentError("sql: allowed: one SELECT, or WITH … SELECT.")
    if ";" in words:
        raise ToolArgumentError("sql: allowed: one statement.")
    if "||" in words:
        raise ToolArgumentError("sql: || is not offered; ask for the columns themselves.")
    for place, word in enumerate(words):
        if word == "CAST" and _find_cast_type(words, place) not in CAST_TYPES:
            raise ToolArgumentError("sql: CAST is offered to INTEGER and REAL only.")
    depth, ordered, end = 0, False, len(query[: tokens[-1].end()])
    for place, (match, word) in enumerate(zip(tokens, words, strict=True)):
        depth += (word == "(") - (word == ")")
        if depth == 0 and word == "ORDER" and words[place + 1 : place + 2] == ["BY"]:
            ordered = True
        elif depth == 0 and word == "LIMIT":
            end = match.start()
    text = query[: tokens[-1].end()]
    return QueryParts(_remove_comments(text[:end]), _remove_comments(text[end:]), ordered)


def _find_cast_type(words: list[Any], place: int) -> Any:
    """The type that the CAST at this place names."""
    depth = 0
    for at in range(place + 1, len(words)):
        depth += (words[at] == "(") - (words[at] == ")")
        if depth == 1 and words[at] == "AS":
            return words[at + 1] if at + 1 < len(words) else None
        if depth == 0:
            return None
    return None


def _remove_comments(text: str) -> str:
    """The text without comments, which could hide what is put after it."""
    return "".join(
        " " if m.lastgroup == "skip" else m.group() for m in _TOKEN.finditer(text)
    ).strip()


def _convert_value(value: Any) -> Any:
    if isinstance(value, float):
        rounded = float(f"{value:.6g}")
        return rounded if abs(rounded) < 1e300 else None
    return value if isinstance(value, int | str) or value is None else "blob"


class Worker:
    """One process that runs queries, started by the first of them and again after it was ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self.is_busy = False
        self.queries = self.databases_built = 0

    @property
    def is_started(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def run_query(self, episode: Episode, parts: tuple[str, str, bool], max_steps: int) -> Any:
        """The process's answer: status, columns, rows and steps.

        Raises:
            UnavailableError: there was none in time.
        """
        key = episode.config.identity
        with self._lock:
            self.is_busy = True
            self.queries += 1
            try:
                answer = self._exchange((key, None, tuple(parts), MAX_ROWS + 1, max_steps))
                if answer[0] == UNKNOWN_TABLES:
                    self.databases_built += 1
                    tables = _build_tables(episode)
                    answer = self._exchange((key, tables, tuple(parts), MAX_ROWS + 1, max_steps))
                return answer
            except CpuTimeError:
                return TOO_MANY_STEPS, [], [], max_steps
            finally:
                self.is_busy = False

    def close(self) -> None:
        """End the process, if this one started it."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _exchange(self, request: Any) -> Any:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self.close()
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            body = pickle.dumps(request)
            process.stdin.write(struct.pack("<Q", len(body)) + body)
            process.stdin.flush()
            answers = select.poll()  # select() takes no descriptor above 1,023
            answers.register(process.stdout, select.POLLIN)
            if not answers.poll(1000 * MAX_WAIT_S):
                raise UnavailableError("The query was stopped: the server is busy. Ask again.")
            size = struct.unpack("<Q", process.stdout.read(8))[0]
            return pickle.loads(process.stdout.read(size))
        except (OSError, struct.error, EOFError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
            self.close()
            if process.returncode == -signal.SIGXCPU:
                raise CpuTimeError from None
            raise UnavailableError("The query was stopped: its process ended. Ask again.") from None
        except UnavailableError:
            self.close()
            raise


def _build_tables(episode: Episode) -> dict[str, Any]:
    product, dates = episode.product, episode.dates
    calendar = format_calendar(product, dates, episode.calendar)
    segments = [
        format_scope(product, episode.table.segments[entry.place.segment])
        for entry in episode.calendar
    ]
    rows = [
        tuple({**entry, "segment": segment}.values())
        for entry, segment in zip(calendar, segments, strict=True)
    ]
    return {
        "dimensions": {each.name: each.values for each in product.dimensions},
        "stages": product.stages,
        "dates": dates,
        "counts": episode.counts.astype("=u2").tobytes(),
        "changes": (LOG_COLUMNS, format_log(product, dates, episode.log)),
        "calendar": (CALENDAR_COLUMNS, rows),
    }


_WORKERS = [Worker() for _ in range(WORKER_COUNT)]


def _get_worker(identity: str) -> Worker:
    return _WORKERS[zlib.crc32(identity.encode()) % WORKER_COUNT]


class SqlWorkerCounts(NamedTuple):
    """Worker processes for SQL of this process, and what they do at the moment.

    Attributes:
        started: processes that run.
        busy: of these, those with a query.
        queries, databases_built: since the start.
    """

    started: int
    busy: int
    queries: int
    databases_built: int


def count_sql_workers() -> SqlWorkerCounts:
    """Return how many worker processes for SQL run and are busy, for gauges."""
    return SqlWorkerCounts(
        started=sum(worker.is_started for worker in _WORKERS),
        busy=sum(worker.is_busy for worker in _WORKERS),
        queries=sum(worker.queries for worker in _WORKERS),
        databases_built=sum(worker.databases_built for worker in _WORKERS),
    )


@atexit.register
def close_workers() -> None:
    """End every process that runs queries."""
    for worker in _WORKERS:
        worker.close()
