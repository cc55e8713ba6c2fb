"""The analysis methods: declared once, read by the session, every door and the documentation."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import orjson
from pydantic import BaseModel

from metric_tracker_rl.engine.configuration.episode_config import FUNNELS
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.wire_models import MethodSpec
from openenv_kit.schema import json_schema
from openenv_kit.tool import Tool, Tools

MethodResult = dict[str, Any]


AnalysisMethod = Callable[[EpisodeView, Any], MethodResult]

MAX_CACHED_BYTES = 256_000
"""Most bytes of answers that are kept for an episode."""


class AnalysisMethods(Tools):
    """Analysis methods; one that is asked again about the same data gives the answer it kept."""

    def tool(
        self, arguments_type: type[BaseModel], *, cached: bool = True, **options: Any
    ) -> Callable[[Any], Any]:
        """Decorator: see `Tools`; `keep` is false for a method that is hardly asked twice alike."""
        declare = super().tool(arguments_type, **options)
        return lambda method: declare(cache_result(method) if cached else method)


def cache_result(method: AnalysisMethod) -> AnalysisMethod:
    """Keep a method's answers with the episode, by arguments and rules of play.

    They are kept as JSON, so that nobody can change another player's, and a method that returns
    anything else than JSON, such as one of NumPy's numbers, fails at once.
    """

    @wraps(method)
    def answer(view: EpisodeView, arguments: BaseModel) -> MethodResult:
        answers = view.episode.cached_results
        asked = (method, view.rules, view.is_split_task, arguments.model_dump_json())
        found = answers.get(asked)
        if found is None:
            found = orjson.dumps(method(view, arguments))
            if sum(map(len, list(answers.values()))) + len(found) > MAX_CACHED_BYTES:
                answers.clear()
            answers[asked] = found
        result: MethodResult = orjson.loads(found)
        return result

    return answer


def create_method_registry() -> AnalysisMethods:
    """An empty registry of analysis methods, whose arguments name entities of the ordering app."""
    return AnalysisMethods("analysis_method", ORDERING_APP)


def method_specs(tools: Tools, funnel: str = ORDERING_APP.name) -> tuple[MethodSpec, ...]:
    """Name, description and JSON Schema of every method, for one funnel's names."""
    return _cached_method_specs(tuple(tools.values()), funnel)


@lru_cache(maxsize=64)
def _cached_method_specs(tools: tuple[Tool, ...], funnel: str) -> tuple[MethodSpec, ...]:
    return tuple(
        MethodSpec(
            name=tool.name,
            description=tool.description,
            parameters=json_schema(tool.arguments_type, FUNNELS[funnel]),
        )
        for tool in tools
    )


def dates_in_result(result: MethodResult) -> set[str]:
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
            found.update(*map(dates_in_result, rows))
    return found


TOOLS = create_method_registry()
"""Every analysis method of guided play in the standard profile."""
