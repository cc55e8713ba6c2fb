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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from openenv_kit.environment import Environment, default_tasks, get_environment
from openenv_kit.errors import echo
from openenv_kit.page.markup import bar, facts, words
from openenv_kit.page.results import told_html
from openenv_kit.page.rows import Choices, Column
from openenv_kit.page.state import Row, Visitor
from openenv_kit.page.watching import Frame, Playback, call_text, scripted

Frames = Sequence[Frame]


@dataclass(frozen=True)
class Call:
    """A question that can be asked with one click.

    Attributes:
        label: the question, as people ask it.
        tool, arguments: the call.
        cost: what it costs.
    """

    label: str
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    cost: str = "1 step each"


@dataclass(frozen=True)
class Ask:
    """What can be asked about the place that is selected on the picture.

    Attributes:
        title: names the place.
        groups: questions under a heading each.
        known: HTML of what is known of the place; empty for nothing.
    """

    title: str
    groups: Mapping[str, Sequence[Call]]
    known: str = ""


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


class Scenes:
    """The generic view of any environment, and what a view of one's own may replace.

    Args:
        environment: what is played.

    Attributes:
        door, line, icon: name, one line and SVG paths, 24 × 24, of its door on the page.
        order: of its door among the others; ties stand by name.
        mission: what a player is to do, in a sentence or two.
        card: description in the preview of a shared link.
        folder: with a `style.css` and a `bridge.js` that are added to the page's, if it has any,
            and perhaps a `card.png`, 1200 × 630, for that preview; None for none.
        reset_choices: reset arguments that are chosen in a form, by name.
        exports: what can be saved after the end: label, and text of the file.
    """

    folder: Path | None = None
    line = icon = ""
    order = 9
    reset_choices: ClassVar[Mapping[str, Sequence[str]]] = {}
    exports: ClassVar[Mapping[str, Callable[[Visitor], str]]] = {}

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.door = environment.title
        self.mission = self.card = environment.description

    # How an episode is chosen.

    @cached_property
    def demo(self) -> Playback | None:
        """The finished play that the page opens on; by default the reference's."""
        task = default_tasks(self.environment)[-1]
        policy = self.environment.policies["reference"]
        play = scripted(policy, self.reset_of_task(task), self.environment)
        play.run_to_end(60.0)
        return play

    def reset_of_task(self, name: str) -> Mapping[str, Any]:
        """Arguments of the reset of a named task."""
        return self.environment.tasks.get(name, {"task_id": name})

    def next_reset(self, visitor: Visitor) -> Mapping[str, Any]:
        """An episode that the visitor has neither seen nor played."""
        shown = self.demo.reset.get("task_id") if self.demo else None
        seen = {*visitor.finished, shown, visitor.task_id}
        fresh = [name for name in self.environment.tasks if name not in seen]
        splits = self.environment.splits
        if fresh or not splits.names():
            return self.reset_of_task((fresh or list(self.environment.tasks))[0])
        split = splits.names()[0]
        return splits.task(split, len(visitor.finished) % splits.size(split)).reset_arguments()

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

    def story_html(self, visitor: Visitor) -> str:
        """After the end: what was right, and what was missed with the call that shows it."""
        return ""

    def score_html(self, visitor: Visitor) -> str:
        """After the end: what the score is made of."""
        return self.outcome_html(visitor.reply)

    def facts(self, visitor: Visitor) -> Sequence[str]:
        """What the status line says beside the steps."""
        return []

    # What can be asked, and reported.

    def ask(self, visitor: Visitor) -> Ask | None:
        """What can be asked about the selected place; None where there are forms only."""
        return None

    def next_move(self, visitor: Visitor) -> Move:
        """The move that the guide names before the report is begun."""
        return Move("Choose a tool, fill in its form, and run it.")

    def suggestions(self, visitor: Visitor) -> Mapping[str, Sequence[str]]:
        """What arguments may be filled with, by name; the first is filled in."""
        return {}

    @property
    def reports(self) -> bool:
        """Whether a report is handed in from the page."""
        return type(self).columns is not Scenes.columns

    def columns(self, visitor: Visitor) -> Sequence[Column]:
        """Fields of the report's rows; none where no report is handed in."""
        return ()

    def offers(self, visitor: Visitor) -> Sequence[Row]:
        """Rows that the last answer, or the selected place, points to."""
        return ()

    def offer_text(self, row: Row) -> str:
        """An offered row in a line."""
        return ", ".join(str(value) for value in row.values())

    def filled_in(self, visitor: Visitor, row: Row) -> Row:
        """A row with what its other fields and the replies decide."""
        return row

    def unfinished(self, visitor: Visitor, row: Row) -> str:
        """What is wrong with the form of a row; empty for nothing. Never whether it is right."""
        empty = [each.label for each in self.columns(visitor) if row.get(each.name, "") == ""]
        return f"{empty[0]} is empty" if empty else ""

    def report_action(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        """The action that hands in the report."""
        raise NotImplementedError

    # A step in words.

    def describe(self, action: Mapping[str, Any]) -> str:
        """An action in one line; a recording may hold anything, so nothing is taken for granted."""
        try:
            return call_text(*self.environment.tools.called(action))
        except (TypeError, ValueError, AttributeError, LookupError):
            return echo(action)

    def answer(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """What a model would be told of an observation, JSON-ready."""
        try:
            return dict(self.environment.tools.answer(observation))
        except LookupError:  # of a recording that cannot be read
            return dict(observation)

    def answer_html(self, observation: Mapping[str, Any]) -> str:
        """A reply, without its status and message."""
        said = self.answer(observation).items()
        told = {k: v for k, v in said if k not in ("status", "message") and v}
        return told_html(told) if told else ""

    def outcome_html(self, observation: Mapping[str, Any]) -> str:
        """What a final observation's score is made of."""
        parts = self.environment.score_parts(observation) or {}
        bars = [bar(words(n), v, f"{v:.2f}") for n, v in parts.items() if isinstance(v, float)]
        counts = {name: value for name, value in parts.items() if not isinstance(value, float)}
        return "".join(bars) + (facts(counts) if counts else "")

    def debug_html(self, visitor: Visitor) -> str:
        """The answer, on servers in debug mode; empty for none, and then there is no such tab."""
        return ""

    # Files.

    @property
    def picture(self) -> Path | None:
        """The picture of the preview, if the environment brings one."""
        path = self.folder / "card.png" if self.folder else None
        return path if path and path.exists() else None

    def asset(self, name: str) -> str:
        """Text of `style.css` or `bridge.js`: the page's, then the environment's."""
        folders = [Path(__file__).parent, *([self.folder] if self.folder else [])]
        files = [each / name for each in folders]
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
