"""Harm marks of the shipped tasks: `python -m firewatch_env.tasks.marks` writes `marks.json`.

A grade needs the harm had nobody acted and the harm under the reference. Playing the reference
takes longer than grading may, so the marks of every shipped task are computed once per version.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from firewatch_env.tasks.book import SPLITS, admitted, named_task, split_task
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.task import Task

Mark = tuple[float, float]


@lru_cache(maxsize=1)
def shipped() -> dict[str, list[float]]:
    """Both marks by a task's `draws`."""
    text = (files("firewatch_env.tasks") / "marks.json").read_text(encoding="utf-8")
    found: dict[str, list[float]] = json.loads(text)
    return found


def shipped_mark(task: Task) -> Mark | None:
    """Marks of a shipped task; None for one that was drawn otherwise."""
    found = shipped().get(task.draws)
    return None if found is None else (found[0], found[1])


def shipped_tasks() -> Iterator[Task]:
    """Every task that was admitted: the named ones, then each split's."""
    yield from map(named_task, NAMED.values())
    for split in SPLITS:
        for index, attempt in enumerate(admitted()[split]):
            yield split_task(split, index, attempt)


def _computed(number: int) -> tuple[str, Mark]:
    from firewatch_env.policies.par import computed_par

    task = list(_tasks())[number]
    return task.draws, computed_par(task)


@lru_cache(maxsize=1)
def _tasks() -> tuple[Task, ...]:
    return tuple(shipped_tasks())


def main() -> None:
    """Write the table beside this module."""
    with ProcessPoolExecutor(2) as pool:
        table = dict(pool.map(_computed, range(len(_tasks())), chunksize=20))
    text = ",\n".join(f"{json.dumps(draws)}:{json.dumps(mark)}" for draws, mark in table.items())
    Path(__file__).with_name("marks.json").write_text(f"{{{text}}}\n", encoding="utf-8")
    print(len(table), "tasks")


if __name__ == "__main__":
    main()
