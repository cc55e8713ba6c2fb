"""Tool catalogue and prompts of the funnel environment, shared by all model interfaces."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field

from metric_tracker_rl.analysis_tools import (
    ANALYSIS_TOOLS_BY_MODE,
    DRAWN_POLICY_TOOLS,
    PRODUCT_TOOLS_CACHE_SIZE,
    build_tools_for_product,
)
from metric_tracker_rl.analysis_tools.arguments import PayloadArguments
from metric_tracker_rl.engine.configuration.modes import (
    GUIDED_MODE,
    LEAN_MODE,
    LEAN_RAW_MODE,
    MODE_ARGUMENTS,
    RAW_MODE,
    PlayMode,
    get_mode_texts,
    has_drawn_policy,
    read_play_mode,
)
from metric_tracker_rl.engine.configuration.product_policy import build_product_funnel
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP, Funnel
from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS
from metric_tracker_rl.engine.episode.series_policy_numbers import rebuild_funnel_from_numbers
from metric_tracker_rl.engine.report.parse_report import MAX_REPORT_ROWS
from metric_tracker_rl.products.product_registry import find_product
from metric_tracker_rl.wire_models import MetricSubmissionRow
from openenv_kit.catalogue import Catalogue
from openenv_kit.errors import ConfigurationError
from openenv_kit.json_text import compact_json
from openenv_kit.reply import ReplyStatus
from openenv_kit.schema import build_arguments_schema
from openenv_kit.tool import Action, Tool, ToolArguments, ToolCall

SUBMIT_SOLUTION = "submit_solution"
SUBMIT_GENERATORS = "submit_payload_generator"
OVERVIEW_METHOD = "task_overview"


_CONFIG_HEADING = "\n\nEpisode: "
_FIRST_MESSAGE_FIELDS = ("start_date", "end_date", "days", "max_steps", "max_submissions")
_PRODUCT_MESSAGE_FIELDS = (
    *("product", "stages", "composite_rates", "daytime_share", "hours_per_day"),
    "compares_daily_totals",
)
"""Fields of a product's configuration that determine the names of its series."""
_LADDER_FIELDS = ("drawn_terms", "scan_lists")
"""Fields of the configuration of curriculum levels that state what a player has to read."""
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
"""Names of observation fields that contain prose for the player, or catalogues with prose."""
_REPEATED_OVERVIEW_FIELDS = ("instruction", "dates", "entities", "available_methods")
"""Fields of a `task_overview` result that the model can read in other messages or tool results."""


def select_system_prompt(reset_fields: Mapping[str, Any] | None = None) -> str:
    """Return the system prompt of an episode.

    Args:
        reset_fields: reset observation or reset arguments, or None for the default mode.
    """
    fields = reset_fields or {}
    product_funnel = find_product_funnel(fields)
    has_hours = product_funnel is None or product_funnel.hours_per_day > 1
    return get_mode_texts(read_play_mode(fields), has_hours=has_hours).system_prompt


def build_first_user_message(reset_observation: Mapping[str, Any]) -> str:
    """Return the first user message, which contains the instruction and some configuration fields.

    The arguments that select the play mode are included if they differ from the default. The
    thresholds are left out in the lean profile, where the tool `overview` returns them, and for
    products, whose policy text contains them. The number of expected rows is left out on
    curriculum levels, because a model could infer the report of an easy level from it.
    """
    config = reset_observation["config"]
    fields = {name: config[name] for name in _FIRST_MESSAGE_FIELDS}
    if read_play_mode(reset_observation) == LEAN_MODE:
        del fields["days"]
        if config["max_submissions"] == 1:  # The system prompt states it.
            del fields["max_submissions"]
    fields |= {name: config[name] for name in (*MODE_ARGUMENTS, *_LADDER_FIELDS) if name in config}
    fields |= {name: config[name] for name in _PRODUCT_MESSAGE_FIELDS if name in config}
    message = f"{reset_observation['instruction']}{_CONFIG_HEADING}{compact_json(fields)}."
    count = reset_observation.get("expected_row_count")
    if count and config["difficulty"] not in RUNG_LEVELS:
        message += f" The right report has {count} rows."
    states_thresholds = "stages" in config  # A product's policy text contains them.
    if not states_thresholds and not read_play_mode(reset_observation).has_lean_profile:
        message += f" Thresholds: {compact_json(config['thresholds'])}."
    return message


def convert_action_to_tool_call(action: Mapping[str, Any]) -> ToolCall:
    """Convert an action of the environment to the tool call that has the same effect."""
    if action.get("analysis_method") is not None:
        return ToolCall(str(action["analysis_method"]), dict(action.get("analysis_args") or {}))
    if action.get("payload_generators"):
        return ToolCall(SUBMIT_GENERATORS, {"generator_methods": action["payload_generators"]})
    return ToolCall(SUBMIT_SOLUTION, {"rows": action.get("classifications", [])})


def convert_observation_to_tool_result(observation: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an observation to a tool result for a model.

    The tool result has the status, the message and, if the observation contains them, the result
    of the tool and the grade of the report. If the model did not request details, the result of
    `task_overview` omits fields that the model can read elsewhere. If the observation is an error,
    the tool result has only the status and the message.
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


def rebuild_observation_from_messages(
    first_message: str, tool_result: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Rebuild the observation that a scripted policy needs from the messages of a model.

    The result contains only the fields that scripted policies use.

    Args:
        first_message: the first user message; a system prompt may precede it.
        tool_result: the last tool result, or None for the reset observation.
    """
    if tool_result is None:
        return {"config": _parse_config_from_first_message(first_message)}
    observation = dict(tool_result)
    if "result" in observation:
        observation["analysis_result"] = {"result": observation.pop("result")}
    return observation


def _parse_config_from_first_message(first_message: str) -> dict[str, Any]:
    """Return the configuration fields in a message that `build_first_user_message` created.

    The result is empty if the message does not contain them.
    """
    _, heading, text = first_message.rpartition(_CONFIG_HEADING)
    if not heading:
        return {}
    config: dict[str, Any] = json.JSONDecoder().raw_decode(text)[0]
    return config


class SolutionArguments(ToolArguments):
    """Arguments of `submit_solution`. An invalid row does not make the others invalid."""

    rows: Annotated[
        list[Any],
        Field(
            max_length=MAX_REPORT_ROWS,
            description="every row of the report; empty if there is no anomaly",
            json_schema_extra={"items": build_arguments_schema(MetricSubmissionRow, ORDERING_APP)},
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

TOOLS_BY_MODE: dict[PlayMode, tuple[Tool, ...]] = {
    GUIDED_MODE: (
        *ANALYSIS_TOOLS_BY_MODE[GUIDED_MODE].values(),
        SUBMIT_SOLUTION_TOOL,
        SUBMIT_GENERATORS_TOOL,
    ),
    LEAN_MODE: tuple(ANALYSIS_TOOLS_BY_MODE[LEAN_MODE].values()),
    RAW_MODE: (*ANALYSIS_TOOLS_BY_MODE[RAW_MODE].values(), SUBMIT_SOLUTION_TOOL),
    LEAN_RAW_MODE: tuple(ANALYSIS_TOOLS_BY_MODE[LEAN_RAW_MODE].values()),
}
"""Tools by mode."""
SESSION_TOOLS = (SUBMIT_SOLUTION_TOOL, SUBMIT_GENERATORS_TOOL)
"""Tools that the session executes itself."""
DEFAULT_TOOLS = TOOLS_BY_MODE[GUIDED_MODE]
"""Tools of an episode reset without arguments: all analysis methods and two submission tools."""
DEFAULT_VARIED_TOOLS = (*DRAWN_POLICY_TOOLS.values(), SUBMIT_SOLUTION_TOOL, SUBMIT_GENERATORS_TOOL)
"""The default tools of an episode whose reporting policy is drawn at random."""


@lru_cache(maxsize=PRODUCT_TOOLS_CACHE_SIZE)
def build_all_tools_for_product(mode: PlayMode, funnel: Funnel) -> tuple[Tool, ...]:
    """Return the tools of a play mode for the funnel of a product.

    The result includes the tools of the mode that submit a report.
    """
    submission_tools = [tool for tool in TOOLS_BY_MODE[mode] if tool in SESSION_TOOLS]
    return (*build_tools_for_product(mode, funnel).values(), *submission_tools)


def find_product_funnel(episode: Mapping[str, Any]) -> Funnel | None:
    """Return the funnel of an episode's product, or None if the episode has no valid product.

    Args:
        episode: the reset observation, the reset arguments or the state.
    """
    config = episode.get("config")
    if isinstance(config, Mapping):
        return rebuild_funnel_from_numbers(config) if "stages" in config else None
    product = episode.get("product")
    if product is None:
        return None
    try:
        return build_product_funnel(find_product(product))
    except ConfigurationError:
        return None  # the reset rejects the product


def convert_tool_call_to_action(name: str, arguments: Mapping[str, Any]) -> Action:
    """Convert a tool call to the action of the environment that has the same effect."""
    if name == SUBMIT_SOLUTION:
        return {"classifications": arguments["rows"]}
    if name == SUBMIT_GENERATORS:
        return {"payload_generators": arguments["generator_methods"]}
    return {"analysis_method": name, "analysis_args": dict(arguments)}


def select_tools_of_episode(episode: Mapping[str, Any]) -> Sequence[Tool]:
    """Return the tools that are available in an episode.

    Args:
        episode: the reset observation, the reset arguments or the state.
    """
    mode = read_play_mode(episode)
    product_funnel = find_product_funnel(episode)
    if product_funnel is not None:
        return build_all_tools_for_product(mode, product_funnel)
    tools = TOOLS_BY_MODE[mode]
    return DEFAULT_VARIED_TOOLS if tools is DEFAULT_TOOLS and has_drawn_policy(episode) else tools


CATALOGUE = Catalogue(
    tools=tuple(tool for tools in TOOLS_BY_MODE.values() for tool in tools),
    format_tool_result=convert_observation_to_tool_result,
    first_user_message=build_first_user_message,
    observation_from_messages=rebuild_observation_from_messages,
    action_of_tool_call=convert_tool_call_to_action,
    tool_call_of_action=convert_action_to_tool_call,
    prose_fields=PROSE_FIELDS,
    select_tools=select_tools_of_episode,
)
"""Every tool of every profile and disclosure, with the functions that format messages."""
