"""`python -m research.learning`: shows in minutes on a CPU that a policy learns from the score."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from openenv_kit.cli.common import (
    WorkersOption,
    build_table,
    exit_with_result,
    require_installed,
)
from research.learning.experiment import (
    ARMS,
    LABEL_BLIND,
    Plan,
    Run,
    measure_baselines,
    run_plan,
)
from research.learning.training import Settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

COLUMNS = ("player", "seed", "start", "quarter", "half", "end", "decided", "hard")
MIN_LEARNING_GAIN = 0.1
"""A shuffled run has learnt nothing if its gain is smaller, and its final score exceeds that of the
best label-blind policy by less."""


@app.command()
def learn(
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds, from 0 on.")] = 3,
    updates: Annotated[int, typer.Option(min=1, help="Gradient steps in a run.")] = 400,
    arm: Annotated[
        list[str] | None, typer.Option(help=f"Arms to run: {', '.join(ARMS)}. Default: all.")
    ] = None,
    workers: WorkersOption = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for learning-curve.png and learning-curve.json.")
    ] = None,
) -> None:
    """Train a small policy by policy gradient. Fails unless it learns and its control does not."""
    if out is not None:
        require_installed("matplotlib", needed_for="--out")
    console, status = Console(width=100), Console(stderr=True)
    plan = Plan(tuple(range(seeds)), tuple(arm or ARMS), Settings(updates=updates))
    started = time.perf_counter()
    scores = measure_baselines(plan)
    total = len(plan.seeds) * len(plan.arms)
    runs = list(
        track(run_plan(plan, workers or os.cpu_count() or 1), "Training", total, console=status)
    )
    runs.sort(key=lambda run: (plan.arms.index(run.arm), run.seed))
    console.print(build_table("Mean score on the held-out split", COLUMNS, _rows(runs, scores)))
    elapsed_s = time.perf_counter() - started
    console.print(
        f"{total} runs of {updates} updates, {plan.settings.episodes} episodes × "
        f"{plan.settings.rollouts} rollouts each, in {elapsed_s:.0f} s."
    )
    if out is not None:
        _write_results(out, plan, runs, scores)
        console.print(f"Results: {out}.")
    failures = find_failures(runs, scores)
    for failure in failures:
        console.print(f"[red]{failure}[/red]")
    exit_with_result(has_failed=bool(failures))


def find_failures(runs: Sequence[Run], scores: Mapping[str, float]) -> list[str]:
    """Return a sentence for each run whose result is not the expected one.

    Args:
        runs: finished runs.
        scores: mean held-out score of scripted policies, by name.
    """
    best_blind_score = max(scores[name] for name in LABEL_BLIND)
    failures = []
    for run in runs:
        start, end = run.curve[0].score, run.curve[-1].score
        name = f"{run.arm}, seed {run.seed}"
        if ARMS[run.arm].shuffled and (
            end - start >= MIN_LEARNING_GAIN or end >= best_blind_score + MIN_LEARNING_GAIN
        ):
            failures.append(f"{name}: {start:.3f} → {end:.3f}, although its rewards are shuffled.")
        if not ARMS[run.arm].shuffled and end <= best_blind_score:
            failures.append(
                f"{name}: {end:.3f} is not above the best label-blind {best_blind_score:.3f}."
            )
    return failures


def _rows(runs: Sequence[Run], scores: Mapping[str, float]) -> Iterator[Sequence[str]]:
    for name, score in scores.items():
        yield (name, "", "", "", "", f"{score:.3f}")
    for run in runs:
        curve = run.curve
        points = (curve[0], curve[len(curve) // 4], curve[len(curve) // 2], curve[-1])
        yield (
            run.arm,
            str(run.seed),
            *(f"{point.score:.3f}" for point in points),
            f"{curve[-1].decided:.3f}",
            f"{curve[-1].by_difficulty.get('hard', float('nan')):.3f}",
        )


def _write_results(out: Path, plan: Plan, runs: Sequence[Run], scores: Mapping[str, float]) -> None:
    from research.learning.chart import draw_chart

    out.mkdir(parents=True, exist_ok=True)
    results = {"plan": asdict(plan), "baselines": scores, "runs": [asdict(run) for run in runs]}
    text = json.dumps(results, indent=1)
    (out / "learning-curve.json").write_text(text + "\n", encoding="utf-8")
    title = f"Mean score on held-out episodes; band: worst to best of {len(plan.seeds)} seeds"
    draw_chart(out / "learning-curve.png", runs, scores, title)


if __name__ == "__main__":
    app()
