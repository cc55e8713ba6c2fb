"""The gates: what each player earns. `python -m firewatch_env.gates [tasks a split]`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from firewatch_env.policies.blind import (
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
from firewatch_env.session import Session
from firewatch_env.tasks.book import SPLITS, admitted, named_task, split_task, training_tasks
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.task import Task

_TRAINING = 1000  # tasks, none of which is in a split
_CAREFUL_BOUNDS = {"medium": 0.7, "hard": 0.5}
_SINGLE = (*FIVE, "circuit_break")


@dataclass(frozen=True, slots=True)
class Gate:
    """A line of the table: a player, and the mean score that it may at most (or must) reach.

    Attributes:
        only: the difficulty of the tasks that count; all of them without one.
        luck: its players differ in luck only: their mean counts, not the best of them.
    """

    name: str
    policies: tuple[Policy, ...]
    bound: float
    least: bool = False
    only: str = ""
    luck: bool = False

    def mean(self, tasks: Iterable[Task]) -> float:
        """The best mean score of these players over the tasks; 0 over none."""
        tasks = [task for task in tasks if self.only in ("", task.difficulty)]
        if not tasks:
            return 0.0
        means = [sum(score(task, p) for task in tasks) / len(tasks) for p in self.policies]
        return sum(means) / len(means) if self.luck else max(means)

    def holds(self, mean: float) -> bool:
        return mean >= self.bound if self.least else mean <= self.bound


def score(task: Task, policy: Policy) -> float:
    """What a policy earns on a task; a script that ends early earns nothing."""
    session = Session(lambda _: task, par)
    found = drive(session, policy).observation["episode_score"]
    return float(found or 0.0)


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


def main(most: int) -> int:
    """Print the table; the exit status says whether every gate holds.

    Args:
        most: tasks of each split; 0 leaves the named tasks alone.
    """
    groups = {name: tasks_of(name, most) for name in ("named", *SPLITS)}
    groups = {name: tasks for name, tasks in groups.items() if tasks}
    print(f"{'player':40}" + "".join(f"{name:>12}" for name in groups) + "   gate")
    failed = 0
    for gate in gates(train(training_tasks(_TRAINING))):
        means = [gate.mean(tasks) for tasks in groups.values()]
        failed += sum(not gate.holds(mean) for mean in means)
        cells = "".join(f"{m:>11.3f}{' ' if gate.holds(m) else '!'}" for m in means)
        print(f"{gate.name:40}{cells}   {'≥' if gate.least else '≤'} {gate.bound}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 400))
