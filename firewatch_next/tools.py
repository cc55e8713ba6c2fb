"""The tools that models are offered, and how calls become actions on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from firewatch_next.actions.contract_names import INVESTIGATIONS, REMEDIATIONS
from firewatch_next.actions.observe import OBSERVE_TOOLS
from firewatch_next.actions.schemas import ACTION_SCHEMAS, CLOSING_TOOLS
from openenv_kit.catalogue import Catalogue
from openenv_kit.tool import Action, Tool, ToolCall

TARGET = "target_service"
RUN_REPAIR = "run_repair"
LEAN_PROFILE, FULL_PROFILE = "lean", "full"
PROFILES = (FULL_PROFILE, LEAN_PROFILE)
REPAIR_NAMES = (*sorted(ACTION_SCHEMAS), *sorted(REMEDIATIONS))
_LEAN_NAMES = (
    "query_metrics", "search_logs", "show_service_map", "list_changes", "run_diagnostic",
    "undo_change", "restart_pods", "scale_service", RUN_REPAIR, "declare_resolved",
)  # fmt: skip


class RepairArguments(BaseModel):
    """Arguments of `run_repair`."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(json_schema_extra={"enum": list(REPAIR_NAMES)}, description="what to do")
    target_service: str = Field(description="name of a service")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description='such as {"flag": "cart.fast_path", "percent": 0}'
    )


RUN_REPAIR_TOOL = Tool(
    RUN_REPAIR, "Any other repair by its name.", RepairArguments, is_read_only=False
)
FULL_TOOLS: tuple[Tool, ...] = (
    *OBSERVE_TOOLS.values(), *ACTION_SCHEMAS.values(), *CLOSING_TOOLS.values()
)  # fmt: skip
_BY_NAME = {tool.name: tool for tool in (*FULL_TOOLS, RUN_REPAIR_TOOL)}
LEAN_TOOLS: tuple[Tool, ...] = tuple(_BY_NAME[name] for name in _LEAN_NAMES)
TOOL_NAMES = tuple(tool.name for tool in FULL_TOOLS)


def select_tools(reset_fields: Mapping[str, Any]) -> Sequence[Tool]:
    """Return the tools of an episode by its profile."""
    return LEAN_TOOLS if reset_fields.get("profile") == LEAN_PROFILE else FULL_TOOLS


def build_action(name: str, arguments: Mapping[str, Any]) -> Action:
    """Return the action of a tool call."""
    if name == RUN_REPAIR:
        action: Action = {"action_type": arguments.get("name")}
        if arguments.get(TARGET):
            action[TARGET] = arguments[TARGET]
        return {**action, "parameters": dict(arguments.get("parameters") or {})}
    action = {"action_type": name}
    if "service" in arguments:
        action[TARGET] = arguments["service"]
    parameters = {key: value for key, value in arguments.items() if key != "service"}
    return {**action, "parameters": parameters} if parameters else action


def build_tool_call(action: Mapping[str, Any]) -> ToolCall:
    """Return the tool call that an action stands for."""
    name, target = str(action.get("action_type")), action.get(TARGET)
    parameters = dict(action.get("parameters") or {})
    if name in INVESTIGATIONS:
        return INVESTIGATIONS[name](str(target))
    if name in REMEDIATIONS:
        return ToolCall(RUN_REPAIR, {"name": name, TARGET: target, "parameters": parameters})
    return ToolCall(name, parameters if target is None else {"service": target, **parameters})


def format_tool_result(observation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model reads of an observation."""
    return {"status": observation["status"], "message": observation["message"]}


CATALOGUE = Catalogue(
    (*FULL_TOOLS, RUN_REPAIR_TOOL),
    format_tool_result=format_tool_result,
    action_of_tool_call=build_action,
    tool_call_of_action=build_tool_call,
    select_tools=select_tools,
    prose_fields=("description", "feedback_string", "message", "reply", "recent_logs"),
)
