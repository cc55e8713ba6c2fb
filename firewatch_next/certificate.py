"""The certificate of a task: what has to be true of every task that is shipped.

It measures the world only. Whether the reference policy finds the repairs from replies is for the
policy's own tests.
"""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.grading.par import PAR_START_TICKS, measure_reference, plan_repairs
from firewatch_next.grading.replay import TimedCall, run_calls
from firewatch_next.grading.score import PlayedChange, PlayedEpisode, ScoreParts, score_episode
from firewatch_next.simulation.world import World
from firewatch_next.tasks.draw_task import has_legal_target
from firewatch_next.tasks.severity import start_faults
from firewatch_next.tasks.task import DrawnTask

MIN_AVOIDABLE_HARM = 0.3  # customer-ticks; with less, impact would be noise
MIN_OWN_HARM = 0.01
MIN_SCORE = 0.9


@dataclass(frozen=True)
class Certificate:
    """What was measured of a task.

    Attributes:
        score: of the certified repairs, played in time and declared.
        harm_none, harm_par: customer-ticks if nobody acts, and with the certified repairs in time.
        is_ordinary_without_faults: nobody is hurt in the world without its faults.
        all_faults_hurt: each fault by itself hurts customers within the graded time.
        all_faults_last: with it, the incident does not end by itself.
        nothing_unneeded: no repair is harmful or needless.
        is_legal_for_clients: existing clients may act on a faulty service.
    """

    task_id: str
    level_name: str
    score: float
    harm_none: float
    harm_par: float
    is_ordinary_without_faults: bool
    all_faults_hurt: bool
    all_faults_last: bool
    nothing_unneeded: bool
    is_legal_for_clients: bool

    @property
    def is_valid(self) -> bool:
        """Whether the task may be shipped."""
        return not self.list_problems()

    def list_problems(self) -> list[str]:
        """Return what is wrong with the task, one sentence each."""
        found = {
            f"the certified repairs score {self.score:.2f}": self.score >= MIN_SCORE,
            "customers are hurt without the faults": self.is_ordinary_without_faults,
            "a fault by itself hurts nobody": self.all_faults_hurt,
            "a fault by itself ends before the graded time": self.all_faults_last,
            "a certified repair is harmful or needless": self.nothing_unneeded,
            "existing clients may not act on a faulty service": self.is_legal_for_clients,
        }
        return [text for text, is_fulfilled in found.items() if not is_fulfilled]


def certify_task(task: DrawnTask) -> Certificate:
    """Return the certificate of a task. A false alert has no fault, so its score is that of 1."""
    level = task.spec.level
    healthy = _build_world(task, ())
    reference = measure_reference(task.world, task.faults, level.name, level.ticks)
    alone = [_measure_alone(task, position) for position in range(len(task.placed))]
    parts = score_certified_repairs(task)
    avoidable = reference.harm_none - reference.harm_par
    return Certificate(
        task.spec.task_id,
        level.name,
        parts.score if avoidable >= MIN_AVOIDABLE_HARM or task.is_false_alert else 0.0,
        reference.harm_none,
        reference.harm_par,
        run_calls(healthy, [], level.ticks).harm == 0.0,
        all(found.harm >= MIN_OWN_HARM for found in alone),
        all(found.is_lasting for found in alone),
        parts.harmful == 0 and parts.needless == 0,
        task.is_false_alert or has_legal_target(task.world, task.placed),
    )


def plan_certified_repairs(task: DrawnTask) -> list[TimedCall]:
    """Return the certified repairs of a task, begun at its level's tick."""
    if task.is_false_alert:
        return []
    return plan_repairs(task.world, task.faults, PAR_START_TICKS[task.spec.level_name])


def score_certified_repairs(
    task: DrawnTask, *, delay_ticks: int = 0, declared_tick: int | None = None
) -> ScoreParts:
    """Return the score of the certified repairs, all later by some ticks.

    Args:
        task: the task.
        delay_ticks: ticks by which every repair is later.
        declared_tick: tick of the declaration; None for the last one of the level.
    """
    level = task.spec.level
    reference = measure_reference(task.world, task.faults, level.name, level.ticks)
    calls = [
        TimedCall(timed.tick + delay_ticks, timed.call) for timed in plan_certified_repairs(task)
    ]
    episode = PlayedEpisode(
        task.world,
        tuple(PlayedChange(call) for call in calls if call.tick <= level.ticks),
        level.ticks if declared_tick is None else declared_tick,
        level.ticks,
    )
    return score_episode(episode, reference)


@dataclass(frozen=True)
class _Alone:
    """What one fault does by itself: harm over the graded time, and whether it is still there."""

    harm: float
    is_lasting: bool


def _measure_alone(task: DrawnTask, position: int) -> _Alone:
    world = _build_world(task, (position,))
    outcome = run_calls(world, [], task.spec.level.ticks)
    return _Alone(outcome.harm, not outcome.is_resolved)


def _build_world(task: DrawnTask, positions: tuple[int, ...]) -> World:
    """Return the task's world at the reset with only some of its faults."""
    world = task.base_world.fork()
    start_faults(world, [task.placed[position] for position in positions])
    world.advance_to(0)
    return world
