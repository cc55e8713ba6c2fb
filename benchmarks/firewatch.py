"""`python -m benchmarks.firewatch`: what Firewatch costs, against what it may cost, in one run."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import Annotated, Any, NamedTuple

import typer

from benchmarks.drive import drive
from benchmarks.figures import Figure, print_figures
from benchmarks.load import connect_all, frame
from benchmarks.server_process import HOST, ServerProcess, serving
from firewatch_env.environment import ENVIRONMENT
from firewatch_env.tasks.book import drawn_task
from firewatch_env.tasks.levels import LEVELS as ALL_LEVELS
from firewatch_env.tasks.task import open_world
from openenv_kit.rollouts.run_policy import moves

SESSIONS = 256
LOADS = ((1, 1), (16, 1), (SESSIONS, 1), (SESSIONS, 8))
"""Sessions that are busy at once, and how many of them play each incident.

What many touch in turn does not stay in a processor's cache. A trainer plays each incident several
times side by side.
"""
LEVELS = tuple(ALL_LEVELS)
SERVICES = 11
STEPS = 18
"""Steps of a session under load: an easy incident has 20 ticks, and its end is measured apart."""
LOOKS = ("get_metrics_detail", "trace_dependencies", "fetch_logs", "thread_dump")


def bench_firewatch(
    rounds: Annotated[int, typer.Option(min=1, help="Times each thing is measured.")] = 5,
    tasks: Annotated[int, typer.Option(min=1, max=130, help="Incidents of a round.")] = 30,
) -> None:
    """Print ticks a second, reset, grading and a served step, each beside its bound.

    What runs in this process is measured in CPU time of one core, which a busy machine bends least.
    The servers take turns, and their steps are compared as a ratio.
    """
    found = [
        Figure(
            f"engine, {SERVICES} services",
            statistics.median(ticks_per_second() for _ in range(rounds)),
            30_000,
            "ticks/s",
            least=True,
        )
    ]
    resets, grades = zip(*(play_costs(number, tasks) for number in range(rounds)), strict=True)
    found.append(Figure("reset", statistics.median(resets), 3, "ms"))
    found.append(Figure("last step, with its grade", statistics.median(grades), 25, "ms"))
    limits = {"ENVIRONMENT": ENVIRONMENT.name, "ALSO_SERVE": "none", "OPENENV_KIT_TOKEN": ""}
    with ExitStack() as stack:
        echo = stack.enter_context(serving(echo=True))
        ours = stack.enter_context(serving(environ=limits))
        seeds = count(step=SESSIONS)  # nobody plays an incident that the server has seen before
        rows = [
            [
                (_served(ours, _steps, busy, each, next(seeds)), _served(echo, _echoes, busy))
                for busy, each in LOADS
            ]
            for _ in range(rounds)
        ]
    for (busy, each), pairs in zip(LOADS, zip(*rows, strict=True), strict=True):
        incidents = f", {SESSIONS // each} incidents" if each > 1 else ""
        what = f"served step / echo, {busy} at once{incidents}"
        most = 3.0 if (busy, each) == (SESSIONS, 1) else 2.5
        ratio = statistics.median(one.seconds / other.seconds for one, other in pairs)
        found.append(Figure(f"{what}, time", ratio, most, "x"))
        ratio = statistics.median(one.cpu_s / other.cpu_s for one, other in pairs)
        found.append(Figure(f"{what}, CPU time", ratio, most, "x"))
    failed = sum(one.errors for row in rows for one, _ in row)
    found.append(Figure(f"errors, {SESSIONS} sessions", failed, 0, ""))
    holds = print_figures(f"Firewatch, medians of {rounds} rounds", found)
    raise typer.Exit(0 if holds else 1)


def ticks_per_second(ticks: int = 4000) -> float:
    """Ticks of an unattended world a second of one core, started over every 40 ticks."""
    drawn = (drawn_task("hard", seed) for seed in count())
    start = open_world(next(task for task in drawn if len(task.services) == SERVICES))
    worlds = [start.copy() for _ in range(ticks // 40)]
    began = time.process_time()
    for world in worlds:
        for _ in range(40):
            world.step()
    return 40 * len(worlds) / (time.process_time() - began)


def play_costs(number: int, tasks: int) -> tuple[float, float]:
    """CPU milliseconds of a reset and of a grading, the median over tasks of a split.

    Args:
        number: of the round; each has tasks of its own, so that nothing comes from a cache.
        tasks: how many.
    """
    resets, grades = [], []
    size = ENVIRONMENT.splits.size("train")
    for index in range(number * tasks, (number + 1) * tasks):
        where = {"split": "train", "index": index % size}
        session = ENVIRONMENT.session()
        began = time.process_time()
        opening = session.reset(**where)
        resets.append(time.process_time() - began)
        actions = [a for a, _ in moves(session, ENVIRONMENT.policies["reference"], opening)]
        grades.append(_end(where, actions))
    return 1000 * statistics.median(resets), 1000 * statistics.median(grades)


def _end(where: dict[str, Any], actions: list[dict[str, Any]]) -> float:
    """CPU seconds of the step that ends an incident."""
    session = ENVIRONMENT.session()
    session.reset(**where)
    for action in actions[:-1]:
        session.step(action)
    began = time.process_time()
    session.step(actions[-1])
    return time.process_time() - began


Frames = Callable[[int, dict[str, Any]], Iterator[bytes]]


def _steps(number: int, reply: dict[str, Any]) -> Iterator[bytes]:
    """A session's looks at one service after the other."""
    names = sorted(reply["data"]["observation"]["services"])
    for step in range(STEPS):
        action = {
            "action_type": LOOKS[(number + step) % len(LOOKS)],
            "target_service": names[(number + step) % len(names)],
        }
        yield frame({"type": "step", "data": action})


def _echoes(number: int, reply: dict[str, Any]) -> Iterator[bytes]:
    del number, reply
    for _ in range(STEPS):
        yield frame({"type": "step", "data": {"message": "x" * 60}})


class Served(NamedTuple):
    """Seconds and CPU seconds of a step, and errors."""

    seconds: float
    cpu_s: float
    errors: int


def _served(
    server: ServerProcess, frames: Frames, busy: int, each: int = 1, seed: int = 0
) -> Served:
    """Every session's steps, so many sessions at once; resets are not measured.

    Args:
        server: where they play.
        frames: what a session sends.
        busy: sessions at once.
        each: sessions that play one incident.
        seed: of the first incident.
    """

    async def measured() -> Served:
        sessions = await connect_all(HOST, server.port, SESSIONS)
        openings = []
        for number, session in enumerate(sessions):
            data: dict[str, Any] = {}
            if frames is _steps:
                incident = number // each
                data = {"difficulty": LEVELS[incident % len(LEVELS)], "seed": seed + incident}
            openings.append(await session.ask({"type": "reset", "data": data}))

        def played(first: int, number: int) -> Iterator[bytes]:
            return frames(first + number, openings[first + number])

        cpu = server.cpu_s()
        steps, errors, elapsed = 0, 0, 0.0
        for first in range(0, SESSIONS, busy):
            tally, seconds = drive(sessions[first : first + busy], partial(played, first), 60.0)
            steps, errors = steps + len(tally.latencies), errors + tally.errors
            elapsed += seconds
        used = server.cpu_s() - cpu
        for session in sessions:
            session.leave()
        await asyncio.sleep(0.2)
        return Served(elapsed / steps, used / steps, errors + SESSIONS * STEPS - steps)

    return asyncio.run(measured())


if __name__ == "__main__":
    typer.run(bench_firewatch)
