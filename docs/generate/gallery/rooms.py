"""What a room of the gallery tells, and how the episodes that it shows are found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from openenv_kit.environment import Environment

Reset = Mapping[str, Any]
Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """What a page is about.

    Attributes:
        title: its heading.
        looks: what it looks like, in a few sentences.
        way: how it is solved, with the tools' names.
    """

    title: str
    looks: str
    way: str


def anything(_: Arguments) -> bool:
    """Every call is worth showing."""
    return True


@dataclass(frozen=True)
class Exhibit:
    """An episode that shows a family at a level.

    Attributes:
        answer: what is wrong in it, as Markdown.
        draw: draws what it looks like.
        concerns: whether a call with these arguments is about what the page is about.
    """

    answer: str
    draw: Callable[[], Figure]
    concerns: Callable[[Arguments], bool] = anything


class Room(ABC):
    """An environment's part of the gallery, or a tier's.

    Attributes:
        name: what its files begin with.
        title: its heading.
        opening: what there is to see, as Markdown.
        environment: what is played.
    """

    name: str
    title: str
    opening: str
    environment: Environment

    @property
    @abstractmethod
    def levels(self) -> Mapping[str, str]:
        """Each level, with what it is."""

    @property
    @abstractmethod
    def families(self) -> Mapping[str, Family]:
        """Each family, by name."""

    @abstractmethod
    def resets(self, family: str, level: str) -> Iterable[Reset]:
        """Episodes that may show a family at a level, the best first; none where none can.

        Only named tasks and tasks of a train split are shown: a page tells what is right.
        """

    @abstractmethod
    def exhibit(self, family: str, level: str, reset: Reset) -> Exhibit | None:
        """What an episode shows of a family; None where it does not, or is of another level."""

    @abstractmethod
    def shown(self, answer: Mapping[str, Any]) -> object:
        """What of an answer, as a model is told it, is worth showing."""


@dataclass(frozen=True)
class Shown:
    """An exhibit in its place."""

    level: str
    reset: Reset
    exhibit: Exhibit


def shown(room: Room, family: str) -> list[Shown]:
    """The exhibits of a family, from the first level on which it occurs.

    Raises:
        LookupError: none of the tasks looked at shows it.
    """
    found = [each for level in room.levels if (each := _found(room, family, level))]
    if not found:
        raise LookupError(f"none of the tasks looked at shows {family!r}")
    return found


def _found(room: Room, family: str, level: str) -> Shown | None:
    for reset in room.resets(family, level):
        if exhibit := room.exhibit(family, level, reset):
            return Shown(level, reset, exhibit)
    return None
