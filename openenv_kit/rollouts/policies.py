"""Scripted policies: what one is, and the registry in which an environment keeps its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from openenv_kit.registry import Registry, first_line

Action = dict[str, Any]
Observed = Mapping[str, Any]
Play = Generator[Action, Observed, None]
PlayFunction = TypeVar("PlayFunction", bound=Callable[..., Play])


@dataclass(frozen=True)
class Policy:
    """A scripted policy.

    Attributes:
        name, description: its name, and one line about it.
        play: its generator function.
        submissions: how many it can use (`max_submissions` of its resets); one is enough to play.
        panel: whether it is one of those whose scores tell how hard an episode is.
    """

    name: str
    description: str
    play: Callable[[Observed], Play]
    submissions: int = 1
    panel: bool = False


class Policies(Registry[Policy]):
    """The scripted policies of an environment."""

    def __init__(self) -> None:
        super().__init__("policy")

    def register(
        self, name: str, *, submissions: int = 1, panel: bool = False
    ) -> Callable[[PlayFunction], PlayFunction]:
        """Decorator: add a generator function as the policy of that name."""

        def add(play: PlayFunction) -> PlayFunction:
            self.add(Policy(name, first_line(play), play, submissions, panel))
            return play

        return add
