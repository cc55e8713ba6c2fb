"""The tools and the words that every model is given, whatever the door it comes through."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from metric_tracker_rl.analysis_tools import TOOLS_OF, VARIED_TOOLS, ToolRegistry
from metric_tracker_rl.analysis_tools.arguments import PayloadArguments
from metric_tracker_rl.analysis_tools.lean import SUBMIT
from metric_tracker_rl.drilldown import tools as drilldown
from metric_tracker_rl.drilldown import words
from metric_tracker_rl.drilldown.tasks import is_drill, level_of
from metric_tracker_rl.engine.funnel import ORDERING_APP
from metric_tracker_rl.engine.report import MAX_ROWS
from metric_tracker_rl.engine.rules import is_varied, mode_of
from metric_tracker_rl.engine.vocabulary import GUIDED, LEAN, RAW, STANDARD
from metric_tracker_rl.rows import MetricSubmissionRow
from openenv_kit.environment import ERROR
from openenv_kit.tools.catalogue import Action, Catalogue, ToolSpec, compact
from openenv_kit.tools.schema import json_schema

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
_LEFT = ("numbers_left", "rows_left", "bytes_left", "calls_left")
_TOLD_ELSEWHERE = ("instruction", "dates", "entities", "available_methods")
"""Of an overview: what a model has read in the opening or among its tools, or can ask for alone."""


def brief(episode: Mapping[str, Any] | None = None) -> str:
    """The system prompt of an episode, by its reset's observation or arguments."""
    given = episode or {}
    if is_drill(given):
        return words.BRIEF
    return BRIEFS[mode_of(given)]


def introduction(opening: Mapping[str, Any]) -> str:
    """The first user message: the task, the rules of the answer and the episode's frame."""
    config = opening["config"]
    if is_drill(opening):
        return f"{opening['instruction']}\n\nEpisode: {compact(config)}."
    frame = {name: config[name] for name in _FRAME}
    count = opening.get("expected_row_count")
    told = f" The right report has {count} rows." if count else ""
    if mode_of(opening)[0] == LEAN:  # whose policy names the thresholds, and is told here alone
        return f"{opening['instruction']}\n\nEpisode: {compact(frame)}.{told}"
    return (
        f"{opening['instruction']}\n\nEpisode: {compact(frame)}.{told} "
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
    told: dict[str, Any] = {"status": observation["status"], "message": observation["message"]}
    told.update({name: observation[name] for name in _LEFT if observation.get(name) is not None})
    if observation["status"] == ERROR:
        return told
    analysis = observation.get("analysis_result")
    if analysis:
        told["result"] = analysis["result"]
        if analysis["method"] == OVERVIEW and not analysis["arguments"].get("details"):
            result = analysis["result"].items()
            told["result"] = {name: of for name, of in result if name not in _TOLD_ELSEWHERE}
    told.update({name: observation[name] for name in _GRADE if observation.get(name)})
    return told


def observed(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The observation behind an answer, as far as scripted policies read it."""
    seen = dict(answer)
    if "result" in seen:
        seen["analysis_result"] = {"result": seen.pop("result")}
    return seen


def _analysis(name: str) -> Any:
    def action(arguments: Mapping[str, Any]) -> Action:
        return {"analysis_method": name, "analysis_args": dict(arguments)}

    return action


def _submissions() -> list[ToolSpec]:
    rows = {
        "type": "array",
        "items": json_schema(MetricSubmissionRow, ORDERING_APP),
        "maxItems": MAX_ROWS,
        "description": "every row of the report; empty where there is no anomaly",
    }
    return [
        ToolSpec(
            SUBMIT_SOLUTION,
            "Submit the final report, row by row. This ends the episode.",
            {"type": "object", "properties": {"rows": rows}, "required": ["rows"]},
            lambda arguments: {"classifications": arguments["rows"]},
            reads_only=False,
            finishes=True,
        ),
        ToolSpec(
            SUBMIT_GENERATORS,
            "Submit the rows that row generators make as the final report. This ends the episode. "
            "Rows of dates that no method has shown you are invalid.",
            json_schema(PayloadArguments, ORDERING_APP),
            lambda arguments: {"payload_generators": arguments["generator_methods"]},
            reads_only=False,
            finishes=True,
        ),
    ]


def _specs(registry: ToolRegistry) -> tuple[ToolSpec, ...]:
    return tuple(
        ToolSpec(
            each.name,
            each.description,
            each.parameters,
            _analysis(each.name),
            reads_only=each.name != SUBMIT,
            finishes=each.name == SUBMIT,
        )
        for each in registry.catalogue()
    )


_BY_ROWS, _BY_GENERATORS = _submissions()
BY_MODE = {
    (STANDARD, GUIDED): (*_specs(TOOLS_OF[STANDARD, GUIDED]), _BY_ROWS, _BY_GENERATORS),
    (LEAN, GUIDED): _specs(TOOLS_OF[LEAN, GUIDED]),
    (STANDARD, RAW): (*_specs(TOOLS_OF[STANDARD, RAW]), _BY_ROWS),
    (LEAN, RAW): _specs(TOOLS_OF[LEAN, RAW]),
}
"""Tools of funnel episodes, by profile and disclosure."""
FUNNEL_TOOLS = BY_MODE[STANDARD, GUIDED]
"""Those of a reset without arguments: the analysis methods, and two ways to submit."""
VARIED_FUNNEL_TOOLS = (*_specs(VARIED_TOOLS), _BY_ROWS, _BY_GENERATORS)
"""The same where the reporting policy is drawn."""

DRILL_TOOLS = tuple(
    ToolSpec(
        **tool.told(),
        action=_analysis(name),
        reads_only=name != drilldown.SUBMIT,
        finishes=name == drilldown.SUBMIT,
    )
    for name, tool in drilldown.TOOLS.items()
)
"""Tools of drill-down episodes."""


def in_force(episode: Mapping[str, Any]) -> Sequence[ToolSpec]:
    """The tools that an episode offers, by its reset's observation or arguments, or its state."""
    if not is_drill(episode):
        tools = BY_MODE[mode_of(episode)]
        return VARIED_FUNNEL_TOOLS if tools is FUNNEL_TOOLS and is_varied(episode) else tools
    listed = episode.get("available_methods")
    level = level_of(episode)
    names: Container[str] = drilldown.tools_of(level.name if level else None)
    if listed:
        names = {each["name"] for each in listed}
    return [tool for tool in DRILL_TOOLS if tool.name in names]


CATALOGUE = Catalogue(
    tools=(*(tool for tools in BY_MODE.values() for tool in tools), *DRILL_TOOLS),
    called=called,
    answer=answer,
    observed=observed,
    in_force=in_force,
)
"""Every tool of either tier and of every mode of play."""
