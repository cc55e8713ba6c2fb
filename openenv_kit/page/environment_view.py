"""What an environment brings to the page; what it does not bring is filled in here.

An environment draws its own picture and says what can be asked of it: pure functions of a play's
replies, to HTML. All that is laid out and wired is the kit's. Its property `page` returns an
instance of a subclass of `Scenes`; a property, so that a server without the page loads none of it:

```python
@property
def page(self) -> Scenes:
    from my_game.page import MyScenes

    return MyScenes(self)
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from openenv_kit.environment import Environment, default_tasks, get_environment
from openenv_kit.errors import echo
from openenv_kit.page.components.elements import bar, facts, words
from openenv_kit.page.components.row_editor import Choices, Column, Row
from openenv_kit.page.components.tool_result import result_html
from openenv_kit.page.playback import Frame, Playback, call_text, scripted
from openenv_kit.page.visitor import Visitor

Frames = Sequence[Frame]


@dataclass(frozen=True)
class Call:
    """A question that can be asked with one click.

    Attributes:
        label: the question, as people ask it.
        tool, arguments: the call.
    """

    label: str
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ask:
    """What can be asked about the place that is selected on the picture.

    Attributes:
        title: names the place.
        groups: questions by their heading, which also tells what they cost.
        known: HTML of what is known of the place; empty for nothing.
        suggested: what arguments of any tool may be, by name; the first is filled in.
    """

    title: str
    groups: Mapping[str, Sequence[Call]]
    known: str = ""
    suggested: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Move:
    """The next move, as the guide names it, and the one primary button.

    Attributes:
        text: the move.
        label: of the button.
        event, value: of the bridge, which the button sends; `go` with a CSS selector puts the
            keyboard on the first thing there.
    """

    text: str
    label: str = "Go to the tools"
    event: str = "go"
    value: str = "#mt-bench"


class Report:
    """The report of a running episode: its fields, and the rows that replies point to.

    Args:
        visitor: who fills it in.

    Attributes:
        columns: fields of its rows.
    """

    columns: Sequence[Column] = ()

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor

    def offers(self) -> Sequence[Row]:
        """Rows that the last answer, or the selected place, points to."""
        return ()

    def offer_text(self, row: Row) -> str:
        """An offered row in a line."""
        return ", ".join(str(value) for value in row.values())

    def filled_in(self, row: Row) -> Row:
        """A row with what its other fields and the replies decide."""
        return row

    def unfinished(self, row: Row) -> str:
        """What is wrong with the form of a row; empty for nothing. Never whether it is right."""
        empty = [each.label for each in self.columns if row.get(each.name, "") == ""]
        return f"{empty[0]} is empty" if empty else ""

    def action(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        """The action that hands in the report."""
        raise NotImplementedError


class Scenes:
    """The generic view of any environment, and what a view of one's own may replace.

    Args:
        environment: what is played.

    Attributes:
        door, line, icon: name, one line and SVG paths, 24 × 24, of its door on the page.
        mission: what a player is to do, in a sentence or two.
        folder: with a `style.css` that is added to the page's; None for none.
        reset_choices: reset arguments that are chosen in a form, by name.
    """

    folder: Path | None = None
    line = icon = ""
    reset_choices: ClassVar[Mapping[str, Sequence[str]]] = {}

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.door = environment.title
        self.mission = environment.description

    @cached_property
    def demo(self) -> Playback | None:
        """The finished play that the page opens on; by default the reference's."""
        environment = self.environment
        reset = environment.tasks[default_tasks(environment)[-1]]
        play = scripted(environment.policies["reference"], reset, environment)
        play.run_to_end(60.0)
        return play

    # What is drawn and said of a play. Until its last reply is `done`, from its replies alone.

    def picture_html(
        self, frames: Frames, reset: Mapping[str, Any], place: str = "", rows: Sequence[Row] = ()
    ) -> str:
        """The picture of a play; empty for none.

        Args:
            frames: its replies so far.
            reset: arguments that make the episode, to explain it after its end.
            place: what is selected.
            rows: the report so far.
        """
        return ""

    def below_html(self, visitor: Visitor) -> str:
        """What is drawn below the picture and the report."""
        return ""

    def headline(self, frames: Frames) -> str:
        """What a finished play came to, in a line."""
        last = frames[-1].observation
        return f"Score {float(last.get('reward') or 0.0):.2f}"

    def story_html(self, frames: Frames, reset: Mapping[str, Any]) -> str:
        """After the end: what was missed, with the call that shows it, and the score's parts."""
        parts = self.environment.score_parts(frames[-1].observation) or {}
        bars = [bar(words(n), v, f"{v:.2f}") for n, v in parts.items() if isinstance(v, float)]
        counts = {name: value for name, value in parts.items() if not isinstance(value, float)}
        return "".join(bars) + (facts(counts) if counts else "")

    # What can be asked, and reported.

    def ask(self, visitor: Visitor) -> Ask | None:
        """Questions about the selected place; None where tools are called by form alone."""
        return None

    def next_move(self, visitor: Visitor) -> Move:
        """The move that the guide names before the report is begun."""
        return Move("Choose a tool, fill in its form, and run it.")

    def report(self, visitor: Visitor) -> Report | None:
        """The report of the visitor's episode; None where none is handed in."""
        return None

    # A step in words.

    def describe(self, action: Mapping[str, Any]) -> str:
        """An action in one line; a recording may hold anything, so nothing is taken for granted."""
        try:
            return call_text(*self.environment.tools.called(action))
        except (TypeError, ValueError, AttributeError, LookupError):
            return echo(action)

    def answer_html(self, observation: Mapping[str, Any]) -> str:
        """A reply, without its status and message."""
        answer = answer_of(self.environment, observation).items()
        fields = {k: v for k, v in answer if k not in ("status", "message") and v}
        return result_html(fields) if fields else ""


def answer_of(environment: Environment, observation: Mapping[str, Any]) -> dict[str, Any]:
    """What a model would be told of an observation, JSON-ready."""
    try:
        return dict(environment.tools.answer(observation))
    except LookupError:  # of a recording that cannot be read
        return dict(observation)


def style_of_page(scenes: Scenes) -> str:
    """The page's style sheet, then the environment's."""
    folders = [Path(__file__).with_name("static"), *([scenes.folder] if scenes.folder else [])]
    files = [each / "style.css" for each in folders]
    return "\n".join(each.read_text(encoding="utf-8") for each in files if each.exists())


def scenes_of(environment: Environment | None = None) -> Scenes:
    """An environment's scenes, or the generic ones.

    Args:
        environment: None for the one that is served.
    """
    chosen = environment or get_environment()
    return chosen.page or Scenes(chosen)


def named(names: Sequence[str]) -> Choices:
    """Names as options of a drop-down."""
    return [(words(name), name) for name in names]
