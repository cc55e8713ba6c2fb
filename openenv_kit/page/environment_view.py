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
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from openenv_kit.environment import Environment, get_environment, list_default_task_names
from openenv_kit.errors import KitError, truncated_repr
from openenv_kit.page.components.elements import bar_html, definition_list_html, humanize
from openenv_kit.page.components.row_editor import Choices, EditorRow
from openenv_kit.page.components.tool_result import tool_result_html
from openenv_kit.page.playback import Playback, PlaybackStep, create_playback_of_policy
from openenv_kit.page.report_editor import ReportEditor
from openenv_kit.page.row_outcomes import RowOutcome
from openenv_kit.page.suggest_step import AnsweredStep, suggest_step
from openenv_kit.page.suggestions import NextStepHint, QuestionPanel, SuggestedCall
from openenv_kit.page.visitor import Visitor
from openenv_kit.reply import ReplyStatus
from openenv_kit.rollouts.policies import Action
from openenv_kit.tool import format_tool_call_for_display

PlaybackSteps = Sequence[PlaybackStep]


__all__ = [
    "EnvironmentView",
    "NextStepHint",
    "PlaybackSteps",
    "QuestionPanel",
    "ReportEditor",
    "SuggestedCall",
    "dropdown_choices",
    "get_environment_view_or_default",
    "read_page_and_environment_css",
    "tool_result_from_observation",
]


class EnvironmentView:
    """Default view of an environment. Subclasses override its methods.

    Args:
        environment: environment that the page shows.

    Attributes:
        link_title: name of the environment in the header.
        headline: question that the first screen asks.
        sentences: paragraphs of the first screen.
        example_caption: line above the finished example on the first screen.
        tool_groups: names of tools by group. Tools in none of these groups are listed separately.
        tool_titles: readable titles of tools by name; a tool without one is listed by its name.
        opening_call_count: largest number of calls that the page makes after a reset; see
            `next_opening_call`.
        preview_tool: name of the tool that checks a report's format; empty if there is none.
        style_folder: folder with a `style.css` that extends the page's style sheet; None if the
            environment has no such folder.
        example_product_file: product file that the tab "Your data" offers as an example; None if
            there is none.
        reset_choices: values that the episode form offers, by reset argument.
    """

    style_folder: Path | None = None
    example_product_file: Path | None = None
    example_caption = "A finished example."
    preview_tool = ""
    opening_call_count = 0
    tool_groups: ClassVar[Mapping[str, Sequence[str]]] = {}
    tool_titles: ClassVar[Mapping[str, str]] = {}
    reset_choices: ClassVar[Mapping[str, Sequence[str]]] = {}

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.link_title = environment.title
        self.headline = environment.title
        self.sentences: Sequence[str] = (environment.description,)

    @cached_property
    def example_episode(self) -> Playback | None:
        """Finished episode on the first screen. By default, the reference policy plays it."""
        environment = self.environment
        reset = environment.reset_arguments_by_task_id[list_default_task_names(environment)[-1]]
        return create_playback_of_policy(environment.policies["reference"], reset, environment)

    @cached_property
    def example_html(self) -> str:
        """Finished example on the first screen; empty if there is none.

        The example must not be the episode that the button on the first screen starts.
        """
        example = self.example_episode
        if example is None:
            return ""
        return self.overview_html(example.steps, example.reset)

    @property
    def example_task_id(self) -> str:
        """Id of the example's task; empty if the example is not a named task."""
        example = self.example_episode
        return str(example.reset.get("task_id") or "") if example else ""

    def count_opening_calls(self, reset_steps: PlaybackSteps) -> int:
        """Return how many opening calls the page makes in an episode.

        Args:
            reset_steps: the reset of the episode, without steps.
        """
        return self.opening_call_count

    def next_opening_call(self, steps: PlaybackSteps) -> SuggestedCall | None:
        """Return the next automatic call after a reset; None if there are no more calls.

        Args:
            steps: steps so far; the opening calls are the first ones.
        """
        return None

    def initial_selection(self, steps: PlaybackSteps) -> str:
        """Return the key of the item that is selected after the opening calls; may be empty."""
        return ""

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

    def own_table_headline(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> str:
        """Return the result of a finished episode of a visitor's table in one line."""
        return self.result_headline(steps)

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

    def suggest_next_step(self, visitor: Visitor) -> NextStepHint:
        """Return the suggested next step of a running episode.

        It must depend only on the replies that the visitor has received.
        """
        return NextStepHint("Choose a tool, fill in its form, and run it.", "Go to the tools")

    def suggest_action(self, visitor: Visitor) -> Action | None:
        """Return the reference policy's first action whose reply the visitor has not received."""
        opening, *steps = visitor.playback_steps
        answered = [
            AnsweredStep(
                step.action, step.observation, is_read_only=self.is_read_only_action(step.action)
            )
            for step in steps
        ]
        policy = self.environment.policies["reference"]
        return suggest_step(policy, opening.observation, answered)

    def is_read_only_action(self, action: Mapping[str, Any]) -> bool:
        """Return whether an action leaves the episode unchanged; True if it is malformed."""
        try:
            name = self.environment.tools.tool_call_of_action(action).name
            return self.environment.tools.find_tool(name).is_read_only
        except (KitError, TypeError, ValueError, AttributeError, LookupError):
            return True

    def suggested_report(self, visitor: Visitor) -> Sequence[EditorRow] | None:
        """Return the rows of the suggested report; None if a call is suggested instead."""
        return None

    def selection_after_call(self, visitor: Visitor, arguments: Mapping[str, Any]) -> str:
        """Return the selection after a tool call, such as the day that the call was about.

        Args:
            visitor: the visitor, after the call.
            arguments: arguments of the call.
        """
        return visitor.selection

    def anomaly_count_text(self, reset_observation: Mapping[str, Any]) -> str:
        """Return the number of anomalies as text; empty if it is not in the reset observation."""
        return ""

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
        """Return a short description of a reply, such as "28 rows"."""
        if observation.get("status") == ReplyStatus.ERROR:
            return str(observation.get("message") or "rejected")
        if observation.get("done") and observation.get("message"):
            return str(observation["message"])
        answer = tool_result_from_observation(self.environment, observation)
        result = answer.get("result", answer)
        if isinstance(result, Mapping):
            for name, value in result.items():
                if isinstance(value, list) and value:
                    return f"{len(value)} {humanize(name)}"
        return str(observation.get("message") or "")

    def row_outcomes(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> Sequence[RowOutcome]:
        """Return the outcome of each expected or reported row of a recorded rollout.

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
