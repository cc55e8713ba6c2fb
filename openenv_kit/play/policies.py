"""Scripted policies: what one is, and the registry in which an environment keeps its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from openenv_kit.errors import require_name

Action = dict[str, Any]
Observed = Mapping[str, Any]
Play = Generator[Action, Observed, None]
PlayFunction = TypeVar("PlayFunction", bound=Callable[..., Play])


class Named(Protocol):
    """Anything that has a name."""

    @property
    def name(self) -> str:
        """What commands call it."""


Entry = TypeVar("Entry", bound=Named)


class Registry(dict[str, Entry]):
    """Entries by name, in the order of declaration; `kind` is what errors call one of them."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def add(self, entry: Entry) -> None:
        """Add an entry under its name.

        Raises:
            TypeError: the name is taken.
        """
        if entry.name in self:
            raise TypeError(f"{self.kind} {entry.name!r} is declared twice")
        self[entry.name] = entry

    def find(self, name: str) -> Entry:
        """The entry of that name; raises UnknownNameError, which names the nearest."""
        return self[require_name(self.kind, name, self)]


@dataclass(frozen=True)
class Policy:
    """A scripted policy: its name, one line about it, and its generator function.

    `submissions` is how many it can use (`max_submissions` of its resets); one is enough to play.
    """

    name: str
    description: str
    play: Callable[[Observed], Play]
    submissions: int = 1

    @classmethod
    def of(cls, name: str, play: Callable[..., Play], submissions: int = 1) -> Policy:
        """The policy of a generator function; its docstring's first line describes it."""
        line = (inspect.getdoc(play) or "").split("\n", 1)[0]
        return cls(name, line, play, submissions)


class Policies(Registry[Policy]):
    """The scripted policies of an environment."""

    def __init__(self) -> None:
        super().__init__("policy")

    def register(
        self, name: str, *, submissions: int = 1
    ) -> Callable[[PlayFunction], PlayFunction]:
        """Decorator: add a generator function as the policy of that name."""

        def add(play: PlayFunction) -> PlayFunction:
            self.add(Policy.of(name, play, submissions))
            return play

        return add
