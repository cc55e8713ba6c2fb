"""`python -m benchmarks.drilldown`: what drill-down episodes cost, against what they may cost."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated

import typer

from benchmarks.figures import Figure, print_figures
from drilldown_env.building import build_episode
from drilldown_env.levels import LEVELS
from drilldown_env.session import DrillSession, episode_of
from drilldown_env.tasks import SPLITS
from openenv_kit.splits import indices_of_level

MAX_RESET_MS_BY_LEVEL = {"drill_sql": 150.0}
MAX_RESET_MS = 50.0
"""Most CPU milliseconds of a reset, at the 95th percentile."""
MAX_SLICE_MS, MAX_EPISODE_KB = 0.1, 400.0
QUERY_SESSIONS = 256
QUERY_TEMPLATE = (
    "SELECT week, sum({1}) * 1.0 / sum({0}) AS rate FROM counts WHERE {2} = '{3}' GROUP BY week"
)


def measure_cpu_ms(run: Callable[[], object]) -> float:
    """CPU milliseconds of this process in one run."""
    begun = time.process_time()
    run()
    return 1e3 * (time.process_time() - begun)


def percentile(times: Sequence[float], share: float) -> float:
    """The value below which this share of all lies."""
    return sorted(times)[min(int(share * len(times)), len(times) - 1)]


def measure_resets(level: str, episodes: int) -> tuple[list[Figure], float]:
    """What a reset costs, and how well it tells an empty episode from another."""
    configs = [
        SPLITS.task("train", n).config for n in indices_of_level(SPLITS, "train", level)[:episodes]
    ]
    build_episode(configs[0])
    found = [(measure_cpu_ms(partial(build_episode, config)), config.roots) for config in configs]
    times = [ms for ms, _ in found]
    empty = [ms for ms, roots in found if not roots]
    others = [ms for ms, roots in found if roots]
    wins = sum((a > b) + 0.5 * (a == b) for a in others for b in empty)
    most = MAX_RESET_MS_BY_LEVEL.get(level, MAX_RESET_MS)
    return [
        Figure(f"reset {level}, median", percentile(times, 0.5), None, "ms"),
        Figure(f"reset {level}, p95", percentile(times, 0.95), most, "ms"),
    ], wins / max(len(empty) * len(others), 1)


def measure_episode_memory(level: str) -> Figure:
    """What an episode keeps."""
    config = SPLITS.task("train", indices_of_level(SPLITS, "train", level)[1]).config
    build_episode(config)
    gc.collect()
    tracemalloc.start()
    kept = build_episode(config)
    gc.collect()
    size = tracemalloc.get_traced_memory()[0] / 1e3
    tracemalloc.stop()
    most = None if kept.config.level.sql else MAX_EPISODE_KB
    return Figure(f"episode {level}", size, most, "kB")


def measure_slices(calls: int) -> Figure:
    """What a slice of one attribute by week costs, without the session around it."""
    session = DrillSession()
    session.reset(task_id="drill_ordering_app")
    asked = {"tool": "slice", "arguments": {"group_by": ["country"], "stages": ["menu_opens"]}}
    one = []
    for _ in range(calls):
        one.append(measure_cpu_ms(lambda: session.step(asked)))
        session.calls = session.steps = 0
    return Figure("slice, median", percentile(one, 0.5), MAX_SLICE_MS, "ms")


def measure_queries(seconds: int) -> Figure:
    """How long a query takes while 256 sessions ask one a second."""
    positions = indices_of_level(SPLITS, "train", "drill_sql")
    tasks = [SPLITS.task("train", positions[n % 8]).config for n in range(QUERY_SESSIONS)]
    sessions = []
    for config in tasks:
        session = DrillSession()
        session.open("", episode_of(config))
        domain = config.domain
        dim = domain.dims[0]
        text = QUERY_TEMPLATE.format(*domain.stages[:2], dim.name, dim.names[0])
        sessions.append((session, {"tool": "sql", "arguments": {"query": text}}))
    times: list[float] = []

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(32) as pool:

            async def one(number: int) -> None:
                session, action = sessions[number]
                for second in range(seconds):
                    await asyncio.sleep(
                        max(begun + second + number / QUERY_SESSIONS - loop.time(), 0.0)
                    )
                    due = time.perf_counter()
                    await loop.run_in_executor(pool, session.step, action)
                    times.append(time.perf_counter() - due)

            begun = loop.time()
            await asyncio.gather(*(one(number) for number in range(QUERY_SESSIONS)))

    asyncio.run(ask())
    return Figure(
        "query, 256 sessions once a second, p95", 1e3 * percentile(times, 0.95), None, "ms"
    )


def main(
    episodes: Annotated[int, typer.Option(help="episodes of each level")] = 96,
    seconds: Annotated[int, typer.Option(help="seconds of queries; 0 for none")] = 3,
) -> None:
    """Measure resets, slices, memory and queries."""
    figures: list[Figure] = []
    for level in LEVELS:
        found, auc = measure_resets(level, episodes)
        figures += [*found, Figure(f"reset time tells roots on {level}, AUC", auc, None, "")]
        figures.append(measure_episode_memory(level))
    figures.append(measure_slices(100))
    if seconds:
        figures.append(measure_queries(seconds))
    sys.exit(not print_figures("Drill-down", figures))


if __name__ == "__main__":
    typer.run(main)
