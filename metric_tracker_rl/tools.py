"""The funnel's tool catalogue and system prompts, the same through every interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from metric_tracker_rl.analysis_tools import ANALYSIS_TOOLS_BY_MODE, VARIED_TOOLS
from metric_tracker_rl.analysis_tools.arguments import PayloadArguments
from metric_tracker_rl.analysis_tools.lean import SUBMIT_TOOL
from metric_tracker_rl.engine.configuration.play_rules import has_drawn_policy, play_mode
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.definitions.names import GUIDED, LEAN, RAW, STANDARD
from metric_tracker_rl.engine.report.parse_report import MAX_REPORT_ROWS
from metric_tracker_rl.wire_models import MetricSubmissionRow
from openenv_kit.json_text import compact_json
from openenv_kit.reply import ReplyStatus
from openenv_kit.schema import json_schema
from openenv_kit.tool import Action, Catalogue, Tool, ToolArguments, ToolCall

SUBMIT_SOLUTION = "submit_solution"
SUBMIT_GENERATORS = "submit_payload_generator"
OVERVIEW_METHOD = "task_overview"


def _build_system_prompt(tools: str, reading_steps: str, decision: str, submission: str) -> str:
    """Return a system prompt. It contains no answer and no hint about scoring.

    Args:
        tools: what kind of tools the model has.
        reading_steps: how to read the data, as list items.
        decision: what to decide for each date.
        submission: how to submit, and what a submission does.
    """
    return f"""\
You are a careful product analyst. You can see a product funnel's data through {tools} only. \
Find every row that the reporting policy asks for, and report exactly these: roots, not their \
consequences.

How to work:
{reading_steps}
- Decide for each date, in the policy's order, {decision}.
- Then {submission} An empty report is right if there is nothing to report.
Answer with tool calls; text alone has no effect."""


_WHICH_ROWS = "which rows it asks for"
_OVERVIEW_STEP = """\
- Start with task_overview: it states the thresholds, the severity bands and the fields of a \
report row; with details it repeats the policy."""
_NO_FLAGS_NOTICE = """None of them says what is flagged: compute it from these values, \
and read the hours of every date."""
_SUBMISSION_ENDS_EPISODE = "this ends the episode and is scored from 0 to 1."

SYSTEM_PROMPT = _build_system_prompt(
    "read-only tools",
    f"""{_OVERVIEW_STEP}
- Read the data with the other tools, with several calls in one message where that helps. Take \
baselines and observed values from tool results; never guess or round them.""",
    _WHICH_ROWS,
    f"submit once: {SUBMIT_SOLUTION} with your rows, or {SUBMIT_GENERATORS} if row generators "
    "give exactly the right rows. A submission ends the episode and is scored from 0 to 1.",
)
"""System prompt of the standard profile with guided disclosure."""

LEAN_SYSTEM_PROMPT = _build_system_prompt(
    "tools",
    """\
- scan lists every flagged series by date, roots and consequences, each with an id; calendar \
lists public events. The other tools show the values; overview with details repeats the policy.""",
    "which of these are roots",
    f"{SUBMIT_TOOL} the roots' ids, once: {_SUBMISSION_ENDS_EPISODE}",
)
"""System prompt of the lean profile with guided disclosure."""

RAW_SYSTEM_PROMPT = _build_system_prompt(
    "read-only tools",
    f"""{_OVERVIEW_STEP}
- The other tools show values, medians, hours and public events. {_NO_FLAGS_NOTICE}""",
    _WHICH_ROWS,
    f"submit once, {SUBMIT_SOLUTION} with your rows: {_SUBMISSION_ENDS_EPISODE}",
)
"""System prompt of the standard profile with raw disclosure."""

RAW_LEAN_SYSTEM_PROMPT = _build_system_prompt(
    "tools",
    f"""\
- overview shows medians and thresholds, day the values of given dates, hours their hourly counts, \
calendar public events. {_NO_FLAGS_NOTICE}""",
    _WHICH_ROWS,
    f"{SUBMIT_TOOL} your rows, once: {_SUBMISSION_ENDS_EPISODE}",
)
"""System prompt of the lean profile with raw disclosure."""

SYSTEM_PROMPTS = {
    (STANDARD, GUIDED): SYSTEM_PROMPT,
    (LEAN, GUIDED): LEAN_SYSTEM_PROMPT,
    (STANDARD, RAW): RAW_SYSTEM_PROMPT,
    (LEAN, RAW): RAW_LEAN_SYSTEM_PROMPT,
}
"""System prompts by profile and disclosure."""

_FIRST_MESSAGE_FIELDS = ("start_date", "end_date", "days", "max_steps", "max_submissions")
_GRADE_FIELDS = ("reward_breakdown", "submission_issues")
PROSE_FIELDS = frozenset(
    {
        "available_methods",
        "available_synthetic_generator_methods",
        "available_tasks",
        "description",
        "instruction",
        "message",
        "notes",
        "objective",
    }
)
"""Names of the observation fields that contain text for the player, or lists of tools."""
_REPEATED_OVERVIEW_FIELDS = ("instruction", "dates", "entities", "available_methods")
"""Fields of an overview that the first user message or the tools contain, or other tools return."""


def system_prompt(episode: Mapping[str, Any] | None = None) -> str:
    """Return the system prompt of an episode.

    Args:
        episode: the reset observation or the reset arguments; None for a reset without arguments.
    """
    return SYSTEM_PROMPTS[play_mode(episode or {})]


def first_user_message(reset_observation: Mapping[str, Any]) -> str:
    """Return the first user message: the task, the policy, the episode's frame and thresholds."""
    config = reset_observation["config"]
    frame = {name: config[name] for name in _FIRST_MESSAGE_FIELDS}
    message = f"{reset_observation['instruction']}\n\nEpisode: {compact_json(frame)}."
    count = reset_observation.get("expected_row_count")
    if count:
        message += f" The right report has {count} rows."
    profile, _ = play_mode(reset_observation)
    # The policy text of the lean profile contains the thresholds.
    if profile != LEAN:
        message += f" Thresholds: {compact_json(config['thresholds'])}."
    return message


def tool_call_of_action(action: Mapping[str, Any]) -> ToolCall:
    """Return the tool call that an action corresponds to."""
    if action.get("analysis_method") is not None:
        return ToolCall(str(action["analysis_method"]), dict(action.get("analysis_args") or {}))
    if action.get("payload_generators"):
        return ToolCall(SUBMIT_GENERATORS, {"generator_methods": action["payload_generators"]})
    return ToolCall(SUBMIT_SOLUTION, {"rows": action.get("classifications", [])})


def format_tool_result(observation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tool result that a model receives: the message, and the result or the grade.

    Without details, the result of an overview omits fields that the model can read elsewhere.
    Clients receive the complete observation.
    """
    tool_result: dict[str, Any] = {
        "status": observation["status"],
        "message": observation["message"],
    }
    if observation["status"] == ReplyStatus.ERROR:
        return tool_result
    analysis = observation.get("analysis_result")
    if analysis:
        fields = analysis["result"]
        if analysis["method"] == OVERVIEW_METHOD and not analysis["arguments"].get("details"):
            fields = {
                name: value
                for name, value in fields.items()
                if name not in _REPEATED_OVERVIEW_FIELDS
            }
        tool_result["result"] = fields
    tool_result.update({name: observation[name] for name in _GRADE_FIELDS if observation.get(name)})
    return tool_result


def observation_from_messages(
    first_message: str, tool_result: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the observation behind a model's messages, with the fields that policies read.

    Args:
        first_message: the first user message. Without a dataset it starts with the system prompt.
        tool_result: the last tool result; None at the start of the episode.
    """
    if tool_result is None:
        for prompt in SYSTEM_PROMPTS.values():
            if first_message.startswith(prompt):
                return {"instruction": first_message.removeprefix(prompt).lstrip()}
        return {"instruction": first_message.lstrip()}
    observation = dict(tool_result)
    if "result" in observation:
        observation["analysis_result"] = {"result": observation.pop("result")}
    return observation


class SolutionArguments(ToolArguments):
    """Arguments of `submit_solution`. An invalid row does not make the others invalid."""

    rows: Annotated[
        list[Any],
        Field(
            max_length=MAX_REPORT_ROWS,
            description="every row of the report; empty if there is no anomaly",
            json_schema_extra={"items": json_schema(MetricSubmissionRow, ORDERING_APP)},
        ),
    ]


SUBMIT_SOLUTION_TOOL = Tool(
    SUBMIT_SOLUTION,
    "Submit the final report, row by row. This ends the episode.",
    SolutionArguments,
    is_read_only=False,
    is_final=True,
)
SUBMIT_GENERATORS_TOOL = Tool(
    SUBMIT_GENERATORS,
    "Submit the rows of row generators as the final report. This ends the episode. "
    "Rows of dates that no method has shown you are invalid.",
    PayloadArguments,
    is_read_only=False,
    is_final=True,
    vocabulary=ORDERING_APP,
)

TOOLS_BY_MODE = {
    (STANDARD, GUIDED): (
        *ANALYSIS_TOOLS_BY_MODE[STANDARD, GUIDED].values(),
        SUBMIT_SOLUTION_TOOL,
        SUBMIT_GENERATORS_TOOL,
    ),
    (LEAN, GUIDED): tuple(ANALYSIS_TOOLS_BY_MODE[LEAN, GUIDED].values()),
    (STANDARD, RAW): (*ANALYSIS_TOOLS_BY_MODE[STANDARD, RAW].values(), SUBMIT_SOLUTION_TOOL),
    (LEAN, RAW): tuple(ANALYSIS_TOOLS_BY_MODE[LEAN, RAW].values()),
}
"""Tools by profile and disclosure."""
DEFAULT_TOOLS = TOOLS_BY_MODE[STANDARD, GUIDED]
"""Tools of a reset without arguments: the analysis methods, and two ways to submit."""
DEFAULT_VARIED_TOOLS = (*VARIED_TOOLS.values(), SUBMIT_SOLUTION_TOOL, SUBMIT_GENERATORS_TOOL)
"""The same tools for an episode whose reporting policy is drawn."""


def action_of_tool_call(name: str, arguments: Mapping[str, Any]) -> Action:
    """Return the action of a tool call."""
    if name == SUBMIT_SOLUTION:
        return {"classifications": arguments["rows"]}
    if name == SUBMIT_GENERATORS:
        return {"payload_generators": arguments["generator_methods"]}
    return {"analysis_method": name, "analysis_args": dict(arguments)}


def select_tools(episode: Mapping[str, Any]) -> Sequence[Tool]:
    """Return the tools that an episode offers.

    Args:
        episode: the reset observation, the reset arguments or the state.
    """
    tools = TOOLS_BY_MODE[play_mode(episode)]
    return DEFAULT_VARIED_TOOLS if tools is DEFAULT_TOOLS and has_drawn_policy(episode) else tools


CATALOGUE = Catalogue(
    tools=tuple(tool for tools in TOOLS_BY_MODE.values() for tool in tools),
    format_tool_result=format_tool_result,
    first_user_message=first_user_message,
    observation_from_messages=observation_from_messages,
    action_of_tool_call=action_of_tool_call,
    tool_call_of_action=tool_call_of_action,
    prose_fields=PROSE_FIELDS,
    select_tools=select_tools,
)
"""Every tool of every profile and disclosure, with the functions that format messages."""
