"""One registry of actions: each declared once, with what it needs and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from firewatch_env.engine.service import Service
from firewatch_env.engine.world import World

Sort = Literal["investigation", "remediation", "closing"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an action came to.

    Attributes:
        text: the feedback; its first 100 characters carry what matters.
        changed: a remediation moved something; None where it only repeated itself.
        figures: what an investigation measured.
        lines: log lines fetched.
    """

    text: str
    changed: bool | None = True
    figures: dict[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


Do = Callable[[World, Service, Mapping[str, Any]], Outcome]


@dataclass(frozen=True, slots=True)
class Action:
    """An action that a player may take.

    Attributes:
        sort: an investigation shows the world at the end of its tick; a remediation moves
            something at the beginning of it.
        needs_target: whether it is done to a service.
        parameters: names it reads; any other is ignored and named in the feedback.
    """

    name: str
    sort: Sort
    do: Do
    summary: str
    parameters: tuple[str, ...] = ()
    needs_target: bool = True


ACTIONS: dict[str, Action] = {}


def _register(
    name: str, sort: Sort, parameters: tuple[str, ...], target: bool
) -> Callable[[Do], Do]:
    def register(do: Do) -> Do:
        if name in ACTIONS:
            raise ValueError(f"action {name!r} is declared twice")
        summary = (do.__doc__ or "").strip().split("\n")[0]
        ACTIONS[name] = Action(name, sort, do, summary, parameters, target)
        return do

    return register


def investigation(name: str) -> Callable[[Do], Do]:
    """Register a function that only looks."""
    return _register(name, "investigation", (), True)


def remediation(name: str, *parameters: str) -> Callable[[Do], Do]:
    """Register a function that moves something."""
    return _register(name, "remediation", parameters, True)


def closing(name: str) -> Callable[[Do], Do]:
    """Register one of the two actions that touch no service."""
    return _register(name, "closing", (), False)


def act(world: World, name: str, target: str | None, parameters: Mapping[str, Any]) -> Outcome:
    """Do a known action to a known service.

    Raises:
        KeyError: the action, or the service, is not known.
    """
    action = ACTIONS[name]
    service = world.by_name[target] if target is not None else world.services[0]
    return action.do(world, service, parameters)


def number(parameters: Mapping[str, Any], name: str) -> float | None:
    """A parameter as a number of at least 0; None if it is absent or is not one."""
    value = parameters.get(name)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e12 else None


def flag(parameters: Mapping[str, Any], name: str) -> bool:
    """Whether a parameter is true, or the text "true"."""
    return str(parameters.get(name, "")).strip().lower() == "true"
