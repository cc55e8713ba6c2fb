"""One registry of actions: each declared once, with what it needs and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from firewatch_env.engine.motion import EASE
from firewatch_env.engine.service import Service
from firewatch_env.engine.tick import SECONDS
from firewatch_env.engine.world import World

Group = Literal["look", "mitigate", "repair", "close"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an action came to.

    Attributes:
        text: the feedback; its first 100 characters carry what matters.
        changed: something was moved; False where there was nothing to put right, None for a look
            and for what is set already.
        figures: what a look measured.
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
        group: looks show the world at the end of their tick; mitigations and repairs move
            something at the beginning of it.
        parameters: names it reads; any other is ignored and named in the feedback.
        needs_target: whether it is done to a service.
        runbook: one kind of repair, offered to models as an argument of `run_runbook`.
    """

    name: str
    group: Group
    do: Do
    summary: str
    parameters: tuple[str, ...] = ()
    needs_target: bool = True
    runbook: bool = False

    @property
    def changes(self) -> bool:
        """Whether it can change the world."""
        return self.group in ("mitigate", "repair")


ACTIONS: dict[str, Action] = {}


def as_asked(service: Service, state: str) -> Outcome:
    """The outcome of setting what is set already: free."""
    return Outcome(f"{service.name}: {state} already; nothing to do, not counted", None)


def no_use(service: Service, state: str) -> Outcome:
    """The outcome of a runbook for what is not off: it counts as a change that was not needed."""
    return Outcome(f"{service.name}: {state}; nothing to do, counted as not needed", False)


def action(
    name: str,
    group: Group,
    *parameters: str,
    needs_target: bool = True,
    runbook: bool = False,
) -> Callable[[Do], Do]:
    """Decorator: register what an action does; its docstring's first line describes it."""

    def register(do: Do) -> Do:
        if name in ACTIONS:
            raise ValueError(f"action {name!r} is declared twice")
        summary = (do.__doc__ or "").strip().split("\n")[0]
        ACTIONS[name] = Action(name, group, do, summary, parameters, needs_target, runbook)
        return do

    return register


def look(name: str) -> Callable[[Do], Do]:
    """Register a function that only looks."""
    return action(name, "look")


def act(world: World, name: str, target: str | None, parameters: Mapping[str, Any]) -> Outcome:
    """Do a known action to a known service.

    Raises:
        KeyError: the action, or the service, is not known.
    """
    service = world.by_name[target] if target is not None else world.services[0]
    return ACTIONS[name].do(world, service, parameters)


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


def minutes(ticks: float) -> str:
    """How long so many ticks take."""
    return f"{ticks * SECONDS / 60:.3g} min"


STEPS = f"by quarters within {minutes(EASE)}"


def flag(parameters: Mapping[str, Any], name: str) -> bool:
    """Whether a parameter is true, or the text "true"."""
    return str(parameters.get(name, "")).strip().lower() == "true"


@action("declare_resolved", "close", needs_target=False)
def declare_resolved(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Declare the incident over; the episode ends."""
    return Outcome("declared resolved; the episode is over", None)


@action("escalate", "close", needs_target=False)
def escalate(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Call for a second engineer; recorded, and nothing changes."""
    return Outcome("escalated; recorded, and nothing changes", None)
