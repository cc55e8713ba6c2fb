"""The grade: impact × precision × closure, from counterfactual replays alone.

There is no list of right answers. What a change was worth is what customers would have gone
through without it; so any plan that physically suffices earns full marks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from firewatch_env.engine.world import World
from firewatch_env.replay import Change, Course, replay

MOST_CHANGES = 12
_LEAST_PRECISION = 0.3
_EACH = 0.25
_SAME = 1e-6
_CLEARLY = 0.02  # of the harm had nobody acted: less does not justify what was put back


@dataclass(frozen=True, slots=True)
class Grade:
    """A grade and its parts, each between 0 and 1."""

    impact: float
    precision: float
    closure: float
    unneeded: int
    recovered: bool

    @property
    def score(self) -> float:
        return self.impact * self.precision * self.closure

    def parts(self) -> dict[str, float | int | bool]:
        """As in `info.score_parts`."""
        return {
            "impact": round(self.impact, 4),
            "precision": round(self.precision, 4),
            "closure": self.closure,
            "unneeded": self.unneeded,
            "recovered": self.recovered,
        }


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The world just before a change, and the harm up to there."""

    change: Change
    before: World
    harm: float


def impact(untouched: float, played: float, par: float, power: int) -> float:
    """Share of the harm avoided that the reference avoids, raised to a power.

    Args:
        untouched: harm had nobody acted.
        played: harm as it was played.
        par: harm under the reference.
        power: at least 1; with a higher one, the harm of each tick costs more.
    """
    if untouched == 0:
        return 1.0 if played == 0 else 0.0
    if untouched <= par:
        return 0.0
    share = (untouched - played) / (untouched - par)
    share = min(max(share, 0.0), 1.0)
    result = 1.0
    for _ in range(power):
        result *= share
    return result


def closure(declared: bool, clear: bool, over: bool, acted: bool) -> float:
    """What the end is worth; whoever changed nothing and saw nothing end was not there.

    Args:
        declared: the player declared the incident over.
        clear: at that moment no customer was let down and nothing paged.
        over: it stayed so.
        acted: something was changed.
    """
    if declared and over and clear:
        return 1.0
    if not acted:
        return 0.0
    if declared:
        return 0.4
    return 0.9 if over else 0.6


def unneeded(
    steps: Sequence[Checkpoint],
    put_back: Mapping[int, int],
    total: float,
    untouched: float,
    last: int,
) -> int:
    """Changes without which customers would have been no worse off, the last one tried first.

    A wrong change can help by accident: exceptions at one service spare another some load. So
    what was put back counts as needed only if it prevented a clear share of the harm.

    Args:
        steps: changes in order, with the world before each.
        put_back: indices of changes that put an earlier one back, and which one.
        total: harm of the course with all of them.
        untouched: harm had nobody acted.
        last: last tick that counts.
    """
    kept = [step.change for step in steps]
    taken_back = set(put_back.values())
    count = 0
    for index in reversed(range(len(steps))):
        if index in put_back:
            continue
        step = steps[index]
        allowed = total + (_CLEARLY * untouched if index in taken_back else 0.0) + _SAME
        rest = [change for change in kept if change is not step.change]
        later = [change for change in rest if change.tick > step.before.tick]
        # As soon as customers are worse off without it, the change was needed.
        course = replay(step.before, later, last, enough=allowed - step.harm)
        if step.harm + course.total <= allowed:
            kept = rest
            count += 1
    return count


def grade(
    steps: Sequence[Checkpoint],
    put_back: Mapping[int, int],
    attempts: int,
    end: tuple[bool, bool, Course],
    marks: tuple[float, float],
    last: int,
    power: int,
) -> Grade:
    """Grade a play.

    Args:
        steps: changes that moved something, with the world before each.
        put_back: see `unneeded`.
        attempts: remediations that found nothing to act on.
        end: declared or not; clear at that moment; the whole course.
        marks: harm had nobody acted, and harm under the reference.
        last: last tick that counts.
        power: see `impact`.
    """
    declared, clear, course = end
    if len(steps) > MOST_CHANGES:
        useless, precision = len(steps), _LEAST_PRECISION
    else:
        useless = attempts + unneeded(steps, put_back, course.total, marks[0], last)
        precision = max(_LEAST_PRECISION, 1 - _EACH * useless)
    return Grade(
        impact(marks[0], course.total, marks[1], power),
        precision,
        closure(declared, clear, course.over, bool(steps)),
        useless,
        course.over,
    )
