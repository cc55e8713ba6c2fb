"""Tools: each is declared once, by its environment, and offered alike through every door.

```python
TOOLS = Tools()

@TOOLS.tool(Segment)
def gauge(play, arguments):
    \"\"\"Pressure at a segment, in bar.\"\"\"
```

The model player, MCP, each trainer, the page and the documentation read this list; none of them
describes a tool in words of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from openenv_kit.errors import ToolArgumentError, truncated_repr, unknown_name_message
from openenv_kit.registry import Registry, first_docstring_line
from openenv_kit.schema import describe_validation_error, json_schema

Action = dict[str, Any]
DEFAULT_PROSE_FIELDS = frozenset({"message"})
"""Names of the observation fields that hold prose in every environment."""


class ToolArguments(BaseModel):
    """Base of argument models that refuse unknown names; without it, a model ignores them."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, eq=False)
class Tool:
    """One tool.

    Attributes:
        name: what a model calls it by.
        description: one line, written for models.
        arguments_type: typed model of its arguments; it says by its `extra` whether unknown names
            are refused.
        run: carries out a call, given what the environment plays with and the arguments;
            None where the session does so itself.
        is_read_only: whether a call leaves the episode as it was.
        is_final: whether a call hands in the result and ends the episode.
        has_episode_data: whether its result holds data of the episode, and not only what the
            caller gave or what everybody knows.
        is_slow: whether a call may take longer than a server should wait; then such calls take
            turns in threads of their own, and the environment's resets are made in threads.
        vocabulary: holds the lists that marked arguments take their names from; see `json_schema`.
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
        """JSON Schema of its arguments: an object without references."""
        return json_schema(self.arguments_type, self.vocabulary)

    def validate_arguments(self, arguments: object, field_name: str = "arguments") -> Any:
        """Arguments of a call, validated; null stands for an optional one that was left out.

        Args:
            arguments: the arguments as they arrived.
            field_name: what the field they arrived in is called.

        Raises:
            ToolArgumentError: says which is wrong, what is allowed and the nearest match.
        """
        if not isinstance(arguments, Mapping):
            problem = (
                f"{field_name} of {self.name} is {truncated_repr(arguments)}; allowed: an object."
            )
            raise ToolArgumentError(problem + self.not_executed_note)
        fields = self.arguments_type.model_fields
        # Models send null for an optional argument that they leave out.
        left_out = {
            name
            for name, value in arguments.items()
            if value is None and name in fields and not fields[name].is_required()
        }
        try:
            return self.arguments_type.model_validate(
                {name: value for name, value in arguments.items() if name not in left_out}
            )
        except ValidationError as error:
            problem = describe_validation_error(self.name, self.parameters, error)
            raise ToolArgumentError(problem + self.not_executed_note) from None

    def call(self, context: Any, arguments: object, field_name: str = "arguments") -> Any:
        """Validate the arguments and run; see `read` for what it raises."""
        if self.run is None:
            raise TypeError(f"{self.name} is carried out by the session")
        return self.run(context, self.validate_arguments(arguments, field_name))

    @property
    def not_executed_note(self) -> str:
        """What is said of a call that was refused; nothing of one that only reads."""
        if self.is_read_only:
            return ""
        return " Nothing was submitted." if self.is_final else " Nothing was done."

    def as_chat_tool(self) -> dict[str, Any]:
        """The form that chat endpoints and chat templates take."""
        function = {"name": self.name, "description": self.description}
        return {"type": "function", "function": {**function, "parameters": self.parameters}}

    def as_mcp_tool(self) -> dict[str, Any]:
        """The form that MCP lists."""
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": self.parameters,
            "annotations": {"readOnlyHint": self.is_read_only, "openWorldHint": False},
        }


class Tools(Registry[Tool]):
    """The tools that an environment declares, in the order models see them.

    Args:
        kind: what errors call one of them.
        vocabulary: of every tool declared here; see `Tool`.
    """

    def __init__(self, kind: str = "tool", vocabulary: object = None) -> None:
        super().__init__(kind)
        self.vocabulary = vocabulary

    def tool(self, arguments_type: type[BaseModel], **options: Any) -> Callable[[Any], Any]:
        """Decorator: declare a function as the tool of its own name.

        The first line of its docstring is the description that models read. `options` are further
        attributes of `Tool`.
        """

        def declare(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
            name = options.pop("name", function.__name__)
            given = {"vocabulary": self.vocabulary, **options}
            self.add(Tool(name, first_docstring_line(function), arguments_type, function, **given))
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
    """Every tool of an environment, and the words around them.

    Attributes:
        tools: the tools, in the order models see them.
        format_tool_result: what a model is told of an observation; values may be pydantic models.
        first_user_message: the first user message of an episode, from its reset's observation.
        observation_from_messages: what a scripted policy reads that stands in for a model, from
            the first user message and the last answer, which is None at first; inverse of
            the two above.
        action_of_tool_call: the action of a tool call; by default `{"tool", "arguments"}`.
        tool_call_of_action: name and arguments of the call that an action stands for; inverse
            of `action_of_tool_call`.
        gauges: what a server reports of the tools while they work, by a short name: functions that
            return a number at once, such as how many queries run.
        select_tools: the tools that an episode offers, for `offered`; None where all episodes offer
            all. Tools that no episode offers together may share a name.
        prose_fields: names of the observation fields, at any depth, whose text may be reworded
            without another result. Digests of recordings leave them out.
    """

    tools: Sequence[Tool]
    format_tool_result: Callable[[Mapping[str, Any]], dict[str, Any]]
    first_user_message: Callable[[Mapping[str, Any]], str] = lambda opening: str(opening["message"])
    observation_from_messages: Callable[[str, Mapping[str, Any] | None], Mapping[str, Any]] = (
        _default_observation_from_messages
    )
    action_of_tool_call: Callable[[str, Mapping[str, Any]], Action] = _default_action_of_tool_call
    tool_call_of_action: Callable[[Mapping[str, Any]], ToolCall] = _default_tool_call_of_action
    select_tools: Callable[[Mapping[str, Any]], Sequence[Tool]] | None = None
    prose_fields: Collection[str] = DEFAULT_PROSE_FIELDS
    gauges: Mapping[str, Callable[[], float]] = field(default_factory=dict)

    def for_episode(self, reset_fields: Mapping[str, Any] | None = None) -> Catalogue:
        """The tools that one episode offers.

        Args:
            reset_fields: the observation of its reset, or else the reset's arguments, which may be
                fewer; None for a reset without any.
        """
        if self.select_tools is None:
            return self
        return replace(self, tools=self.select_tools(reset_fields or {}))

    @cached_property
    def tool_names(self) -> list[str]:
        """Every tool's name, once."""
        return list(dict.fromkeys(tool.name for tool in self.tools))

    @property
    def chat_tools(self) -> list[dict[str, Any]]:
        """Every tool in the form that chat endpoints and chat templates take."""
        return [tool.as_chat_tool() for tool in self.tools]

    @cached_property
    def has_slow_tools(self) -> bool:
        """Whether any call may take long; see `Tool`."""
        return any(tool.is_slow for tool in self.tools)

    def is_slow_call(self, action: Mapping[str, Any]) -> bool:
        """Return whether an action, valid or not, calls a slow tool."""
        try:
            name = self.tool_call_of_action(action).name
        except (TypeError, ValueError, AttributeError):  # the session says what is wrong with it
            return False
        return any(tool.is_slow for tool in self.tools if tool.name == name)

    def find_tool(self, name: object) -> Tool:
        """The tool of that name; a ToolArgumentError names the nearest where there is none."""
        for tool in self.tools:
            if tool.name == name:
                return tool
        raise ToolArgumentError(unknown_name_message("tool", name, self.tool_names))

    def build_action(self, tool_name: object, arguments: Any) -> Action:
        """The action of a tool call.

        The session validates the arguments of a call that reads. Those of one that acts are
        validated here as well, because an argument left out must not become an empty report.

        Raises:
            ToolArgumentError: no such tool, arguments that are not an object, or wrong arguments
                of a call that acts.
        """
        tool = self.find_tool(tool_name)
        if not (tool.is_read_only and isinstance(arguments, Mapping)):
            tool.validate_arguments(arguments)
        return self.action_of_tool_call(tool.name, arguments)
