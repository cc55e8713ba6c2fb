"""Registry of analysis methods, used by sessions, client interfaces and documentation."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

import orjson
from pydantic import BaseModel

from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP, Funnel
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.wire_models import MethodSpec
from openenv_kit.schema import build_arguments_schema
from openenv_kit.tool import Tool, ToolFunctionT, Tools

MethodResult = dict[str, Any]
"""Result of an analysis method, which contains only values that JSON can represent."""
ArgumentsT = TypeVar("ArgumentsT", bound=BaseModel)
AnalysisMethod = Callable[[EpisodeView, ArgumentsT], MethodResult]

HOURLY_METHODS = ("hourly_rows_for_date", "get_hourly_traffic_mix_shift_rows", "hours")
"""Methods that an episode lacks if only the day's totals are known."""
MAX_CACHED_BYTES = 256_000
"""Maximum size of an episode's cached results in bytes of JSON. A larger cache is emptied."""


class AnalysisMethods(Tools):
    """A registry of analysis methods whose results are cached in the episode."""

    def tool(
        self, arguments_type: type[BaseModel], *, is_cached: bool = True, **options: Any
    ) -> Callable[[ToolFunctionT], ToolFunctionT]:
        """Return a decorator that registers a function as an analysis method.

        See `Tools.tool` for the options.

        Args:
            arguments_type: model of the method's arguments.
            is_cached: whether results are cached. Pass False for a method that is rarely called
                twice with the same arguments.
            **options: further attributes of `Tool`.
        """
        declare = super().tool(arguments_type, **options)

        def declare_cached(method: ToolFunctionT) -> ToolFunctionT:
            return declare(
                cast(ToolFunctionT, cache_results_in_episode(method)) if is_cached else method
            )

        return declare_cached


def cache_results_in_episode(method: AnalysisMethod[ArgumentsT]) -> AnalysisMethod[ArgumentsT]:
    """Wrap an analysis method so that the episode caches its results.

    The cache key consists of the method, its arguments and the play rules.

    Results are cached as JSON text, so that a caller who modifies a result does not affect other
    callers. If a method returns a value that JSON cannot represent, such as a NumPy number, the
    call raises a TypeError.
    """

    @wraps(method)
    def run_cached(view: EpisodeView, arguments: ArgumentsT) -> MethodResult:
        cache = view.episode.cached_results
        cache_key = (method, view.rules, view.is_split_task, arguments.model_dump_json())
        encoded = cache.get(cache_key)
        if encoded is None:
            encoded = orjson.dumps(method(view, arguments))
            if sum(map(len, list(cache.values()))) + len(encoded) > MAX_CACHED_BYTES:
                cache.clear()
            cache[cache_key] = encoded
        result: MethodResult = orjson.loads(encoded)
        return result

    return run_cached


def create_empty_analysis_method_registry(funnel: Funnel = ORDERING_APP) -> AnalysisMethods:
    """Create an empty registry for the analysis methods of a funnel.

    The argument schemas of methods that are added later list the funnel's entity names as allowed
    values.
    """
    return AnalysisMethods("analysis_method", funnel)


def build_method_specs(tools: Tools, funnel: Funnel = ORDERING_APP) -> tuple[MethodSpec, ...]:
    """Return a catalogue entry with the name, description and argument schema of each tool.

    The schemas list the funnel's entity names as allowed values.
    """
    return _build_and_cache_method_specs(tuple(tools.values()), funnel)


@lru_cache(maxsize=64)
def _build_and_cache_method_specs(
    tools: tuple[Tool, ...], funnel: Funnel
) -> tuple[MethodSpec, ...]:
    return tuple(
        MethodSpec(
            name=tool.name,
            description=tool.description,
            parameters=build_arguments_schema(tool.arguments_type, funnel),
        )
        for tool in tools
    )


def list_method_names_of_episode(tools: Tools, view: EpisodeView) -> list[str]:
    """Return the names of the tools that can be used in an episode.

    If the episode has only daily totals, the tools that need hourly counts are omitted.
    """
    is_hourly = view.episode.config.funnel_with_policy_daytime.daytime is not None
    return [name for name in tools if is_hourly or name not in HOURLY_METHODS]


def collect_dates_of_result_rows(result: MethodResult) -> set[str]:
    """Return all dates in a method's result, including the dates of nested rows.

    All rows of one list have the same fields, so only the first row is checked for a date field.
    """
    dates = {result["date"]} if "date" in result else set()
    for rows in result.values():
        if type(rows) is not list or not rows or type(rows[0]) is not dict:
            continue
        if "date" in rows[0]:
            dates.update([row["date"] for row in rows])
        elif any(type(value) is list for value in rows[0].values()):
            dates.update(*map(collect_dates_of_result_rows, rows))
    return dates


TOOLS = create_empty_analysis_method_registry()
"""Analysis methods of the standard profile with guided disclosure."""
