"""`python -m research.learning_lm`: a transformer learns by supervision, then by GRPO."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from metric_tracker_rl.engine.definitions.levels import LEVELS
from openenv_kit.cli.common import (
    WorkersOption,
    build_table,
    is_package_installed,
    report_usage_errors,
)
from openenv_kit.errors import InvalidValueError, require_name
from research.learning_lm.results import Interval, Summary, gains, summaries, verdicts
from research.learning_lm.settings import Lessons, Plan, Practice, Shape, Stage

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

NEEDED = ("torch", "transformers", "trl", "matplotlib")
RESULTS = "learn-lm.json"
COLUMNS = (
    *("player", "score", "between", "greedy", "exact", "between", "tokens", "equal"),
    "cpu / wall s",
)
SIZE = Shape()


@app.command()
def learn_lm(
    out: Annotated[
        Path, typer.Argument(help="Folder for models and results; finished players are kept.")
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds, from 0 on.")] = 3,
    workers: WorkersOption = 0,
    level: Annotated[str, typer.Option(help="Level of all tasks.")] = Plan.level,
    held_out: Annotated[int, typer.Option(min=2, help="Held-out tasks.")] = Plan.held_out,
    traces: Annotated[
        Path | None, typer.Option(help="sft.jsonl of `collect`. Default: the reference's plays.")
    ] = None,
    share: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of the reference's decisions made by a coin."),
    ] = Lessons.share,
    count: Annotated[
        int, typer.Option(min=1, max=4_000, help="Traces to learn from; GRPO has the tasks after.")
    ] = Lessons.traces,
    lessons: Annotated[int, typer.Option(min=1, help="Supervised steps.")] = Lessons.steps,
    steps: Annotated[int, typer.Option(min=1, help="Steps of GRPO.")] = Practice.steps,
    batch: Annotated[
        int, typer.Option(min=8, help="Rollouts of a step of GRPO; a multiple of 8.")
    ] = Practice.batch,
    width: Annotated[int, typer.Option(min=32, help="Width; a multiple of 32.")] = SIZE.width,
    layers: Annotated[int, typer.Option(min=1, help="Layers.")] = SIZE.layers,
) -> None:
    """Train a small transformer from nothing by supervision, then by GRPO, beside a control.

    It has a tokeniser of its own and learns the tools from traces. Then TRL's GRPO trains it, once
    on the reward and once on rewards dealt to the wrong rollouts. All players, the untrained one
    too, are examined on held-out tasks.

    The folder gets learn-lm.json and learn-lm.png. Run the same command again to resume a run that
    was stopped. It exits with 1 if GRPO added less than 0.10 or the control added anything.
    """
    from research.learning_lm.experiment import run_plan

    if missing := [package for package in NEEDED if not is_package_installed(package)]:
        raise typer.BadParameter(f"not installed: {', '.join(missing)}; uv sync --group learn-lm")
    console, status = Console(width=110), Console(stderr=True)
    with report_usage_errors():
        plan = Plan(
            seeds=tuple(range(seeds)),
            level=require_name("level", level, LEVELS),
            held_out=held_out,
            shape=Shape(width, layers, width // 32),
            lessons=Lessons(count, share, str(traces) if traces else None, lessons),
            practice=Practice(steps, batch),
        )
        _same_settings(out / RESULTS, plan)
    stages: list[Stage] = []
    with status.status("Preparing") as progress:
        for stages in run_plan(plan, out, workers or os.cpu_count() or 1):
            progress.update("; ".join(map(_where, stages)) or "Preparing")
            _write(out, plan, stages)
    console.print(
        build_table(
            f"{held_out} held-out tasks, {seeds} seeds", COLUMNS, map(_row, summaries(stages))
        )
    )
    for gain in gains(stages):
        console.print(
            f"{gain.player} added {gain.score:+.3f} {_between(gain.between)}; with the likeliest "
            f"tokens {gain.greedy:+.3f} {_between(gain.greedy_between)}."
        )
    for failure in (failures := verdicts(stages)):
        console.print(f"[red]{failure}[/red]")
    raise typer.Exit(1 if failures else 0)


def _same_settings(results: Path, plan: Plan) -> None:
    """Refuse to mix players that were made in different ways; seeds may be added.

    Raises:
        InvalidValueError: the folder's players were made with other settings.
    """
    if not results.is_file():
        return
    before = dict(_settings(json.loads(results.read_text(encoding="utf-8"))["plan"]))
    for name, value in _settings(asdict(plan)):
        if name != "seeds" and value != before.get(name):
            made = f"{before.get(name)}, as {results.parent} was made; or another folder"
            raise InvalidValueError(name, value, made)


def _settings(plan: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in plan.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{each}", own) for each, own in value.items())
        else:
            yield name, value


def _where(stage: Stage) -> str:
    exam = stage.sampled or (stage.curve[-1] if stage.curve else None)
    state = f"{exam.mean:.3f} after {exam.steps} steps" if exam else "begun"
    return f"{stage.player} {stage.seed}: {state}"


def _row(line: Summary) -> Sequence[str]:
    return (
        line.player,
        f"{line.score:.3f}",
        _between(line.between),
        f"{line.greedy:.3f}",
        f"{line.exact:.3f}",
        _between(line.exact_between),
        f"{line.tokens:.0f}",
        f"{line.equal[0]:.2f} → {line.equal[1]:.2f}" if line.equal else "",
        f"{line.cpu_seconds:.0f} / {line.seconds:.0f}",
    )


def _between(interval: Interval | None) -> str:
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""


def _write(out: Path, plan: Plan, stages: Sequence[Stage]) -> None:
    """Results so far: everything as JSON, and the chart once there is a curve."""
    results = {
        "plan": asdict(plan),
        "players": [asdict(each) for each in summaries(stages)],
        "gains": [asdict(each) for each in gains(stages)],
        "curves": list(_curves(stages)),
    }
    (out / RESULTS).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if any(stage.curve for stage in stages):
        from research.learning_lm.chart import draw_chart

        title = f"Mean score on {plan.held_out} held-out tasks; band: worst to best seed"
        draw_chart(out / "learn-lm.png", stages, title)


def _curves(stages: Sequence[Stage]) -> Iterator[dict[str, object]]:
    for stage in stages:
        points = [
            {"steps": exam.steps, "score": exam.mean, "exact": exam.exact} for exam in stage.curve
        ]
        yield {
            "player": stage.player,
            "seed": stage.seed,
            "losses": stage.losses,
            "practice": stage.practice,
            "points": points,
        }


if __name__ == "__main__":
    app()
