"""Catalogues: an environment's tools and the conversion of its replies to chat messages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from openenv_kit.errors import ToolArgumentError, build_unknown_name_message
from openenv_kit.tool import Action, Tool, ToolCall

DEFAULT_PROSE_FIELDS = frozenset({"message"})
"""Names of the observation fields that hold prose in every environment."""


def _convert_tool_call_to_default_action(name: str, arguments: Mapping[str, Any]) -> Action:
    return {"tool": name, "arguments": dict(arguments)}


def _convert_default_action_to_tool_call(action: Mapping[str, Any]) -> ToolCall:
    return ToolCall(str(action.get("tool")), dict(action.get("arguments") or {}))


def _build_default_observation_from_messages(
    first_user_message: str, last_tool_result: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    return {"message": first_user_message} if last_tool_result is None else last_tool_result


@dataclass(frozen=True)
class Catalogue:
    """The tools of an environment and the conversion of its replies to chat messages.

    Attributes:
        tools: the tools, in the order in which models see them.
        format_tool_result: converts an observation to the tool result that the model receives.
            Values of the observation may be pydantic models.
        first_user_message: builds the first user message from the observation of a reset.
        observation_from_messages: the inverse of `first_user_message` and `format_tool_result`, for
            scripted policies that replace a model. It builds the observation that the policy reads
            from the first user message and the last tool result (None before the first tool call).
        action_of_tool_call: converts a tool's name and arguments to an action; by default
            `{"tool": …, "arguments": …}`.
        tool_call_of_action: converts an action to a tool call; inverse of `action_of_tool_call`.
        gauges: metrics that a server exports, by name. Each function returns the current value,
            such as the number of running queries, and must not block.
        select_tools: selects the tools of an episode, given the observation or the arguments of its
            reset; None if every episode offers all tools. Tools of different episodes may have the
            same name.
        prose_fields: names of observation fields, at any depth, that contain prose. Rewording them
            does not change a result, so digests of recordings ignore them.
    """

    tools: Sequence[Tool]
    format_tool_result: Callable[[Mapping[str, Any]], dict[str, Any]]
    first_user_message: Callable[[Mapping[str, Any]], str] = lambda reset: str(reset["message"])
    observation_from_messages: Callable[[str, Mapping[str, Any] | None], Mapping[str, Any]] = (
        _build_default_observation_from_messages
    )
    action_of_tool_call: Callable[[str, Mapping[str, Any]], Action] = (
        _convert_tool_call_to_default_action
    )
    tool_call_of_action: Callable[[Mapping[str, Any]], ToolCall] = (
        _convert_default_action_to_tool_call
    )
    select_tools: Callable[[Mapping[str, Any]], Sequence[Tool]] | None = None
    prose_fields: Collection[str] = DEFAULT_PROSE_FIELDS
    gauges: Mapping[str, Callable[[], float]] = field(default_factory=dict)

    def select_for_episode(self, reset_fields: Mapping[str, Any] | None = None) -> Catalogue:
        """Return a copy of the catalogue that contains only the tools of one episode.

        Args:
            reset_fields: observation of the reset or, before the reset, its arguments, which may be
                incomplete; None for a reset without arguments.
        """
        if self.select_tools is None:
            return self
        return replace(self, tools=self.select_tools(reset_fields or {}))

    @cached_property
    def tool_names(self) -> list[str]:
        """Names of the tools, without duplicates."""
        return list(dict.fromkeys(tool.name for tool in self.tools))

    @property
    def chat_tools(self) -> list[dict[str, Any]]:
        """Tool definitions in the format of chat-completion endpoints and chat templates."""
        return [tool.as_chat_tool() for tool in self.tools]

    @cached_property
    def has_slow_tools(self) -> bool:
        """Whether any tool is slow; see `Tool`."""
        return any(tool.is_slow for tool in self.tools)

    def is_slow_call(self, action: Mapping[str, Any]) -> bool:
        """Return whether an action calls a slow tool. The action may be invalid."""
        try:
            name = self.tool_call_of_action(action).name
        except (TypeError, ValueError, AttributeError):  # the session rejects the action
            return False
        return any(tool.is_slow for tool in self.tools if tool.name == name)

    def find_tool(self, name: object) -> Tool:
        """Return the tool with a name.

        Raises:
            ToolArgumentError: no tool has this name.
        """
        for tool in self.tools:
            if tool.name == name:
                return tool
        raise ToolArgumentError(build_unknown_name_message("tool", name, self.tool_names))

    def build_action(self, tool_name: object, arguments: Any) -> Action:
        """Convert a tool call to an action.

        The session validates the arguments when it executes the action. Arguments of tools that are
        not read-only are also validated here. Otherwise, for example, a report whose rows are
        missing would be executed as a valid, empty report.

        Args:
            tool_name: name of the tool, not validated.
            arguments: arguments of the tool, not validated.

        Raises:
            ToolArgumentError: there is no such tool, the arguments are not an object, or arguments
                of a tool that is not read-only are wrong.
        """
        tool = self.find_tool(tool_name)
        if not (tool.is_read_only and isinstance(arguments, Mapping)):
            tool.validate_arguments(arguments)
        return self.action_of_tool_call(tool.name, arguments)
