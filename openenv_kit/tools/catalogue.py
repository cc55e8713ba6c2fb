"""The tools of an environment as every door offers them, and what a call of one means.

A tool is declared once, by its environment, which may offer it in some of its episodes only. The
model player, MCP, each trainer, the page and the documentation read this list; none of them
describes a tool in words of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from openenv_kit.errors import ToolArgumentError, echo, nearest, unknown_name_message

Action = dict[str, Any]


@dataclass(frozen=True)
class ToolSpec:
    """One tool.

    Attributes:
        name: what a model calls it by.
        description: one line, written for models.
        parameters: JSON Schema of its arguments, an object without references.
        reads_only: whether a call leaves the episode as it was.
        finishes: whether a call hands in the result and ends the episode.
        action: the action of a call with these arguments.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    action: Callable[[Mapping[str, Any]], Action]
    reads_only: bool = True
    finishes: bool = False

    @property
    def undone(self) -> str:
        """What is said of a call that was refused; nothing of one that only reads."""
        if self.reads_only:
            return ""
        return " Nothing was submitted." if self.finishes else " Nothing was done."

    def as_chat_tool(self) -> dict[str, Any]:
        """The form that chat endpoints and chat templates take."""
        function = {"name": self.name, "description": self.description}
        return {"type": "function", "function": {**function, "parameters": dict(self.parameters)}}

    def as_mcp_tool(self) -> dict[str, Any]:
        """The form that MCP lists."""
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": dict(self.parameters),
            "annotations": {"readOnlyHint": self.reads_only, "openWorldHint": False},
        }


@dataclass(frozen=True)
class Catalogue:
    """Every tool of an environment, in the order models see them.

    Attributes:
        tools: the tools.
        called: name and arguments of the call that an action stands for; inverse of `action`.
        answer: what a model is told of an observation; values may be pydantic models.
        observed: what scripted policies read of an observation, from its answer alone; inverse
            of `answer`, for policies that stand in for a model. By default the answer itself.
        in_force: the tools that an episode offers; see `offered`. By default all. Tools that no
            episode offers together may share a name.
    """

    tools: Sequence[ToolSpec]
    called: Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]
    answer: Callable[[Mapping[str, Any]], dict[str, Any]]
    observed: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    in_force: Callable[[Mapping[str, Any]], Sequence[ToolSpec]] | None = None

    def offered(self, episode: Mapping[str, Any] | None = None) -> Catalogue:
        """The tools that one episode offers.

        Args:
            episode: the observation of its reset, or else the reset's arguments, which may be
                fewer; None for a reset without any.
        """
        if self.in_force is None:
            return self
        return replace(self, tools=self.in_force(episode or {}))

    @property
    def names(self) -> list[str]:
        """Every tool's name, once."""
        return list(dict.fromkeys(tool.name for tool in self.tools))

    @property
    def chat_tools(self) -> list[dict[str, Any]]:
        """Every tool in the form that chat endpoints and chat templates take."""
        return [tool.as_chat_tool() for tool in self.tools]

    def find(self, name: object) -> ToolSpec:
        """The tool of that name; a ToolArgumentError names the nearest where there is none."""
        for tool in self.tools:
            if tool.name == name:
                return tool
        raise ToolArgumentError(unknown_name_message("tool", name, self.names))

    def action(self, name: object, arguments: object) -> Action:
        """The action of a tool call.

        The environment judges what the arguments hold. Only calls that act are checked against
        their schema here, because an argument left out must not become an empty report.

        Raises:
            ToolArgumentError: no such tool, arguments that are not an object, or a call that acts
                without what it needs.
        """
        tool = self.find(name)
        if not isinstance(arguments, Mapping):
            given = f"arguments of {tool.name} are {echo(arguments)}"
            raise ToolArgumentError(f"{given}; allowed: an object.{tool.undone}")
        if not tool.reads_only:
            _check(tool, arguments)
        return tool.action(arguments)


def compact(value: Any) -> str:
    """One line of ASCII JSON without spaces; pydantic models become objects."""
    return json.dumps(value, separators=(",", ":"), default=lambda model: model.model_dump())


def _check(tool: ToolSpec, arguments: Mapping[str, Any]) -> None:
    properties = tool.parameters.get("properties", {})
    for name in arguments:
        if name not in properties:
            guess = nearest(name, properties)
            hint = f" (did you mean {guess!r}?)" if guess else ""
            allowed = ", ".join(properties) or "none"
            raise ToolArgumentError(
                f"{tool.name}: unknown argument {echo(name)}; allowed: {allowed}{hint}."
                f"{tool.undone}"
            )
    for name in tool.parameters.get("required", ()):
        given, fits, allowed = arguments.get(name), name in arguments, "a value"
        if properties[name].get("type") == "array":
            fewest = properties[name].get("minItems", 0)
            fits = isinstance(given, list) and len(given) >= fewest
            allowed = f"a list of at least {fewest}" if isinstance(given, list) else "a list"
        if not fits:
            raise ToolArgumentError(
                f"{tool.name}: {name} is {echo(given)}; allowed: {allowed}.{tool.undone}"
            )
