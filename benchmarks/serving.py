"""`python -m benchmarks.serving`: compares this server with a trivial one on the same framework."""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.drive import keep_sessions_busy
from benchmarks.load import LoadSession, message_frame, open_sessions
from benchmarks.server_process import HOST, ServerProcess, run_server
from openenv_kit.cli.common import exit_with_result

STEPS_BETWEEN_RESETS = 450
"""Steps between two resets of a session. An episode ends after 500 steps at most."""

SESSIONS_OF_FIXED_LOADS = 64
"""Sessions when resets or several workers are measured."""

REPORT_WIDTH = 120
"""Width of the table in characters, if the output is no terminal."""

FIRST_DATE, SECOND_DATE = "{first}", "{second}"
"""Placeholders for the first two dates of the session's episode."""

TYPICAL_STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("task_overview", {}),
    ("list_suspicious_dates", {}),
    ("rows_for_date", {"date": FIRST_DATE}),
    ("hourly_rows_for_date", {"date": FIRST_DATE}),
    ("compare_rate_to_median", {"date": FIRST_DATE, "entity_name": "app_open_to_menu_open"}),
    ("compare_rate_to_median", {"date": SECOND_DATE, "entity_name": "app_open_to_order_placed"}),
    ("compare_count_to_median", {"date": FIRST_DATE, "entity_name": "app_opens"}),
    ("compare_count_to_median", {"date": SECOND_DATE, "entity_name": "orders_placed"}),
    ("detect_funnel_break", {"date": FIRST_DATE}),
    ("check_impossible_counts", {"date": FIRST_DATE}),
    ("get_metric_median", {"metric_name": "app_opens"}),
    ("get_metric_std_dev_from_median", {"metric_name": "app_opens"}),
    ("get_rate_drop_from_median_rows", {"threshold_multiplier": 2.0}),
    ("list_entities", {}),
)
"""Tool calls as a model makes them between a reset and a report."""


class ServerName(StrEnum):
    """The measured servers, as the table names them."""

    ECHO = "echo"
    """The trivial environment, served with default settings."""
    TUNED_ECHO = "tuned echo"
    """The trivial environment, served with this server's settings."""
    OURS = "ours"


class LoadKind(StrEnum):
    """What the sessions request."""

    STEPS = "steps"
    RESETS = "resets"


class ScalingRound(NamedTuple):
    """Steps per second with one worker and with several, measured in one round."""

    single_worker: float
    many_workers: float


@dataclass(frozen=True)
class Measurement:
    """One server under one load, for a few seconds.

    Attributes:
        server: name of the server.
        kind: what the sessions request.
        sessions: number of concurrent WebSocket sessions.
        per_second: replies per second, over all sessions.
        p50_ms: median latency, measured by the sessions.
        p95_ms: 95th percentile of the latency.
        p99_ms: 99th percentile of the latency.
        cpu_us: CPU time of the server per reply, user and system, in microseconds.
        errors: number of replies that were errors.
        reply_bytes: mean size of a reply.
    """

    server: ServerName
    kind: LoadKind
    sessions: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_us: float
    errors: int
    reply_bytes: float


def bench_serving(
    sessions: Annotated[str, typer.Option(help="Numbers, separated by commas.")] = "1,64,256",
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.2, help="Seconds of a measurement.")] = 2.0,
    workers: Annotated[int, typer.Option(min=1, help="Also measure this number of workers.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Write measurements to this file.")] = None,
) -> None:
    """Print steps/s, latency, CPU time and memory of this server and of a trivial one.

    Each round measures the servers one after the other, so that noise of the machine affects all
    of them. The load comes from this process, which needs a core of its own.
    """
    console = Console(width=None if sys.stdout.isatty() else REPORT_WIDTH)
    try:
        counts = [int(text) for text in sessions.split(",")]
        if min(counts) < 1:
            raise ValueError
    except ValueError:
        raise typer.BadParameter(
            f"--sessions is {sessions!r}; allowed: integers of at least 1, such as 1,64,256"
        ) from None
    limits = {"MAX_CONCURRENT_ENVS": str(max(2048, *counts)), "OPENENV_KIT_TOKEN": ""}
    with ExitStack() as stack:
        echo = stack.enter_context(run_server(echo=True))
        tuned = stack.enter_context(run_server(echo=True, tuned=True))
        ours = stack.enter_context(run_server(environ=limits))
        memory = {
            ServerName.ECHO: _measure_session_memory(echo),
            ServerName.OURS: _measure_session_memory(ours),
        }
        servers = {
            ServerName.ECHO: echo,
            ServerName.TUNED_ECHO: tuned,
            ServerName.OURS: ours,
        }
        measurements = []
        for number in range(rounds):
            for count in counts:
                console.print(f"round {number + 1} of {rounds}, {count} sessions", style="dim")
                for name, server in servers.items():
                    measurements.append(_measure_load(name, server, LoadKind.STEPS, count, seconds))
            measurements.append(
                _measure_load(
                    ServerName.OURS, ours, LoadKind.RESETS, SESSIONS_OF_FIXED_LOADS, seconds
                )
            )
        echo.stop()
        tuned.stop()
        scaling = []
        if workers > 1:
            many = stack.enter_context(run_server(environ=limits, workers=workers))
            scaling = _measure_scaling(ours, many, rounds, seconds, console)
    _print_report(console, measurements, memory)
    if scaling:
        ratio = statistics.median(each.many_workers / each.single_worker for each in scaling)
        console.print(f"{workers} workers: {ratio:.2f} times one worker (median of {rounds}).")
    if out is not None:
        document = {
            "measurements": [asdict(measurement) for measurement in measurements],
            "memory_per_session_bytes": memory,
            "scaling": scaling,
        }
        out.write_text(json.dumps(document, indent=1))
    errors = sum(measurement.errors for measurement in measurements)
    console.print(f"{errors} errors in total.")
    exit_with_result(has_failed=errors > 0)


def _measure_load(
    name: ServerName, server: ServerProcess, kind: LoadKind, sessions: int, seconds: float
) -> Measurement:
    return asyncio.run(_measure_load_async(name, server, kind, sessions, seconds))


async def _measure_load_async(
    name: ServerName, server: ServerProcess, kind: LoadKind, count: int, seconds: float
) -> Measurement:
    sessions = await open_sessions(HOST, server.port, count)
    try:
        reset_replies = [
            await session.send_and_receive(reset_message(number))
            for number, session in enumerate(sessions)
        ]
        cpu_s_before = server.cpu_s()
        stats, elapsed_s = keep_sessions_busy(
            sessions, _frames_of_load(name, kind, reset_replies), seconds
        )
        cpu_s = server.cpu_s() - cpu_s_before
    finally:
        await _close_sessions(sessions)
    replies = len(stats.latencies_s)
    if stats.errors:
        Console(stderr=True).print(f"{name}: first error: {stats.first_error}", markup=False)
    return Measurement(
        server=name,
        kind=kind,
        sessions=count,
        per_second=replies / elapsed_s,
        p50_ms=stats.latency_percentile_ms(0.50),
        p95_ms=stats.latency_percentile_ms(0.95),
        p99_ms=stats.latency_percentile_ms(0.99),
        cpu_us=cpu_s / replies * 1e6,
        errors=stats.errors,
        reply_bytes=stats.received_bytes / replies,
    )


def reset_message(session_number: int) -> dict[str, Any]:
    """Return the reset message of a session. The first 200 sessions have different episodes."""
    data = {"seed": 1000 + session_number % 200, "max_steps": 500}
    return {"type": "reset", "data": data}


def _frames_of_load(
    name: ServerName, kind: LoadKind, reset_replies: list[dict[str, Any]]
) -> Callable[[int], Iterator[bytes]]:
    if kind is LoadKind.RESETS:
        return _reset_frames
    if name is not ServerName.OURS:
        return _echo_step_frames
    return lambda number: tool_step_frames(number, reset_replies[number])


_fresh_seeds = itertools.count(10**6)


def _reset_frames(_: int) -> Iterator[bytes]:
    """Yield resets with new seeds, so that no episode comes from a cache."""
    while True:
        yield message_frame({"type": "reset", "data": {"seed": next(_fresh_seeds)}})


def _echo_step_frames(_: int) -> Iterator[bytes]:
    return itertools.repeat(message_frame({"type": "step", "data": {"message": "x" * 60}}))


def tool_step_frames(session_number: int, reset_reply: dict[str, Any]) -> Iterator[bytes]:
    """Yield the frames of a session without end: typical steps, and a reset now and then.

    Args:
        session_number: number of the session; sessions start at different steps.
        reset_reply: the reply to the session's first reset.
    """
    first = date.fromisoformat(reset_reply["data"]["observation"]["config"]["start_date"])
    dates = {FIRST_DATE: first.isoformat(), SECOND_DATE: (first + timedelta(days=1)).isoformat()}
    steps = []
    for name, template in TYPICAL_STEPS:
        arguments = {key: dates.get(value, value) for key, value in template.items()}
        data = {"analysis_method": name, "analysis_args": arguments}
        steps.append(message_frame({"type": "step", "data": data}))
    first_step = session_number % len(steps)
    endless_steps = itertools.cycle(steps[first_step:] + steps[:first_step])
    while True:
        yield from itertools.islice(endless_steps, STEPS_BETWEEN_RESETS)
        yield message_frame(reset_message(session_number))


async def _close_sessions(sessions: list[LoadSession]) -> None:
    for session in sessions:
        session.close()
    await asyncio.sleep(0.2)


def _measure_session_memory(server: ServerProcess, count: int = 500) -> float:
    """Return the resident bytes that an idle session with a running episode adds.

    All sessions play the same episode, so that the cache of episodes does not count.
    """

    async def measure_growth() -> float:
        first_sessions = await open_sessions(HOST, server.port, 20)
        for session in first_sessions:
            await session.send_and_receive(reset_message(0))
        before = server.memory_bytes()
        sessions = await open_sessions(HOST, server.port, count)
        for session in sessions:
            await session.send_and_receive(reset_message(0))
        after = server.memory_bytes()
        await _close_sessions(first_sessions + sessions)
        return (after - before) / count

    return asyncio.run(measure_growth())


def _measure_scaling(
    single_worker: ServerProcess,
    many_workers: ServerProcess,
    rounds: int,
    seconds: float,
    console: Console,
) -> list[ScalingRound]:
    def measure_steps_per_second(server: ServerProcess) -> float:
        return _measure_load(
            ServerName.OURS, server, LoadKind.STEPS, SESSIONS_OF_FIXED_LOADS, seconds
        ).per_second

    scaling = []
    for number in range(rounds):
        console.print(f"workers: round {number + 1} of {rounds}", style="dim")
        scaling.append(
            ScalingRound(
                single_worker=measure_steps_per_second(single_worker),
                many_workers=measure_steps_per_second(many_workers),
            )
        )
    return scaling


class _LoadCase(NamedTuple):
    """What the measurements of all rounds have in common."""

    kind: LoadKind
    sessions: int
    server: ServerName


def _print_report(
    console: Console, measurements: list[Measurement], memory: dict[ServerName, float]
) -> None:
    rounds_by_case: defaultdict[_LoadCase, list[Measurement]] = defaultdict(list)
    for measurement in measurements:
        case = _LoadCase(measurement.kind, measurement.sessions, measurement.server)
        rounds_by_case[case].append(measurement)
    table = Table(title=f"Medians of {len(next(iter(rounds_by_case.values())))} rounds")
    for title in ("what", "sessions", "server"):
        table.add_column(title, justify="right" if title == "sessions" else "left")
    for title in ("per second", "p50 ms", "p95 ms", "p99 ms", "CPU us each", "bytes each"):
        table.add_column(title, justify="right")
    for title in ("x echo", "x tuned"):
        table.add_column(title, justify="right")
    for case, rounds in rounds_by_case.items():
        ratios = ["", ""]
        if case.server is ServerName.OURS:
            ratios = [
                _format_rate_ratio(rounds, rounds_by_case.get(case._replace(server=name), []))
                for name in (ServerName.ECHO, ServerName.TUNED_ECHO)
            ]
        table.add_row(
            case.kind,
            str(case.sessions),
            case.server,
            f"{statistics.median(each.per_second for each in rounds):,.0f}",
            f"{statistics.median(each.p50_ms for each in rounds):.2f}",
            f"{statistics.median(each.p95_ms for each in rounds):.2f}",
            f"{statistics.median(each.p99_ms for each in rounds):.2f}",
            f"{statistics.median(each.cpu_us for each in rounds):.0f}",
            f"{statistics.median(each.reply_bytes for each in rounds):,.0f}",
            *ratios,
        )
    console.print(table)
    for name, session_bytes in memory.items():
        console.print(f"memory per idle session, {name}: {session_bytes / 1000:.1f} kB")


def _format_rate_ratio(ours: list[Measurement], others: list[Measurement]) -> str:
    """Return the median over rounds of our rate divided by the other's; empty without rounds.

    The ratio is computed within each round, so that noise of a round cancels out.
    """
    ratios = [
        our_round.per_second / other_round.per_second
        for our_round, other_round in zip(ours, others, strict=False)
    ]
    return f"{statistics.median(ratios):.2f}" if ratios else ""


if __name__ == "__main__":
    typer.run(bench_serving)
