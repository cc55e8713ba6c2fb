"""`python -m benchmarks.engine`: speed in process, with a ratio that machines share.

The ratio is to `json.dumps` of a 4 kB object, timed in turn with what is measured, so that figures
of different machines, or of one noisy machine at different hours, can be compared.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console

from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.engine.configuration.episode_config import MIXED, EpisodeConfig
from metric_tracker_rl.engine.configuration.play_rules import MAX_STEPS_LIMIT
from metric_tracker_rl.engine.configuration.tasks import resolve_named_task
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
FRESH_EPISODES_PER_ROUND = 64
"""Episodes of a round in which all are generated afresh."""


@app.command()
def bench_engine(
    calls: Annotated[int, typer.Option(min=20, help="Calls per measurement.")] = 300,
) -> None:
    """Print resets/s, steps/s of each method and grades/s, on one core."""
    rows, yardsticks = [], []
    for name, action in _benchmarks().items():
        micros, yardstick, ratio = _measure_medians(action, calls)
        yardsticks.append(yardstick)
        rows.append((name, f"{micros:.1f}", f"{1e6 / micros:,.0f}", f"{ratio:.2f}"))
    usual = statistics.median(yardsticks)
    title = f"One core; json.dumps of a 4 kB object takes {usual:.1f} us here"
    columns = ("what", "us", "per second", "x json.dumps")
    console = Console(width=100)
    console.print(build_table(title, columns, rows))
    for level in LEVELS:
        console.print(f"Fresh episodes, {level}: {_measure_fresh_episode_us(level):.0f} us each.")


CALIBRATION_OBJECT = {f"field_{n:03d}": [n, n / 7, f"value {n}"] for n in range(92)}
"""An object of about 4 kB of JSON."""


def _measure_fresh_episode_us(level: str) -> float:
    """Processor time of a fresh episode in microseconds.

    The least of several rounds: other work on the machine only ever adds.
    """
    seeds = iter(range(10**6, 2 * 10**6))

    def timed() -> float:
        fresh = [
            EpisodeConfig(next(seeds), MIXED, level, "high", 4)
            for _ in range(FRESH_EPISODES_PER_ROUND)
        ]
        started = time.process_time()
        for config in fresh:
            generate_episode(config)
        return (time.process_time() - started) / FRESH_EPISODES_PER_ROUND * 1e6

    return min(timed() for _ in range(ROUNDS))


def _benchmarks() -> dict[str, Callable[[], Any]]:
    """What is measured, by name."""
    seeds = iter(range(10**6, 2 * 10**6))
    subjects: dict[str, Callable[[], Any]] = {
        # A fresh seed each time: nothing comes from the cache.
        "reset": lambda: EpisodeSession().reset(seed=next(seeds)),
        "reset (cached episode)": lambda: EpisodeSession().reset(),
    }
    for name, arguments in _method_arguments().items():
        subjects[name] = _build_step_call(name, arguments)
    episode = _default_episode()
    rows = [row.as_dict() for row in episode.expected_rows]
    subjects["grade"] = lambda: grade_report(parse_report(rows, episode), episode.expected_rows)
    subjects["episode by reference policy"] = _play_reference_episode
    return subjects


def _default_episode() -> FunnelEpisode:
    return build_episode(resolve_named_task()[1])


def _method_arguments() -> dict[str, dict[str, Any]]:
    """Arguments to call every analysis method with."""
    episode = _default_episode()
    date = episode.dates[3]
    rows = [row.as_dict() for row in episode.expected_rows]
    given: dict[str, dict[str, Any]] = {
        "compare_rate_to_median": {"date": date, "entity_name": "app_open_to_menu_open"},
        "compare_count_to_median": {"date": date, "entity_name": "app_opens"},
        "get_rows_with_abs_diff_from_median_gt": {"threshold": 3.0},
        "preview_submission": {"rows": rows},
        "payload_generator": {"generator_methods": [{"method_name": "median_filter"}]},
    }
    for name, tool in TOOLS.items():
        fields = tool.arguments_type.model_fields
        if "date" in fields:
            given.setdefault(name, {"date": date})
        elif "threshold_multiplier" in fields:
            given.setdefault(name, {"threshold_multiplier": 2.0})
    return {name: given.get(name, {}) for name in TOOLS}


def _build_step_call(name: str, arguments: dict[str, Any]) -> Callable[[], Any]:
    session = EpisodeSession()
    session.reset(max_steps=MAX_STEPS_LIMIT)
    call = {"analysis_method": name, "analysis_args": arguments}
    reply = session.step(call)
    if reply.status != "analyzed":
        raise RuntimeError(f"{name}: {reply.message}")

    def step() -> Any:
        session.steps = 0  # a benchmark outlasts every step limit
        return session.step(call)

    return step


def _play_reference_episode() -> None:
    session = EpisodeSession()
    run_policy(session, get_policy("reference"), session.reset())


def _measure_medians(action: Callable[[], Any], calls: int) -> tuple[float, float, float]:
    """Medians over rounds: mean time of a call, of the yardstick's, in microseconds; their ratio.

    Each round times both, one right after the other, so that noise which lasts bends both alike.
    """
    action()
    build_episode.cache_clear()
    action()
    each = max(calls // ROUNDS, 3)
    rounds = [
        (_measure_mean_us(action, each), _measure_mean_us(_calibration_loop, each))
        for _ in range(ROUNDS)
    ]
    micros, yardstick = (statistics.median(column) for column in zip(*rounds, strict=True))
    return micros, yardstick, statistics.median(one / other for one, other in rounds)


def _measure_mean_us(action: Callable[[], Any], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        action()
    return (time.perf_counter() - started) / calls * 1e6


def _calibration_loop() -> None:
    json.dumps(CALIBRATION_OBJECT)


if __name__ == "__main__":
    app()
