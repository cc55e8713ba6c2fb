"""`python -m benchmarks.sql_players`: resets beside players whose SQL queries are expensive."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from benchmarks.figures import Figure, print_figures
from benchmarks.load import Session, connect
from benchmarks.server_process import HOST, serving

EXPENSIVE_QUERY = " UNION ALL ".join(["SELECT * FROM counts"] * 40) + " ORDER BY 1"
"""1,240 characters that sort forty copies of the counts; refused, because it needs more memory than
a query may have."""
CHEAP_QUERY = "SELECT week, count(*) FROM counts GROUP BY week"
MAX_RATIO = 2.0
"""How much longer a reset may take beside such players."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of all values lies."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


async def reset(session: Session, level: str, seed: int) -> dict[str, Any]:
    """Start an episode and return the reply's data."""
    message = {"type": "reset", "data": {"difficulty": level, "seed": seed}}
    return dict((await session.ask(message, 600.0))["data"])


async def ask_query(session: Session, query: str) -> dict[str, Any]:
    """Ask a query and return the reply's data."""
    action = {"tool": "sql", "arguments": {"query": query}}
    return dict((await session.ask({"type": "step", "data": action}, 600.0))["data"])


async def time_resets(port: int, count: int, first_seed: int, level: str) -> list[float]:
    """Milliseconds of resets with fresh seeds, one after the other."""
    session, times_ms = await connect(HOST, port), []
    for seed in range(first_seed, first_seed + count):
        started = time.perf_counter()
        await reset(session, level, seed)
        times_ms.append(1e3 * (time.perf_counter() - started))
    session.leave()
    return times_ms


async def play_expensively(port: int, seeds: itertools.count[int]) -> None:
    """Ask the expensive query until the task is cancelled; start over once no call is left."""
    session = await connect(HOST, port)
    while True:
        await reset(session, "drill_sql", next(seeds))
        refused_at_once = 0
        while refused_at_once < 3:
            started = time.perf_counter()
            data = await ask_query(session, EXPENSIVE_QUERY)
            refused_at_once += time.perf_counter() - started < 0.05
            if data["done"]:
                break


async def time_queries(port: int, count: int, seed: int) -> list[float]:
    """Milliseconds of cheap queries of one player, half a second apart."""
    session, times_ms = await connect(HOST, port), []
    await reset(session, "drill_sql", seed)
    for _ in range(count):
        await asyncio.sleep(0.5)
        started = time.perf_counter()
        await ask_query(session, CHEAP_QUERY)
        times_ms.append(1e3 * (time.perf_counter() - started))
    session.leave()
    return times_ms


async def measure(port: int, resets: int, players: int, level: str) -> list[Figure]:
    """Time resets and cheap queries alone, then beside the expensive players."""
    await time_resets(port, 5, 1_000, level)
    idle_ms = await time_resets(port, resets, 2_000, level)
    idle_query_ms = await time_queries(port, 8, 1_900)
    seeds = itertools.count(5_000)
    playing = [asyncio.create_task(play_expensively(port, seeds)) for _ in range(players)]
    await asyncio.sleep(6.0)  # all of them have started their episodes
    busy_ms, busy_query_ms = await asyncio.gather(
        time_resets(port, resets, 2_000 + resets, level), time_queries(port, 8, 1_901)
    )
    for task in playing:
        if task.done():
            task.result()
        task.cancel()
    figures = []
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        idle, busy = percentile(idle_ms, share), percentile(busy_ms, share)
        figures += [
            Figure(f"reset {level}, idle, {name}", idle, None, "ms"),
            Figure(f"reset {level}, {players} expensive players, {name}", busy, None, "ms"),
            Figure(f"ratio, {name}", busy / idle, MAX_RATIO, ""),
        ]
    return [
        *figures,
        Figure("cheap query, idle, p50", percentile(idle_query_ms, 0.5), None, "ms"),
        Figure("cheap query, beside them, p50", percentile(busy_query_ms, 0.5), None, "ms"),
        Figure("cheap query, beside them, largest", max(busy_query_ms), None, "ms"),
    ]


def main(
    resets: Annotated[int, typer.Option(help="resets in each measurement")] = 100,
    players: Annotated[int, typer.Option(help="players with expensive queries")] = 8,
    level: Annotated[str, typer.Option(help="level of the resets that are timed")] = "drill",
) -> None:
    """Measure resets and cheap queries beside players whose queries are expensive."""
    settings = {"ENVIRONMENT": "drilldown", "OPENENV_KIT_EPISODE_STORE": "memory"}
    with serving(environ=settings) as server:
        figures = asyncio.run(measure(server.port, resets, players, level))
    print_figures("Resets beside expensive SQL", figures)


if __name__ == "__main__":
    typer.run(main)
