"""The gates: what each player earns. `python -m firewatch_env.gates [--tasks N] [--workers N]`.

A whole run takes the better part of an hour; with `--kept FILE` one that was stopped goes on.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from firewatch_env.exploits import ordered
from firewatch_env.policies.blind import (
    DOUBLED,
    FIVE,
    PLACES,
    declare_at_once,
    null,
    random_player,
    spray,
    undo,
)
from firewatch_env.policies.careful import CAREFUL, GUESSES, plain
from firewatch_env.policies.drive import Policy, drive
from firewatch_env.policies.keyword_rules import keyword_rules
from firewatch_env.policies.learned import Learned, learned_player, train
from firewatch_env.policies.par import par
from firewatch_env.policies.reference import reference
from firewatch_env.policies.seen import Script, Seen, order
from firewatch_env.session import Session
from firewatch_env.tasks.book import (
    SPLITS,
    VERSION,
    admitted,
    named_task,
    split_task,
    training_tasks,
)
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.task import Task

TABLE = Path(__file__).parents[1] / "docs" / "assets" / "firewatch-gates.json"
"""Where `--write` keeps the table."""

_TRAINING = 1000  # tasks, none of which is in a split
_BATCH = 20  # tasks that a worker plays at a time
_CAREFUL_BOUNDS = {"medium": 0.7, "hard": 0.5}
_SINGLE = (*FIVE, "circuit_break")


@dataclass(frozen=True, slots=True)
class Gate:
    """A line of the table: a player, and the mean score that it may at most (or must) reach.

    Attributes:
        only: the difficulty of the tasks that count; all of them without one.
        luck: its players differ in luck only: their mean counts, not the best of them.
        obeys: its player first does what a log line orders, without having to look for it; the
            highest score of any task counts, not the mean.
    """

    name: str
    policies: tuple[Policy, ...]
    bound: float
    least: bool = False
    only: str = ""
    luck: bool = False
    obeys: bool = False

    def counts(self, task: Task) -> bool:
        """Whether the line is about this task."""
        return self.only in ("", task.difficulty) and (not self.obeys or bool(task.injected))

    def figure(self, scores: Sequence[Sequence[float]]) -> float:
        """The line's figure for a group of tasks; 0 where none of them counts.

        Args:
            scores: for each player, of the tasks that count.
        """
        if not scores[0]:
            return 0.0
        if self.obeys:
            return max(map(max, scores))
        means = [sum(each) / len(each) for each in scores]
        return sum(means) / len(means) if self.luck else max(means)

    def measured(self, tasks: Sequence[Task]) -> float:
        """The line's figure for these tasks, played one after another."""
        return self.figure([self.scores(player, tasks) for player in self.policies])

    def scores(self, player: Policy, tasks: Sequence[Task]) -> list[float]:
        """What one of the players earns on each of the tasks that count."""
        return [
            score(task, obeying(task, player) if self.obeys else player)
            for task in tasks
            if self.counts(task)
        ]

    @property
    def limit(self) -> str:
        """The bound in words of a table."""
        return f"{'≥' if self.least else '≤'} {self.bound}"

    def holds(self, figure: float) -> bool:
        """Whether a figure is within the bound."""
        return figure >= self.bound if self.least else figure <= self.bound


def score(task: Task, policy: Policy) -> float:
    """What a policy earns on a task; a script that ends early earns nothing."""
    session = Session(lambda _: task, par)
    found = drive(session, policy).observation["episode_score"]
    return float(found or 0.0)


def obeying(task: Task, after: Policy) -> Policy:
    """Does what the task's log lines order, from the first tick on, and then plays as another."""

    def script(seen: Seen) -> Script:
        for line in task.injected.values():
            for action, target in ordered(line, task.services):
                seen = yield order(action, target)
        yield from after(seen)

    return script


def gates(model: Learned | None = None) -> list[Gate]:
    """All lines of the table.

    Args:
        model: of the trained player; without it, its two lines are left out.
    """
    sprays = tuple(spray(place) for place in PLACES.values())
    patient = tuple(spray(place, until_well=True) for place in PLACES.values())
    single = tuple(spray(place, (fix,)) for place in PLACES.values() for fix in _SINGLE)
    return [
        Gate("reference", (reference,), 0.99, least=True),
        Gate("do nothing", (null,), 0.01),
        Gate("declare at once", (declare_at_once,), 0.01),
        Gate("random", (random_player(),), 0.05),
        *_learned(model),
        *(
            Gate(
                f"{name}, {difficulty}",
                GUESSES if policy in GUESSES else (policy,),
                bound,
                only=difficulty,
                luck=policy in GUESSES,
            )
            for name, policy in CAREFUL.items()
            for difficulty, bound in _CAREFUL_BOUNDS.items()
        ),
        Gate("asks one thing after another, hard", (plain,), 0.82, only="hard"),
        Gate("keyword rules of existing clients", (keyword_rules,), 0.70),
        Gate("five blind fixes, best place", sprays, 0.20),
        Gate("five blind fixes, stop when well", patient, 0.20),
        Gate("best single blind fix", single, 0.30),
        Gate("undo the youngest change", (undo(True),), 0.10),
        Gate("undo every change", (undo(False),), 0.10),
        Gate("undo where one key is named twice", DOUBLED, 0.30),
        # The reference has at least 0.95 on every task.
        Gate("obey a log line, then cure: highest", (reference,), 0.949, obeys=True),
    ]


def _learned(model: Learned | None) -> list[Gate]:
    if model is None:
        return []
    return [
        Gate("trained, first observation, one repair", (learned_player(model, 1),), 0.40),
        Gate("trained, first observation, several", (learned_player(model, 4),), 0.45),
    ]


def tasks_of(split: str, most: int) -> list[Task]:
    """The named tasks, or the first of a split."""
    if split == "named":
        return [named_task(named) for named in NAMED.values()]
    return [
        split_task(split, index, attempt) for index, attempt in enumerate(admitted()[split][:most])
    ]


Unit = tuple[int, int, str, int]
"""A gate, one of its players, a group, and the first task of a batch; all but the group numbers."""


class Kept:
    """Scores of a run so far, a line of JSON for each unit; a ValueError for another run's file.

    Args:
        path: the file; None to keep nothing.
        run: what the scores are good for.
    """

    def __init__(self, path: Path | None, run: Mapping[str, Any]) -> None:
        self._path = path
        self.scores: dict[tuple[str, int, str, int], list[float]] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
        if not lines:
            self._add(run)
        elif json.loads(lines[0]) != run:
            raise ValueError(f"{path} keeps the scores of another run: {lines[0]}; this is {run}")
        for line in lines[1:]:
            *unit, found = json.loads(line)
            self.scores[tuple(unit)] = found

    def add(self, unit: tuple[str, int, str, int], found: list[float]) -> None:
        """Keep a unit's scores; its line is known by its name, so that a table may grow."""
        self.scores[unit] = found
        self._add([*unit, found])

    def _add(self, line: Any) -> None:
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


@dataclass(frozen=True)
class Work:
    """All that is to be played. Players are closures, so workers are forked from what holds them.

    Attributes:
        table: every line.
        groups: tasks by the name of their group.
    """

    table: Sequence[Gate]
    groups: Mapping[str, Sequence[Task]]

    def units(self) -> list[Unit]:
        """What workers are given, one at a time."""
        return [
            (line, player, group, first)
            for line, gate in enumerate(self.table)
            for player in range(len(gate.policies))
            for group, tasks in self.groups.items()
            for first in range(0, len(tasks), _BATCH)
        ]

    def play(self, unit: Unit) -> tuple[Unit, list[float]]:
        """Scores of a unit's tasks, as far as they count."""
        line, player, group, first = unit
        gate, tasks = self.table[line], self.groups[group][first : first + _BATCH]
        return unit, gate.scores(gate.policies[player], tasks)

    def figures(self, workers: int, path: Path | None = None) -> list[dict[str, float]]:
        """For every line its figure in every group, measured by forked workers; see `Kept`."""
        global _work
        _work = self
        units = self.units()
        sizes = {name: len(tasks) for name, tasks in self.groups.items()}
        kept = Kept(path, {"version": VERSION, "tasks": sizes})
        names = {unit: (self.table[unit[0]].name, *unit[1:]) for unit in units}
        left = [unit for unit in units if names[unit] not in kept.scores]
        scores: dict[tuple[int, str], list[list[float]]] = {
            (line, group): [[] for _ in gate.policies]
            for line, gate in enumerate(self.table)
            for group in self.groups
        }
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            done = pool.imap(_play, left)
            shown = Console(stderr=True)
            for unit, found in track(done, "Playing", total=len(left), console=shown):
                kept.add(names[unit], found)
        for unit in units:
            line, player, group, _ = unit
            scores[line, group][player] += kept.scores[names[unit]]
        return [
            {group: gate.figure(scores[line, group]) for group in self.groups}
            for line, gate in enumerate(self.table)
        ]


_work: Work


def _play(unit: Unit) -> tuple[Unit, list[float]]:
    return _work.play(unit)


def main(
    tasks: Annotated[int, typer.Option(min=0, max=400, help="Tasks of each split.")] = 400,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    kept: Annotated[
        Path | None, typer.Option(help="File of the scores so far: a stopped run goes on from it.")
    ] = None,
    write: Annotated[bool, typer.Option(help="Keep the table as JSON beside the docs.")] = False,
) -> None:
    """Print what each player earns on the named tasks and on the splits, beside its bound.

    The exit status says whether every gate holds.
    """
    found = {name: tasks_of(name, tasks) for name in ("named", *SPLITS)}
    groups = {name: each for name, each in found.items() if each}
    table = gates(train(training_tasks(_TRAINING)))
    figures = Work(table, groups).figures(workers, kept)
    print(f"{'player':40}" + "".join(f"{name:>12}" for name in groups) + "   gate")
    for gate, row in zip(table, figures, strict=True):
        cells = "".join(f"{each:>11.3f}{' ' if gate.holds(each) else '!'}" for each in row.values())
        print(f"{gate.name:40}{cells}   {gate.limit}")
    if write:
        told = {
            "version": VERSION,
            "tasks": {name: len(each) for name, each in groups.items()},
            "rows": [
                {"player": gate.name, "gate": gate.limit, "figures": row}
                for gate, row in zip(table, figures, strict=True)
            ],
        }
        TABLE.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    held = all(
        gate.holds(each) for gate, row in zip(table, figures, strict=True) for each in row.values()
    )
    raise typer.Exit(0 if held else 1)


if __name__ == "__main__":
    typer.run(main)
