"""Scripted policies and the registry of an environment's policies."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from openenv_kit.registry import Registry, get_first_docstring_line

Action = dict[str, Any]
ObservationJson = Mapping[str, Any]
PolicySteps = Generator[Action, ObservationJson, None]
"""Generator that yields actions and receives the observation after each action."""
PolicyFunctionT = TypeVar("PolicyFunctionT", bound=Callable[..., PolicySteps])


@dataclass(frozen=True)
class Policy:
    """A scripted policy.

    Attributes:
        name: name on the command line.
        description: one-line description.
        generate_actions: generator function that takes the observation of the reset.
        max_submissions: largest number of submissions that the policy makes.
        is_baseline: whether its scores measure how difficult an episode is.
    """

    name: str
    description: str
    generate_actions: Callable[[ObservationJson], PolicySteps]
    max_submissions: int = 1
    is_baseline: bool = False


class Policies(Registry[Policy]):
    """The scripted policies of an environment, by name."""

    def __init__(self) -> None:
        super().__init__("policy")

    def register(
        self, name: str, *, max_submissions: int = 1, is_baseline: bool = False
    ) -> Callable[[PolicyFunctionT], PolicyFunctionT]:
        """Return a decorator that registers a generator function as a policy.

        The first line of the function's docstring becomes the description.
        """

        def add_policy(function: PolicyFunctionT) -> PolicyFunctionT:
            description = get_first_docstring_line(function)
            self.add(Policy(name, description, function, max_submissions, is_baseline))
            return function

        return add_policy
