"""What a tool that changes the world consists of.

An action plans edits. Each edit changes a thing of the world at a tick, so the effect may need
time. No action knows a fault. `registry.py` finds the tools.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from firewatch_next.simulation.edits import Edit
from firewatch_next.simulation.world import World

Arguments = Mapping[str, str | int | float | bool]


class ActionError(ValueError):
    """An argument of an action is wrong. The text names it, what is allowed and the nearest."""


@dataclass(frozen=True)
class PlannedEdit:
    """An edit and the number of ticks after the action's tick at which it is applied."""

    delay_ticks: int
    edit: Edit


@dataclass(frozen=True)
class ActionPlan:
    """What an action will do.

    Attributes:
        edits: empty if there is nothing to change here ("nothing here"), or for a repeat.
        reply: when it takes effect, not whether it helps.
        is_repeat: the same change was made before; a repeat is free.
    """

    edits: tuple[PlannedEdit, ...]
    reply: str
    is_repeat: bool = False


@dataclass(frozen=True)
class ActionTool:
    """A tool that changes the world.

    Attributes:
        name: tool name, such as "undo_change".
        plan: builds the plan from the service, the arguments and the world before the action's
            tick. Raises ActionError for bad arguments.
    """

    name: str
    plan: Callable[[World, str, Arguments], ActionPlan]
