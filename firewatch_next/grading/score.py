"""The score of a finished episode.

score = precision × (0.55 × resolved + 0.45 × impact)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firewatch_next.grading.replay import (
    Outcome,
    TimedCall,
    apply_change,
    graded_ticks,
    measure_final_harm,
)
from firewatch_next.simulation.world import World

RESOLVED_WEIGHT, IMPACT_WEIGHT = 0.55, 0.45
UNDECLARED_RESOLVED = 0.9
HARMFUL_COST, NEEDLESS_COST = 0.25, 0.10
FREE_NEEDLESS = 1
PRECISION_FLOOR = 0.15
MAX_CHANGES = 12  # every change beyond is needless
HARMFUL_SHARE, NEEDLESS_SHARE = 0.01, 0.001  # of the harm if nobody acts
FALSE_ALERT_HARM = 0.02  # customer-ticks by which a change is harmful on a false alert


@dataclass(frozen=True)
class PlayedChange:
    """A change that the player made.

    Attributes:
        timed_call: the call and its tick.
        had_nothing_to_change: it was answered "nothing here", so it is needless.
    """

    timed_call: TimedCall
    had_nothing_to_change: bool = False


@dataclass(frozen=True)
class PlayedEpisode:
    """What is scored.

    Attributes:
        world: the world at the reset. It is not changed.
        changes: the player's changes in order, without repeats of a change in effect.
        declared_tick: tick of `declare_resolved`, or None.
        level_ticks: number of steps of an episode of the level.
    """

    world: World
    changes: tuple[PlayedChange, ...]
    declared_tick: int | None
    level_ticks: int


@dataclass(frozen=True)
class Reference:
    """Harm of the task in customer-ticks: if nobody acts, and of the certified repairs in time.

    A false alert has no fault and no harm.
    """

    harm_none: float
    harm_par: float
    is_false_alert: bool = False


@dataclass(frozen=True)
class ScoreParts:
    """Parts of the score.

    Attributes:
        resolved: 0, 0.9 or 1. impact: 0–1. precision: 0.15–1.
        harmful, needless: numbers of such changes; the first needless one is free.
        harm: customer-ticks over the graded time.
    """

    resolved: float
    impact: float
    precision: float
    harmful: int
    needless: int
    harm: float

    @property
    def score(self) -> float:
        """The score, 0–1."""
        return self.precision * (RESOLVED_WEIGHT * self.resolved + IMPACT_WEIGHT * self.impact)


def score_episode(episode: PlayedEpisode, reference: Reference) -> ScoreParts:
    """Replay a finished episode and return the parts of its score."""
    run = _Run(episode)
    outcome = run.outcome
    resolved = _resolved(episode, outcome)
    if reference.is_false_alert:
        impact = 1.0 if episode.declared_tick is not None and not episode.changes else 0.0
    else:
        impact = _impact(outcome.harm, reference)
    harmful, needless = _count_unneeded(run, reference)
    costly = needless - FREE_NEEDLESS if needless > FREE_NEEDLESS else 0
    precision = max(PRECISION_FLOOR, 1.0 - HARMFUL_COST * harmful - NEEDLESS_COST * costly)
    return ScoreParts(resolved, impact, precision, harmful, needless, outcome.harm)


def _resolved(episode: PlayedEpisode, outcome: Outcome) -> float:
    if not outcome.is_resolved:
        return 0.0
    if episode.declared_tick is not None:
        return 1.0
    return UNDECLARED_RESOLVED if episode.changes else 0.0


def _impact(harm: float, reference: Reference) -> float:
    """Return the share of the avoidable harm that was avoided, 0–1."""
    avoidable = reference.harm_none - reference.harm_par
    if avoidable <= 0.0:
        raise ValueError(
            f"harm_none {reference.harm_none} is not above harm_par {reference.harm_par}"
        )
    impact = 1.0 - (harm - reference.harm_par) / avoidable
    return min(1.0, max(0.0, impact))


class _Run:
    """A replay of all changes, with a copy of the world before each of them.

    A replay without one change starts at its copy, so it computes only the ticks that can differ.
    """

    def __init__(self, episode: PlayedEpisode) -> None:
        self.changes = [change.timed_call for change in episode.changes]
        self.end = graded_ticks(episode.level_ticks)
        self.copies: list[World] = []
        self.harms: list[float] = []  # until each copy
        world = episode.world.fork()
        world.records_history = False
        harm = 0.0
        for played, change in zip(episode.changes, self.changes, strict=True):
            while world.tick + 1 < min(change.tick, self.end):
                world.advance()
                harm += world.harm
            self.copies.append(world.fork())
            self.harms.append(harm)
            if not played.had_nothing_to_change:
                apply_change(world, change)
        self.outcome = self._finish(world, harm, [])
        self.episode = episode

    def without(self, index: int, later: Sequence[TimedCall]) -> Outcome:
        """Return the outcome without one change, with only these of the later ones."""
        return self._finish(self.copies[index].fork(), self.harms[index], list(later))

    def _finish(self, world: World, harm: float, changes: list[TimedCall]) -> Outcome:
        while world.tick < self.end:
            while changes and changes[0].tick <= world.tick + 1:
                apply_change(world, changes.pop(0), may_be_impossible=True)
            world.advance()
            harm += world.harm
        return Outcome(harm, measure_final_harm(world))


def _count_unneeded(run: _Run, reference: Reference) -> tuple[int, int]:
    """Return the numbers of harmful and needless changes, judged from the last to the first.

    A needless change stays out of the replays for the changes before it. A change without which
    the incident would not be resolved is not harmful, however much harm its rollout does.
    """
    harmful = needless = 0
    kept: list[TimedCall] = []
    present = run.outcome
    limit = FALSE_ALERT_HARM if reference.is_false_alert else (
        HARMFUL_SHARE * reference.harm_none
    )  # fmt: skip
    for index in range(len(run.changes) - 1, -1, -1):
        change = run.episode.changes[index]
        if index >= MAX_CHANGES or change.had_nothing_to_change:
            needless += 1
            if change.had_nothing_to_change:
                continue
        else:
            without = run.without(index, kept)
            difference = present.harm - without.harm
            is_needed = present.is_resolved and not without.is_resolved
            if difference > limit and not is_needed:
                harmful += 1
            elif (
                present.is_resolved == without.is_resolved
                and abs(difference) <= NEEDLESS_SHARE * reference.harm_none
            ):
                needless += 1
                present = without
                continue
        kept.insert(0, run.changes[index])
    return harmful, needless
