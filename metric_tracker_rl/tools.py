"""The tools and the words that every model is given, whatever the door it comes through."""

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


def _build_system_prompt(
    tools: str, reading_steps: str, decision: str, submission: str, report_unit: str = "rows"
) -> str:
    """A system prompt of funnel episodes. It holds no answer and no scoring trick.

    Args:
        tools: what the data are seen through.
        reading_steps: how to look at them, as items of a list.
        decision: what to decide for each date.
        submission: how to submit, and what that does.
        report_unit: what an empty report has none of.
    """
    return f"""\
You are a careful product analyst. You are given a product funnel's data, which you can see \
through {tools} only. Find every row that the reporting policy asks for, and report \
exactly these: roots, not their echoes.

How to work:
{reading_steps}
- Decide for each date, in the policy's order, {decision}.
- Then {submission} A report without {report_unit} is right where there is nothing to report.
Answer with tool calls; text alone does nothing."""


_WHICH_ROWS = "which rows it asks for"
_OVERVIEW_STEP = """\
- Start with task_overview: it states the thresholds, the severity bands and the fields of a \
report row; with details it repeats the policy."""
_NO_FLAGS_NOTICE = """None of them says what is flagged: compute it from these values, \
and look at the hours of every date."""
_SUBMISSION_ENDS_EPISODE = "it ends the episode and is scored from 0 to 1."

SYSTEM_PROMPT = _build_system_prompt(
    "read-only tools",
    f"""{_OVERVIEW_STEP}
- Look at the data with the other tools, several calls in one answer where that helps. Take \
baselines and observed values from tool replies; never guess or round them.""",
    _WHICH_ROWS,
    f"submit once: {SUBMIT_SOLUTION} with your rows, or {SUBMIT_GENERATORS} if row generators "
    "make exactly the right rows. A submission ends the episode and is scored from 0 to 1.",
)

LEAN_SYSTEM_PROMPT = _build_system_prompt(
    "tools",
    """\
- scan lists what is flagged on each date, roots and echoes alike, each with an id; calendar \
lists what is publicly known. The other tools show the numbers behind it; overview with details \
repeats the policy.""",
    "which of these are roots",
    f"{SUBMIT_TOOL} the roots' ids, once: {_SUBMISSION_ENDS_EPISODE}",
    "ids",
)
"""In the lean profile."""

RAW_SYSTEM_PROMPT = _build_system_prompt(
    "read-only tools",
    f"""{_OVERVIEW_STEP}
- The other tools show values, medians, hours and what is publicly known. {_NO_FLAGS_NOTICE}""",
    _WHICH_ROWS,
    f"submit once, {SUBMIT_SOLUTION} with your rows: {_SUBMISSION_ENDS_EPISODE}",
)
"""With raw disclosure."""

RAW_LEAN_SYSTEM_PROMPT = _build_system_prompt(
    "tools",
    f"""\
- overview tells medians and thresholds, day the values of some dates, hours their hourly counts, \
calendar what is publicly known. {_NO_FLAGS_NOTICE}""",
    _WHICH_ROWS,
    f"{SUBMIT_TOOL} your rows, once: {_SUBMISSION_ENDS_EPISODE}",
)
"""With raw disclosure in the lean profile."""

SYSTEM_PROMPTS = {
    (STANDARD, GUIDED): SYSTEM_PROMPT,
    (LEAN, GUIDED): LEAN_SYSTEM_PROMPT,
    (STANDARD, RAW): RAW_SYSTEM_PROMPT,
    (LEAN, RAW): RAW_LEAN_SYSTEM_PROMPT,
}
"""The system prompt of each profile and disclosure."""

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
"""Names of the observation fields that hold text for the player, lists of tools included."""
_REPEATED_OVERVIEW_FIELDS = ("instruction", "dates", "entities", "available_methods")
"""Of an overview: what a model has read in the opening or among its tools, or can ask for alone."""


def system_prompt(episode: Mapping[str, Any] | None = None) -> str:
    """The system prompt of an episode, by its reset's observation or arguments."""
    return SYSTEM_PROMPTS[play_mode(episode or {})]


def first_user_message(reset_observation: Mapping[str, Any]) -> str:
    """The first user message: the task, the rules of the answer and the episode's frame."""
    config = reset_observation["config"]
    frame = {name: config[name] for name in _FIRST_MESSAGE_FIELDS}
    count = reset_observation.get("expected_row_count")
    hint = f" The right report has {count} rows." if count else ""
    if (
        play_mode(reset_observation)[0] == LEAN
    ):  # whose policy names the thresholds, and is told here alone
        return f"{reset_observation['instruction']}\n\nEpisode: {compact_json(frame)}.{hint}"
    return (
        f"{reset_observation['instruction']}\n\nEpisode: {compact_json(frame)}.{hint} "
        f"Thresholds: {compact_json(config['thresholds'])}."
    )


def tool_call_of_action(action: Mapping[str, Any]) -> ToolCall:
    """Name and arguments of the tool call that an action stands for."""
    if action.get("analysis_method") is not None:
        return ToolCall(str(action["analysis_method"]), dict(action.get("analysis_args") or {}))
    if action.get("payload_generators"):
        return ToolCall(SUBMIT_GENERATORS, {"generator_methods": action["payload_generators"]})
    return ToolCall(SUBMIT_SOLUTION, {"rows": action.get("classifications", [])})


def format_tool_result(observation: Mapping[str, Any]) -> dict[str, Any]:
    """What a model is told of an observation: the message, and the result or the grade.

    Without details, an overview leaves out what a model knows already; clients see all of it.
    """
    reply: dict[str, Any] = {"status": observation["status"], "message": observation["message"]}
    if observation["status"] == ReplyStatus.ERROR:
        return reply
    analysis = observation.get("analysis_result")
    if analysis:
        reply["result"] = analysis["result"]
        if analysis["method"] == OVERVIEW_METHOD and not analysis["arguments"].get("details"):
            result = analysis["result"].items()
            reply["result"] = {
                name: of for name, of in result if name not in _REPEATED_OVERVIEW_FIELDS
            }
    reply.update({name: observation[name] for name in _GRADE_FIELDS if observation.get(name)})
    return reply


def observation_from_messages(
    first_message: str, tool_result: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The observation behind an answer, as far as scripted policies read it."""
    if tool_result is None:
        # Where there is no dataset, the rules stand before it.
        shorter = (first_message.removeprefix(rules) for rules in SYSTEM_PROMPTS.values())
        return {"instruction": min(shorter, key=len).lstrip()}
    seen = dict(tool_result)
    if "result" in seen:
        seen["analysis_result"] = {"result": seen.pop("result")}
    return seen


class SolutionArguments(ToolArguments):
    """A report, row by row; a wrong row is graded as invalid and does not spoil the others."""

    rows: Annotated[
        list[Any],
        Field(
            max_length=MAX_REPORT_ROWS,
            description="every row of the report; empty where there is no anomaly",
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
    "Submit the rows that row generators make as the final report. This ends the episode. "
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
"""Those of a reset without arguments: the analysis methods, and two ways to submit."""
DEFAULT_VARIED_TOOLS = (*VARIED_TOOLS.values(), SUBMIT_SOLUTION_TOOL, SUBMIT_GENERATORS_TOOL)
"""The same where the reporting policy is drawn."""


def action_of_tool_call(name: str, arguments: Mapping[str, Any]) -> Action:
    """The action of a tool call."""
    if name == SUBMIT_SOLUTION:
        return {"classifications": arguments["rows"]}
    if name == SUBMIT_GENERATORS:
        return {"payload_generators": arguments["generator_methods"]}
    return {"analysis_method": name, "analysis_args": dict(arguments)}


def select_tools(episode: Mapping[str, Any]) -> Sequence[Tool]:
    """The tools that an episode offers, by its reset's observation or arguments, or its state."""
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
"""Every tool of every profile and disclosure."""
