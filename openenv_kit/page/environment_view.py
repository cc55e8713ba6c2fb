"""Interface for environments to customize their page in the debugger.

An environment view renders HTML from the replies of an episode; the kit provides the layout and
handles events. The environment's property `debugger_view` returns an instance of a subclass of
`EnvironmentView`. It is a property, so that the view is not loaded if the debugger is disabled:

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

from openenv_kit.environment import Environment, get_environment, list_default_task_names
from openenv_kit.errors import truncated_repr
from openenv_kit.page.components.elements import bar_html, definition_list_html, humanize
from openenv_kit.page.components.row_editor import Choices, EditorColumn, EditorRow
from openenv_kit.page.components.tool_result import tool_result_html
from openenv_kit.page.playback import Playback, PlaybackStep, playback_of_policy
from openenv_kit.page.row_outcomes import RowOutcome
from openenv_kit.page.visitor import Visitor
from openenv_kit.reply import ReplyStatus
from openenv_kit.tool import format_tool_call_for_display

PlaybackSteps = Sequence[PlaybackStep]


@dataclass(frozen=True)
class SuggestedCall:
    """A tool call that a visitor can make with one click.

    Attributes:
        label: the question that the call answers, in plain language.
        tool: name of the tool.
        arguments: arguments of the call.
    """

    label: str
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class QuestionPanel:
    """Suggested tool calls for the item that is selected in the overview.

    Attributes:
        title: name of the selected item.
        groups: suggested calls by heading. Each heading states the cost of its calls.
        known_html: HTML of the values that are already known for the selected item; may be empty.
        suggested_values: values that the tool forms suggest, by argument name. The first value of
            each argument is filled in.
    """

    title: str
    groups: Mapping[str, Sequence[SuggestedCall]]
    known_html: str = ""
    suggested_values: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class NextStepHint:
    """The suggested next step, and the primary button of the status line.

    Attributes:
        text: the suggestion.
        label: label of the button.
        event: page event that the button sends. `go` moves the focus to another element.
        value: value of the event; for `go`, a CSS selector of the element.
    """

    text: str
    label: str = "Go to the tools"
    event: str = "go"
    value: str = "#mt-bench"


class ReportEditor:
    """Editor for the report of a running episode. Subclasses define columns and validation.

    Args:
        visitor: visitor who edits the report.

    Attributes:
        columns: columns of the report.
    """

    columns: Sequence[EditorColumn] = ()

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor

    def suggested_rows(self) -> Sequence[EditorRow]:
        """Return rows that the visitor may want to add after the last reply or selection."""
        return ()

    def format_suggested_row(self, row: EditorRow) -> str:
        """Return a suggested row as one line of text."""
        return ", ".join(str(value) for value in row.values())

    def fill_row_from_known_values(self, row: EditorRow) -> EditorRow:
        """Return a row with its derived fields filled in, from its other fields and the replies."""
        return row

    def explain_why_row_cannot_be_submitted(self, row: EditorRow) -> str:
        """Return why a row cannot be submitted, such as "severity is empty"; otherwise "".

        The check covers only the format of the row, not whether its values are correct.
        """
        empty = [each.label for each in self.columns if row.get(each.name, "") == ""]
        return f"{empty[0]} is empty" if empty else ""

    def build_submit_action(self, rows: Sequence[EditorRow]) -> Mapping[str, Any]:
        """Return the action that submits the report."""
        raise NotImplementedError


class EnvironmentView:
    """Default view of an environment. Subclasses override its methods.

    Args:
        environment: environment that the page shows.

    Attributes:
        link_title: title of the environment's link in the header.
        link_description: one-line description in the link.
        icon: SVG paths of the link's icon, 24 × 24 pixels.
        objective: task of the player, in one or two sentences.
        style_folder: folder with a `style.css` that extends the page's style sheet; None if the
            environment has no such folder.
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
        reset = environment.reset_arguments_by_task_id[list_default_task_names(environment)[-1]]
        play = playback_of_policy(environment.policies["reference"], reset, environment)
        play.read_steps_to_end_and_show_last(60.0)
        return play

    def overview_html(
        self,
        steps: PlaybackSteps,
        reset: Mapping[str, Any],
        selection: str = "",
        rows: Sequence[EditorRow] = (),
    ) -> str:
        """Return the HTML overview of an episode; empty if the environment has no overview.

        Until the episode ends, the overview must show only information that the replies contain.

        Args:
            steps: steps so far.
            reset: reset arguments of the episode. After the end, the correct report can be
                computed from them.
            selection: key of the selected item; empty if no item is selected.
            rows: rows of the report so far.
        """
        return ""

    def details_html(self, visitor: Visitor) -> str:
        """Return additional HTML to show below the overview and the report."""
        return ""

    def result_headline(self, steps: PlaybackSteps) -> str:
        """Return the result of a finished episode in one line."""
        last = steps[-1].observation
        return f"Score {float(last.get('reward') or 0.0):.2f}"

    def score_explanation_html(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> str:
        """Return HTML that explains a finished episode's score."""
        parts = self.environment.extract_score_components(steps[-1].observation) or {}
        bars = [
            bar_html(humanize(n), v, f"{v:.2f}") for n, v in parts.items() if isinstance(v, float)
        ]
        counts = {name: value for name, value in parts.items() if not isinstance(value, float)}
        return "".join(bars) + (definition_list_html(counts) if counts else "")

    def question_panel(self, visitor: Visitor) -> QuestionPanel | None:
        """Return the suggested tool calls for the selection; None if there are no suggestions."""
        return None

    def next_step_hint_for_empty_report(self, visitor: Visitor) -> NextStepHint:
        """Return the suggested next step of an episode whose report is empty."""
        return NextStepHint("Choose a tool, fill in its form, and run it.")

    def report_editor(self, visitor: Visitor) -> ReportEditor | None:
        """Return the editor of the visitor's report; None if the environment has no reports."""
        return None

    def format_action_for_display(self, action: Mapping[str, Any]) -> str:
        """Return a one-line description of an action, which may be malformed in a recording."""
        try:
            return format_tool_call_for_display(*self.environment.tools.tool_call_of_action(action))
        except (TypeError, ValueError, AttributeError, LookupError):
            return truncated_repr(action)

    def finding_text(self, observation: Mapping[str, Any]) -> str:
        """Return what a reply contained, in a few words, such as "28 rows"."""
        if observation.get("status") == ReplyStatus.ERROR:
            return str(observation.get("message") or "rejected")
        answer = tool_result_from_observation(self.environment, observation)
        result = answer.get("result", answer)
        if isinstance(result, Mapping):
            for name, value in result.items():
                if isinstance(value, list) and value:
                    return f"{len(value)} {humanize(name)}"
        return str(observation.get("message") or "")

    def row_outcomes(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> Sequence[RowOutcome]:
        """Return what became of each expected and each reported row of a recorded rollout.

        Args:
            steps: all steps of the rollout, which may have ended without a report.
            reset: reset arguments of the episode, from which the expected rows are computed.
        """
        return ()

    def reply_html_without_status_and_message(self, observation: Mapping[str, Any]) -> str:
        """Return the HTML of a reply, excluding its status and message."""
        answer = tool_result_from_observation(self.environment, observation).items()
        fields = {k: v for k, v in answer if k not in ("status", "message") and v}
        return tool_result_html(fields) if fields else ""


def tool_result_from_observation(
    environment: Environment, observation: Mapping[str, Any]
) -> dict[str, Any]:
    """Convert an observation to the tool result that a model would read, as JSON values."""
    try:
        return dict(environment.tools.format_tool_result(observation))
    except LookupError:  # The observation comes from a damaged recording.
        return dict(observation)


def read_page_and_environment_css(environment_view: EnvironmentView) -> str:
    """Return the CSS of the page's style sheets, followed by the environment's CSS."""
    files = sorted(Path(__file__).with_name("static").glob("*.css"))
    if environment_view.style_folder:
        files.append(environment_view.style_folder / "style.css")
    return "\n".join(each.read_text(encoding="utf-8") for each in files if each.exists())


def get_environment_view_or_default(environment: Environment | None = None) -> EnvironmentView:
    """Return the view of an environment, or the default view.

    Args:
        environment: the environment; None to use the variable ENVIRONMENT.
    """
    chosen = environment or get_environment()
    return chosen.debugger_view or EnvironmentView(chosen)


def dropdown_choices(names: Sequence[str]) -> Choices:
    """Return drop-down options for names; the labels have spaces instead of underscores."""
    return [(humanize(name), name) for name in names]
