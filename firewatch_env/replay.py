"""Counterfactuals: the same world with other changes made to it, or with none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firewatch_env.actions import act
from firewatch_env.engine.world import World


@dataclass(frozen=True, slots=True)
class Change:
    """A remediation as it was asked for, before tick `tick` passed."""

    tick: int
    action: str
    target: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Course:
    """How a world went: harm in each tick, its total, and the last tick with any."""

    harm: tuple[float, ...]
    total: float
    last: int


def replay(
    start: World,
    changes: Sequence[Change],
    last: int,
    enough: float = float("inf"),
    ends: int | None = None,
) -> Course:
    """The course from a world onwards, up to and with tick `last`.

    Args:
        start: left as it is.
        changes: in the order in which they are made; those up to the start's tick are skipped.
        last: the last tick.
        enough: harm beyond which there is no need to go on; the course is cut there.
        ends: tick after which whatever is only lent is taken back; None for never.
    """
    world = start.copy()
    by_tick: dict[int, list[Change]] = {}
    for change in changes:
        by_tick.setdefault(change.tick, []).append(change)
    harm: list[float] = []
    total, hurt = 0.0, world.tick
    if ends == world.tick:
        world.take_back()
    while world.tick < last and total <= enough:
        for change in by_tick.get(world.tick + 1, ()):
            act(world, change.action, change.target, change.parameters)
        world.step()
        harm.append(world.harm * world.customers)
        total += harm[-1]
        if world.harm or world.killed == world.tick:
            hurt = world.tick
        if world.tick == ends:
            world.take_back()
    return Course(tuple(harm), total, hurt)
