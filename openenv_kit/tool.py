"""Tools: what a model can call, and how actions, tool calls and messages convert.

An environment declares each tool once:

```python
TOOLS = Tools()

@TOOLS.tool(Segment)
def gauge(session, arguments):
    \"\"\"Pressure at a segment, in bar.\"\"\"
```

The model player, MCP, the trainers, the debugger and the documentation all use these declarations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from openenv_kit.errors import ToolArgumentError, truncated_repr, unknown_name_message
from openenv_kit.registry import Registry, first_docstring_line
from openenv_kit.schema import describe_validation_error, json_schema

Action = dict[str, Any]
ToolFunctionT = TypeVar("ToolFunctionT", bound=Callable[..., Any])
DEFAULT_PROSE_FIELDS = frozenset({"message"})
"""Names of the observation fields that hold prose in every environment."""


class ToolArguments(BaseModel):
    """Base class of argument models that reject unknown arguments."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, eq=False)
class Tool:
    """One tool.

    Attributes:
        name: name of the tool.
        description: one line for models.
        arguments_type: model of the arguments. Its `extra` setting decides whether unknown
            arguments are rejected.
        run: executes a call with a context, such as the session, and validated arguments; None if
            the session executes the tool itself.
        is_read_only: whether a call leaves the episode unchanged.
        is_final: whether a call submits the result and ends the episode.
        has_episode_data: whether the result contains data of the episode, apart from the arguments
            and from what is known without the episode.
        is_slow: whether a call may block a server for too long. Slow calls run in their own
            threads, and so do the environment's resets.
        vocabulary: object with the lists of names for marked arguments; see `json_schema`.
    """

    name: str
    description: str
    arguments_type: type[BaseModel]
    run: Callable[[Any, Any], Any] | None = None
    is_read_only: bool = True
    is_final: bool = False
    has_episode_data: bool = True
    is_slow: bool = False
    vocabulary: object = None

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """JSON schema of the arguments: an object without references."""
        return json_schema(self.arguments_type, self.vocabulary)

    def validate_arguments(self, arguments: object, field_name: str = "arguments") -> Any:
        """Return the validated arguments of a call, as an instance of `arguments_type`.

        Args:
            arguments: the arguments, unchecked. An optional argument may be null.
            field_name: name of the field with the arguments, for errors.

        Raises:
            ToolArgumentError: an argument is wrong.
        """
        if not isinstance(arguments, Mapping):
            problem = (
                f"{field_name} of {self.name} is {truncated_repr(arguments)}; allowed: an object."
            )
            raise ToolArgumentError(problem + self.not_executed_note)
        fields = self.arguments_type.model_fields
        # Models send null for an optional argument that they leave out.
        omitted_names = {
            name
            for name, value in arguments.items()
            if value is None and name in fields and not fields[name].is_required()
        }
        try:
            return self.arguments_type.model_validate(
                {name: value for name, value in arguments.items() if name not in omitted_names}
            )
        except ValidationError as error:
            problem = describe_validation_error(self.name, self.parameters, error)
            raise ToolArgumentError(problem + self.not_executed_note) from None

    def call(self, context: Any, arguments: object, field_name: str = "arguments") -> Any:
        """Validate the arguments and execute the tool.

        Args:
            context: first argument of `run`.
            arguments: the arguments, unchecked; see `validate_arguments`.
            field_name: name of the field with the arguments, for errors.

        Raises:
            ToolArgumentError: an argument is wrong.
            TypeError: the session executes this tool itself.
        """
        if self.run is None:
            raise TypeError(f"{self.name} is executed by the session")
        return self.run(context, self.validate_arguments(arguments, field_name))

    @property
    def not_executed_note(self) -> str:
        """Note that a rejected call had no effect; empty for read-only tools."""
        if self.is_read_only:
            return ""
        return " Nothing was submitted." if self.is_final else " Nothing was done."

    def as_chat_tool(self) -> dict[str, Any]:
        """Return the tool in the form of chat endpoints and chat templates."""
        function = {"name": self.name, "description": self.description}
        return {"type": "function", "function": {**function, "parameters": self.parameters}}

    def as_mcp_tool(self) -> dict[str, Any]:
        """Return the tool in the form of MCP."""
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": self.parameters,
            "annotations": {"readOnlyHint": self.is_read_only, "openWorldHint": False},
        }


class Tools(Registry[Tool]):
    """The tools that an environment declares, in the order in which models see them.

    Args:
        kind: what a tool is called in errors.
        vocabulary: vocabulary of every tool; see `Tool`.
    """

    def __init__(self, kind: str = "tool", vocabulary: object = None) -> None:
        super().__init__(kind)
        self.vocabulary = vocabulary

    def tool(
        self, arguments_type: type[BaseModel], **options: Any
    ) -> Callable[[ToolFunctionT], ToolFunctionT]:
        """Return a decorator that declares a function as a tool.

        The tool has the name of the function, and the first line of its docstring as description.

        Args:
            arguments_type: model of the arguments.
            options: further attributes of `Tool`.
        """

        def declare(function: ToolFunctionT) -> ToolFunctionT:
            name = options.pop("name", function.__name__)
            attributes = {"vocabulary": self.vocabulary, **options}
            description = first_docstring_line(function)
            self.add(Tool(name, description, arguments_type, function, **attributes))
            return function

        return declare


class ToolCall(NamedTuple):
    """A model's request to call a tool.

    Attributes:
        name: name of the tool.
        arguments: a JSON object in a valid call. A model may send any other value.
    """

    name: str
    arguments: Any


def format_tool_call(name: str, arguments: object) -> str:
    """Return a tool call as one line, such as `gauge(segment=3)`.

    Arguments that are not an object are shown unchanged between the parentheses.
    """
    if not isinstance(arguments, Mapping):
        return f"{name}({arguments})"
    parts = (f"{key}={json.dumps(value, default=str)}" for key, value in arguments.items())
    return f"{name}({', '.join(parts)})"


def parse_tool_call(value: object) -> ToolCall | None:
    """Return the tool call in a JSON value `{"name", "arguments"}`; None if it is not a call."""
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        return None
    return ToolCall(value["name"], value.get("arguments", {}))


def _default_action_of_tool_call(name: str, arguments: Mapping[str, Any]) -> Action:
    return {"tool": name, "arguments": dict(arguments)}


def _default_tool_call_of_action(action: Mapping[str, Any]) -> ToolCall:
    return ToolCall(str(action.get("tool")), dict(action.get("arguments") or {}))


def _default_observation_from_messages(
    first_user_message: str, last_tool_result: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    return {"message": first_user_message} if last_tool_result is None else last_tool_result


@dataclass(frozen=True)
class Catalogue:
    """The tools of an environment, and how actions and observations become messages.

    Attributes:
        tools: the tools, in the order in which models see them.
        format_tool_result: returns the tool result for a model from an observation. Values of the
            observation may be pydantic models.
        first_user_message: returns the first user message from the observation of a reset.
        observation_from_messages: returns the observation that a scripted policy reads when it
            replaces a model, from the first user message and the last tool result, which is None
            at first. It reverses `first_user_message` and `format_tool_result`.
        action_of_tool_call: returns the action of a tool's name and arguments; by default
            `{"tool", "arguments"}`.
        tool_call_of_action: returns the tool call of an action; reverses `action_of_tool_call`.
        gauges: metrics that a server reports, by name: functions that return a number without
            waiting, such as the number of running queries.
        select_tools: returns the tools of an episode from the fields of its reset; None if every
            episode offers all tools. Tools of different episodes may have the same name.
        prose_fields: names of the observation fields, at any depth, whose text may be reworded
            without another result. Digests of recordings leave them out.
    """

    tools: Sequence[Tool]
    format_tool_result: Callable[[Mapping[str, Any]], dict[str, Any]]
    first_user_message: Callable[[Mapping[str, Any]], str] = lambda reset: str(reset["message"])
    observation_from_messages: Callable[[str, Mapping[str, Any] | None], Mapping[str, Any]] = (
        _default_observation_from_messages
    )
    action_of_tool_call: Callable[[str, Mapping[str, Any]], Action] = _default_action_of_tool_call
    tool_call_of_action: Callable[[Mapping[str, Any]], ToolCall] = _default_tool_call_of_action
    select_tools: Callable[[Mapping[str, Any]], Sequence[Tool]] | None = None
    prose_fields: Collection[str] = DEFAULT_PROSE_FIELDS
    gauges: Mapping[str, Callable[[], float]] = field(default_factory=dict)

    def for_episode(self, reset_fields: Mapping[str, Any] | None = None) -> Catalogue:
        """Return the catalogue with the tools of one episode.

        Args:
            reset_fields: observation of the reset, or else the reset's arguments, which may be
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
        """The tools in the form of chat endpoints and chat templates."""
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
        raise ToolArgumentError(unknown_name_message("tool", name, self.tool_names))

    def build_action(self, tool_name: object, arguments: Any) -> Action:
        """Return the action of a tool call.

        The session validates the arguments when it executes the action. Arguments of tools that are
        not read-only are validated here too, because an action without an argument, such as the
        rows of a report, may be valid.

        Args:
            tool_name: name of the tool, unchecked.
            arguments: the arguments, unchecked.

        Raises:
            ToolArgumentError: there is no such tool, the arguments are not an object, or arguments
                of a tool that is not read-only are wrong.
        """
        tool = self.find_tool(tool_name)
        if not (tool.is_read_only and isinstance(arguments, Mapping)):
            tool.validate_arguments(arguments)
        return self.action_of_tool_call(tool.name, arguments)
