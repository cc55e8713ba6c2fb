"""Generated parts of the pages, by name.

A page asks for one with a line `{{ NAME }}`; see `hook`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any

from matplotlib.figure import Figure

from docs.generate.charts import bar_chart
from docs.generate.commands import SECTIONS as COMMANDS
from docs.generate.examples import EXAMPLES, plot, section, table
from docs.generate.firewatch import SECTIONS as FIREWATCH
from metric_tracker_rl.analysis_tools import TOOLS, method_specs
from metric_tracker_rl.engine.configuration.tasks import TASKS
from metric_tracker_rl.engine.definitions.anomaly_types import anomaly_types_of
from metric_tracker_rl.engine.definitions.entity_types import DETECTION_METHODS
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import BASELINES, LEAK_REPORTS
from metric_tracker_rl.engine.definitions.severity import public_severity_bounds
from metric_tracker_rl.engine.definitions.thresholds import public_thresholds
from metric_tracker_rl.engine.grading.grader import (
    DUPLICATE_PENALTY,
    EXPLOIT_FLOOR,
    EXPLOIT_PENALTY,
    EXTRA_PENALTY,
    INVALID_PENALTY,
    SCORE_WEIGHTS,
)
from metric_tracker_rl.engine.reporting_policy import drawn_policies
from metric_tracker_rl.engine.reporting_policy.clauses import CLAUSES, ENTITY_TYPES_BY_RULE
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies import POLICIES
from metric_tracker_rl.wire_models import MethodSpec
from openenv_kit.rollouts.run_policy import run_policy

Section = Callable[[], str]

FUNNEL_POLICIES = list(POLICIES)
"""Policies of the named tasks that are compared."""


def tool_reference() -> str:
    """Every analysis method: what it does, its arguments, a real call."""
    session = EpisodeSession()
    session.reset(task_id="medium_mixed_pair")
    assert session.view is not None
    parts = []
    for spec in method_specs(TOOLS):
        arguments = sample_arguments(spec)
        result = TOOLS[spec.name].call(session.view, arguments)
        call = json.dumps({"analysis_method": spec.name, "analysis_args": arguments})
        keys = ", ".join(f"`{key}`" for key in result)
        parts.append(
            f"### {spec.name}\n\n{spec.description}\n\n{_argument_table(spec)}\n\n"
            f"Result: {keys}.\n\n```json\n{call}\n```"
        )
    return "\n\n".join(parts)


def sample_arguments(spec: MethodSpec) -> dict[str, Any]:
    """Arguments that a method accepts on `medium_mixed_pair`."""
    session = EpisodeSession()
    opening = session.reset(task_id="medium_mixed_pair")
    samples: dict[str, Any] = {
        "date": opening.observation_fields["config"]["start_date"],
        "limit": 3,
        "threshold": 5.0,
        "threshold_multiplier": 2.0,
        "rows": [],
        "generator_methods": [{"method_name": "median_filter", "threshold_multiplier": 2.0}],
    }
    properties = spec.parameters["properties"]
    names = properties.get("entity_name", {}).get("enum")
    if names:
        samples["entity_name"] = names[0]
    wanted = [*spec.parameters.get("required", []), *(["limit"] if "limit" in properties else [])]
    return {name: samples[name] for name in wanted}


def _argument_table(spec: MethodSpec) -> str:
    properties: dict[str, Any] = spec.parameters["properties"]
    if not properties:
        return "No arguments."
    required = spec.parameters.get("required", [])
    rows = []
    for name, field in properties.items():
        kind, default = _type(field), json.dumps(field.get("default"))
        if kind.startswith("list") and default == "null":
            default = "[]"
        usual = "required" if name in required else f"`{default}`"
        rows.append([f"`{name}`", kind, usual, field.get("description", "")])
    return table(["argument", "type", "default", "meaning"], rows)


def _type(field: dict[str, Any]) -> str:
    """A JSON Schema type in a few words, with its range."""
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    kind = field.get("type", "any")
    if kind == "array":
        items = _type(field["items"]) if field.get("items") else "object"
        return f"list of {items}"
    if kind == "string" and "enum" in field:
        allowed = field["enum"]
        for name, names in NAME_LISTS.items():
            if allowed == list(names):
                return f"name of a {name}"
        return "one of " + ", ".join(f"`{value}`" for value in allowed)
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f"{kind}, {low:g} to {high:g}"
    return f"{kind} ≥ {low:g}" if low is not None else str(kind)


NAME_LISTS = {
    "metric": ORDERING_APP.metric_names,
    "rate": ORDERING_APP.rate_names,
    "count": ORDERING_APP.count_names,
}


def threshold_table() -> str:
    """Reporting thresholds by difficulty."""
    names = {
        "count_relative": "event count, relative",
        "rate_relative": "conversion rate, relative",
        "funnel_break_relative_drop": "funnel break, relative drop of a step rate",
        "daytime_share_absolute": "daytime share, absolute",
    }
    columns = {level: public_thresholds(LEVELS[level]) for level in LEVELS}
    rows = [
        [words, *(f"{columns[level][key]:.2f}" for level in columns)]
        for key, words in names.items()
    ]
    return table(["threshold", *columns], rows, "l" + "r" * len(columns))


def severity_table() -> str:
    """Lower bounds of the severities."""
    units = {"hourly_mix": "absolute", "data_quality": "excess events"}
    rows = [
        [f"`{kind}`", units.get(kind, "relative"), *(f"{bound:g}" for bound in bounds)]
        for kind, bounds in public_severity_bounds(LEVELS["easy"].severity_bounds).items()
    ]
    return table(
        ["entity type", "measured", "medium from", "high from", "critical from"], rows, "llrrr"
    )


def variant_table() -> str:
    """What a drawn policy may say, and the values it is drawn from."""

    def each(values: Iterable[Any]) -> str:
        return ", ".join(f"{value:g}" for value in values)

    def bands(choices: Iterable[Sequence[float]]) -> str:
        return "; ".join(" / ".join(f"{bound:g}" for bound in choice) for choice in choices)

    rows = [
        [f"{name}, {level}", "`thresholds`", each(choices[level])]
        for name, choices in (
            ("count threshold", drawn_policies.COUNT_THRESHOLD_CHOICES),
            ("rate threshold", drawn_policies.RATE_THRESHOLD_CHOICES),
            ("daytime share threshold", drawn_policies.MIX_THRESHOLD_CHOICES),
        )
        for level in LEVELS
    ]
    rows.append(["break threshold", "`thresholds`", each(drawn_policies.BREAK_THRESHOLD_CHOICES)])
    rows += [
        [f"severity of {name}", "`severity_bands`", bands(choices)]
        for name, choices in (
            ("counts", drawn_policies.COUNT_BOUND_CHOICES),
            ("rates and breaks", drawn_policies.RATE_BOUND_CHOICES),
            ("the daytime share", drawn_policies.SHARE_BOUND_CHOICES),
            ("impossible counts", drawn_policies.EXCESS_BOUND_CHOICES),
        )
    ]
    hours = ", ".join(f"{start} to {stop - 1}" for start, stop in drawn_policies.DAYTIME_CHOICES)
    rows += [
        ["hours of daytime", "`daytime_hours`", hours],
        ["baseline", "`baseline`", ", ".join(f"`{name}`" for name in BASELINES)],
        [
            "leaks are reported as",
            "`leak_reports`",
            ", ".join(f"`{name}`" for name in LEAK_REPORTS),
        ],
        ["words", "the instruction", f"two wordings of each of {len(CLAUSES) + 2} clauses"],
    ]
    return table(["what", "stated in", "drawn from"], rows, "lll")


def row_kind_table() -> str:
    """Anomaly types and detection method of each entity type."""
    rows = [
        [
            f"`{kind}`",
            " or ".join(f"`{each}`" for each in anomaly_types_of(kind)),
            f"`{DETECTION_METHODS[kind]}`",
        ]
        for kind in ENTITY_TYPES_BY_RULE
    ]
    return table(["`entity_type`", "`anomaly_type`", "`detection_method`"], rows, "lll")


def level_table() -> str:
    """What a difficulty changes."""
    rows = [
        [
            f"`{level.name}`",
            str(level.days),
            f"{level.sampling_noise:g}",
            f"{level.traffic_noise:.1%}",
            f"{level.separation[0]:g} to {level.separation[1]:g} × threshold",
        ]
        for level in LEVELS.values()
    ]
    header = ["difficulty", "days", "sampling noise", "traffic noise", "size of an anomaly"]
    return table(header, rows, "lrrrl")


def entity_table() -> str:
    """Everything a report row may name."""
    rows = [
        [f"`{kind}`", ", ".join(f"`{name}`" for name in names)]
        for kind, names in ORDERING_APP.entity_names_by_type.items()
    ]
    return table(["entity_type", "entity_name"], rows)


def task_table() -> str:
    """The named tasks."""
    rows = [
        [
            f"`{t.task_id}`",
            t.difficulty,
            str(t.seed),
            f"`{t.scenario_family}`",
            str(t.anomaly_count),
        ]
        for t in TASKS.values()
    ]
    return table(["task", "difficulty", "seed", "family", "anomalies"], rows, "llrlr")


def weight_table() -> str:
    """What a matched row is worth."""
    rows = [[f"`{name}`", f"{weight / 100:.2f}"] for name, weight in SCORE_WEIGHTS.items()]
    return table(["share", "weight"], rows, "lr")


def penalty_table() -> str:
    """What a wrong row costs."""
    rows = [
        ["a row whose key the right report does not hold", _penalty(EXTRA_PENALTY)],
        ["a valid row whose key was given before", _penalty(DUPLICATE_PENALTY)],
        ["a row that cannot be read", _penalty(INVALID_PENALTY)],
        [
            f"more extra rows than the larger of {EXPLOIT_FLOOR} and twice the expected ones",
            f"{EXPLOIT_PENALTY:g} once",
        ],
    ]
    return table(["", "penalty"], rows)


def _penalty(rate: tuple[float, float]) -> str:
    return f"{rate[0]:g} each, at most {rate[1]:g}"


def baseline_table() -> str:
    """Score and breakdown of each scripted policy on each named task."""
    rows = []
    for name in FUNNEL_POLICIES:
        for task in TASKS:
            parts = breakdown(name, task)
            rows.append(
                [
                    f"`{name}`",
                    f"`{task}`",
                    f"{parts['total_score']:.4f}",
                    f"{parts['precision']:.2f}",
                    f"{parts['recall']:.2f}",
                    f"{parts['matched_rows']} of {parts['expected_rows']}",
                    str(parts["extra_rows"]),
                ]
            )
    header = ["policy", "task", "score", "precision", "recall", "matched", "extra"]
    return table(header, rows, "llrrrrr")


def baseline_plot() -> Figure:
    """The same scores as bars."""
    bars = {
        name: [float(breakdown(name, task)["total_score"]) for task in TASKS]
        for name in FUNNEL_POLICIES
    }
    return bar_chart("Score of the scripted policies on the named tasks", list(TASKS), bars)


@cache
def breakdown(policy: str, task: str) -> Any:
    """Reward breakdown of a scripted policy on a named task."""
    session = EpisodeSession()
    player = POLICIES[policy]
    opening = session.reset(task_id=task, max_submissions=player.max_submissions)
    return run_policy(session, player, opening).last_observation["reward_breakdown"]


SECTIONS: dict[str, Section] = {
    "tools": tool_reference,
    "thresholds": threshold_table,
    "variants": variant_table,
    "severities": severity_table,
    "row-kinds": row_kind_table,
    "levels": level_table,
    "entities": entity_table,
    "tasks": task_table,
    "weights": weight_table,
    "penalties": penalty_table,
    "baselines": baseline_table,
    **{name: partial(section, each) for name, each in EXAMPLES.items()},
    **COMMANDS,
    **FIREWATCH,
}

PICTURES: dict[str, Callable[[], Figure]] = {
    "baselines.png": baseline_plot,
    **{f"{name}.png": partial(plot, each) for name, each in EXAMPLES.items()},
}
