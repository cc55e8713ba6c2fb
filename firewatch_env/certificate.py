"""The certificate of a task: what must hold of everything that is shipped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from firewatch_env.play import Play
from firewatch_env.policies.keyword_rules import is_active
from firewatch_env.policies.own_play import run
from firewatch_env.policies.reference import reference
from firewatch_env.replay import Course, replay
from firewatch_env.tasks.book import SPLITS, find
from firewatch_env.tasks.levels import LEVELS
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.task import SETTLE, Task, open_world
from openenv_kit.errors import ConfigurationError
from openenv_kit.trust.certify import CertificateTable

PUBLIC = ("train", "validation", "test")


@lru_cache(maxsize=1)
def shipped() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Reset arguments of every shipped task by level: the named ones, then those of the splits."""
    found: dict[str, list[Mapping[str, Any]]] = {level: [] for level in LEVELS}
    for named in NAMED.values():
        found[named.difficulty].append({"task_id": named.task_id})
    for split in PUBLIC:
        for index in range(SPLITS.size(split)):
            level = SPLITS.task(split, index).config.difficulty
            found[level].append({"split": split, "index": index})
    return found


@dataclass(frozen=True)
class Shipped:
    """A shipped task: its level, and its place among those of that level."""

    difficulty: str
    number: int

    @property
    def task(self) -> Task:
        return find(shipped()[self.difficulty][self.number])


@dataclass(frozen=True)
class Certificate:
    """What was found of a task.

    Attributes:
        score: of the reference, which reads replies alone.
        looks, changes: that it needed.
        ordinary: without the fault nobody is ever let down.
        lasting: with it, the incident does not end by itself.
        felt: each fault by itself lets customers down.
        legal: existing clients may act on a service at fault.
        faults: how many there are.
    """

    config: Shipped
    score: float
    looks: int
    changes: int
    ordinary: bool
    lasting: bool
    felt: bool
    legal: bool
    faults: int

    @property
    def holds(self) -> bool:
        return self.score == 1.0 and self.ordinary and self.lasting and self.felt and self.legal

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


class FirewatchCertifier:
    """See `openenv_kit.trust.certify.Certifier`."""

    levels: Sequence[str] = tuple(LEVELS)
    default_levels = levels

    def iter_configurations(
        self,
        seeds: range,
        *,
        levels: Sequence[str],
        extra_reset_arguments: Mapping[str, Any] | None = None,
    ) -> Iterable[Shipped]:
        """Shipped tasks by their place among those of their level.

        Raises:
            ConfigurationError: `reset` holds something: shipped tasks are as they are.
        """
        if extra_reset_arguments:
            raise ConfigurationError(
                f"Shipped tasks take no --reset; given: {', '.join(extra_reset_arguments)}."
            )
        for level in levels:
            for number in seeds:
                if number < len(shipped()[level]):
                    yield Shipped(level, number)

    def certify_episode(self, config: Shipped) -> Certificate:
        """The certificate of a shipped task."""
        return certify(config.task, config)

    def tabulate_certificates(self, certificates: Sequence[Certificate]) -> CertificateTable:
        """One row for each level."""
        checks = ("ordinary", "lasting", "felt", "legal")
        titles = ("level", "tasks", "hold", "1.0", *checks, "looks", "changes")
        rows: list[Sequence[str]] = []
        for level in LEVELS:
            found = [each for each in certificates if each.config.difficulty == level]
            if found:
                counts = [len(found), sum(c.holds for c in found), sum(c.score == 1 for c in found)]
                counts += [sum(getattr(c, check) for c in found) for check in checks]
                means = (sum(c.looks for c in found), sum(c.changes for c in found))
                averages = [f"{each / len(found):.1f}" for each in means]
                rows.append((level, *map(str, counts), *averages))
        return CertificateTable(titles, rows)

    def summarize_certificates(self, certificates: Sequence[Certificate]) -> str:
        """How many faults there are."""
        return f"{sum(each.faults for each in certificates)} faults"


def certify(task: Task, config: Shipped) -> Certificate:
    """Check a task."""
    play = Play(task)
    opening = play.observe()["services"]
    run(play, reference({"message": play.message}))

    def left_alone(task: Task) -> Course:
        return replay(open_world(task), (), task.horizon)

    return Certificate(
        config=config,
        score=play.grade.score if play.grade is not None else 0.0,
        looks=len(play.looked),
        changes=len(play.steps),
        ordinary=left_alone(task.with_fault_of()).total == 0,
        lasting=task.calm or left_alone(task).last > task.max_ticks + SETTLE,
        felt=task.calm or all(left_alone(task.with_fault_of(s)).total > 0 for s, _ in task.roots),
        legal=task.calm or any(is_active(opening[name]) for name, _ in task.roots),
        faults=0 if task.calm else len(task.roots),
    )
