"""`python -m benchmarks.firewatch`: measures the speed of Firewatch, and checks its bounds."""

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
from openenv_kit.cli.common import exit_with_result
from openenv_kit.rollouts.run_policy import iter_policy_steps

SESSIONS = 256
LOAD_CASES = ((1, 1), (16, 1), (SESSIONS, 1), (SESSIONS, 8))
"""Number of busy sessions, and how many of them play the same incident.

The data of many incidents does not fit into the processor's cache. A trainer plays each incident
several times in parallel.
"""
LEVELS = tuple(ALL_LEVELS)
SERVICE_COUNT = 11
STEPS_PER_SESSION = 18
"""Steps of a session under load. An easy incident has 20 ticks; its end is measured separately."""
INVESTIGATION_ACTIONS = ("get_metrics_detail", "trace_dependencies", "fetch_logs", "thread_dump")


def bench_firewatch(
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 5,
    tasks: Annotated[int, typer.Option(min=1, max=130, help="Incidents in a round.")] = 30,
) -> None:
    """Print ticks per second and the time of a reset, a grading and a served step.

    Work in this process is measured in CPU time of one core, which a busy machine affects least.
    The servers are measured alternately, and their steps are compared as a ratio.
    """
    figures = [
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
    figures.append(Figure("reset", statistics.median(resets), 3, "ms"))
    figures.append(Figure("last step, with its grade", statistics.median(grades), 25, "ms"))
    limits = {"ENVIRONMENT": ENVIRONMENT.name, "ALSO_SERVE": "none", "OPENENV_KIT_TOKEN": ""}
    with ExitStack() as stack:
        echo_server = stack.enter_context(run_server(echo=True))
        our_server = stack.enter_context(run_server(environ=limits))
        seeds = count(step=SESSIONS)  # Every round has incidents that the server has not cached.
        rows = [
            [
                (
                    _measure_served_step(
                        our_server, _incident_step_frames, busy, players_per_incident, next(seeds)
                    ),
                    _measure_served_step(echo_server, _echo_step_frames, busy),
                )
                for busy, players_per_incident in LOAD_CASES
            ]
            for _ in range(rounds)
        ]
    for (busy, players_per_incident), pairs in zip(
        LOAD_CASES, zip(*rows, strict=True), strict=True
    ):
        incidents = (
            f", {SESSIONS // players_per_incident} incidents" if players_per_incident > 1 else ""
        )
        what = f"served step / echo, {busy} at once{incidents}"
        max_ratio = 3.0 if (busy, players_per_incident) == (SESSIONS, 1) else 2.5
        ratio = statistics.median(
            ours.seconds_per_step / echo.seconds_per_step for ours, echo in pairs
        )
        figures.append(Figure(f"{what}, time", ratio, max_ratio, "x"))
        ratio = statistics.median(ours.cpu_s_per_step / echo.cpu_s_per_step for ours, echo in pairs)
        figures.append(Figure(f"{what}, CPU time", ratio, max_ratio, "x"))
    errors = sum(ours.errors for row in rows for ours, _ in row)
    figures.append(Figure(f"errors, {SESSIONS} sessions", errors, 0, ""))
    is_within_bounds = print_figures(f"Firewatch, medians of {rounds} rounds", figures)
    exit_with_result(has_failed=not is_within_bounds)


def measure_ticks_per_second(ticks: int = 4000) -> float:
    """Return the ticks per CPU second of a world without a player, restarted every 40 ticks."""
    drawn = (drawn_task("hard", seed) for seed in count())
    start = open_world(next(task for task in drawn if len(task.services) == SERVICE_COUNT))
    worlds = [start.copy() for _ in range(ticks // 40)]
    started = time.process_time()
    for world in worlds:
        for _ in range(40):
            world.step()
    return 40 * len(worlds) / (time.process_time() - started)


class ResetAndGradeTime(NamedTuple):
    """Median CPU milliseconds of a reset, and of the last step with its grading."""

    reset_ms: float
    grade_ms: float


def measure_reset_and_grade_ms(round_number: int, tasks: int) -> ResetAndGradeTime:
    """Measure resets and gradings on tasks of the train split.

    Args:
        round_number: number of the round. Rounds have different tasks, so that none is cached.
        tasks: number of tasks.
    """
    resets, grades = [], []
    size = ENVIRONMENT.splits.size("train")
    for index in range(round_number * tasks, (round_number + 1) * tasks):
        reset = {"split": "train", "index": index % size}
        session = ENVIRONMENT.create_session()
        started = time.process_time()
        reply = session.reset(**reset)
        resets.append(time.process_time() - started)
        actions = [
            action
            for action, _ in iter_policy_steps(session, ENVIRONMENT.policies["reference"], reply)
        ]
        grades.append(_measure_last_step_cpu_s(reset, actions))
    return ResetAndGradeTime(1000 * statistics.median(resets), 1000 * statistics.median(grades))


def _measure_last_step_cpu_s(
    reset_arguments: dict[str, Any], actions: list[dict[str, Any]]
) -> float:
    """Return the CPU seconds of the step that ends an incident."""
    session = ENVIRONMENT.create_session()
    session.reset(**reset_arguments)
    for action in actions[:-1]:
        session.step(action)
    started = time.process_time()
    session.step(actions[-1])
    return time.process_time() - started


FrameSource = Callable[[int, dict[str, Any]], Iterator[bytes]]


def _incident_step_frames(number: int, reply: dict[str, Any]) -> Iterator[bytes]:
    """Yield investigation actions on one service after the other."""
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
    """Mean time and mean CPU time of a served step, and the number of errors."""

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
    """Measure the steps of all sessions; resets are not included.

    Args:
        server: server that the sessions play on.
        frames: returns the frames that a session sends.
        concurrent_sessions: number of sessions that are busy at the same time.
        sessions_per_incident: number of sessions that play the same incident.
        first_seed: seed of the first incident.
    """

    async def measure() -> ServedStep:
        sessions = await open_sessions(HOST, server.port, SESSIONS)
        reset_replies = []
        for number, session in enumerate(sessions):
            data: dict[str, Any] = {}
            if frames is _incident_step_frames:
                incident = number // sessions_per_incident
                data = {"difficulty": LEVELS[incident % len(LEVELS)], "seed": first_seed + incident}
            reset_replies.append(await session.send_and_receive({"type": "reset", "data": data}))

        def frames_of_session(first: int, number: int) -> Iterator[bytes]:
            return frames(first + number, reset_replies[first + number])

        cpu_s_before = server.cpu_s()
        steps, errors, elapsed_s = 0, 0, 0.0
        for first in range(0, SESSIONS, concurrent_sessions):
            stats, seconds = keep_sessions_busy(
                sessions[first : first + concurrent_sessions],
                partial(frames_of_session, first),
                60.0,
            )
            steps, errors = steps + len(stats.latencies_s), errors + stats.errors
            elapsed_s += seconds
        cpu_s = server.cpu_s() - cpu_s_before
        for session in sessions:
            session.close()
        await asyncio.sleep(0.2)
        return ServedStep(
            elapsed_s / steps, cpu_s / steps, errors + SESSIONS * STEPS_PER_SESSION - steps
        )

    return asyncio.run(measure())


if __name__ == "__main__":
    typer.run(bench_firewatch)
