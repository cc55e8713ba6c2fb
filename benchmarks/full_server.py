"""`python -m benchmarks.full_server`: measures the memory of a server with all sessions taken.

Every session plays a different episode of one level, by default the level with the largest memory
use. The same number of stored episodes is then played over HTTP. Memory is the proportional set
size (PSS) of the server and of every process below it, which counts shared pages once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from benchmarks.figures import Figure, print_figures
from benchmarks.load import LoadSession, open_sessions
from benchmarks.server_process import HOST, ServerProcess, run_server
from openenv_kit.cli.common import exit_with_result

MAX_CONCURRENT_RESETS = 8
"""Resets requested at the same time. A server refuses a reset if 32 others wait."""
READING_SESSIONS = 64
"""Sessions that read their counts, which is enough to fill every cache."""
EXPENSIVE_QUERY = " UNION ALL ".join(["SELECT * FROM counts"] * 40) + " ORDER BY 1"
MIB = 1 << 20


def iter_process_tree(pid: int) -> Iterator[int]:
    """Yield a process and every process that it started, directly or not."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from iter_process_tree(int(child))


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of one process; 0 if it cannot be read."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0


def total_pss_bytes(server: ServerProcess) -> int:
    """Return the proportional set size of the server and of every process below it."""
    return sum(pss_bytes(pid) for pid in iter_process_tree(server.process.pid))


def first_action(level: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return an action that reads counts."""
    if level == "drill_sql":
        return {"tool": "sql", "arguments": {"query": "SELECT week, count(*) FROM counts"}}
    return {"tool": "slice", "arguments": {"stages": config["stages"][:1], "every": "week"}}


async def open_playing_sessions(
    port: int, sessions: int, level: str, first_seed: int
) -> list[LoadSession]:
    """Open WebSocket sessions and start a different episode in each. Some read their counts."""
    opened = await open_sessions(HOST, port, sessions)
    turns = asyncio.Semaphore(MAX_CONCURRENT_RESETS)

    async def play(session: LoadSession, seed: int) -> None:
        async with turns:
            message = {"type": "reset", "data": {"difficulty": level, "seed": seed}}
            data = (await session.send_and_receive(message, 600.0))["data"]
            if seed - first_seed < READING_SESSIONS:
                action = first_action(level, data["observation"]["config"])
                await session.send_and_receive({"type": "step", "data": action}, 600.0)

    await asyncio.gather(*(play(each, first_seed + n) for n, each in enumerate(opened)))
    return opened


async def start_stored_episodes(url: str, episodes: int, level: str, first_seed: int) -> None:
    """Start stored episodes over HTTP."""
    turns = asyncio.Semaphore(MAX_CONCURRENT_RESETS)

    async def play(client: httpx.AsyncClient, seed: int) -> None:
        async with turns:
            body = {"difficulty": level, "seed": seed}
            (await client.post("/reset", json=body)).raise_for_status()

    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        await asyncio.gather(*(play(client, first_seed + n) for n in range(episodes)))


async def send_expensive_queries(sessions: list[LoadSession]) -> None:
    """Send a query that exceeds the memory limit of a query, in several sessions at once."""
    action = {"tool": "sql", "arguments": {"query": EXPENSIVE_QUERY}}
    message = {"type": "step", "data": action}
    await asyncio.gather(*(session.send_and_receive(message, 600.0) for session in sessions))


async def measure_full_server(
    server: ServerProcess, level: str, sessions: int, stored: int, limit_mib: int
) -> list[Figure]:
    """Return the memory of the empty server, of the full server and of each session."""
    figures: list[Figure] = []

    def add(what: str, value: float, bound: float | None, unit: str) -> None:
        figures.append(Figure(what, value, bound, unit))
        # The next figure takes minutes, so each one is printed as soon as it is known.
        typer.echo(f"{what}: {value:,.0f} {unit}", err=True)

    # The first sessions import modules, build tables and start the worker processes.
    first_sessions = await open_playing_sessions(server.port, MAX_CONCURRENT_RESETS, level, 900_000)
    for session in first_sessions:
        session.close()
    await asyncio.sleep(1.0)
    empty = total_pss_bytes(server)
    opened = await open_playing_sessions(server.port, sessions, level, 1)
    add("server without sessions", empty / MIB, None, "MiB")
    full = total_pss_bytes(server)
    add(f"{sessions} sessions of {level}", full / MIB, limit_mib, "MiB")
    add("each session", (full - empty) / sessions / 1e3, None, "kB")
    await start_stored_episodes(server.url, stored, level, 500_000)
    add(f"and {stored} stored episodes", total_pss_bytes(server) / MIB, limit_mib, "MiB")
    if level == "drill_sql":
        await send_expensive_queries(opened[:MAX_CONCURRENT_RESETS])
        add("and expensive queries", total_pss_bytes(server) / MIB, limit_mib, "MiB")
    below = [pid for pid in iter_process_tree(server.process.pid) if pid != server.process.pid]
    add("of this in other processes", sum(map(pss_bytes, below)) / MIB, None, "MiB")
    return figures


def main(
    sessions: Annotated[int, typer.Option(help="WebSocket sessions of the server.")] = 1024,
    stored: Annotated[int, typer.Option(help="Stored episodes that are played over HTTP.")] = 1024,
    level: Annotated[str, typer.Option(help="Level of every episode.")] = "drill_sql",
    limit_mib: Annotated[int, typer.Option(help="Memory limit of the pod, in MiB.")] = 2048,
) -> None:
    """Fill a server with one worker, and print its memory and the limit."""
    settings = {
        "ENVIRONMENT": "drilldown",
        "MAX_CONCURRENT_ENVS": str(max(sessions, MAX_CONCURRENT_RESETS)),
        "OPENENV_KIT_CLIENT_STORE_PERCENT": "100",
    }
    with run_server(environ=settings) as server:
        figures = asyncio.run(measure_full_server(server, level, sessions, stored, limit_mib))
    exit_with_result(has_failed=not print_figures("A full server", figures))


if __name__ == "__main__":
    typer.run(main)
