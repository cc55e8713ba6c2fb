"""What an environment provides for its part of the gallery, and how example episodes are found."""

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
class FamilyDescription:
    """The text of a page.

    Attributes:
        title: heading of the page.
        appearance: what the anomaly looks like, in a few sentences.
        solution: how to find it, with the names of the tools.
    """

    title: str
    appearance: str
    solution: str


def is_any_call(_: Arguments) -> bool:
    """Return True: every call is relevant."""
    return True


@dataclass(frozen=True)
class ExampleEpisode:
    """An episode that shows a family at a level.

    Attributes:
        answer: the expected report, as Markdown.
        draw: draws the episode's data.
        is_relevant_call: whether a call with these arguments concerns the anomaly of the page.
    """

    answer: str
    draw: Callable[[], Figure]
    is_relevant_call: Callable[[Arguments], bool] = is_any_call


class GalleryPart(ABC):
    """The gallery's pages about one environment.

    Attributes:
        name: prefix of the files.
        title: heading in the index.
        introduction: text below the heading, as Markdown.
        environment: environment of the episodes.
    """

    name: str
    title: str
    introduction: str
    environment: Environment

    @property
    @abstractmethod
    def levels(self) -> Mapping[str, str]:
        """A description of each level, by its name."""

    @property
    @abstractmethod
    def families(self) -> Mapping[str, FamilyDescription]:
        """The description of each family, by its name."""

    @abstractmethod
    def candidate_resets(self, family: str, level: str) -> Iterable[Reset]:
        """Return resets of episodes that may show a family at a level, the best first.

        They are named tasks or tasks of a train split, because a page shows the answer.
        """

    @abstractmethod
    def example_of(self, family: str, level: str, reset: Reset) -> ExampleEpisode | None:
        """Return the episode of a reset; None if it has another family or level."""

    @abstractmethod
    def relevant_result(self, tool_result: Mapping[str, Any]) -> object:
        """Return the part of a tool result that a page shows."""


@dataclass(frozen=True)
class LevelExample:
    """The episode that a page shows for one level."""

    level: str
    reset: Reset
    episode: ExampleEpisode


def find_examples(part: GalleryPart, family: str) -> list[LevelExample]:
    """Return an example of a family for each level on which it occurs.

    Raises:
        LookupError: no candidate shows the family.
    """
    by_level = [_find_example(part, family, level) for level in part.levels]
    examples = [example for example in by_level if example is not None]
    if not examples:
        raise LookupError(f"no candidate episode shows the family {family!r}")
    return examples


def _find_example(part: GalleryPart, family: str, level: str) -> LevelExample | None:
    for reset in part.candidate_resets(family, level):
        episode = part.example_of(family, level, reset)
        if episode is not None:
            return LevelExample(level, reset, episode)
    return None
