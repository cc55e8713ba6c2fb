"""Named tasks: a configuration with a name that people can compare results on."""

from __future__ import annotations

from metric_tracker_rl.engine.configuration.episode_config import (
    MIXED,
    EpisodeConfig,
    parse_custom_anomalies,
)
from metric_tracker_rl.engine.configuration.play_rules import DEFAULT_OBJECTIVE
from metric_tracker_rl.engine.definitions.levels import ANOMALY_COUNT_BY_DENSITY
from metric_tracker_rl.engine.definitions.names import RATE_SPIKE, STANDARD
from metric_tracker_rl.engine.definitions.rungs import DEFAULT_ANOMALY_COUNTS
from metric_tracker_rl.wire_models import TaskSpec
from openenv_kit.errors import require_name
from openenv_kit.rollouts.curriculum import resolve_level_name

CUSTOM_TASK_ID = "custom"
"""Task id of an episode that was configured at reset without naming a task."""


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
        objective=DEFAULT_OBJECTIVE,
        instruction=(
            f"Four weeks of product-funnel data hold {count} anomalies ({family}, "
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
    """Task of that id.

    Raises:
        UnknownNameError: no such task (a ValueError); names the nearest.
    """
    return TASKS[require_name("task_id", task_id, TASKS)]


def available_task_specs() -> list[TaskSpec]:
    """Every named task."""
    return list(TASKS.values())


def resolve_named_task(
    task_id: str | None = None,
    seed: int | None = None,
    scenario_family: str | None = None,
    difficulty: str | float | None = None,
    anomaly_density: str | None = None,
    anomaly_count: int | None = None,
    anomalies: object = None,
    policy: str | None = None,
) -> tuple[str, EpisodeConfig]:
    """Task id and configuration of a reset: a task, with the given values put over it.

    Without a task, an episode that changes more than the seed is called `custom`. Custom
    anomalies replace the planned ones unless a count is asked for as well; dates and clean
    data are those of the same reset without them. No seed means the task's own seed, so that a
    reset without arguments is always the same episode. A `difficulty` that is a number from 0 to 1
    is the nearest rung; a rung has a number of anomalies of its own, where none is asked for.

    Raises:
        UnknownNameError, InvalidValueError: see `EpisodeConfig`.
    """
    task = get_task_spec(task_id) if task_id is not None else TASKS[DEFAULT_TASK_ID]
    custom = parse_custom_anomalies(anomalies)
    level = task.difficulty if difficulty is None else resolve_level_name(difficulty)
    changes = (scenario_family, difficulty, anomaly_density, anomaly_count, policy)
    changed = bool(custom) or any(value is not None for value in changes)
    density, planned = task.anomaly_density, DEFAULT_ANOMALY_COUNTS.get(level, task.anomaly_count)
    if anomaly_density is not None:
        density = require_name("anomaly_density", anomaly_density, ANOMALY_COUNT_BY_DENSITY)
        planned = ANOMALY_COUNT_BY_DENSITY[density]
    config = EpisodeConfig(
        seed=task.seed if seed is None else seed,
        scenario_family=task.scenario_family if scenario_family is None else scenario_family,
        difficulty=level,
        anomaly_density=density,
        anomaly_count=planned if anomaly_count is None else anomaly_count,
        anomalies=custom,
        only_custom=bool(custom) and anomaly_count is None,
        policy=STANDARD if policy is None else policy,
    )
    name = CUSTOM_TASK_ID if task_id is None and changed else task.task_id
    return name, config
