"""Views with which an environment customizes its page in the debugger.

An environment view renders HTML from the replies of an episode; layout and events belong to the
kit. The environment's property `debugger_view` returns an instance of a subclass of
`EnvironmentView`. It is a property, so that a server without the debugger does not load the view:

```python
@property
def debugger_view(self) -> EnvironmentView:
    from my_environment.page import MyView

    return MyView(self)
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
from openenv_kit.page.components.elements import bar_html, definition_list_html, humanize
from openenv_kit.page.components.row_editor import Choices, EditorColumn, EditorRow
from openenv_kit.page.components.tool_result import tool_result_html
from openenv_kit.page.playback import Playback, PlaybackStep, playback_of_policy
from openenv_kit.page.visitor import Visitor
from openenv_kit.tool import format_tool_call_for_display

PlaybackSteps = Sequence[PlaybackStep]


@dataclass(frozen=True)
class SuggestedCall:
    """A tool call that a visitor can make with one click.

    Attributes:
        label: the question that the call answers, in plain language.
        tool: name of the tool.
        arguments: its arguments.
    """

    label: str
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class QuestionPanel:
    """Suggested tool calls for the item that is selected in the overview.

    Attributes:
        title: name of the selection.
        groups: calls by heading. The heading contains their cost.
        known_html: HTML of the known values of the selection; empty for none.
        suggested_values: values that the tool forms offer, by argument; the first is filled in.
    """

    title: str
    groups: Mapping[str, Sequence[SuggestedCall]]
    known_html: str = ""
    suggested_values: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class NextStepHint:
    """The suggested next step, and the primary button of the status line.

    Attributes:
        text: the suggestion, in words.
        label: label of the button.
        event, value: page event of the button. With `go`, the value is a CSS selector, whose first
            element gets the focus.
    """

    text: str
    label: str = "Go to the tools"
    event: str = "go"
    value: str = "#mt-bench"


class ReportEditor:
    """The report of a running episode: its columns, and rows that replies suggest.

    Args:
        visitor: visitor who edits the report.

    Attributes:
        columns: columns of its rows.
    """

    columns: Sequence[EditorColumn] = ()

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor

    def suggested_rows(self) -> Sequence[EditorRow]:
        """Return the rows that the last reply or the selection suggests."""
        return ()

    def format_suggested_row(self, row: EditorRow) -> str:
        """Return a suggested row as one line of text."""
        return ", ".join(str(value) for value in row.values())

    def complete_row(self, row: EditorRow) -> EditorRow:
        """Return a row with the values that its other fields and the replies determine."""
        return row

    def row_problem(self, row: EditorRow) -> str:
        """Return why a row cannot be submitted, such as an empty field; empty if it can.

        A row with a wrong answer has no problem.
        """
        empty = [each.label for each in self.columns if row.get(each.name, "") == ""]
        return f"{empty[0]} is empty" if empty else ""

    def submit_action(self, rows: Sequence[EditorRow]) -> Mapping[str, Any]:
        """Return the action that submits the report."""
        raise NotImplementedError


class EnvironmentView:
    """Default view of an environment. Subclasses override its methods.

    Args:
        environment: the environment.

    Attributes:
        link_title, link_description, icon: name, one line of text and SVG paths (24 × 24) of the
            environment's link in the header.
        objective: what a player has to do, in one or two sentences.
        style_folder: folder with a `style.css` that is added to the page's; None for none.
        reset_choices: values that the episode form offers, by reset argument.
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
        """Finished episode that the page shows first. By default, the reference policy plays it."""
        environment = self.environment
        reset = environment.reset_arguments_by_task_id[default_task_names(environment)[-1]]
        play = playback_of_policy(environment.policies["reference"], reset, environment)
        play.run_to_end(60.0)
        return play

    def overview_html(
        self,
        steps: PlaybackSteps,
        reset: Mapping[str, Any],
        selection: str = "",
        rows: Sequence[EditorRow] = (),
    ) -> str:
        """Return the overview of an episode; empty if the environment has none.

        Before the end of the episode, it must not contain more than the replies.

        Args:
            steps: steps so far.
            reset: reset arguments of the episode; its answers can be computed from them.
            selection: key of the selected item; empty for none.
            rows: rows of the report so far.
        """
        return ""

    def details_html(self, visitor: Visitor) -> str:
        """Return the HTML that is shown below the overview and the report."""
        return ""

    def result_headline(self, steps: PlaybackSteps) -> str:
        """Return the result of a finished episode in one line."""
        last = steps[-1].observation
        return f"Score {float(last.get('reward') or 0.0):.2f}"

    def score_explanation_html(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> str:
        """Return the explanation of a finished episode's score."""
        parts = self.environment.score_components(steps[-1].observation) or {}
        bars = [
            bar_html(humanize(n), v, f"{v:.2f}") for n, v in parts.items() if isinstance(v, float)
        ]
        counts = {name: value for name, value in parts.items() if not isinstance(value, float)}
        return "".join(bars) + (definition_list_html(counts) if counts else "")

    def question_panel(self, visitor: Visitor) -> QuestionPanel | None:
        """Return the suggested tool calls for the selection; None if there are no suggestions."""
        return None

    def next_step_hint(self, visitor: Visitor) -> NextStepHint:
        """Return the suggested next step of an episode whose report is empty."""
        return NextStepHint("Choose a tool, fill in its form, and run it.")

    def report_editor(self, visitor: Visitor) -> ReportEditor | None:
        """Return the editor of the visitor's report; None if the environment has no reports."""
        return None

    def describe_action(self, action: Mapping[str, Any]) -> str:
        """Return an action in one line. Malformed actions of a recording are allowed."""
        try:
            return format_tool_call_for_display(*self.environment.tools.tool_call_of_action(action))
        except (TypeError, ValueError, AttributeError, LookupError):
            return truncated_repr(action)

    def reply_html(self, observation: Mapping[str, Any]) -> str:
        """Return the HTML of a reply, without its status and message."""
        answer = tool_result_from_observation(self.environment, observation).items()
        fields = {k: v for k, v in answer if k not in ("status", "message") and v}
        return tool_result_html(fields) if fields else ""


def tool_result_from_observation(
    environment: Environment, observation: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the tool result that a model would read, as JSON values."""
    try:
        return dict(environment.tools.format_tool_result(observation))
    except LookupError:  # The observation comes from a damaged recording.
        return dict(observation)


def read_page_stylesheet(environment_view: EnvironmentView) -> str:
    """Read the page's style sheet, followed by the environment's."""
    folders = [
        Path(__file__).with_name("static"),
        *([environment_view.style_folder] if environment_view.style_folder else []),
    ]
    files = [each / "style.css" for each in folders]
    return "\n".join(each.read_text(encoding="utf-8") for each in files if each.exists())


def get_environment_view(environment: Environment | None = None) -> EnvironmentView:
    """Return the view of an environment, or the default view if it has none.

    Args:
        environment: the environment; None for the one that ENVIRONMENT names.
    """
    chosen = environment or get_environment()
    return chosen.debugger_view or EnvironmentView(chosen)


def dropdown_choices(names: Sequence[str]) -> Choices:
    """Return the choices of a drop-down, labelled with the names as words."""
    return [(humanize(name), name) for name in names]
