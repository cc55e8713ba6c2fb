"""What an environment brings to the page; what it does not bring is filled in here.

An environment's property `page` returns an instance of a subclass of `Scenes`. It is a property, so
that a server without the page loads none of it:

```python
@property
def page(self) -> Scenes:
    from my_game.page import MyScenes

    return MyScenes(self)
```
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import echo
from openenv_kit.page import arrival, generic, reveal, watch
from openenv_kit.page.markup import bar, facts, words
from openenv_kit.page.page import Page
from openenv_kit.page.results import told_html
from openenv_kit.page.state import Visitor
from openenv_kit.page.watching import Frame, Playback, call_text, scripted

Build = Callable[[Page], None]
"""Lays out a tab, and adds its views and events to the page."""


class Scenes:
    """The generic view of any environment, and what a view of one's own may replace.

    Args:
        environment: what is played.

    Attributes:
        visitor: class of the page's visitors.
        lead: sentence under the title.
        card: description in the preview of a shared link.
        folder: with a `style.css` and a `bridge.js` that are added to the page's, and perhaps a
            `card.png`, 1200 × 630, for that preview; None for none.
        picture_says: what is in that picture, for who cannot see it.
    """

    visitor: type[Visitor] = Visitor
    folder: Path | None = None
    picture_says = ""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.lead = self.card = environment.description

    def tabs(self, *, debug: bool) -> Mapping[str, Build]:
        """Tabs by name, from left to right.

        Args:
            debug: whether this server shows answers.
        """
        return {"Episode": generic.build_episode, "Play": generic.build_play, "Watch": watch.build}

    def endpoints(self) -> Mapping[str, Callable[..., Any]]:
        """Further endpoints for Gradio's clients; each takes the visitor and a JSON value."""
        return {}

    def reset_of_task(self, name: str) -> Mapping[str, Any]:
        """Arguments with which the Watch tab starts a named task."""
        return self.environment.tasks.get(name, {"task_id": name})

    def status(self, visitor: Any) -> Sequence[str]:
        """What the status line says between the task's name and the last message."""
        at, ended = visitor.progress, " · over" if visitor.session.done else ""
        return [f"{at['step_count']} of {at['max_steps']} steps{ended}"]

    def address(self, visitor: Any) -> dict[str, str]:
        """Where a visitor is, as parts of the page's address; empty ones are left out."""
        return arrival.address_of(self.environment.name, visitor.reset)

    def arrived(self, visitor: Any, query: Mapping[str, str]) -> None:
        """Read what `address` adds of an environment's own; it may hold anything."""

    def first_visit(self) -> Playback | None:
        """The play that a visitor sees who has never been here; by default the reference's."""
        task = self.environment.default_tasks[-1]
        policy = self.environment.policies[reveal.REFERENCE]
        return scripted(policy, self.reset_of_task(task), self.environment)

    def describe(self, action: Mapping[str, Any]) -> str:
        """An action in one line; a recording may hold anything, so nothing is taken for granted."""
        try:
            return call_text(*self.environment.tools.called(action))
        except (TypeError, ValueError, AttributeError, LookupError):
            return echo(action)

    def answer(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """What a model would be told of an observation, JSON-ready."""
        told: dict[str, Any] = to_jsonable_python(self.environment.tools.answer(observation))
        return told

    def answer_html(self, observation: Mapping[str, Any]) -> str:
        """A reply, without its status and message."""
        said = self.answer(observation).items()
        told = {k: v for k, v in said if k not in ("status", "message") and v is not None}
        return told_html(told) if told else ""

    def outcome_html(self, observation: Mapping[str, Any]) -> str:
        """What a final observation's score is made of."""
        parts = self.environment.score_parts(to_jsonable_python(observation)) or {}
        bars = [bar(words(n), v, f"{v:.2f}") for n, v in parts.items() if isinstance(v, float)]
        counts = {name: value for name, value in parts.items() if not isinstance(value, float)}
        return "".join(bars) + (facts(counts) if counts else "")

    def beside_html(self, visitor: Any, frames: Sequence[Frame]) -> str:
        """After the end: what the visitor did beside what the reference did, call by call."""
        theirs = [self.describe(frame.action) for frame in frames if frame.action]
        return reveal.two_columns(
            reveal.moves_html([entry.call for entry in visitor.log]),
            visitor.score,
            reveal.moves_html(theirs),
            reveal.score_of(frames),
        )

    def board(self) -> Sequence[Any]:
        """Further components of the Watch tab, such as charts; laid out below the move."""
        return []

    def show_board(self, playback: Playback | None) -> Sequence[Any]:
        """Values of the board's components, for a play or for none."""
        return []

    @property
    def picture(self) -> Path | None:
        """The picture of the preview, if the environment brings one."""
        path = self.folder / "card.png" if self.folder else None
        return path if path and path.exists() else None

    def asset(self, name: str) -> str:
        """Text of `style.css` or `bridge.js`: the page's, then the environment's."""
        folders = [Path(__file__).parent, *([self.folder] if self.folder else [])]
        return "\n".join((each / name).read_text(encoding="utf-8") for each in folders)


def scenes_of(environment: Environment | None = None) -> Scenes:
    """An environment's scenes, or the generic ones.

    Args:
        environment: None for the one that is served.
    """
    chosen = environment or get_environment()
    return chosen.page or Scenes(chosen)
