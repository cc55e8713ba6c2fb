"""What the reference does to a task's world: the mark that impact is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from firewatch_env.policies.drive import drive
from firewatch_env.policies.reference import reference
from firewatch_env.replay import Change, replay
from firewatch_env.session import Session
from firewatch_env.tasks.marks import shipped_mark
from firewatch_env.tasks.task import Task, open_world


@dataclass(frozen=True, slots=True)
class _Mark:
    """The reference's changes, harm had nobody acted, and harm under those changes."""

    changes: tuple[Change, ...]
    untouched: float
    par: float


def plan(task: Task) -> tuple[Change, ...]:
    """The reference's changes in a play of this task."""
    return _mark(_Key(task)).changes


def par(task: Task) -> tuple[float, float]:
    """Harm had nobody acted, and harm under the reference; looked up for shipped tasks."""
    return shipped_mark(task) or computed_par(task)


def computed_par(task: Task) -> tuple[float, float]:
    """The same, by playing the reference."""
    mark = _mark(_Key(task))
    return mark.untouched, mark.par


class _Key:
    """A task that is hashed by what it was drawn from."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._identity = (task.task_id, task.difficulty, task.draws, task.faults)

    def __hash__(self) -> int:
        return hash(self._identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.task == other.task


@lru_cache(maxsize=2048)
def _mark(key: _Key) -> _Mark:
    task = key.task
    session = Session(lambda _: task, None)
    drive(session, reference)
    changes, start, last = session.changes(), open_world(task), task.horizon
    return _Mark(changes, replay(start, (), last).total, replay(start, changes, last).total)
