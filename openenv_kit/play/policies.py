"""The registry of scripted policies, and the words they speak in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from openenv_kit.errors import UnknownNameError

Action = dict[str, Any]
Observed = Mapping[str, Any]
Play = Generator[Action, Observed, None]


@dataclass(frozen=True)
class Policy:
    """A scripted policy.

    Attributes:
        name: what commands call it.
        description: one line about it.
        play: its generator function.
        submissions: submissions it makes use of (`max_submissions` of its resets); it gets by
            with one.
    """

    name: str
    description: str
    play: Callable[[Observed], Play]
    submissions: int = 1


POLICIES: dict[str, Policy] = {}
"""Every scripted policy by name, in the order of declaration."""


def policy(
    name: str, *, submissions: int = 1
) -> Callable[[Callable[[Observed], Play]], Callable[[Observed], Play]]:
    """Decorator: register a generator function as the policy of that name.

    The first line of its docstring is the description people read.
    """

    def register(play: Callable[[Observed], Play]) -> Callable[[Observed], Play]:
        if name in POLICIES:
            raise TypeError(f"policy {name!r} is declared twice")
        line = (inspect.getdoc(play) or "").split("\n", 1)[0]
        POLICIES[name] = Policy(name, line, play, submissions)
        return play

    return register


def get_policy(name: str) -> Policy:
    """Policy of that name.

    Raises:
        UnknownNameError: there is none; names the nearest.
    """
    if name in POLICIES:
        return POLICIES[name]
    raise UnknownNameError("policy", name, POLICIES)


def analyse(method: str, **arguments: Any) -> Action:
    """The action that runs one analysis method."""
    return {"analysis_method": method, "analysis_args": arguments}


def submit(rows: list[dict[str, Any]]) -> Action:
    """The action that submits a report."""
    return {"classifications": rows}


def result_of(observation: Observed) -> Any:
    """Result of the analysis method that an observation answers."""
    return observation["analysis_result"]["result"]
