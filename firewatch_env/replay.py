"""Counterfactuals: the same world with other changes made to it, or with none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firewatch_env.actions import act
from firewatch_env.engine.world import World
from openenv_kit.adding import add_up

QUIET = 25  # ticks at the end without harm or killed pods: then the incident is over


@dataclass(frozen=True, slots=True)
class Change:
    """A remediation as it was asked for, before tick `tick` passed."""

    tick: int
    action: str
    target: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Course:
    """How a world went: customers let down a second in each tick, and whether it is over."""

    harm: tuple[float, ...]
    over: bool

    @property
    def total(self) -> float:
        return add_up(self.harm)


def replay(
    start: World, changes: Sequence[Change], last: int, enough: float = float("inf")
) -> Course:
    """The course from a world onwards, up to and with tick `last`.

    Args:
        start: left as it is.
        changes: in the order in which they are made; those up to the start's tick are skipped.
        last: the last tick.
        enough: harm beyond which there is no need to go on; the course is cut there.
    """
    world = start.copy()
    by_tick: dict[int, list[Change]] = {}
    for change in changes:
        by_tick.setdefault(change.tick, []).append(change)
    harm: list[float] = []
    total = 0.0
    while world.tick < last and total <= enough:
        for change in by_tick.get(world.tick + 1, ()):
            act(world, change.action, change.target, change.parameters)
        world.step()
        harm.append(world.harm * world.customers)
        total += harm[-1]
    quiet = not any(harm[-QUIET:]) and world.killed <= last - QUIET
    return Course(tuple(harm), quiet)
