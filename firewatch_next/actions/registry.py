"""Every tool that changes the world, found in the files of this folder."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import firewatch_next.actions as folder
from firewatch_next.actions.action import ActionPlan, ActionTool, Arguments
from firewatch_next.simulation.world import World


@cache
def action_tools() -> dict[str, ActionTool]:
    """Return all tools by name, sorted. They are in the tuple `TOOLS` of each file that has one.

    Raises:
        ValueError: if two tools have the same name.
    """
    found: dict[str, ActionTool] = {}
    for module_info in pkgutil.iter_modules(folder.__path__):
        module = importlib.import_module(f"{folder.__name__}.{module_info.name}")
        for tool in getattr(module, "TOOLS", ()):
            if tool.name in found:
                raise ValueError(f"there are two action tools named {tool.name!r}")
            found[tool.name] = tool
    return dict(sorted(found.items()))


def take_action(world: World, name: str, service: str, arguments: Arguments) -> ActionPlan:
    """Plan an action and put its edits on the world's schedule, the first at the next tick.

    Raises:
        ActionError: for an unknown service or a bad argument.
        KeyError: for an unknown tool.
    """
    plan = action_tools()[name].plan(world, service, arguments)
    for planned in plan.edits:
        world.schedule(world.tick + 1 + planned.delay_ticks, planned.edit)
    return plan
