"""`python -m benchmarks.sql_players`: times resets while other players send expensive queries."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from benchmarks.figures import Figure, print_figures
from benchmarks.load import LoadSession, open_session
from benchmarks.server_process import HOST, run_server

EXPENSIVE_QUERY = " UNION ALL ".join(["SELECT * FROM counts"] * 40) + " ORDER BY 1"
"""Query of 1,240 characters that sorts forty copies of the counts. The server rejects it because it
exceeds the memory limit of a query."""
CHEAP_QUERY = "SELECT week, count(*) FROM counts GROUP BY week"
RESETS_PER_ROUND = 20
QUERIES_PER_ROUND = 4
MAX_RESET_TIME_RATIO = 2.0
"""Largest allowed ratio of reset times with and without such players."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


async def start_episode(session: LoadSession, level: str, seed: int) -> dict[str, Any]:
    """Start an episode and return the reply's data."""
    message = {"type": "reset", "data": {"difficulty": level, "seed": seed}}
    return dict((await session.send_and_receive(message, 600.0))["data"])


async def send_query(session: LoadSession, query: str) -> dict[str, Any]:
    """Send a query and return the reply's data."""
    action = {"tool": "sql", "arguments": {"query": query}}
    return dict((await session.send_and_receive({"type": "step", "data": action}, 600.0))["data"])


async def time_resets(port: int, count: int, first_seed: int, level: str) -> list[float]:
    """Return the milliseconds of resets with new seeds, one after the other."""
    session, times_ms = await open_session(HOST, port), []
    for seed in range(first_seed, first_seed + count):
        started = time.perf_counter()
        await start_episode(session, level, seed)
        times_ms.append(1e3 * (time.perf_counter() - started))
    session.close()
    return times_ms


class ExpensivePlayers:
    """Players that send the expensive query repeatedly. They can be paused together."""

    def __init__(self, port: int, players: int) -> None:
        self._port, self._players = port, players
        self._seeds = itertools.count(500_000)
        self._may_send = asyncio.Event()
        self._sending_count = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def resume(self) -> None:
        """Let the players send queries, and wait until all of them do."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._send_expensive_queries()) for _ in range(self._players)
            ]
        self._may_send.set()
        while self._sending_count < self._players:
            self._raise_task_errors()
            await asyncio.sleep(0.05)

    async def pause(self) -> None:
        """Stop the players from sending further queries, and wait for the replies."""
        self._may_send.clear()
        while self._sending_count:
            self._raise_task_errors()
            await asyncio.sleep(0.05)

    def stop(self) -> None:
        """Cancel the players' tasks."""
        for task in self._tasks:
            task.cancel()

    def _raise_task_errors(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()

    async def _send_expensive_queries(self) -> None:
        """Send queries until the episode has no calls or steps left, then start another one."""
        session, is_used_up = await open_session(HOST, self._port), True
        while True:
            await self._may_send.wait()
            self._sending_count += 1
            if is_used_up:
                await start_episode(session, "drill_sql", next(self._seeds))
            data = await send_query(session, EXPENSIVE_QUERY)
            is_used_up = data["done"] or "call submit_report" in data["observation"]["message"]
            self._sending_count -= 1


async def time_queries(port: int, count: int, seed: int) -> list[float]:
    """Return the milliseconds of one player's cheap queries, sent half a second apart."""
    session, times_ms = await open_session(HOST, port), []
    await start_episode(session, "drill_sql", seed)
    for _ in range(count):
        await asyncio.sleep(0.5)
        started = time.perf_counter()
        await send_query(session, CHEAP_QUERY)
        times_ms.append(1e3 * (time.perf_counter() - started))
    session.close()
    return times_ms


async def measure_resets_and_queries(
    port: int, rounds: int, players: int, level: str
) -> list[Figure]:
    """Time resets and cheap queries, alternately without and with the expensive players."""
    expensive = ExpensivePlayers(port, players)
    idle_ms, busy_ms, idle_query_ms, busy_query_ms = [], [], [], []
    await time_resets(port, 5, 1_000, level)
    for number in range(rounds):
        seed = 2_000 + 2 * RESETS_PER_ROUND * number
        idle_ms += await time_resets(port, RESETS_PER_ROUND, seed, level)
        idle_query_ms += await time_queries(port, QUERIES_PER_ROUND, 100_000 + 2 * number)
        await expensive.resume()
        busy_ms += await time_resets(port, RESETS_PER_ROUND, seed + RESETS_PER_ROUND, level)
        busy_query_ms += await time_queries(port, QUERIES_PER_ROUND, 100_001 + 2 * number)
        await expensive.pause()
    expensive.stop()
    figures = []
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        idle, busy = percentile(idle_ms, share), percentile(busy_ms, share)
        figures += [
            Figure(f"reset {level}, idle, {name}", idle, None, "ms"),
            Figure(f"reset {level}, {players} expensive players, {name}", busy, None, "ms"),
            Figure(f"ratio, {name}", busy / idle, MAX_RESET_TIME_RATIO, ""),
        ]
    return [
        *figures,
        Figure("cheap query, idle, p50", percentile(idle_query_ms, 0.5), None, "ms"),
        Figure("cheap query, expensive players, p50", percentile(busy_query_ms, 0.5), None, "ms"),
        Figure("cheap query, expensive players, max", max(busy_query_ms), None, "ms"),
    ]


def main(
    rounds: Annotated[int, typer.Option(help="Rounds of 2 x 20 resets.")] = 5,
    players: Annotated[int, typer.Option(help="Players that send expensive queries.")] = 8,
    level: Annotated[str, typer.Option(help="Level of the timed resets.")] = "drill",
) -> None:
    """Time resets and cheap queries while other players send expensive queries."""
    settings = {"ENVIRONMENT": "drilldown", "OPENENV_KIT_EPISODE_STORE": "memory"}
    with run_server(environ=settings) as server:
        figures = asyncio.run(measure_resets_and_queries(server.port, rounds, players, level))
    print_figures("Resets and expensive SQL queries", figures)


if __name__ == "__main__":
    typer.run(main)
