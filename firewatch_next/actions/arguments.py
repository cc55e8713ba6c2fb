"""Checks of action arguments. An error names the value, what is allowed and the nearest match."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from firewatch_next.actions.action import ActionError, Arguments
from firewatch_next.simulation.service import Service
from firewatch_next.simulation.world import World

_MAX_NAMES_IN_ERROR = 12


def require_service(world: World, name: str) -> Service:
    """Return the service of that name, or raise ActionError."""
    return world.services[require_name(name, world.services, "service")]


def require_name(name: str, allowed: Iterable[str], what: str) -> str:
    """Return the name if it is allowed, or raise ActionError with the nearest allowed name."""
    names = sorted(allowed)
    if name in names:
        return name
    nearest = difflib.get_close_matches(name[:80], names, 1, 0.0)
    listed = ", ".join(names[:_MAX_NAMES_IN_ERROR]) or "none"
    more = f" and {len(names) - _MAX_NAMES_IN_ERROR} more" if len(names) > 12 else ""
    hint = f"; nearest: {nearest[0]}" if nearest else ""
    raise ActionError(f"{what} is {name[:80]!r}; allowed: {listed}{more}{hint}")


def require_number(arguments: Arguments, key: str, low: float, high: float) -> float:
    """Return a number from the arguments, or raise ActionError if it is missing or outside."""
    value = arguments.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        shown = repr(value)[:80]
        raise ActionError(f"{key} is {shown}; allowed: a number from {low:g} to {high:g}")
    return float(value)


def require_text(arguments: Arguments, key: str) -> str:
    """Return a text from the arguments, or raise ActionError if it is missing."""
    value = arguments.get(key)
    if not isinstance(value, str) or not value:
        raise ActionError(f"{key} is {repr(value)[:80]}; allowed: a text that is not empty")
    return value
