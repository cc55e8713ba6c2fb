"""The generated parts of the pages, by name.

A line `{{ NAME }}` in a page is replaced by the part; see `hook`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any

from matplotlib.figure import Figure

from docs.generate.charts import draw_bar_chart
from docs.generate.commands import SECTIONS as COMMANDS
from docs.generate.examples import EXAMPLES, draw_example, example_markdown, markdown_table
from docs.generate.firewatch import SECTIONS as FIREWATCH
from metric_tracker_rl.analysis_tools import TOOLS, build_method_specs
from metric_tracker_rl.engine.configuration.tasks import TASKS
from metric_tracker_rl.engine.definitions.anomaly_types import list_anomaly_types_of_entity_type
from metric_tracker_rl.engine.definitions.entity_types import DETECTION_METHODS
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import BASELINES, LEAK_REPORTS
from metric_tracker_rl.engine.definitions.severity import severity_bounds_to_lists
from metric_tracker_rl.engine.definitions.thresholds import get_thresholds_by_public_name
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
"""Policies whose scores on the named tasks are shown."""


def tool_reference() -> str:
    """Return a section for every analysis method: description, arguments and an example call."""
    session = EpisodeSession()
    session.reset(task_id="medium_mixed_pair")
    assert session.view is not None
    parts = []
    for spec in build_method_specs(TOOLS):
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
    """Return arguments that a method accepts in the task `medium_mixed_pair`."""
    session = EpisodeSession()
    reset_reply = session.reset(task_id="medium_mixed_pair")
    samples: dict[str, Any] = {
        "date": reset_reply.observation_fields["config"]["start_date"],
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
    shown_names = [
        *spec.parameters.get("required", []),
        *(["limit"] if "limit" in properties else []),
    ]
    return {name: samples[name] for name in shown_names}


def _argument_table(spec: MethodSpec) -> str:
    properties: dict[str, Any] = spec.parameters["properties"]
    if not properties:
        return "No arguments."
    required = spec.parameters.get("required", [])
    rows = []
    for name, field in properties.items():
        json_type, default = _describe_type(field), json.dumps(field.get("default"))
        if json_type.startswith("list") and default == "null":
            default = "[]"
        shown_default = "required" if name in required else f"`{default}`"
        rows.append([f"`{name}`", json_type, shown_default, field.get("description", "")])
    return markdown_table(["argument", "type", "default", "meaning"], rows)


def _describe_type(field: dict[str, Any]) -> str:
    """Return the type of a JSON schema in a few words, with its range."""
    if "anyOf" in field:
        return " or ".join(_describe_type(option) for option in field["anyOf"])
    json_type = field.get("type", "any")
    if json_type == "array":
        items = _describe_type(field["items"]) if field.get("items") else "object"
        return f"list of {items}"
    if json_type == "string" and "enum" in field:
        allowed = field["enum"]
        for name, names in NAME_LISTS.items():
            if allowed == list(names):
                return f"name of a {name}"
        return "one of " + ", ".join(f"`{value}`" for value in allowed)
    minimum, maximum = field.get("minimum"), field.get("maximum")
    if minimum is None:
        return str(json_type)
    if maximum is None:
        return f"{json_type} ≥ {minimum:g}"
    return f"{json_type}, {minimum:g} to {maximum:g}"


NAME_LISTS = {
    "metric": ORDERING_APP.count_and_rate_names,
    "rate": ORDERING_APP.conversion_rate_names,
    "count": ORDERING_APP.event_count_names,
}


def threshold_table() -> str:
    """Return a table of the reporting thresholds by level."""
    names = {
        "count_relative": "event count, relative",
        "rate_relative": "conversion rate, relative",
        "funnel_break_relative_drop": "funnel break, relative drop of a step rate",
        "daytime_share_absolute": "daytime share, absolute",
    }
    columns = {level: get_thresholds_by_public_name(LEVELS[level]) for level in LEVELS}
    rows = [
        [title, *(f"{columns[level][key]:.2f}" for level in columns)]
        for key, title in names.items()
    ]
    return markdown_table(["threshold", *columns], rows, "l" + "r" * len(columns))


def severity_table() -> str:
    """Return a table of the lower bounds of the severities."""
    units = {"hourly_mix": "absolute", "data_quality": "excess events"}
    rows = [
        [f"`{kind}`", units.get(kind, "relative"), *(f"{bound:g}" for bound in bounds)]
        for kind, bounds in severity_bounds_to_lists(
            LEVELS["easy"].severity_bounds_by_entity_type
        ).items()
    ]
    return markdown_table(
        ["entity type", "measured", "medium from", "high from", "critical from"], rows, "llrrr"
    )


def variant_table() -> str:
    """Return a table of the values from which a reporting policy is drawn."""

    def format_values(values: Iterable[Any]) -> str:
        return ", ".join(f"{value:g}" for value in values)

    def format_bounds(choices: Iterable[Sequence[float]]) -> str:
        return "; ".join(" / ".join(f"{bound:g}" for bound in choice) for choice in choices)

    rows = [
        [f"{name}, {level}", "`thresholds`", format_values(choices[level])]
        for name, choices in (
            ("count threshold", drawn_policies.COUNT_THRESHOLD_CHOICES),
            ("rate threshold", drawn_policies.RATE_THRESHOLD_CHOICES),
            ("daytime share threshold", drawn_policies.MIX_THRESHOLD_CHOICES),
        )
        for level in LEVELS
    ]
    rows.append(
        ["break threshold", "`thresholds`", format_values(drawn_policies.BREAK_THRESHOLD_CHOICES)]
    )
    rows += [
        [f"severity of {name}", "`severity_bands`", format_bounds(choices)]
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
    return markdown_table(["what", "stated in", "drawn from"], rows, "lll")


def row_kind_table() -> str:
    """Return a table of the anomaly types and detection method of each entity type."""
    rows = [
        [
            f"`{kind}`",
            " or ".join(
                f"`{anomaly_type}`" for anomaly_type in list_anomaly_types_of_entity_type(kind)
            ),
            f"`{DETECTION_METHODS[kind]}`",
        ]
        for kind in ENTITY_TYPES_BY_RULE
    ]
    return markdown_table(["`entity_type`", "`anomaly_type`", "`detection_method`"], rows, "lll")


def level_table() -> str:
    """Return a table of the levels' properties."""
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
    return markdown_table(header, rows, "lrrrl")


def entity_table() -> str:
    """Return a table of the entities that a report row may name."""
    rows = [
        [f"`{kind}`", ", ".join(f"`{name}`" for name in names)]
        for kind, names in ORDERING_APP.entity_names_by_type.items()
    ]
    return markdown_table(["entity_type", "entity_name"], rows)


def task_table() -> str:
    """Return a table of the named tasks."""
    rows = [
        [
            f"`{task.task_id}`",
            task.difficulty,
            str(task.seed),
            f"`{task.scenario_family}`",
            str(task.anomaly_count),
        ]
        for task in TASKS.values()
    ]
    return markdown_table(["task", "difficulty", "seed", "family", "anomalies"], rows, "llrlr")


def weight_table() -> str:
    """Return a table of the weights of a matched row's fields."""
    rows = [[f"`{name}`", f"{weight / 100:.2f}"] for name, weight in SCORE_WEIGHTS.items()]
    return markdown_table(["share", "weight"], rows, "lr")


def penalty_table() -> str:
    """Return a table of the penalties for wrong rows."""
    rows = [
        ["a row whose key is not in the expected report", _format_penalty(EXTRA_PENALTY)],
        ["a valid row whose key occurred before", _format_penalty(DUPLICATE_PENALTY)],
        ["a row that cannot be read", _format_penalty(INVALID_PENALTY)],
        [
            f"more extra rows than the larger of {EXPLOIT_FLOOR} and twice the expected ones",
            f"{EXPLOIT_PENALTY:g} once",
        ],
    ]
    return markdown_table(["", "penalty"], rows)


def _format_penalty(rate: tuple[float, float]) -> str:
    return f"{rate[0]:g} each, at most {rate[1]:g}"


def baseline_table() -> str:
    """Return a table of the scores of each scripted policy on each named task."""
    rows = []
    for name in FUNNEL_POLICIES:
        for task in TASKS:
            parts = reward_breakdown(name, task)
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
    return markdown_table(header, rows, "llrrrrr")


def baseline_plot() -> Figure:
    """Draw the scores of each scripted policy on each named task."""
    scores_by_policy = {
        name: [float(reward_breakdown(name, task)["total_score"]) for task in TASKS]
        for name in FUNNEL_POLICIES
    }
    return draw_bar_chart(
        "Score of the scripted policies on the named tasks", list(TASKS), scores_by_policy
    )


@cache
def reward_breakdown(policy_name: str, task_id: str) -> Any:
    """Play a named task with a scripted policy and return the reward breakdown."""
    session = EpisodeSession()
    policy = POLICIES[policy_name]
    reset_reply = session.reset(task_id=task_id, max_submissions=policy.max_submissions)
    return run_policy(session, policy, reset_reply).last_observation["reward_breakdown"]


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
    **{name: partial(example_markdown, example) for name, example in EXAMPLES.items()},
    **COMMANDS,
    **FIREWATCH,
}

PICTURES: dict[str, Callable[[], Figure]] = {
    "baselines.png": baseline_plot,
    **{f"{name}.png": partial(draw_example, example) for name, example in EXAMPLES.items()},
}
