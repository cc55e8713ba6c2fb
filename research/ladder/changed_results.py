"""Changes of tool results: those of another episode, and what a player assumes without reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from metric_tracker_rl.engine.definitions.names import LEAK_REPORTS
from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS
from metric_tracker_rl.engine.reporting_policy.drawn_policies import (
    ANOMALY_TYPES_BY_SUSPENDABLE_RULE,
)
from metric_tracker_rl.policies.funnel_names import BUILT_IN_NAMES
from research.ladder.episodes import ChangeResult, PlayedEpisode, ToolResult

THRESHOLDS = "thresholds"
"""Name of the thresholds among the drawn terms. The other terms are fields of `overview`."""
TERM_FIELDS = ("suspended_rule", "leak_reports")


class Assumption(NamedTuple):
    """What a player assumes instead of reading a tool."""

    text: str
    change_result: ChangeResult


def build_change_to_result_of(
    other: PlayedEpisode, episode: PlayedEpisode, tool: str
) -> ChangeResult:
    """Return the change that replaces a tool's result by the one of another episode.

    What must fit the episode is kept: entries of the calendar move to the same days of this
    episode, `overview` keeps the medians, and `day` keeps names and ids.
    """

    def change_result(name: str, result: ToolResult) -> ToolResult:
        if name != tool:
            return result
        (other_result,) = other.results[tool]
        if tool == "calendar":
            date_of_other = dict(zip(other.dates, episode.dates, strict=True))
            rows = [[date_of_other[date], *rest] for date, *rest in other_result["rows"]]
            return {**result, "rows": rows}
        if tool == "day":
            return {**result, "rows": _replace_values(result, other_result)}
        terms = {name: other_result[name] for name in TERM_FIELDS}
        return {**_replace_thresholds(result, _read_thresholds(other_result)), **terms}

    return change_result


def build_change_to_term_of(other: PlayedEpisode, term: str) -> ChangeResult:
    """Return the change that replaces one drawn term in `overview` by that of another episode."""
    (other_overview,) = other.results["overview"]

    def change_result(name: str, result: ToolResult) -> ToolResult:
        if name != "overview":
            return result
        if term == THRESHOLDS:
            return _replace_thresholds(result, _read_thresholds(other_overview))
        return {**result, term: other_overview[term]}

    return change_result


def iter_assumptions(tool: str, rung: str) -> Iterator[Assumption]:
    """Yield what a player may assume on a rung instead of reading a tool."""
    if tool != "overview":
        yield Assumption("that nothing is listed", _build_change_of_fields(tool, {"rows": []}))
        return
    level = RUNG_LEVELS[rung]
    rules = (None, *ANOMALY_TYPES_BY_SUSPENDABLE_RULE)
    for rule, leak, factor in product(rules, LEAK_REPORTS, level.threshold_factors or (None,)):
        fields = {"suspended_rule": rule, "leak_reports": leak}
        thresholds = None if factor is None else _multiply_smallest_thresholds(rung, factor)
        scale = "" if factor is None else f", thresholds x{factor}"
        yield Assumption(
            f"suspended rule {rule}, {leak}{scale}",
            _build_change_of_fields(tool, fields, thresholds),
        )


def _build_change_of_fields(
    tool: str, fields: Mapping[str, Any], thresholds: Mapping[str, float] | None = None
) -> ChangeResult:
    def change_result(name: str, result: ToolResult) -> ToolResult:
        if name != tool:
            return result
        changed = {**result, **fields}
        return changed if thresholds is None else _replace_thresholds(changed, thresholds)

    return change_result


def _multiply_smallest_thresholds(rung: str, factor: float) -> dict[str, float]:
    """Return the threshold of each series if all kinds of series have the same factor."""
    level, names = RUNG_LEVELS[rung], BUILT_IN_NAMES
    thresholds = dict.fromkeys(names.stages, level.count_threshold)
    thresholds |= dict.fromkeys((*names.step_rates, *names.composite_rates), level.rate_threshold)
    thresholds[str(names.daytime_share)] = level.mix_threshold
    return {name: threshold * factor for name, threshold in thresholds.items()}


def _read_thresholds(overview: ToolResult) -> dict[str, float]:
    return {name: threshold for name, _, threshold in overview["rows"]}


def _replace_thresholds(overview: ToolResult, thresholds: Mapping[str, float]) -> ToolResult:
    rows = [[name, median, thresholds[name]] for name, median, _ in overview["rows"]]
    return {**overview, "rows": rows}


def _replace_values(result: ToolResult, other_result: ToolResult) -> list[Any]:
    """Return the rows of `day` with the values that other dates have for the same series."""
    other_rows = other_result["rows"]
    replaced = []
    for position, (date, rows) in enumerate(result["rows"]):
        _, rows_of_other = other_rows[position % len(other_rows)]
        values = {name: value for name, _, value in rows_of_other}
        replaced.append([date, [[name, key, values.get(name, own)] for name, key, own in rows]])
    return replaced
