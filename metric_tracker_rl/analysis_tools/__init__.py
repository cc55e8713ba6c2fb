"""The analysis methods: read-only, typed, declared once in one registry."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from metric_tracker_rl.analysis_tools import compare, lookup, row_generators, statistics
from metric_tracker_rl.analysis_tools.lean import LEAN_TOOLS, SUBMIT_TOOL
from metric_tracker_rl.analysis_tools.raw import RAW_LEAN_TOOLS, RAW_TOOLS
from metric_tracker_rl.analysis_tools.registry import TOOLS, create_method_registry, method_specs
from metric_tracker_rl.engine.configuration.modes import (
    GUIDED_MODE,
    LEAN_MODE,
    LEAN_RAW_MODE,
    RAW_MODE,
)
from metric_tracker_rl.engine.configuration.play_rules import PlayRules
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.definitions.names import DIRECTIONS, STDDEV_SHIFT
from metric_tracker_rl.wire_models import (
    MethodSpec,
    PayloadGeneratorMethod,
    SyntheticAnomalyGenerator,
)
from openenv_kit.schema import json_schema
from openenv_kit.tool import Tools

__all__ = [
    "ANALYSIS_TOOLS_BY_MODE",
    "LEAN_TOOLS",
    "RAW_LEAN_TOOLS",
    "RAW_TOOLS",
    "TOOLS",
    "VARIED_TOOLS",
    "available_analysis_methods",
    "available_payload_generation_methods",
    "available_synthetic_generator_methods",
    "compare",
    "generators_refused_because",
    "lookup",
    "method_specs",
    "row_generators",
    "select_analysis_tools",
    "statistics",
]


ANALYSIS_TOOLS_BY_MODE = {
    GUIDED_MODE: TOOLS,
    LEAN_MODE: LEAN_TOOLS,
    RAW_MODE: RAW_TOOLS,
    LEAN_RAW_MODE: RAW_LEAN_TOOLS,
}
"""The tools of each mode."""

VARIED_TOOLS = create_method_registry()
"""The tools of guided play in the standard profile, where the reporting policy is drawn."""
for _tool in TOOLS.values():
    if _tool.name == "hourly_rows_for_date":  # whose description tells the usual hours
        _tool = replace(_tool, description=RAW_TOOLS[_tool.name].description)
    VARIED_TOOLS.add(_tool)


def select_analysis_tools(rules: PlayRules, *, has_drawn_policy: bool = False) -> Tools:
    """Return the tools that an episode offers under these rules.

    Args:
        rules: the episode's rules of play.
        has_drawn_policy: whether the reporting policy is drawn at random. If so, no tool's
            description may state the numbers of a level's own policy.
    """
    tools = ANALYSIS_TOOLS_BY_MODE[rules.mode]
    return VARIED_TOOLS if has_drawn_policy and tools is TOOLS else tools


def generators_refused_because(rules: PlayRules) -> str:
    """Why a report cannot be made by row generators under these rules; empty where it can."""
    if not rules.is_lean and not rules.is_raw:
        return ""
    if not rules.is_raw:
        return f"The lean profile has no row generators; allowed: {SUBMIT_TOOL} with ids or rows."
    allowed = f"{SUBMIT_TOOL} with rows" if rules.is_lean else "classifications"
    return f"Raw disclosure has no row generators; allowed: {allowed}."


def available_analysis_methods() -> list[MethodSpec]:
    """Name, description and JSON Schema parameters of every analysis method."""
    return list(method_specs(TOOLS))


def available_payload_generation_methods() -> list[MethodSpec]:
    """Name, description and parameters of every row generator a payload can be built with."""
    return list(_row_generator_specs())


def available_synthetic_generator_methods() -> list[MethodSpec]:
    """Name, description and parameters of every way to set a custom anomaly at reset."""
    return list(_custom_anomaly_specs())


@cache
def _row_generator_specs() -> tuple[MethodSpec, ...]:
    schema = json_schema(PayloadGeneratorMethod, ORDERING_APP)
    return tuple(
        MethodSpec(name=each.name, description=each.description, parameters=schema)
        for each in row_generators.GENERATORS_BY_NAME.values()
    )


@cache
def _custom_anomaly_specs() -> tuple[MethodSpec, ...]:
    description = (
        "Sets a metric to median ± stddev_factor × standard deviation from the median on the "
        f"given dates; direction is {', '.join(DIRECTIONS)}."
    )
    schema = json_schema(SyntheticAnomalyGenerator, ORDERING_APP)
    return (MethodSpec(name=STDDEV_SHIFT, description=description, parameters=schema),)
