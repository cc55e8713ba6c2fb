"""One registry of analysis methods: name, description, argument model, function.

Everything that knows a method reads it from here: the observation's catalogue, the OpenAI
tool schemas, argument validation, the documentation and the user interface.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from metric_tracker_rl.analysis_tools.arguments import Arguments
from metric_tracker_rl.engine.config import FUNNELS
from metric_tracker_rl.engine.funnel import ORDERING_APP
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.rows import MethodSpec
from openenv_kit.play.policies import Registry
from openenv_kit.tools.schema import json_schema, read_arguments

A = TypeVar("A", bound=Arguments)
Result = dict[str, Any]


@dataclass(frozen=True)
class Tool(Generic[A]):
    """One analysis method.

    Attributes:
        name: what agents call it by.
        description: one line, written for agents.
        arguments: typed model of its arguments.
        run: the function; reads the episode, changes nothing, knows no label.
        shows_data: whether the rows of its result are the episode's data, not what the caller
            gave or what is known without the data.
    """

    name: str
    description: str
    arguments: type[A]
    run: Callable[[EpisodeView, A], Result]
    shows_data: bool = True

    def call(self, view: EpisodeView, raw: Any) -> tuple[dict[str, Any], Result]:
        """Validate raw arguments and run.

        Returns:
            The arguments as given, and the result.

        Raises:
            ToolArgumentError: wrong arguments; says which, what is allowed and the nearest.
        """
        if self.nothing is not None and type(raw) is dict and not raw:
            return {}, self.run(view, self.nothing)
        arguments = read_arguments(self.name, self.arguments, raw, "analysis_args")
        return dict(raw), self.run(view, arguments)

    @cached_property
    def nothing(self) -> A | None:
        """Arguments that there are none of, if it takes none."""
        return None if self.arguments.model_fields else self.arguments()


class ToolRegistry(Registry[Tool[Any]]):
    """Analysis methods by name, in the order they were declared."""

    def __init__(self) -> None:
        super().__init__("analysis_method")
        self._catalogues: dict[tuple[str, int], tuple[MethodSpec, ...]] = {}

    def method(
        self, arguments: type[A], *, shows_data: bool = True
    ) -> Callable[[Callable[[EpisodeView, A], Result]], Callable[[EpisodeView, A], Result]]:
        """Decorator: declare a function as the method of its own name.

        The first line of its docstring is the description that agents read. For `shows_data`
        see `Tool`.
        """

        def declare(function: Callable[[EpisodeView, A], Result]) -> Any:
            description = (inspect.getdoc(function) or "").split("\n", 1)[0]
            self.add(Tool(function.__name__, description, arguments, function, shows_data))
            return function

        return declare

    def catalogue(self, funnel: str = ORDERING_APP.name) -> tuple[MethodSpec, ...]:
        """Name, description and JSON Schema of every method, for one funnel's names."""
        made = funnel, len(self)  # methods are only ever added
        if made not in self._catalogues:
            self._catalogues[made] = tuple(
                MethodSpec(
                    name=tool.name,
                    description=tool.description,
                    parameters=json_schema(tool.arguments, FUNNELS[funnel]),
                )
                for tool in self.values()
            )
        return self._catalogues[made]


def dates_within(result: Result) -> set[str]:
    """Dates of the rows that a method's result holds, at any depth.

    The rows of a list are alike, so the first one tells whether the others are worth a look.
    """
    found = {result["date"]} if "date" in result else set()
    for rows in result.values():
        if type(rows) is not list or not rows or type(rows[0]) is not dict:
            continue
        if "date" in rows[0]:
            found.update([row["date"] for row in rows])
        elif any(type(value) is list for value in rows[0].values()):
            found.update(*map(dates_within, rows))
    return found


TOOLS = ToolRegistry()
"""Every analysis method."""
