"""What an environment brings to the page; what it does not bring is filled in here.

An environment draws its own picture and says what can be asked of it: pure functions of a play's
replies, to HTML. All that is laid out and wired is the kit's. Its property `page` returns an
instance of a subclass of `EnvironmentView`; a property, so that a server without the page loads
none of it:

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

from openenv_kit.environment import Environment, default_task_names, get_environment
from openenv_kit.errors import truncated_repr
from openenv_kit.page.components.elements import bar_html, facts_html, humanize
from openenv_kit.page.components.row_editor import Choices, EditorColumn, EditorRow
from openenv_kit.page.components.tool_result import result_html
from openenv_kit.page.playback import Playback, PlaybackStep, playback_of_policy
from openenv_kit.page.visitor import Visitor
from openenv_kit.tool import format_tool_call

PlaybackSteps = Sequence[PlaybackStep]


@dataclass(frozen=True)
class SuggestedCall:
    """A question that can be asked with one click.

    Attributes:
        label: the question, as people ask it.
        tool, arguments: the call.
    """

    label: str
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class QuestionPanel:
    """What can be asked about the place that is selected on the picture.

    Attributes:
        title: names the place.
        groups: questions by their heading, which also tells what they cost.
        known_html: HTML of what is known of the place; empty for nothing.
        suggested_values: what arguments of any tool may be, by name; the first is filled in.
    """

    title: str
    groups: Mapping[str, Sequence[SuggestedCall]]
    known_html: str = ""
    suggested_values: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class NextStepHint:
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


class ReportEditor:
    """The report of a running episode: its fields, and the rows that replies point to.

    Args:
        visitor: who fills it in.

    Attributes:
        columns: fields of its rows.
    """

    columns: Sequence[EditorColumn] = ()

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor

    def suggested_rows(self) -> Sequence[EditorRow]:
        """Rows that the last answer, or the selected place, points to."""
        return ()

    def format_suggested_row(self, row: EditorRow) -> str:
        """An offered row in a line."""
        return ", ".join(str(value) for value in row.values())

    def complete_row(self, row: EditorRow) -> EditorRow:
        """A row with what its other fields and the replies decide."""
        return row

    def row_problem(self, row: EditorRow) -> str:
        """What is wrong with the form of a row; empty for nothing. Never whether it is right."""
        empty = [each.label for each in self.columns if row.get(each.name, "") == ""]
        return f"{empty[0]} is empty" if empty else ""

    def submit_action(self, rows: Sequence[EditorRow]) -> Mapping[str, Any]:
        """The action that hands in the report."""
        raise NotImplementedError


class EnvironmentView:
    """The generic view of any environment, and what a view of one's own may replace.

    Args:
        environment: what is played.

    Attributes:
        link_title, link_description, icon: name, one line and SVG paths (24 × 24) of the
            environment's link in the page header.
        objective: what a player is to do, in a sentence or two.
        style_folder: with a `style.css` that is added to the page's; None for none.
        reset_choices: reset arguments that are chosen in a form, by name.
    """

    style_folder: Path | None = None
    link_description = icon = ""
    reset_choices: ClassVar[Mapping[str, Sequence[str]]] = {}

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.link_title = environment.title
        self.objective = environment.description

    @cached_property
    def example_episode(self) -> Playback | None:
        """The finished play that the page opens on; by default the reference's."""
        environment = self.environment
        reset = environment.tasks[default_task_names(environment)[-1]]
        play = playback_of_policy(environment.policies["reference"], reset, environment)
        play.run_to_end(60.0)
        return play

    # What is drawn and said of a play. Until its last reply is `done`, from its replies alone.

    def overview_html(
        self,
        steps: PlaybackSteps,
        reset: Mapping[str, Any],
        selection: str = "",
        rows: Sequence[EditorRow] = (),
    ) -> str:
        """The picture of a play; empty for none.

        Args:
            steps: its replies so far.
            reset: arguments that make the episode, to explain it after its end.
            selection: what is selected.
            rows: the report so far.
        """
        return ""

    def details_html(self, visitor: Visitor) -> str:
        """What is drawn below the picture and the report."""
        return ""

    def result_headline(self, steps: PlaybackSteps) -> str:
        """What a finished play came to, in a line."""
        last = steps[-1].observation
        return f"Score {float(last.get('reward') or 0.0):.2f}"

    def score_explanation_html(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> str:
        """After the end: what was missed, with the call that shows it, and the score's parts."""
        parts = self.environment.score_components(steps[-1].observation) or {}
        bars = [
            bar_html(humanize(n), v, f"{v:.2f}") for n, v in parts.items() if isinstance(v, float)
        ]
        counts = {name: value for name, value in parts.items() if not isinstance(value, float)}
        return "".join(bars) + (facts_html(counts) if counts else "")

    # What can be asked, and reported.

    def question_panel(self, visitor: Visitor) -> QuestionPanel | None:
        """Questions about the selected place; None where tools are called by form alone."""
        return None

    def next_step_hint(self, visitor: Visitor) -> NextStepHint:
        """The move that the guide names before the report is begun."""
        return NextStepHint("Choose a tool, fill in its form, and run it.")

    def report_editor(self, visitor: Visitor) -> ReportEditor | None:
        """The report of the visitor's episode; None where none is handed in."""
        return None

    # A step in words.

    def describe_action(self, action: Mapping[str, Any]) -> str:
        """An action in one line; a recording may hold anything, so nothing is taken for granted."""
        try:
            return format_tool_call(*self.environment.tools.tool_call_of_action(action))
        except (TypeError, ValueError, AttributeError, LookupError):
            return truncated_repr(action)

    def reply_html(self, observation: Mapping[str, Any]) -> str:
        """A reply, without its status and message."""
        answer = tool_result_json(self.environment, observation).items()
        fields = {k: v for k, v in answer if k not in ("status", "message") and v}
        return result_html(fields) if fields else ""


def tool_result_json(environment: Environment, observation: Mapping[str, Any]) -> dict[str, Any]:
    """What a model would be told of an observation, JSON-ready."""
    try:
        return dict(environment.tools.format_tool_result(observation))
    except LookupError:  # of a recording that cannot be read
        return dict(observation)


def page_stylesheet(environment_view: EnvironmentView) -> str:
    """The page's style sheet, then the environment's."""
    folders = [
        Path(__file__).with_name("static"),
        *([environment_view.style_folder] if environment_view.style_folder else []),
    ]
    files = [each / "style.css" for each in folders]
    return "\n".join(each.read_text(encoding="utf-8") for each in files if each.exists())


def environment_view_of(environment: Environment | None = None) -> EnvironmentView:
    """An environment's scenes, or the generic ones.

    Args:
        environment: None for the one that is served.
    """
    chosen = environment or get_environment()
    return chosen.debugger_view or EnvironmentView(chosen)


def options_of(names: Sequence[str]) -> Choices:
    """Names as options of a drop-down."""
    return [(humanize(name), name) for name in names]
