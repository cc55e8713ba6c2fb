"""`python -m benchmarks.drilldown`: measures time and memory of drill-down episodes."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, NamedTuple

import typer

from benchmarks.figures import Figure, print_figures
from drilldown_env.building import build_episode
from drilldown_env.levels import LEVELS
from drilldown_env.session import DrillSession, episode_of
from drilldown_env.tasks import SPLITS
from openenv_kit.cli.common import exit_with_result
from openenv_kit.splits import find_task_indices_of_level

MAX_RESET_MS_BY_LEVEL = {"drill_sql": 150.0}
MAX_RESET_MS = 50.0
"""Maximum CPU time of a reset, at the 95th percentile."""
MAX_SLICE_MS = 0.1
MAX_EPISODE_KB = 400.0
QUERY_SESSIONS = 256
QUERY_TEMPLATE = (
    "SELECT week, sum({1}) * 1.0 / sum({0}) AS rate FROM counts WHERE {2} = '{3}' GROUP BY week"
)


def measure_cpu_ms(run: Callable[[], object]) -> float:
    """Call a function and return the CPU milliseconds of this process."""
    started = time.process_time()
    run()
    return 1e3 * (time.process_time() - started)


def percentile(times: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    return sorted(times)[min(int(share * len(times)), len(times) - 1)]


class ResetMeasurement(NamedTuple):
    """CPU time of resets, and how well the time separates episodes with and without roots.

    The separation is the area under the ROC curve (AUC): 0.5 if the time reveals nothing.
    """

    figures: list[Figure]
    auc: float


def measure_resets(level: str, episodes: int) -> ResetMeasurement:
    """Measure the resets of a level's episodes of the train split."""
    configs = [
        SPLITS.task("train", n).config
        for n in find_task_indices_of_level(SPLITS, "train", level)[:episodes]
    ]
    build_episode(configs[0])
    times_ms = [measure_cpu_ms(partial(build_episode, config)) for config in configs]
    timed = list(zip(times_ms, configs, strict=True))
    empty_ms = [time_ms for time_ms, config in timed if not config.roots]
    other_ms = [time_ms for time_ms, config in timed if config.roots]
    wins = sum((other > empty) + 0.5 * (other == empty) for other in other_ms for empty in empty_ms)
    max_ms = MAX_RESET_MS_BY_LEVEL.get(level, MAX_RESET_MS)
    figures = [
        Figure(f"reset {level}, median", percentile(times_ms, 0.5), None, "ms"),
        Figure(f"reset {level}, p95", percentile(times_ms, 0.95), max_ms, "ms"),
    ]
    return ResetMeasurement(figures, wins / max(len(empty_ms) * len(other_ms), 1))


def measure_episode_memory(level: str) -> Figure:
    """Measure the memory of one episode."""
    config = SPLITS.task("train", find_task_indices_of_level(SPLITS, "train", level)[1]).config
    build_episode(config)
    gc.collect()
    tracemalloc.start()
    episode = build_episode(config)
    gc.collect()
    size_kb = tracemalloc.get_traced_memory()[0] / 1e3
    tracemalloc.stop()
    max_kb = None if episode.config.level.sql else MAX_EPISODE_KB
    return Figure(f"episode {level}", size_kb, max_kb, "kB")


def measure_slices(calls: int) -> Figure:
    """Measure the CPU time of a slice of one attribute by week."""
    session = DrillSession()
    session.reset(task_id="drill_ordering_app")
    action = {"tool": "slice", "arguments": {"group_by": ["country"], "stages": ["menu_opens"]}}
    times_ms = []
    for _ in range(calls):
        times_ms.append(measure_cpu_ms(lambda: session.step(action)))
        session.calls = session.steps = 0
    return Figure("slice, median", percentile(times_ms, 0.5), MAX_SLICE_MS, "ms")


def measure_queries(seconds: int) -> Figure:
    """Measure the time of a query while 256 sessions each send one per second."""
    positions = find_task_indices_of_level(SPLITS, "train", "drill_sql")
    tasks = [SPLITS.task("train", positions[n % 8]).config for n in range(QUERY_SESSIONS)]
    sessions = []
    for config in tasks:
        session = DrillSession()
        session.open("", episode_of(config))
        domain = config.domain
        dim = domain.dims[0]
        text = QUERY_TEMPLATE.format(*domain.stages[:2], dim.name, dim.names[0])
        sessions.append((session, {"tool": "sql", "arguments": {"query": text}}))
    times_s: list[float] = []

    async def send_queries() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(32) as pool:

            async def play_session(number: int) -> None:
                session, action = sessions[number]
                for second in range(seconds):
                    await asyncio.sleep(
                        max(started + second + number / QUERY_SESSIONS - loop.time(), 0.0)
                    )
                    sent_at_s = time.perf_counter()
                    await loop.run_in_executor(pool, session.step, action)
                    times_s.append(time.perf_counter() - sent_at_s)

            started = loop.time()
            await asyncio.gather(*(play_session(number) for number in range(QUERY_SESSIONS)))

    asyncio.run(send_queries())
    return Figure(
        "query, 256 sessions once a second, p95", 1e3 * percentile(times_s, 0.95), None, "ms"
    )


def main(
    episodes: Annotated[int, typer.Option(help="Episodes of each level.")] = 96,
    seconds: Annotated[int, typer.Option(help="Seconds of queries; 0 for none.")] = 3,
) -> None:
    """Print CPU time of resets and slices, memory of an episode, and time of queries."""
    figures: list[Figure] = []
    for level in LEVELS:
        resets = measure_resets(level, episodes)
        figures += resets.figures
        figures.append(Figure(f"reset time reveals roots on {level}, AUC", resets.auc, None, ""))
        figures.append(measure_episode_memory(level))
    figures.append(measure_slices(100))
    if seconds:
        figures.append(measure_queries(seconds))
    exit_with_result(has_failed=not print_figures("Drill-down", figures))


if __name__ == "__main__":
    typer.run(main)
