"""`python -m research.learning`: proof that the reward is learnable, on CPU, in minutes."""

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

from openenv_kit.cli.common import WorkersOption, build_table, require_installed
from research.learning.experiment import (
    ARMS,
    LABEL_BLIND,
    Plan,
    Run,
    baselines,
    run_plan,
)
from research.learning.training import Settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

COLUMNS = ("player", "seed", "start", "quarter", "half", "end", "decided", "hard")
FLAT = 0.1
"""A shuffled run that gains less than this, and stays below the best label-blind policy's
score plus this, has learnt nothing."""


@app.command()
def learn(
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds, from 0 on.")] = 3,
    updates: Annotated[int, typer.Option(min=1, help="Gradient steps of a run.")] = 400,
    arm: Annotated[
        list[str] | None, typer.Option(help=f"Arms to run: {', '.join(ARMS)}. Default: all.")
    ] = None,
    workers: WorkersOption = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for learning-curve.png and learning-curve.json.")
    ] = None,
) -> None:
    """Train a small policy by policy gradient; show that it learns and its control does not."""
    if out is not None:
        require_installed("matplotlib", needed_for="--out")
    console, status = Console(width=100), Console(stderr=True)
    plan = Plan(tuple(range(seeds)), tuple(arm or ARMS), Settings(updates=updates))
    started = time.perf_counter()
    scores = baselines(plan)
    total = len(plan.seeds) * len(plan.arms)
    runs = list(
        track(run_plan(plan, workers or os.cpu_count() or 1), "Training", total, console=status)
    )
    runs.sort(key=lambda run: (plan.arms.index(run.arm), run.seed))
    console.print(build_table("Mean score on the held-out split", COLUMNS, _rows(runs, scores)))
    took = time.perf_counter() - started
    console.print(
        f"{total} runs of {updates} updates, {plan.settings.episodes} episodes × "
        f"{plan.settings.rollouts} rollouts each, in {took:.0f} s."
    )
    if out is not None:
        _write(out, plan, runs, scores)
        console.print(f"Written to {out}.")
    for failure in (failures := verdicts(runs, scores)):
        console.print(f"[red]{failure}[/red]")
    raise typer.Exit(1 if failures else 0)


def verdicts(runs: Sequence[Run], scores: Mapping[str, float]) -> list[str]:
    """What the experiment failed to show; empty where it showed all it should."""
    blind = max(scores[name] for name in LABEL_BLIND)
    failures = []
    for run in runs:
        start, end = run.curve[0].score, run.curve[-1].score
        name = f"{run.arm}, seed {run.seed}"
        if ARMS[run.arm].shuffled and (end - start >= FLAT or end >= blind + FLAT):
            failures.append(f"{name}: {start:.3f} → {end:.3f}, though nothing could be learnt.")
        if not ARMS[run.arm].shuffled and end <= blind:
            failures.append(f"{name}: {end:.3f} is not above the best label-blind {blind:.3f}.")
    return failures


def _rows(runs: Sequence[Run], scores: Mapping[str, float]) -> Iterator[Sequence[str]]:
    for name, score in scores.items():
        yield (name, "", "", "", "", f"{score:.3f}")
    for run in runs:
        curve = run.curve
        marks = (curve[0], curve[len(curve) // 4], curve[len(curve) // 2], curve[-1])
        yield (
            run.arm,
            str(run.seed),
            *(f"{mark.score:.3f}" for mark in marks),
            f"{curve[-1].decided:.3f}",
            f"{curve[-1].by_difficulty.get('hard', float('nan')):.3f}",
        )


def _write(out: Path, plan: Plan, runs: Sequence[Run], scores: Mapping[str, float]) -> None:
    from research.learning.chart import draw_chart

    out.mkdir(parents=True, exist_ok=True)
    results = {"plan": asdict(plan), "baselines": scores, "runs": [asdict(run) for run in runs]}
    text = json.dumps(results, indent=1)
    (out / "learning-curve.json").write_text(text + "\n", encoding="utf-8")
    title = f"Mean score on held-out episodes; band: worst to best of {len(plan.seeds)} seeds"
    draw_chart(out / "learning-curve.png", runs, scores, title)


if __name__ == "__main__":
    app()
