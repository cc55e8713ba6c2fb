"""`python -m benchmarks.drilldown`: what drill-down episodes cost, against what they may cost."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import fmean
from typing import Annotated

import numpy as np
import typer

from benchmarks.figures import Figure, print_figures
from benchmarks.load import LoadError, Session, connect_all
from benchmarks.server_process import HOST, ServerProcess, serving
from metric_tracker_rl.drilldown.admitted import attempt_of
from metric_tracker_rl.drilldown.building import generate
from metric_tracker_rl.drilldown.clean import draw_clean
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.policies import POLICIES
from metric_tracker_rl.drilldown.session import DrillRules, DrillSession
from metric_tracker_rl.drilldown.tasks import SPLITS
from metric_tracker_rl.drilldown.tools import find_tool
from metric_tracker_rl.tier_splits import tasks_of_level
from openenv_kit.bitstream import BitStream
from openenv_kit.play.driver import moves

SPLIT = "drill_train"
EPISODE_MS = {"drill_sql": 250.0}
OTHER_EPISODE_MS = 35.0
"""Most CPU milliseconds of a shipped episode, at the 95th percentile."""
CALL_MS = {"slice": 0.3, "compare": 0.7}
SESSION_KB = 350.0
RESETS = 30.0
"""Fewest resets of shipped tasks that a core serves in a second."""
STEP_MS = 50.0
"""Longest that 99 of 100 steps of other sessions take meanwhile."""
STEPPERS, RESETTERS = 16, 2
PAUSE_S = 0.05
"""Between two steps of a session; resets follow each other at once."""


def bench_drilldown(
    rounds: Annotated[int, typer.Option(min=1, help="Times each thing is measured.")] = 3,
    tasks: Annotated[int, typer.Option(min=2, max=200, help="Episodes of each level.")] = 40,
    seconds: Annotated[float, typer.Option(min=1, help="Length of a served round.")] = 5.0,
) -> None:
    """Print episodes, calls, memory and served resets, each beside its bound.

    What runs in this process is measured in CPU time of one core, the least of the rounds. The
    search is told beside what the table of accepted draws makes of it, and the draw of clean data,
    which none can do without, as a measure of the machine.
    """
    found: list[Figure] = []
    for level in LEVELS:
        found += episode_figures(level, rounds, tasks)
    found += list(call_figures(rounds))
    found += memory_figures()
    with serving(environ={"METRIC_TRACKER_TOKEN": ""}) as server:
        for level in ("drill", "drill_hard"):
            found += asyncio.run(served_figures(server, level, seconds))
    holds = print_figures(f"Drill-down, the least of {rounds} rounds", found)
    raise typer.Exit(0 if holds else 1)


def shipped(level: str, number: int) -> list[tuple[str, DrillConfig]]:
    """The first tasks of a level, with their names."""
    found = [SPLITS.task(SPLIT, index) for index in tasks_of_level(SPLIT, level)[:number]]
    return [(task.task_id, task.config) for task in found]


def least_ms(rounds: int, work: Callable[[], object]) -> float:
    """CPU milliseconds of some work, the least of several times."""
    spent = []
    for _ in range(rounds):
        began = time.thread_time()
        work()
        spent.append(time.thread_time() - began)
    return 1000.0 * min(spent)


def episode_figures(level: str, rounds: int, tasks: int) -> Iterator[Figure]:
    """CPU time of a level's shipped episodes, as a reset makes them and as the search does."""
    known, searched, clean, draws = [], [], [], []
    for name, config in shipped(level, tasks):
        known.append(least_ms(rounds, partial(generate, config, attempt_of(name, config))))
        searched.append(least_ms(rounds, partial(generate, config)))
        clean.append(least_ms(rounds, partial(_clean, config)))
        draws.append(generate(config)[0].draws)
    bound = EPISODE_MS.get(level, OTHER_EPISODE_MS)
    yield Figure(f"{level}, 95 of 100 episodes", _percentile(known, 95), bound, "ms")
    yield Figure(f"{level}, mean", fmean(known), None, "ms")
    yield Figure(f"{level}, mean / clean data", fmean(known) / fmean(clean), None, "x")
    yield Figure(f"{level} by search, 95 of 100", _percentile(searched, 95), None, "ms")
    yield Figure(f"{level} by search, mean", fmean(searched), None, "ms")
    yield Figure(f"{level} by search, draws", fmean(draws), None, "")


def _percentile(values: Sequence[float], percent: int) -> float:
    return float(np.percentile(values, percent))


def _clean(config: DrillConfig) -> object:
    stream = BitStream(config.identity)
    return draw_clean(stream, config.domain, config.level.noise, 0)


def call_figures(rounds: int) -> Iterator[Figure]:
    """Mean CPU time of the calls that the reference makes on a hard episode."""
    [(_, config)] = shipped("drill_hard", 1)
    _, episode = generate(config)
    session = DrillSession()
    opening = session.start("benchmark", episode, DrillRules())
    asked = [action for action, _ in moves(session, POLICIES["drill_reference"], opening)]
    for name, bound in CALL_MS.items():
        calls = [each["analysis_args"] for each in asked if each.get("analysis_method") == name]
        call = partial(find_tool(name).call, episode, left=dict(config.level.limits))
        costs = [least_ms(rounds, partial(call, arguments)) for arguments in calls]
        yield Figure(f"{name}, mean", fmean(costs), bound, "ms")


def memory_figures() -> Iterator[Figure]:
    """What an episode and its first session keep, and what one session more of it adds."""
    [(_, config)] = shipped("drill_hard", 1)
    DrillSession().start("benchmark", generate(config)[1], DrillRules())  # whatever is kept for all
    tracemalloc.start()
    before, episode, kept = _traced_kb(), generate(config)[1], []
    for what in ("an episode and its session", "another session of it"):
        kept.append(DrillSession())
        kept[-1].start("benchmark", episode, DrillRules())
        now = _traced_kb()
        yield Figure(f"memory of {what}", now - before, SESSION_KB, "kB")
        before = now
    tracemalloc.stop()


def _traced_kb() -> float:
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1000


async def served_figures(server: ServerProcess, level: str, seconds: float) -> list[Figure]:
    """Resets of a level while other sessions step, and how long their steps take."""
    stepping = await connect_all(HOST, server.port, STEPPERS)
    resetting = await connect_all(HOST, server.port, RESETTERS)
    for number, session in enumerate(stepping):
        await session.ask({"type": "reset", "data": {"seed": number, "max_steps": 500}})
    fresh = iter(tasks_of_level(SPLIT, level))
    await _reset(resetting[0], next(fresh))
    alone: list[float] = []
    await asyncio.gather(*(_step(each, alone, seconds / 2) for each in stepping))
    busy: list[float] = []
    made: list[int] = []
    cpu = server.cpu_s()
    await asyncio.gather(
        *(_reset_until(each, fresh, made, time.perf_counter() + seconds) for each in resetting),
        *(_step(each, busy, seconds) for each in stepping),
    )
    used = server.cpu_s() - cpu
    for session in (*stepping, *resetting):
        session.leave()
    served = f"{level}, served resets a second of CPU"
    return [
        Figure(served, len(made) / used, RESETS, "/s", least=True),
        Figure(f"99 of 100 steps beside {level} resets", _percentile(busy, 99), STEP_MS, "ms"),
        Figure("the same without resets", _percentile(alone, 99), None, "ms"),
    ]


async def _reset_until(
    session: Session, fresh: Iterator[int], made: list[int], until: float
) -> None:
    """Resets one after the other, of tasks that nobody has played; those made are added."""
    while time.perf_counter() < until:
        index = next(fresh)
        await _reset(session, index)
        made.append(index)


async def _reset(session: Session, index: int) -> None:
    reply = await session.ask({"type": "reset", "data": {"split": SPLIT, "index": index}})
    if reply["data"]["observation"]["status"] != "ready":
        raise LoadError(str(reply)[:300])


async def _step(session: Session, taken: list[float], seconds: float) -> None:
    """Steps of a session with a pause between them; their milliseconds are added."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        data = {"analysis_method": "task_overview", "analysis_args": {}}
        await session.ask({"type": "step", "data": data})
        taken.append(1000.0 * (time.perf_counter() - began))
        await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    typer.run(bench_drilldown)
