"""Scripted policies: what one is, and the registry in which an environment keeps its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from openenv_kit.registry import Registry, first_docstring_line

Action = dict[str, Any]
ObservationJson = Mapping[str, Any]
PolicySteps = Generator[Action, ObservationJson, None]
PolicyFunctionT = TypeVar("PolicyFunctionT", bound=Callable[..., PolicySteps])


@dataclass(frozen=True)
class Policy:
    """A scripted policy.

    Attributes:
        name, description: its name, and one line about it.
        generate_actions: its generator function.
        max_submissions: how many it can use (`max_submissions` of its resets); one is
            enough to play.
        is_baseline: whether it is one of those whose scores tell how hard an episode is.
    """

    name: str
    description: str
    generate_actions: Callable[[ObservationJson], PolicySteps]
    max_submissions: int = 1
    is_baseline: bool = False


class Policies(Registry[Policy]):
    """The scripted policies of an environment."""

    def __init__(self) -> None:
        super().__init__("policy")

    def register(
        self, name: str, *, max_submissions: int = 1, is_baseline: bool = False
    ) -> Callable[[PolicyFunctionT], PolicyFunctionT]:
        """Decorator: add a generator function as the policy of that name."""

        def add(play: PolicyFunctionT) -> PolicyFunctionT:
            self.add(Policy(name, first_docstring_line(play), play, max_submissions, is_baseline))
            return play

        return add
