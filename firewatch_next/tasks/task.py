"""What a task is: how it is asked for, and the world at its reset with everything that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from firewatch_next.faults.fault_type import Fault, FaultType, Origin, Place, Thing
from firewatch_next.simulation.log_event import Wording
from firewatch_next.simulation.world import World
from firewatch_next.tasks.levels import TASK_LEVELS, TaskLevel
from firewatch_next.telemetry.alerts import Alert
from firewatch_next.telemetry.limits import MAX_CHARACTERS
from firewatch_next.telemetry.view import TelemetryView


@dataclass(frozen=True)
class FaultPlan:
    """Which fault a task has. Named tasks give it; others draw it.

    Attributes:
        fault_type: its name.
        origin: how it relates to the listed changes; None for any.
        thing: kind of thing that it lives on; None for any.
        name: beginning of the thing's name, such as "memory_limit_mb"; "" for any.
    """

    fault_type: str
    origin: Origin | None = None
    thing: Thing | None = None
    name: str = ""


@dataclass(frozen=True)
class StoredDraw:
    """What the search for a task found, so that it need not be repeated.

    Attributes:
        attempt: number of the accepted attempt. sizes: of the faults, 0–1.
    """

    attempt: int
    sizes: tuple[float, ...]


@dataclass(frozen=True)
class TaskSpec:
    """What a task is drawn from.

    Attributes:
        task_id: public name.
        identity: text from which everything is drawn. It must not leave the server.
        level_name: key of `TASK_LEVELS`.
        wording: phrasings of the task.
        reset_arguments: of the reset that plays it.
        plans: faults of a named task; empty to draw them.
        is_false_alert: True for a named task without a fault.
        stored: result of an earlier search, or None.
    """

    task_id: str
    identity: str
    level_name: str
    wording: Wording = Wording.OPEN
    reset_arguments: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)
    plans: tuple[FaultPlan, ...] = ()
    is_false_alert: bool = False
    stored: StoredDraw | None = field(default=None, hash=False, compare=False)

    @property
    def level(self) -> TaskLevel:
        """The task's level."""
        return TASK_LEVELS[self.level_name]


@dataclass(frozen=True)
class PlacedFault:
    """A fault type at a place, with a size and the first tick of its effect."""

    fault_type: FaultType
    place: Place
    size: float
    start_tick: int
    seed: str


@dataclass(frozen=True)
class DrawnTask:
    """A task that is ready to be played.

    Attributes:
        world: at tick 0. It must not be changed: play on a fork.
        base_world: before the first cause, with all changes and bystanders and no fault.
        placed: faults in the order in which they were drawn; empty for a false alert.
        faults: the same as the world has them.
        hidden_alerts: services whose alerts are not shown, except those of customers.
        synthetic_alerts: alerts of synthetic checks, which fire until the end.
        reset_time: clock time of tick 0.
        draw: attempt and sizes, for storing.
        trials: number of trial runs that the search needed.
    """

    spec: TaskSpec
    world: World
    base_world: World
    placed: tuple[PlacedFault, ...]
    faults: tuple[tuple[FaultType, Fault], ...]
    hidden_alerts: frozenset[str]
    synthetic_alerts: tuple[Alert, ...]
    reset_time: datetime
    draw: StoredDraw
    trials: int

    @property
    def is_false_alert(self) -> bool:
        """Whether customers are well and only synthetic checks page."""
        return not self.faults

    @property
    def noise_key(self) -> str:
        """Text that fixes noise and phrasings of the replies."""
        return f"{self.spec.identity}/replies"

    def view(self, world: World, max_characters: int = MAX_CHARACTERS) -> TelemetryView:
        """Return a world of this task as the tools for observation show it."""
        return TelemetryView(
            world, self.noise_key, self.spec.wording, self.reset_time, max_characters
        )


def merge_alerts(task: DrawnTask, alerts: Sequence[Alert]) -> list[Alert]:
    """Return the alerts that a player sees: without hidden ones, with those of synthetic checks."""
    shown = [
        alert
        for alert in alerts
        if alert.service_name not in task.hidden_alerts
        or alert.metric_name == "customer_error_ratio"
    ]
    return [*task.synthetic_alerts, *shown]
