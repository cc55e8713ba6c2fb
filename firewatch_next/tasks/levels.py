"""Levels: the sizes and chances from which tasks are drawn."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.faults.fault_type import Level


@dataclass(frozen=True)
class TaskLevel:
    """What the tasks of a level are drawn from. Chances are between 0 and 1.

    Attributes:
        name: name on the wire, such as "easy" or "rung_1".
        fault_level: level at which fault types declare themselves.
        ticks: steps of an episode, 30 seconds each.
        services: number of services of the world.
        fault_counts: numbers of faults, all equally likely.
        changes: number of listed changes of the last 24 hours.
        bystanders: largest number of harmless events; each number from 0 on is equally likely.
        false_alert_chance: that something pages although customers are well.
        shows_root_alerts: False hides the alerts of faulty services, except those of customers.
        latent_chance: that a further fault is not felt yet at the reset.
        advice_chance: that a log gives wrong advice.
        partial_chance: that the rollout of a deploy stops half-way.
    """

    name: str
    fault_level: Level
    ticks: int
    services: int
    fault_counts: tuple[int, ...]
    changes: int
    bystanders: int
    false_alert_chance: float = 0.0
    shows_root_alerts: bool = False
    latent_chance: float = 0.0
    advice_chance: float = 0.0
    partial_chance: float = 0.0


TASK_LEVELS: dict[str, TaskLevel] = {
    level.name: level
    for level in (
        TaskLevel("rung_1", Level.RUNG, 12, 3, (1,), 4, 0, shows_root_alerts=True),
        TaskLevel("rung_2", Level.RUNG, 12, 3, (1,), 4, 0),
        TaskLevel("easy", Level.EASY, 20, 6, (1,), 6, 1, shows_root_alerts=True),
        TaskLevel("medium", Level.MEDIUM, 30, 12, (1, 2), 12, 2, 0.04),
        TaskLevel(
            "hard", Level.HARD, 40, 20, (2, 2, 3), 20, 3, 0.04,
            latent_chance=0.3, advice_chance=0.7,
        ),
        TaskLevel(
            "expert", Level.EXPERT, 50, 30, (2, 3), 30, 3, 0.04,
            latent_chance=0.3, advice_chance=0.7, partial_chance=0.3,
        ),
    )
}  # fmt: skip
MAIN_LEVEL_NAMES = ("easy", "medium", "hard", "expert")
RUNG_LEVEL_NAMES = ("rung_1", "rung_2")
LEAN_LEVEL_NAMES = (*RUNG_LEVEL_NAMES, "easy")
