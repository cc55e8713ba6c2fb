"""The tools and the words that every model is given, whatever the door it comes through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from metric_tracker_rl.analysis_tools import TOOLS_OF, VARIED_TOOLS
from metric_tracker_rl.analysis_tools.arguments import PayloadArguments
from metric_tracker_rl.analysis_tools.lean import SUBMIT
from metric_tracker_rl.engine.configuration.play_rules import is_varied, mode_of
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.definitions.names import GUIDED, LEAN, RAW, STANDARD
from metric_tracker_rl.engine.report.parse_report import MAX_ROWS
from metric_tracker_rl.wire_models import MetricSubmissionRow
from openenv_kit.environment import ERROR
from openenv_kit.schema import json_schema
from openenv_kit.tool import Action, Arguments, Catalogue, Tool, compact

SUBMIT_SOLUTION = "submit_solution"
SUBMIT_GENERATORS = "submit_payload_generator"
OVERVIEW = "task_overview"


def _brief(tools: str, looks: str, decides: str, submits: str, without: str = "rows") -> str:
    """A system prompt of funnel episodes. It holds no answer and no scoring trick.

    Args:
        tools: what the data are seen through.
        looks: how to look at them, as items of a list.
        decides: what to decide for each date.
        submits: how to submit, and what that does.
        without: what an empty report has none of.
    """
    return f"""\
You are a careful product analyst. You are given a product funnel's data, which you can see \
through {tools} only. Find every row that the reporting policy asks for, and report \
exactly these: roots, not their echoes.

How to work:
{looks}
- Decide for each date, in the policy's order, {decides}.
- Then {submits} A report without {without} is right where there is nothing to report.
Answer with tool calls; text alone does nothing."""


_WHICH_ROWS = "which rows it asks for"
_OVERVIEW = """\
- Start with task_overview: it states the thresholds, the severity bands and the fields of a \
report row; with details it repeats the policy."""
_UNFLAGGED = """None of them says what is flagged: compute it from these values, \
and look at the hours of every date."""
_ENDS = "it ends the episode and is scored from 0 to 1."

BRIEF = _brief(
    "read-only tools",
    f"""{_OVERVIEW}
- Look at the data with the other tools, several calls in one answer where that helps. Take \
baselines and observed values from tool replies; never guess or round them.""",
    _WHICH_ROWS,
    f"submit once: {SUBMIT_SOLUTION} with your rows, or {SUBMIT_GENERATORS} if row generators "
    "make exactly the right rows. A submission ends the episode and is scored from 0 to 1.",
)

LEAN_BRIEF = _brief(
    "tools",
    """\
- scan lists what is flagged on each date, roots and echoes alike, each with an id; calendar \
lists what is publicly known. The other tools show the numbers behind it; overview with details \
repeats the policy.""",
    "which of these are roots",
    f"{SUBMIT} the roots' ids, once: {_ENDS}",
    "ids",
)
"""In the lean profile."""

RAW_BRIEF = _brief(
    "read-only tools",
    f"""{_OVERVIEW}
- The other tools show values, medians, hours and what is publicly known. {_UNFLAGGED}""",
    _WHICH_ROWS,
    f"submit once, {SUBMIT_SOLUTION} with your rows: {_ENDS}",
)
"""With raw disclosure."""

RAW_LEAN_BRIEF = _brief(
    "tools",
    f"""\
- overview tells medians and thresholds, day the values of some dates, hours their hourly counts, \
calendar what is publicly known. {_UNFLAGGED}""",
    _WHICH_ROWS,
    f"{SUBMIT} your rows, once: {_ENDS}",
)
"""With raw disclosure in the lean profile."""

BRIEFS = {
    (STANDARD, GUIDED): BRIEF,
    (LEAN, GUIDED): LEAN_BRIEF,
    (STANDARD, RAW): RAW_BRIEF,
    (LEAN, RAW): RAW_LEAN_BRIEF,
}
"""The system prompt of each profile and disclosure."""

_FRAME = ("start_date", "end_date", "days", "max_steps", "max_submissions")
_GRADE = ("reward_breakdown", "submission_issues")
_KNOWN_ALREADY = ("instruction", "dates", "entities", "available_methods")
"""Of an overview: what a model has read in the opening or among its tools, or can ask for alone."""


def brief(episode: Mapping[str, Any] | None = None) -> str:
    """The system prompt of an episode, by its reset's observation or arguments."""
    return BRIEFS[mode_of(episode or {})]


def introduction(opening: Mapping[str, Any]) -> str:
    """The first user message: the task, the rules of the answer and the episode's frame."""
    config = opening["config"]
    frame = {name: config[name] for name in _FRAME}
    count = opening.get("expected_row_count")
    hint = f" The right report has {count} rows." if count else ""
    if mode_of(opening)[0] == LEAN:  # whose policy names the thresholds, and is told here alone
        return f"{opening['instruction']}\n\nEpisode: {compact(frame)}.{hint}"
    return (
        f"{opening['instruction']}\n\nEpisode: {compact(frame)}.{hint} "
        f"Thresholds: {compact(config['thresholds'])}."
    )


def called(action: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the tool call that an action stands for."""
    if action.get("analysis_method") is not None:
        return str(action["analysis_method"]), dict(action.get("analysis_args") or {})
    if action.get("payload_generators"):
        return SUBMIT_GENERATORS, {"generator_methods": action["payload_generators"]}
    return SUBMIT_SOLUTION, {"rows": action.get("classifications", [])}


def answer(observation: Mapping[str, Any]) -> dict[str, Any]:
    """What a model is told of an observation: the message, and the result or the grade.

    Without details, an overview leaves out what a model knows already; clients see all of it.
    """
    reply: dict[str, Any] = {"status": observation["status"], "message": observation["message"]}
    if observation["status"] == ERROR:
        return reply
    analysis = observation.get("analysis_result")
    if analysis:
        reply["result"] = analysis["result"]
        if analysis["method"] == OVERVIEW and not analysis["arguments"].get("details"):
            result = analysis["result"].items()
            reply["result"] = {name: of for name, of in result if name not in _KNOWN_ALREADY}
    reply.update({name: observation[name] for name in _GRADE if observation.get(name)})
    return reply


def observed(introduction: str, answer: Mapping[str, Any] | None) -> dict[str, Any]:
    """The observation behind an answer, as far as scripted policies read it."""
    if answer is None:
        # Where there is no dataset, the rules stand before it.
        shorter = (introduction.removeprefix(rules) for rules in BRIEFS.values())
        return {"instruction": min(shorter, key=len).lstrip()}
    seen = dict(answer)
    if "result" in seen:
        seen["analysis_result"] = {"result": seen.pop("result")}
    return seen


class SolutionArguments(Arguments):
    """A report, row by row; a wrong row is graded as invalid and does not spoil the others."""

    rows: Annotated[
        list[Any],
        Field(
            max_length=MAX_ROWS,
            description="every row of the report; empty where there is no anomaly",
            json_schema_extra={"items": json_schema(MetricSubmissionRow, ORDERING_APP)},
        ),
    ]


BY_ROWS = Tool(
    SUBMIT_SOLUTION,
    "Submit the final report, row by row. This ends the episode.",
    SolutionArguments,
    reads_only=False,
    finishes=True,
)
BY_GENERATORS = Tool(
    SUBMIT_GENERATORS,
    "Submit the rows that row generators make as the final report. This ends the episode. "
    "Rows of dates that no method has shown you are invalid.",
    PayloadArguments,
    reads_only=False,
    finishes=True,
    vocabulary=ORDERING_APP,
)

BY_MODE = {
    (STANDARD, GUIDED): (*TOOLS_OF[STANDARD, GUIDED].values(), BY_ROWS, BY_GENERATORS),
    (LEAN, GUIDED): tuple(TOOLS_OF[LEAN, GUIDED].values()),
    (STANDARD, RAW): (*TOOLS_OF[STANDARD, RAW].values(), BY_ROWS),
    (LEAN, RAW): tuple(TOOLS_OF[LEAN, RAW].values()),
}
"""Tools by profile and disclosure."""
USUAL_TOOLS = BY_MODE[STANDARD, GUIDED]
"""Those of a reset without arguments: the analysis methods, and two ways to submit."""
USUAL_VARIED_TOOLS = (*VARIED_TOOLS.values(), BY_ROWS, BY_GENERATORS)
"""The same where the reporting policy is drawn."""


def to_action(name: str, arguments: Mapping[str, Any]) -> Action:
    """The action of a tool call."""
    if name == SUBMIT_SOLUTION:
        return {"classifications": arguments["rows"]}
    if name == SUBMIT_GENERATORS:
        return {"payload_generators": arguments["generator_methods"]}
    return {"analysis_method": name, "analysis_args": dict(arguments)}


def in_force(episode: Mapping[str, Any]) -> Sequence[Tool]:
    """The tools that an episode offers, by its reset's observation or arguments, or its state."""
    tools = BY_MODE[mode_of(episode)]
    return USUAL_VARIED_TOOLS if tools is USUAL_TOOLS and is_varied(episode) else tools


CATALOGUE = Catalogue(
    tools=tuple(tool for tools in BY_MODE.values() for tool in tools),
    answer=answer,
    introduction=introduction,
    observed=observed,
    to_action=to_action,
    called=called,
    in_force=in_force,
)
"""Every tool of every profile and disclosure."""
