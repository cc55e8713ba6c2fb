"""Declarations of the tools that models can call.

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from openenv_kit.errors import ToolArgumentError, truncated_repr
from openenv_kit.registry import Registry, get_first_docstring_line
from openenv_kit.schema import build_arguments_schema, describe_validation_error

Action = dict[str, Any]
ToolFunctionT = TypeVar("ToolFunctionT", bound=Callable[..., Any])


class ToolArguments(BaseModel):
    """Base class of argument models that reject unknown arguments."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, eq=False)
class Tool:
    """A tool that models can call.

    Attributes:
        name: name of the tool.
        description: one-line description, which models read.
        arguments_type: model of the arguments. Its `extra` setting decides whether unknown
            arguments are rejected.
        run: function that executes a call. It receives a context, such as the session, and the
            validated arguments. None if the session executes the tool itself.
        is_read_only: whether a call leaves the episode unchanged.
        is_final: whether a call submits the result and ends the episode.
        has_episode_data: whether the result contains data of the episode, in addition to the
            arguments and to facts that are the same in all episodes.
        is_slow: whether a call may block a server for too long. Slow calls run in their own
            threads, and so do the environment's resets.
        vocabulary: object whose attributes list the allowed names of some arguments; see
            `build_arguments_schema`.
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
        """JSON schema of the arguments: type `object`, without references."""
        return build_arguments_schema(self.arguments_type, self.vocabulary)

    def validate_arguments(self, arguments: object, field_name: str = "arguments") -> Any:
        """Return the validated arguments of a call, as an instance of `arguments_type`.

        Args:
            arguments: the arguments, not validated. An optional argument may be null.
            field_name: name of the field that contains the arguments, for error messages.

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
            arguments: the arguments, not validated; see `validate_arguments`.
            field_name: name of the field that contains the arguments, for error messages.

        Raises:
            ToolArgumentError: an argument is wrong.
            TypeError: the session executes this tool itself.
        """
        if self.run is None:
            raise TypeError(f"{self.name} is executed by the session")
        return self.run(context, self.validate_arguments(arguments, field_name))

    @property
    def not_executed_note(self) -> str:
        """Sentence that states that a rejected call had no effect; empty for read-only tools."""
        if self.is_read_only:
            return ""
        return " Nothing was submitted." if self.is_final else " Nothing was done."

    def as_chat_tool(self) -> dict[str, Any]:
        """Return the tool in the format of chat-completion endpoints and chat templates."""
        function = {"name": self.name, "description": self.description}
        return {"type": "function", "function": {**function, "parameters": self.parameters}}

    def as_mcp_tool(self) -> dict[str, Any]:
        """Return the tool in the format of the Model Context Protocol (MCP)."""
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": self.parameters,
            "annotations": {"readOnlyHint": self.is_read_only, "openWorldHint": False},
        }


class Tools(Registry[Tool]):
    """The tools that an environment declares, in the order in which models see them.

    Args:
        kind: noun for a tool in error messages.
        vocabulary: vocabulary of every tool; see `Tool`.
    """

    def __init__(self, kind: str = "tool", vocabulary: object = None) -> None:
        super().__init__(kind)
        self.vocabulary = vocabulary

    def tool(
        self, arguments_type: type[BaseModel], **options: Any
    ) -> Callable[[ToolFunctionT], ToolFunctionT]:
        """Return a decorator that declares a function as a tool.

        The function's name and the first line of its docstring become the tool's name and
        description.

        Args:
            arguments_type: model of the arguments.
            options: additional attributes of `Tool`.
        """

        def declare_tool(function: ToolFunctionT) -> ToolFunctionT:
            name = options.pop("name", function.__name__)
            attributes = {"vocabulary": self.vocabulary, **options}
            description = get_first_docstring_line(function)
            self.add(Tool(name, description, arguments_type, function, **attributes))
            return function

        return declare_tool


class ToolCall(NamedTuple):
    """A model's request to call a tool.

    Attributes:
        name: name of the tool.
        arguments: a JSON object if the call is valid; a model may also send other values.
    """

    name: str
    arguments: Any


def format_tool_call_for_display(name: str, arguments: object) -> str:
    """Format a tool call on one line for display, such as `gauge(segment=3)`.

    Arguments that are not an object are shown unchanged between the parentheses.
    """
    if not isinstance(arguments, Mapping):
        return f"{name}({arguments})"
    parts = (f"{key}={json.dumps(value, default=str)}" for key, value in arguments.items())
    return f"{name}({', '.join(parts)})"


def parse_tool_call(value: object) -> ToolCall | None:
    """Parse an object `{"name": …, "arguments": …}`; return None if it is not a tool call."""
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        return None
    return ToolCall(value["name"], value.get("arguments", {}))
