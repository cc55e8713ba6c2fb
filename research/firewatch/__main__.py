"""`python -m research.firewatch`: the figures of the docs; `--help` tells what else there is."""

from __future__ import annotations

import statistics
from time import perf_counter
from typing import Annotated

import typer

from firewatch_env.certificate import Shipped, certify, shipped
from firewatch_env.play import Play
from firewatch_env.policies.own_play import turns
from firewatch_env.policies.reference import reference
from firewatch_env.tasks.book import SPLITS, draw
from firewatch_env.tasks.levels import LEVELS
from research.firewatch.laws import (
    is_advice_rewarded,
    list_tasks,
    mean_scores_by_split,
    print_law_figures,
)
from research.firewatch.search import search_best_program

app = typer.Typer(add_completion=False)


@app.command()
def laws(
    size: Annotated[int, typer.Option(min=1, help="Tasks of each level and split.")] = 30,
) -> None:
    """The eight laws of the score."""
    print_law_figures(size)


@app.command()
def adversary(
    levels: Annotated[list[str] | None, typer.Argument(help="All by default.")] = None,
    size: Annotated[int, typer.Option(min=3, help="Tasks that it searches on.")] = 60,
    shown: Annotated[int, typer.Option(min=1, help="Tasks of each split it is told on.")] = 100,
) -> None:
    """Search for the best player that does not look, and say what it earns on each split."""
    for level in levels or LEVELS:
        found = search_best_program(list_tasks("train", level, size))
        print(
            level, found, repr(found), dict(mean_scores_by_split(level, found, shown)), flush=True
        )


@app.command()
def messages(size: Annotated[int, typer.Option(min=1, help="Tasks of each level.")] = 30) -> None:
    """Print the median length of a step's message by level, in characters."""
    for level in LEVELS:
        lengths = []
        for task in list_tasks("validation", level, size):
            play = Play(task)
            for _ in turns(play, reference({"message": play.message})):
                lengths.append(len(play.message))
        print(f"{level}: {statistics.median(lengths):.0f} characters")


@app.command()
def admit() -> None:
    """Find the shipped tasks whose first draw fails its certificate or law 8."""
    redrawn: list[str] = []
    for level, every in shipped().items():
        for number, arguments in enumerate(every):
            unit = Shipped(level, number)
            if "split" not in arguments:
                if not certify(unit.task, unit).holds:
                    print("a named task fails:", arguments, flush=True)
                continue
            place = SPLITS.task(str(arguments["split"]), int(arguments["index"]))
            for skipped in range(20):
                task = draw(place.task_id, *place.config, arguments, skipped)
                if certify(task, unit).holds and not is_advice_rewarded(task):
                    break
            else:
                print("no draw holds:", arguments, flush=True)
                continue
            redrawn += [place.task_id] * skipped
    print(*sorted(redrawn))


@app.command()
def speed(rounds: Annotated[int, typer.Option(min=1)] = 20) -> None:
    """Milliseconds of a step with its observation, and of the last one."""
    for level in LEVELS:
        steps: list[float] = []
        last: list[float] = []
        for task in list_tasks("train", level, rounds):
            play = Play(task)
            while not play.done:
                start = perf_counter()
                play.act("get_metrics_detail", task.entry, {})
                play.observe()
                (last if play.done else steps).append(perf_counter() - start)
        print(
            f"{level}: {statistics.median(steps) * 1000:.2f} ms a step, "
            f"{statistics.median(last) * 1000:.1f} ms to grade"
        )


if __name__ == "__main__":
    app()
