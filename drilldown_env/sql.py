"""One read-only SELECT over an episode's counts and change log, answered alike for ever.

Queries run in a process of their own, see `sql_worker`. Here they are read, their order is made
complete, and what differs between versions of SQLite is refused: texts made of numbers. Fractions
have six significant digits. What a query took is counted in steps of SQLite's machine.
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

from drilldown_env.change_log import log_entries
from drilldown_env.episode import Episode
from drilldown_env.sql_worker import TOO_MANY_STEPS, UNKNOWN
from openenv_kit.errors import KitError, ToolArgumentError

LONGEST_QUERY = 6_000
"""Characters of a query."""
MOST_ROWS, MOST_BYTES = 300, 20_000
"""Rows of an answer, and bytes of them as JSON; the rest is left out, and the answer says so."""
MAX_QUERY_STEPS = 20_000_000
"""Steps of one query, ten times what the heaviest of the tests' ordinary ones takes."""
MAX_EPISODE_STEPS = 200_000_000
"""Steps of all queries of an episode: 10 s of a worker process where steps are most expensive."""
PATIENCE = 120.0
"""Seconds after which a query's process is ended: for a machine that stands still."""
PROCESSES = max(1, min((os.cpu_count() or 1) // 2, 2))
"""Processes of each server worker; they leave half of the cores to everything else."""
_SCRIPT = Path(__file__).with_name("sql_worker.py")
_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\])
    |(?P<word>[A-Za-z_]\w*)|(?P<number>\d[\w.]*)|(?P<sign>\|\||.)""",
    re.VERBOSE | re.DOTALL,
)


class CpuTimeError(Exception):
    """The process was ended because a query took more CPU time than the most expensive steps."""


class UnavailableError(KitError):
    """The query was stopped because the machine is busy; it may be asked again."""


class QueryResult(NamedTuple):
    """What came of a query; one of `answer`, `refusal` and `stopped` is filled.

    Attributes:
        steps: that it is charged.
        answer: `columns`, `rows`, and `cut` where rows were left out.
        refusal: why it has no answer; always the same for the same query.
        stopped: why it was ended although nothing is wrong with it.
    """

    steps: int
    answer: dict[str, Any] | None = None
    refusal: str = ""
    stopped: str = ""


def run_query(episode: Episode, query: str) -> dict[str, Any]:
    """Return the answer to a query, see `QueryResult`.

    Raises:
        ToolArgumentError: the query is refused, or cannot be run; always for the same reason.
        UnavailableError: it was stopped by the clock.
    """
    result = execute_query(episode, query)
    if result.answer is None:
        raise (
            UnavailableError(result.stopped)
            if result.stopped
            else ToolArgumentError(result.refusal)
        )
    return result.answer


def execute_query(episode: Episode, query: str, max_steps: int = MAX_QUERY_STEPS) -> QueryResult:
    """Run a query and return what came of it.

    Args:
        episode: what it reads.
        query: one SELECT.
        max_steps: steps that it may take; at most `MAX_QUERY_STEPS` count.
    """
    allowed = min(max_steps, MAX_QUERY_STEPS)
    try:
        parts = read_query(query)
        status, columns, rows, steps = _worker_of(episode.config.identity).ask(
            episode, parts, allowed
        )
    except ToolArgumentError as problem:
        return QueryResult(0, refusal=str(problem))
    except UnavailableError as problem:
        return QueryResult(allowed, stopped=str(problem))
    if status == TOO_MANY_STEPS:
        status = f"it takes more than {allowed:,} steps; group earlier, or join fewer rows"
    if status != "ok":
        return QueryResult(steps, refusal=f"sql: {status}.")
    return QueryResult(steps, _answer_of(columns, rows))


def _answer_of(columns: list[str], rows: list[Any]) -> dict[str, Any]:
    """Return the table that a player is shown."""
    answer: dict[str, Any] = {"columns": columns, "rows": []}
    size = 0
    for row in rows[:MOST_ROWS]:
        shown = [_shown(value) for value in row]
        size += len(json.dumps(shown))
        if size > MOST_BYTES:
            break
        answer["rows"].append(shown)
    if len(answer["rows"]) < len(rows):
        answer["cut"] = f"the first {len(answer['rows'])} rows; there are more"
    return answer


def read_query(query: str) -> tuple[str, str, bool]:
    """A query cut where the rest of its order belongs.

    Returns:
        What comes before, what comes after, and whether the query is ordered.

    Raises:
        ToolArgumentError: it is not one SELECT, or makes text of numbers.
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
        if word == "CAST" and _cast_to(words, place) not in ("INTEGER", "INT", "REAL", "FLOAT"):
            raise ToolArgumentError("sql: CAST is offered to INTEGER and REAL only.")
    depth, ordered, end = 0, False, len(query[: tokens[-1].end()])
    for place, (match, word) in enumerate(zip(tokens, words, strict=True)):
        depth += (word == "(") - (word == ")")
        if depth == 0 and word == "ORDER" and words[place + 1 : place + 2] == ["BY"]:
            ordered = True
        elif depth == 0 and word == "LIMIT":
            end = match.start()
    text = query[: tokens[-1].end()]
    return _bare(text[:end]), _bare(text[end:]), ordered


def _cast_to(words: list[Any], place: int) -> Any:
    """The type that the CAST at this place names."""
    depth = 0
    for at in range(place + 1, len(words)):
        depth += (words[at] == "(") - (words[at] == ")")
        if depth == 1 and words[at] == "AS":
            return words[at + 1] if at + 1 < len(words) else None
        if depth == 0:
            return None
    return None


def _bare(text: str) -> str:
    """The text without comments, which could hide what is put after it."""
    return "".join(
        " " if m.lastgroup == "skip" else m.group() for m in _TOKEN.finditer(text)
    ).strip()


def _shown(value: Any) -> Any:
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

    def ask(self, episode: Episode, parts: tuple[str, str, bool], max_steps: int) -> Any:
        """The process's answer: status, columns, rows and steps.

        Raises:
            UnavailableError: there was none in time.
        """
        key = episode.config.identity
        with self._lock:
            self.is_busy = True
            self.queries += 1
            try:
                answer = self._exchange((key, None, parts, MOST_ROWS + 1, max_steps))
                if answer[0] == UNKNOWN:
                    self.databases_built += 1
                    tables = _tables(episode)
                    answer = self._exchange((key, tables, parts, MOST_ROWS + 1, max_steps))
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
            if not answers.poll(1000 * PATIENCE):
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


def _tables(episode: Episode) -> dict[str, Any]:
    domain = episode.domain
    changes = log_entries(domain, episode.dates, episode.log)
    return {
        "dims": {dim.name: dim.names for dim in domain.dims},
        "stages": domain.stages,
        "dates": episode.dates,
        "counts": episode.counts.astype("=i4").tobytes(),
        "changes": [tuple(entry.values()) for entry in changes],
    }


_WORKERS = [Worker() for _ in range(PROCESSES)]


def _worker_of(identity: str) -> Worker:
    return _WORKERS[zlib.crc32(identity.encode()) % PROCESSES]


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


def worker_counts() -> SqlWorkerCounts:
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
