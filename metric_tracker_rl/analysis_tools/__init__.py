"""Analysis methods are read-only tools with typed arguments, in one registry for each play mode."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache

from metric_tracker_rl.analysis_tools import (
    compare,
    lookup,
    row_generator_tools,
    row_generators,
    statistics,
)
from metric_tracker_rl.analysis_tools.lean import LEAN_TOOLS, SUBMIT_TOOL
from metric_tracker_rl.analysis_tools.raw import RAW_LEAN_TOOLS, RAW_TOOLS
from metric_tracker_rl.analysis_tools.registry import (
    HOURLY_METHODS,
    TOOLS,
    build_method_specs,
    create_empty_analysis_method_registry,
)
from metric_tracker_rl.engine.configuration.modes import (
    GUIDED_MODE,
    LEAN_MODE,
    LEAN_RAW_MODE,
    RAW_MODE,
    PlayMode,
)
from metric_tracker_rl.engine.configuration.play_rules import PlayRules
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP, Funnel
from metric_tracker_rl.engine.definitions.names import DIRECTIONS, STDDEV_SHIFT
from metric_tracker_rl.wire_models import (
    MethodSpec,
    PayloadGeneratorMethod,
    SyntheticAnomalyGenerator,
)
from openenv_kit.schema import build_arguments_schema
from openenv_kit.tool import Tools

__all__ = [
    "ANALYSIS_TOOLS_BY_MODE",
    "DRAWN_POLICY_TOOLS",
    "LEAN_TOOLS",
    "PRODUCT_TOOLS_CACHE_SIZE",
    "RAW_LEAN_TOOLS",
    "RAW_TOOLS",
    "TOOLS",
    "available_analysis_methods",
    "available_payload_generation_methods",
    "available_synthetic_generator_methods",
    "build_method_specs",
    "build_tools_for_product",
    "compare",
    "explain_why_row_generators_are_rejected",
    "lookup",
    "row_generator_tools",
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
"""Analysis methods by mode."""


def build_guided_tools_for_drawn_reporting_policy() -> Tools:
    """Return the tools of the default play mode for a reporting policy that is drawn at random.

    The description of `hourly_rows_for_date` in this mode states the default daytime hours, which a
    drawn policy may change. It is replaced with the tool's description for raw disclosure, which
    does not mention hours.
    """
    varied_tools = create_empty_analysis_method_registry()
    for tool in TOOLS.values():
        if tool.name == "hourly_rows_for_date":
            varied_tools.add(replace(tool, description=RAW_TOOLS[tool.name].description))
        else:
            varied_tools.add(tool)
    return varied_tools


PRODUCT_TOOLS_CACHE_SIZE = 64
DESCRIPTIONS_FOR_DAILY_TOTALS = {
    "check_impossible_counts": "List adjacent stages of which the later has more events than the "
    "earlier on one date.",
    "get_instrumentation_data_quality_issue_rows": "Rows of adjacent stages with impossible "
    "counts.",
}
"""Descriptions of tools if impossible counts are found in the day's totals."""
DESCRIPTIONS_WITHOUT_HOURS = {
    "show_raw_data": "Return raw daily event counts, from the start or an offset."
}
"""Descriptions of tools if only the day's totals are known."""
DRAWN_POLICY_TOOLS = build_guided_tools_for_drawn_reporting_policy()


@lru_cache(maxsize=PRODUCT_TOOLS_CACHE_SIZE)
def build_tools_for_product(mode: PlayMode, funnel: Funnel) -> Tools:
    """Return the analysis tools of a play mode for a product.

    The schemas list the entity names of the product's funnel as allowed values. No description
    mentions the default daytime hours. Hourly tools are omitted if the product has only daily
    totals.
    """
    tools = ANALYSIS_TOOLS_BY_MODE[mode]
    product_tools = create_empty_analysis_method_registry(funnel)
    for tool in (DRAWN_POLICY_TOOLS if tools is TOOLS else tools).values():
        if funnel.daytime is not None or tool.name not in HOURLY_METHODS:
            description = tool.description
            if funnel.compares_daily_totals:
                description = DESCRIPTIONS_FOR_DAILY_TOTALS.get(tool.name, description)
            if funnel.hours_per_day == 1:
                description = DESCRIPTIONS_WITHOUT_HOURS.get(tool.name, description)
            product_tools.add(replace(tool, description=description, vocabulary=funnel))
    return product_tools


def select_analysis_tools(
    rules: PlayRules, *, has_drawn_policy: bool = False, product_funnel: Funnel | None = None
) -> Tools:
    """Return the analysis tools of an episode that is played with the given rules.

    Args:
        rules: the play rules of the episode.
        has_drawn_policy: whether the reporting policy is drawn at random. If so, no tool
            description mentions the level's default thresholds or hours.
        product_funnel: funnel of the episode's product; None for the built-in funnel.
    """
    if product_funnel is not None:
        return build_tools_for_product(rules.mode, product_funnel)
    tools = ANALYSIS_TOOLS_BY_MODE[rules.mode]
    return DRAWN_POLICY_TOOLS if has_drawn_policy and tools is TOOLS else tools


def explain_why_row_generators_are_rejected(rules: PlayRules) -> str:
    """Return the reason why the play rules forbid row generators, or "" if they are allowed."""
    if not rules.has_lean_profile and not rules.has_raw_disclosure:
        return ""
    if not rules.has_raw_disclosure:
        return f"The lean profile has no row generators; allowed: {SUBMIT_TOOL} with ids or rows."
    allowed = f"{SUBMIT_TOOL} with rows" if rules.has_lean_profile else "classifications"
    return f"Raw disclosure has no row generators; allowed: {allowed}."


def available_analysis_methods() -> list[MethodSpec]:
    """Return the catalogue entry of every analysis method in the default play mode."""
    return list(build_method_specs(TOOLS))


def available_payload_generation_methods() -> list[MethodSpec]:
    """Return the catalogue entry of every row generator that `payload_generators` may name."""
    return list(_build_row_generator_specs())


def available_synthetic_generator_methods() -> list[MethodSpec]:
    """Return the catalogue entry of every method that can create custom anomalies at reset."""
    return list(_build_custom_anomaly_generator_specs())


@cache
def _build_row_generator_specs() -> tuple[MethodSpec, ...]:
    schema = build_arguments_schema(PayloadGeneratorMethod, ORDERING_APP)
    return tuple(
        MethodSpec(name=generator.name, description=generator.description, parameters=schema)
        for generator in row_generators.GENERATORS_BY_NAME.values()
    )


@cache
def _build_custom_anomaly_generator_specs() -> tuple[MethodSpec, ...]:
    description = (
        "Set a metric to median ± stddev_factor × standard deviation from the median on the "
        f"given dates; direction is {', '.join(DIRECTIONS)}."
    )
    schema = build_arguments_schema(SyntheticAnomalyGenerator, ORDERING_APP)
    return (MethodSpec(name=STDDEV_SHIFT, description=description, parameters=schema),)
