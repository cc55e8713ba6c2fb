"""What the reference does to a task's world: the mark that impact is measured against."""

from __future__ import annotations

from functools import lru_cache

from firewatch_env.policies.drive import drive
from firewatch_env.policies.reference import reference
from firewatch_env.replay import Change
from firewatch_env.session import Session
from firewatch_env.tasks.task import Task


def par(task: Task) -> tuple[Change, ...]:
    """The reference's changes in a play of this task."""
    return _par(_Key(task))


class _Key:
    """A task that is hashed by what it was drawn from."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._identity = (task.task_id, task.difficulty, task.draws, task.faults)

    def __hash__(self) -> int:
        return hash(self._identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.task == other.task


@lru_cache(maxsize=1024)
def _par(key: _Key) -> tuple[Change, ...]:
    session = Session(lambda _: key.task, lambda _: ())
    drive(session, reference)
    return session.changes()
