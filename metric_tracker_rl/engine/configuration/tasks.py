"""Named tasks, which always have the same data so that players' results can be compared."""

from __future__ import annotations

from typing import NamedTuple

from metric_tracker_rl.engine.configuration.custom_anomaly_input import parse_custom_anomalies
from metric_tracker_rl.engine.configuration.episode_config import (
    EpisodeConfig,
)
from metric_tracker_rl.engine.configuration.modes import GUIDED_MODE, MODES
from metric_tracker_rl.engine.configuration.product_policy import (
    build_product_level,
    list_product_levels,
)
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED, RATE_SPIKE
from metric_tracker_rl.engine.definitions.levels import ANOMALY_COUNT_BY_DENSITY
from metric_tracker_rl.engine.definitions.names import PolicySource
from metric_tracker_rl.engine.definitions.rungs import (
    DEFAULT_ANOMALY_COUNTS,
    EVERY_LEVEL,
    RUNG_LEVELS,
)
from metric_tracker_rl.products.product_registry import find_product
from metric_tracker_rl.wire_models import TaskSpec
from openenv_kit.errors import InvalidValueError, require_name
from openenv_kit.rollouts.curriculum import resolve_level_name

CUSTOM_TASK_ID = "custom"
"""Task id of an episode with a custom configuration."""


class TaskConfig(NamedTuple):
    """A task id and the configuration of the task's episode."""

    task_id: str
    config: EpisodeConfig


def _create_task_spec(
    task_id: str, difficulty: str, seed: int, family: str, density: str
) -> TaskSpec:
    count = ANOMALY_COUNT_BY_DENSITY[density]
    return TaskSpec(
        task_id=task_id,
        difficulty=difficulty,
        seed=seed,
        scenario_family=family,
        anomaly_density=density,
        anomaly_count=count,
        objective=MODES[GUIDED_MODE].objective,
        instruction=(
            f"Four weeks of product-funnel data contain {count} anomalies ({family}, "
            f"{difficulty}). Investigate with the analysis methods, then submit one report."
        ),
    )


TASKS: dict[str, TaskSpec] = {
    task.task_id: task
    for task in (
        _create_task_spec("easy_single_spike", "easy", 11, RATE_SPIKE, "low"),
        _create_task_spec("medium_mixed_pair", "medium", 23, MIXED, "medium"),
        _create_task_spec("hard_mixed_multi", "hard", 37, MIXED, "high"),
    )
}
"""Every named task."""

DEFAULT_TASK_ORDER: tuple[str, ...] = tuple(TASKS)[:3]
"""The three tasks of a default run, in order."""

DEFAULT_TASK_ID = DEFAULT_TASK_ORDER[0]


def get_task_spec(task_id: str) -> TaskSpec:
    """Return the specification of a named task.

    Raises:
        UnknownNameError: there is no such task. The message suggests the most similar id.
    """
    return TASKS[require_name("task_id", task_id, (*TASKS, "<split>-<index>"))]


def available_task_specs() -> list[TaskSpec]:
    """Return the specifications of all named tasks."""
    return list(TASKS.values())


def resolve_named_or_custom_task(
    task_id: str | None = None,
    seed: int | None = None,
    scenario_family: str | None = None,
    difficulty: str | float | None = None,
    anomaly_density: str | None = None,
    anomaly_count: int | None = None,
    anomalies: object = None,
    policy: str | None = None,
    product: object = None,
) -> TaskConfig:
    """Return the task id and episode configuration for a reset that does not name a split.

    The arguments override the values of the named task, or of the default task if none is named.
    The task id is `custom` if no task is named and any argument except `seed` is given. If no seed
    is given, the task's seed is used, so a reset with no arguments always starts the same episode.

    Args:
        task_id: name of a task.
        seed: 0 to 2**64 - 1.
        scenario_family: an anomaly type, or `mixed`, which is the default on levels with drawn
            terms.
        difficulty: name of a level, or a number from 0 to 1 for the nearest of the curriculum
            levels, which have their own default numbers of anomalies.
        anomaly_density: "low", "medium" or "high".
        anomaly_count: number of planned anomalies; takes precedence over the density.
        anomalies: custom anomalies, which replace the planned ones unless `anomaly_count` is given.
            The data to which they are applied do not depend on them.
        policy: "standard" or "varied".
        product: name or content of a product; see `find_product`. With a product, no task may be
            named, the default family is `mixed`, and the default level is the easiest enabled one.

    Raises:
        UnknownNameError, InvalidValueError: a value violates the limits of `EpisodeConfig`.
        ConfigurationError: there is no such product, or it is not valid.
    """
    used_product = None if product is None else find_product(product)
    if used_product is not None:
        if task_id is not None:
            raise InvalidValueError("task_id", task_id, "no named task with a product")
        if scenario_family is None:
            scenario_family = MIXED
        if difficulty is None:
            difficulty = next(iter(list_product_levels(used_product)), None)
    task = get_task_spec(task_id) if task_id is not None else TASKS[DEFAULT_TASK_ID]
    custom_anomalies = parse_custom_anomalies(anomalies)
    level = task.difficulty if difficulty is None else _resolve_level_name(difficulty)
    if scenario_family is None and level in EVERY_LEVEL and EVERY_LEVEL[level].has_drawn_terms:
        scenario_family = MIXED
    density = task.anomaly_density
    default_count = DEFAULT_ANOMALY_COUNTS.get(level, task.anomaly_count)
    if anomaly_density is not None:
        density = require_name("anomaly_density", anomaly_density, ANOMALY_COUNT_BY_DENSITY)
        default_count = ANOMALY_COUNT_BY_DENSITY[density]
    if used_product is not None and level in EVERY_LEVEL:
        limit = build_product_level(used_product, level).max_anomalies
        default_count = min(default_count, limit)
    config = EpisodeConfig(
        seed=task.seed if seed is None else seed,
        scenario_family=task.scenario_family if scenario_family is None else scenario_family,
        difficulty=level,
        anomaly_density=density,
        anomaly_count=default_count if anomaly_count is None else anomaly_count,
        anomalies=custom_anomalies,
        only_custom=bool(custom_anomalies) and anomaly_count is None,
        policy=PolicySource.STANDARD if policy is None else policy,
        product=used_product,
    )
    changes = (scenario_family, difficulty, anomaly_density, anomaly_count, policy, product)
    is_changed = bool(custom_anomalies) or any(change is not None for change in changes)
    is_custom = task_id is None and is_changed
    return TaskConfig(CUSTOM_TASK_ID if is_custom else task.task_id, config)


def _resolve_level_name(difficulty: str | float) -> str:
    return resolve_level_name(difficulty, tuple(RUNG_LEVELS))
