"""`python -m benchmarks.serving`: this server beside a trivial one on the same framework."""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.drive import keep_sessions_busy
from benchmarks.load import LoadSession, message_frame, open_sessions
from benchmarks.server_process import HOST, ServerProcess, run_server

STEPS_BETWEEN_RESETS = 450
"""Steps between two resets of a session: an episode ends after 500 at most."""

REPORT_WIDTH = 120
"""Columns of the table where nobody says how wide it may be."""

FIRST_DATE, SECOND_DATE = "{first}", "{second}"
"""Stand for the first two dates of the session's episode."""

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
"""What agents do between a reset and a report: look around, look closer, measure."""


@dataclass(frozen=True)
class Measurement:
    """One server under one load, for a few seconds.

    Attributes:
        server: `echo`, served as the framework serves it; `tuned echo`, served as ours is; or
            `ours`.
        kind: `steps` or `resets`.
        sessions: WebSocket sessions at once.
        per_second: replies per second, over all sessions.
        p50_ms, p95_ms, p99_ms: latency as the sessions saw it.
        cpu_us: server CPU per reply, user and system, in microseconds.
        errors: replies that were errors.
        reply_bytes: mean size of a reply.
    """

    server: str
    kind: str
    sessions: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_us: float
    errors: int
    reply_bytes: float


def bench_serving(
    sessions: Annotated[str, typer.Option(help="Session counts, comma-separated.")] = "1,64,256",
    rounds: Annotated[int, typer.Option(min=1, help="Times the servers take turns.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.2, help="Length of one measurement.")] = 2.0,
    workers: Annotated[int, typer.Option(min=1, help="Also measure this many workers.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Write every measurement as JSON here.")] = None,
) -> None:
    """Print steps/s, latency, CPU and memory of this server and of a trivial one, in turns.

    Both run as they are run in production, one after the other in each round, so that a noisy
    machine is noisy for both. The load comes from this process: give it a core of its own.
    """
    console = Console(width=None if sys.stdout.isatty() else REPORT_WIDTH)
    try:
        counts = [int(each) for each in sessions.split(",")]
        if min(counts) < 1:
            raise ValueError
    except ValueError:
        raise typer.BadParameter(
            f"--sessions is {sessions!r}; allowed: integers from 1 on, e.g. 1,64,256"
        ) from None
    limits = {"MAX_CONCURRENT_ENVS": str(max(2048, *counts)), "OPENENV_KIT_TOKEN": ""}
    with ExitStack() as stack:
        echo = stack.enter_context(run_server(echo=True))
        tuned = stack.enter_context(run_server(echo=True, tuned=True))
        ours = stack.enter_context(run_server(environ=limits))
        memory = {
            name: _measure_session_memory(server)
            for name, server in (("echo", echo), ("ours", ours))
        }
        found = []
        for number in range(rounds):
            for count in counts:
                console.print(f"round {number + 1} of {rounds}, {count} sessions", style="dim")
                found.append(_measure_load("echo", echo, "steps", count, seconds))
                found.append(_measure_load("tuned echo", tuned, "steps", count, seconds))
                found.append(_measure_load("ours", ours, "steps", count, seconds))
            found.append(_measure_load("ours", ours, "resets", 64, seconds))
        echo.stop()
        tuned.stop()
        scaling = (
            _measure_scaling(stack, ours, limits, workers, rounds, seconds, console)
            if workers > 1
            else []
        )
    _print_report(console, found, memory)
    if scaling:
        ratio = statistics.median(many / one for one, many in scaling)
        console.print(f"{workers} workers: {ratio:.2f} times one worker (median of {rounds}).")
    if out is not None:
        out.write_text(
            json.dumps(
                {
                    "measurements": [asdict(each) for each in found],
                    "memory_per_session_bytes": memory,
                    "scaling": scaling,
                },
                indent=1,
            )
        )
    errors = sum(each.errors for each in found)
    console.print(f"{errors} errors in all.")
    raise typer.Exit(1 if errors else 0)


def _measure_load(
    name: str, server: ServerProcess, kind: str, sessions: int, seconds: float
) -> Measurement:
    return asyncio.run(_measure_load_async(name, server, kind, sessions, seconds))


async def _measure_load_async(
    name: str, server: ServerProcess, kind: str, count: int, seconds: float
) -> Measurement:
    sessions = await open_sessions(HOST, server.port, count)
    try:
        openings = [
            await session.send_and_receive(reset_message(number))
            for number, session in enumerate(sessions)
        ]
        cpu = server.cpu_s()
        tally, elapsed = keep_sessions_busy(
            sessions, _frames_of_load(name, kind, openings), seconds
        )
        used = server.cpu_s() - cpu
    finally:
        await _close_sessions(sessions)
    replies = len(tally.latencies_s)
    if tally.errors:
        Console(stderr=True).print(f"{name}: first error: {tally.first_error}", markup=False)
    return Measurement(
        name,
        kind,
        count,
        replies / elapsed,
        tally.latency_percentile_ms(0.50),
        tally.latency_percentile_ms(0.95),
        tally.latency_percentile_ms(0.99),
        used / replies * 1e6,
        tally.errors,
        tally.received_bytes / replies,
    )


def reset_message(session_number: int) -> dict[str, Any]:
    """The reset message of a session; each session has its own episode."""
    data = {"seed": 1000 + session_number % 200, "max_steps": 500}
    return {"type": "reset", "data": data}


def _frames_of_load(
    name: str, kind: str, openings: list[dict[str, Any]]
) -> Callable[[int], Iterator[bytes]]:
    if kind == "resets":
        return _reset_frames
    if name != "ours":
        return _echo_step_frames
    return lambda number: tool_step_frames(number, openings[number])


_fresh_seeds = itertools.count(10**6)


def _reset_frames(_: int) -> Iterator[bytes]:
    """Resets of episodes that nobody has played: nothing comes from a cache."""
    while True:
        yield message_frame({"type": "reset", "data": {"seed": next(_fresh_seeds)}})


def _echo_step_frames(_: int) -> Iterator[bytes]:
    return itertools.repeat(message_frame({"type": "step", "data": {"message": "x" * 60}}))


def tool_step_frames(session_number: int, reset_reply: dict[str, Any]) -> Iterator[bytes]:
    """Frames of a session without end: its typical steps, and a reset now and then.

    Args:
        session_number: the session's number; each starts at another step of the round.
        reset_reply: the reply to its reset.
    """
    first = date.fromisoformat(reset_reply["data"]["observation"]["config"]["start_date"])
    dates = {FIRST_DATE: first.isoformat(), SECOND_DATE: (first + timedelta(days=1)).isoformat()}
    steps = [
        message_frame(
            {"type": "step", "data": {"analysis_method": name, "analysis_args": arguments}}
        )
        for name, given in TYPICAL_STEPS
        for arguments in [{key: dates.get(value, value) for key, value in given.items()}]
    ]
    shifted = steps[session_number % len(steps) :] + steps[: session_number % len(steps)]
    endless = itertools.cycle(shifted)
    while True:
        yield from itertools.islice(endless, STEPS_BETWEEN_RESETS)
        yield message_frame(reset_message(session_number))


async def _close_sessions(sessions: list[LoadSession]) -> None:
    for session in sessions:
        session.close()
    await asyncio.sleep(0.2)


def _measure_session_memory(server: ServerProcess, count: int = 500) -> float:
    """Resident bytes that an idle session with a running episode adds.

    All play one episode: what is measured is the session, not the cache of episodes.
    """

    async def grown() -> float:
        for session in (warm := await open_sessions(HOST, server.port, 20)):
            await session.send_and_receive(reset_message(0))
        before = server.memory_bytes()
        sessions = await open_sessions(HOST, server.port, count)
        for session in sessions:
            await session.send_and_receive(reset_message(0))
        after = server.memory_bytes()
        await _close_sessions(warm + sessions)
        return (after - before) / count

    return asyncio.run(grown())


def _measure_scaling(
    stack: ExitStack,
    single_worker: ServerProcess,
    limits: dict[str, str],
    workers: int,
    rounds: int,
    seconds: float,
    console: Console,
) -> list[tuple[float, float]]:
    """Steps/s with one worker and with several, in turns."""
    many = stack.enter_context(run_server(environ=limits, workers=workers))
    pairs = []
    for number in range(rounds):
        console.print(f"workers: round {number + 1} of {rounds}", style="dim")
        pairs.append(
            (
                _measure_load("ours", single_worker, "steps", 64, seconds).per_second,
                _measure_load("ours", many, "steps", 64, seconds).per_second,
            )
        )
    return pairs


def _print_report(console: Console, found: list[Measurement], memory: dict[str, float]) -> None:
    groups: dict[tuple[str, int, str], list[Measurement]] = {}
    for each in found:
        groups.setdefault((each.kind, each.sessions, each.server), []).append(each)
    table = Table(title=f"Medians of {len(next(iter(groups.values())))} rounds")
    columns = ("what", "sessions", "server", "per second", "p50 ms", "p95 ms", "p99 ms")
    for title in (*columns, "CPU us each", "bytes each", "x echo", "x tuned"):
        table.add_column(title, justify="left" if title in ("what", "server") else "right")
    for (kind, count, server), group in groups.items():
        ratios = (
            _format_rate_ratio(group, groups.get((kind, count, name)))
            for name in ("echo", "tuned echo")
        )
        middle = {
            name: statistics.median(getattr(each, name) for each in group)
            for name in ("per_second", "p50_ms", "p95_ms", "p99_ms", "cpu_us", "reply_bytes")
        }
        table.add_row(
            kind,
            str(count),
            server,
            f"{middle['per_second']:,.0f}",
            f"{middle['p50_ms']:.2f}",
            f"{middle['p95_ms']:.2f}",
            f"{middle['p99_ms']:.2f}",
            f"{middle['cpu_us']:.0f}",
            f"{middle['reply_bytes']:,.0f}",
            *(ratios if server == "ours" else ("", "")),
        )
    console.print(table)
    for name, grown in memory.items():
        console.print(f"memory per idle session, {name}: {grown / 1000:.1f} kB")


def _format_rate_ratio(ours: list[Measurement], theirs: list[Measurement] | None) -> str:
    """Our rate as a multiple of theirs; each round's first, so that noise of a round cancels."""
    pairs = zip(ours, theirs or (), strict=False)
    ratios = [one.per_second / other.per_second for one, other in pairs]
    return f"{statistics.median(ratios):.2f}" if ratios else ""


if __name__ == "__main__":
    typer.run(bench_serving)
