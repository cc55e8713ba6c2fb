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

from benchmarks.drive import keep_sessions_busy
from benchmarks.figures import Figure, print_figures
from benchmarks.load import message_frame, open_sessions
from benchmarks.server_process import HOST, ServerProcess, run_server
from firewatch_env.environment import ENVIRONMENT
from firewatch_env.tasks.book import drawn_task
from firewatch_env.tasks.levels import LEVELS as ALL_LEVELS
from firewatch_env.tasks.task import open_world
from openenv_kit.rollouts.run_policy import iter_policy_steps

SESSIONS = 256
LOAD_CASES = ((1, 1), (16, 1), (SESSIONS, 1), (SESSIONS, 8))
"""Sessions that are busy at once, and how many of them play each incident.

What many touch in turn does not stay in a processor's cache. A trainer plays each incident several
times side by side.
"""
LEVELS = tuple(ALL_LEVELS)
SERVICE_COUNT = 11
STEPS_PER_SESSION = 18
"""Steps of a session under load: an easy incident has 20 ticks, and its end is measured apart."""
INVESTIGATION_ACTIONS = ("get_metrics_detail", "trace_dependencies", "fetch_logs", "thread_dump")


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
            f"engine, {SERVICE_COUNT} services",
            statistics.median(measure_ticks_per_second() for _ in range(rounds)),
            30_000,
            "ticks/s",
            is_minimum=True,
        )
    ]
    resets, grades = zip(
        *(measure_reset_and_grade_ms(number, tasks) for number in range(rounds)), strict=True
    )
    found.append(Figure("reset", statistics.median(resets), 3, "ms"))
    found.append(Figure("last step, with its grade", statistics.median(grades), 25, "ms"))
    limits = {"ENVIRONMENT": ENVIRONMENT.name, "ALSO_SERVE": "none", "OPENENV_KIT_TOKEN": ""}
    with ExitStack() as stack:
        echo = stack.enter_context(run_server(echo=True))
        ours = stack.enter_context(run_server(environ=limits))
        seeds = count(step=SESSIONS)  # nobody plays an incident that the server has seen before
        rows = [
            [
                (
                    _measure_served_step(ours, _incident_step_frames, busy, each, next(seeds)),
                    _measure_served_step(echo, _echo_step_frames, busy),
                )
                for busy, each in LOAD_CASES
            ]
            for _ in range(rounds)
        ]
    for (busy, each), pairs in zip(LOAD_CASES, zip(*rows, strict=True), strict=True):
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


def measure_ticks_per_second(ticks: int = 4000) -> float:
    """Ticks of an unattended world a second of one core, started over every 40 ticks."""
    drawn = (drawn_task("hard", seed) for seed in count())
    start = open_world(next(task for task in drawn if len(task.services) == SERVICE_COUNT))
    worlds = [start.copy() for _ in range(ticks // 40)]
    began = time.process_time()
    for world in worlds:
        for _ in range(40):
            world.step()
    return 40 * len(worlds) / (time.process_time() - began)


def measure_reset_and_grade_ms(round_number: int, tasks: int) -> tuple[float, float]:
    """CPU milliseconds of a reset and of a grading, the median over tasks of a split.

    Args:
        round_number: of the round; each has tasks of its own, so that nothing comes from a cache.
        tasks: how many.
    """
    resets, grades = [], []
    size = ENVIRONMENT.splits.size("train")
    for index in range(round_number * tasks, (round_number + 1) * tasks):
        where = {"split": "train", "index": index % size}
        session = ENVIRONMENT.create_session()
        began = time.process_time()
        opening = session.reset(**where)
        resets.append(time.process_time() - began)
        actions = [
            a for a, _ in iter_policy_steps(session, ENVIRONMENT.policies["reference"], opening)
        ]
        grades.append(_measure_last_step_cpu_s(where, actions))
    return 1000 * statistics.median(resets), 1000 * statistics.median(grades)


def _measure_last_step_cpu_s(
    reset_arguments: dict[str, Any], actions: list[dict[str, Any]]
) -> float:
    """CPU seconds of the step that ends an incident."""
    session = ENVIRONMENT.create_session()
    session.reset(**reset_arguments)
    for action in actions[:-1]:
        session.step(action)
    began = time.process_time()
    session.step(actions[-1])
    return time.process_time() - began


FrameSource = Callable[[int, dict[str, Any]], Iterator[bytes]]


def _incident_step_frames(number: int, reply: dict[str, Any]) -> Iterator[bytes]:
    """A session's looks at one service after the other."""
    names = sorted(reply["data"]["observation"]["services"])
    for step in range(STEPS_PER_SESSION):
        action = {
            "action_type": INVESTIGATION_ACTIONS[(number + step) % len(INVESTIGATION_ACTIONS)],
            "target_service": names[(number + step) % len(names)],
        }
        yield message_frame({"type": "step", "data": action})


def _echo_step_frames(number: int, reply: dict[str, Any]) -> Iterator[bytes]:
    del number, reply
    for _ in range(STEPS_PER_SESSION):
        yield message_frame({"type": "step", "data": {"message": "x" * 60}})


class ServedStep(NamedTuple):
    """Seconds and CPU seconds of a step, and errors."""

    seconds_per_step: float
    cpu_s_per_step: float
    errors: int


def _measure_served_step(
    server: ServerProcess,
    frames: FrameSource,
    concurrent_sessions: int,
    sessions_per_incident: int = 1,
    first_seed: int = 0,
) -> ServedStep:
    """Every session's steps, so many sessions at once; resets are not measured.

    Args:
        server: where they play.
        frames: what a session sends.
        concurrent_sessions: sessions at once.
        sessions_per_incident: sessions that play one incident.
        first_seed: of the first incident.
    """

    async def measured() -> ServedStep:
        sessions = await open_sessions(HOST, server.port, SESSIONS)
        openings = []
        for number, session in enumerate(sessions):
            data: dict[str, Any] = {}
            if frames is _incident_step_frames:
                incident = number // sessions_per_incident
                data = {"difficulty": LEVELS[incident % len(LEVELS)], "seed": first_seed + incident}
            openings.append(await session.send_and_receive({"type": "reset", "data": data}))

        def played(first: int, number: int) -> Iterator[bytes]:
            return frames(first + number, openings[first + number])

        cpu = server.cpu_s()
        steps, errors, elapsed = 0, 0, 0.0
        for first in range(0, SESSIONS, concurrent_sessions):
            tally, seconds = keep_sessions_busy(
                sessions[first : first + concurrent_sessions], partial(played, first), 60.0
            )
            steps, errors = steps + len(tally.latencies_s), errors + tally.errors
            elapsed += seconds
        used = server.cpu_s() - cpu
        for session in sessions:
            session.close()
        await asyncio.sleep(0.2)
        return ServedStep(
            elapsed / steps, used / steps, errors + SESSIONS * STEPS_PER_SESSION - steps
        )

    return asyncio.run(measured())


if __name__ == "__main__":
    typer.run(bench_firewatch)
