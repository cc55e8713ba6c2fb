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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from openenv_kit.errors import ToolArgumentError, echo, unknown_name_message
from openenv_kit.registry import Registry, first_line
from openenv_kit.schema import describe_problems, json_schema

Action = dict[str, Any]


class Arguments(BaseModel):
    """Base of argument models that refuse unknown names; without it, a model ignores them."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, eq=False)
class Tool:
    """One tool.

    Attributes:
        name: what a model calls it by.
        description: one line, written for models.
        arguments: typed model of its arguments; it says by its `extra` whether unknown names are
            refused.
        run: carries out a call, given what the environment plays with and the arguments; None
            where the session does so itself.
        reads_only: whether a call leaves the episode as it was.
        finishes: whether a call hands in the result and ends the episode.
        shows_data: whether its result holds data of the episode, and not only what the caller
            gave or what everybody knows.
        slow: whether a call may take longer than a server should wait; then such calls take turns
            in threads of their own, and the environment's resets are made in threads.
        vocabulary: holds the lists that marked arguments take their names from; see `json_schema`.
    """

    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[[Any, Any], Any] | None = None
    reads_only: bool = True
    finishes: bool = False
    shows_data: bool = True
    slow: bool = False
    vocabulary: object = None

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """JSON Schema of its arguments: an object without references."""
        return json_schema(self.arguments, self.vocabulary)

    def read(self, given: object, called: str = "arguments") -> Any:
        """Arguments of a call, validated; null stands for an optional one that was left out.

        Args:
            given: the arguments as they arrived.
            called: what the field they arrived in is called.

        Raises:
            ToolArgumentError: says which is wrong, what is allowed and the nearest match.
        """
        if not isinstance(given, Mapping):
            problem = f"{called} of {self.name} is {echo(given)}; allowed: an object."
            raise ToolArgumentError(problem + self.undone)
        fields = self.arguments.model_fields
        # Models send null for an optional argument that they leave out.
        left_out = {
            name
            for name, value in given.items()
            if value is None and name in fields and not fields[name].is_required()
        }
        try:
            return self.arguments.model_validate(
                {name: value for name, value in given.items() if name not in left_out}
            )
        except ValidationError as error:
            problem = describe_problems(self.name, self.parameters, error)
            raise ToolArgumentError(problem + self.undone) from None

    def call(self, play: Any, given: object, called: str = "arguments") -> Any:
        """Validate the arguments and run; see `read` for what it raises."""
        if self.run is None:
            raise TypeError(f"{self.name} is carried out by the session")
        return self.run(play, self.read(given, called))

    @property
    def undone(self) -> str:
        """What is said of a call that was refused; nothing of one that only reads."""
        if self.reads_only:
            return ""
        return " Nothing was submitted." if self.finishes else " Nothing was done."

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
            "annotations": {"readOnlyHint": self.reads_only, "openWorldHint": False},
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

    def tool(self, arguments: type[BaseModel], **options: Any) -> Callable[[Any], Any]:
        """Decorator: declare a function as the tool of its own name.

        The first line of its docstring is the description that models read. `options` are further
        attributes of `Tool`.
        """

        def declare(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
            name = options.pop("name", function.__name__)
            given = {"vocabulary": self.vocabulary, **options}
            self.add(Tool(name, first_line(function), arguments, function, **given))
            return function

        return declare


def _tool_action(name: str, arguments: Mapping[str, Any]) -> Action:
    return {"tool": name, "arguments": dict(arguments)}


def _tool_called(action: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return str(action.get("tool")), dict(action.get("arguments") or {})


def _observed(introduction: str, answer: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {"message": introduction} if answer is None else answer


@dataclass(frozen=True)
class Catalogue:
    """Every tool of an environment, and the words around them.

    Attributes:
        tools: the tools, in the order models see them.
        answer: what a model is told of an observation; values may be pydantic models.
        introduction: the first user message of an episode, from its reset's observation.
        observed: what a scripted policy reads that stands in for a model, from the introduction
            and the last answer, which is None at first; inverse of the two above.
        to_action: the action of a tool call; by default `{"tool", "arguments"}`.
        called: name and arguments of the call that an action stands for; inverse of `to_action`.
        gauges: what a server reports of the tools while they work, by a short name: functions that
            return a number at once, such as how many queries run.
        in_force: the tools that an episode offers, for `offered`; None where all episodes offer
            all. Tools that no episode offers together may share a name.
    """

    tools: Sequence[Tool]
    answer: Callable[[Mapping[str, Any]], dict[str, Any]]
    introduction: Callable[[Mapping[str, Any]], str] = lambda opening: str(opening["message"])
    observed: Callable[[str, Mapping[str, Any] | None], Mapping[str, Any]] = _observed
    to_action: Callable[[str, Mapping[str, Any]], Action] = _tool_action
    called: Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]] = _tool_called
    in_force: Callable[[Mapping[str, Any]], Sequence[Tool]] | None = None
    gauges: Mapping[str, Callable[[], float]] = field(default_factory=dict)

    def offered(self, episode: Mapping[str, Any] | None = None) -> Catalogue:
        """The tools that one episode offers.

        Args:
            episode: the observation of its reset, or else the reset's arguments, which may be
                fewer; None for a reset without any.
        """
        if self.in_force is None:
            return self
        return replace(self, tools=self.in_force(episode or {}))

    @cached_property
    def names(self) -> list[str]:
        """Every tool's name, once."""
        return list(dict.fromkeys(tool.name for tool in self.tools))

    @property
    def chat_tools(self) -> list[dict[str, Any]]:
        """Every tool in the form that chat endpoints and chat templates take."""
        return [tool.as_chat_tool() for tool in self.tools]

    @cached_property
    def slow(self) -> bool:
        """Whether any call may take long; see `Tool`."""
        return any(tool.slow for tool in self.tools)

    def is_slow_call(self, action: Mapping[str, Any]) -> bool:
        """Return whether an action, valid or not, calls a slow tool."""
        try:
            name = self.called(action)[0]
        except (TypeError, ValueError, AttributeError):  # the session says what is wrong with it
            return False
        return any(tool.slow for tool in self.tools if tool.name == name)

    def find(self, name: object) -> Tool:
        """The tool of that name; a ToolArgumentError names the nearest where there is none."""
        for tool in self.tools:
            if tool.name == name:
                return tool
        raise ToolArgumentError(unknown_name_message("tool", name, self.names))

    def action(self, name: object, arguments: Any) -> Action:
        """The action of a tool call.

        The session validates the arguments of a call that reads. Those of one that acts are
        validated here as well, because an argument left out must not become an empty report.

        Raises:
            ToolArgumentError: no such tool, arguments that are not an object, or wrong arguments
                of a call that acts.
        """
        tool = self.find(name)
        if not (tool.reads_only and isinstance(arguments, Mapping)):
            tool.read(arguments)
        return self.to_action(tool.name, arguments)


def compact(value: Any) -> str:
    """One line of ASCII JSON without spaces; pydantic models become objects."""
    return json.dumps(value, separators=(",", ":"), default=lambda model: model.model_dump())
