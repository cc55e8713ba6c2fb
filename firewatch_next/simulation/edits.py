"""Edits: the ways in which changes and actions alter the world.

An edit is immutable data with `apply(world, tick)`. It names a thing of the world, never a fault.
A change carries edits and their inverses; an action plans edits with delays. Both are put on the
world's schedule with `World.schedule`, so a fork repeats them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from firewatch_next.simulation.world import World


class Edit(Protocol):
    """An alteration of the world that takes place at a tick."""

    def apply(self, world: World, tick: int) -> None:
        """Alter the world at the start of that tick."""
