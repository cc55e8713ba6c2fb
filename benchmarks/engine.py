"""`python -m benchmarks.engine`: measures the speed of the funnel in process.

Each figure is also given as a ratio to `json.dumps` of a 4 kB object, which is timed alternately
with it, so that figures of different or of busy machines can be compared.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.engine.configuration.episode_config import (
    EpisodeConfig,
)
from metric_tracker_rl.engine.configuration.play_rules import MAX_STEPS_LIMIT
from metric_tracker_rl.engine.configuration.tasks import resolve_named_or_custom_task
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode
from metric_tracker_rl.engine.generation.generate import generate_episode
from metric_tracker_rl.engine.grading.grader import grade_report
from metric_tracker_rl.engine.report.parse_report import parse_report
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies import get_policy
from openenv_kit.cli.common import build_table
from openenv_kit.rollouts.run_policy import run_policy

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

ROUNDS = 7
NEW_EPISODES_PER_ROUND = 64
"""New episodes that are generated in a round."""


@app.command()
def bench_engine(
    calls: Annotated[int, typer.Option(min=20, help="Calls per measurement.")] = 300,
) -> None:
    """Print resets, steps of each method and gradings per second, on one core."""
    rows, calibrations_us = [], []
    for name, action in _benchmarks().items():
        timing = _measure_medians(action, calls)
        calibrations_us.append(timing.calibration_us)
        rows.append(
            (
                name,
                f"{timing.call_us:.1f}",
                f"{1e6 / timing.call_us:,.0f}",
                f"{timing.ratio:.2f}",
            )
        )
    calibration_us = statistics.median(calibrations_us)
    title = f"One core; json.dumps of a 4 kB object takes {calibration_us:.1f} us here"
    columns = ("what", "us", "per second", "x json.dumps")
    console = Console(width=100)
    console.print(build_table(title, columns, rows))
    for level in LEVELS:
        console.print(f"New episode, {level}: {_measure_new_episode_us(level):.0f} us.")


CALIBRATION_OBJECT = {f"field_{n:03d}": [n, n / 7, f"value {n}"] for n in range(92)}
"""An object of about 4 kB of JSON."""


def _measure_new_episode_us(level: str) -> float:
    """Return the CPU time of generating a new episode, in microseconds.

    The result is the minimum of several rounds, because other work on the machine only adds time.
    """
    seeds = iter(range(10**6, 2 * 10**6))

    def measure_round_us() -> float:
        configs = [
            EpisodeConfig(next(seeds), MIXED, level, "high", 4)
            for _ in range(NEW_EPISODES_PER_ROUND)
        ]
        started = time.process_time()
        for config in configs:
            generate_episode(config)
        return (time.process_time() - started) / NEW_EPISODES_PER_ROUND * 1e6

    return min(measure_round_us() for _ in range(ROUNDS))


def _benchmarks() -> dict[str, Callable[[], Any]]:
    """Return the measured functions by name."""
    seeds = iter(range(10**6, 2 * 10**6))
    functions: dict[str, Callable[[], Any]] = {
        # A new seed for each reset, so that no episode comes from the cache.
        "reset": lambda: EpisodeSession().reset(seed=next(seeds)),
        "reset (cached episode)": lambda: EpisodeSession().reset(),
    }
    for name, arguments in _method_arguments().items():
        functions[name] = _build_step_call(name, arguments)
    episode = _default_episode()
    rows = [row.as_dict() for row in episode.expected_rows]
    functions["grade"] = lambda: grade_report(parse_report(rows, episode), episode.expected_rows)
    functions["episode by reference policy"] = _play_reference_episode
    return functions


def _default_episode() -> FunnelEpisode:
    return build_episode(resolve_named_or_custom_task()[1])


def _method_arguments() -> dict[str, dict[str, Any]]:
    """Return arguments for a call of every analysis method."""
    episode = _default_episode()
    date = episode.dates[3]
    rows = [row.as_dict() for row in episode.expected_rows]
    arguments_by_name: dict[str, dict[str, Any]] = {
        "compare_rate_to_median": {"date": date, "entity_name": "app_open_to_menu_open"},
        "compare_count_to_median": {"date": date, "entity_name": "app_opens"},
        "get_rows_with_abs_diff_from_median_gt": {"threshold": 3.0},
        "preview_submission": {"rows": rows},
        "payload_generator": {"generator_methods": [{"method_name": "median_filter"}]},
    }
    for name, tool in TOOLS.items():
        fields = tool.arguments_type.model_fields
        if "date" in fields:
            arguments_by_name.setdefault(name, {"date": date})
        elif "threshold_multiplier" in fields:
            arguments_by_name.setdefault(name, {"threshold_multiplier": 2.0})
    return {name: arguments_by_name.get(name, {}) for name in TOOLS}


def _build_step_call(name: str, arguments: dict[str, Any]) -> Callable[[], Any]:
    session = EpisodeSession()
    session.reset(max_steps=MAX_STEPS_LIMIT)
    call = {"analysis_method": name, "analysis_args": arguments}
    reply = session.step(call)
    if reply.status != "analyzed":
        raise RuntimeError(f"{name}: {reply.message}")

    def step() -> Any:
        session.steps = 0  # The benchmark has more calls than the step limit allows.
        return session.step(call)

    return step


def _play_reference_episode() -> None:
    session = EpisodeSession()
    run_policy(session, get_policy("reference"), session.reset())


class _Timing(NamedTuple):
    """Mean time of a call and of the calibration loop, in microseconds, and their ratio."""

    call_us: float
    calibration_us: float
    ratio: float


def _measure_medians(action: Callable[[], Any], calls: int) -> _Timing:
    """Return the medians over several rounds.

    Each round times the function and the calibration loop one right after the other, so that
    lasting noise affects both.
    """
    action()
    build_episode.cache_clear()
    action()
    calls_per_round = max(calls // ROUNDS, 3)
    rounds = []
    for _ in range(ROUNDS):
        call_us = _measure_mean_us(action, calls_per_round)
        calibration_us = _measure_mean_us(_calibration_loop, calls_per_round)
        rounds.append(_Timing(call_us, calibration_us, call_us / calibration_us))
    return _Timing(
        call_us=statistics.median(timing.call_us for timing in rounds),
        calibration_us=statistics.median(timing.calibration_us for timing in rounds),
        ratio=statistics.median(timing.ratio for timing in rounds),
    )


def _measure_mean_us(action: Callable[[], Any], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        action()
    return (time.perf_counter() - started) / calls * 1e6


def _calibration_loop() -> None:
    json.dumps(CALIBRATION_OBJECT)


if __name__ == "__main__":
    app()
