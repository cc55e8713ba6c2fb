"""The grade: precision × (0.55 resolved + 0.45 impact), from counterfactual replays alone.

There is no list of right answers. What a change was worth is what customers would have gone
through without it; so any plan that physically suffices earns full marks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from firewatch_env.actions import ACTIONS
from firewatch_env.engine.motion import MOST_SIZE, STARTS
from firewatch_env.engine.world import World
from firewatch_env.replay import Change, replay

RESOLVED, IMPACT = 0.55, 0.45
UNDECLARED = 0.9  # of resolved, where the incident is over and nobody said so
MOST_CHANGES = 12
LEAST_PRECISION = 0.3
EACH = 0.25
SAME = 1e-6  # of harm: less is no difference
_CLEARLY = 0.02  # of the harm had nobody acted: less does not justify what was put back
_ENOUGH = 1.5  # pods to the usual number that nobody is asked to justify
_STAY = ("disable_retries", "configure_retry_backoff")  # mitigations that nobody takes back


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A change, the world just before it, and the harm up to there."""

    change: Change
    before: World
    harm: float


@dataclass(frozen=True, slots=True)
class Grade:
    """A grade: parts between 0 and 1, and what is told beside the score.

    Attributes:
        resolved: 1 if the incident is over for good and was declared, 0.9 if it was not declared.
        needless: changes, and attempts at some, that were not needed.
        over: customers stay well after every temporary measure has been taken back.
        mitigated, ended: ticks after which no customer was let down, for a while and for good.
        grounded: share of the needed changes whose service had been looked at before; None where
            nothing needed was changed.
    """

    resolved: float
    impact: float
    precision: float
    needless: tuple[str, ...]
    over: bool
    mitigated: int | None
    ended: int | None
    looks: int
    changes: int
    grounded: float | None

    @property
    def score(self) -> float:
        return self.precision * (RESOLVED * self.resolved + IMPACT * self.impact)

    @property
    def unneeded(self) -> int:
        return len(self.needless)

    @property
    def exact(self) -> bool:
        """Over for good, declared, and nothing unneeded changed."""
        return self.resolved == 1 and self.unneeded == 0

    def parts(self) -> dict[str, float | int | bool | None]:
        """As in `info.score_parts`; `closure` and `recovered` are names of existing clients."""
        return {
            "impact": round(self.impact, 4),
            "precision": round(self.precision, 4),
            "resolved": self.resolved,
            "closure": self.resolved,
            "unneeded": self.unneeded,
            "recovered": self.over,
            "ticks_to_mitigate": self.mitigated,
            "ticks_to_resolve": self.ended,
            "looks": self.looks,
            "changes": self.changes,
            "grounded": 1.0 if self.grounded is None else round(self.grounded, 4),
        }


def impact(
    untouched: float, played: float, reference: float, declared: bool, changed: bool
) -> float:
    """Avoidable harm that was avoided, as a share between 0 and 1.

    Args:
        untouched: harm had nobody acted.
        played: harm as it was played.
        reference: harm of the reference's own play.
        declared: the player declared the incident over.
        changed: something was changed, or tried; where no harm can be avoided that is wrong.
    """
    if untouched <= reference + SAME:
        return float(declared and not changed)
    share = (untouched - played) / (untouched - reference)
    return min(max(share, 0.0), 1.0)


def resolved(declared: bool, over: bool, changed: bool) -> float:
    """What the end is worth."""
    if not over or not (declared or changed):
        return 0.0
    return 1.0 if declared else UNDECLARED


def unneeded(
    steps: Sequence[Checkpoint],
    put_back: Mapping[int, int],
    total: float,
    untouched: float,
    end: int,
    last: int,
) -> list[int]:
    """Indices of changes without which customers would have been no worse off, the last first.

    A wrong change can help by accident: exceptions at one service spare another some load. So
    what was put back counts as needed only if it prevented a clear share of the harm. Pods beyond
    half as many again have to be needed themselves. What lasts is needed too if customers would
    have been worse off without it had nobody mitigated: to mend what a mitigation has ended
    already is not needless.

    Args:
        steps: changes in order, with the world before each.
        put_back: indices of changes that put an earlier one back, and which one.
        total: harm of the course with all of them.
        untouched: harm had nobody acted.
        end: tick at which the play ended.
        last: last tick that counts.
    """
    kept = [step.change for step in steps]
    taken_back = set(put_back.values())
    found = []

    def exceeds(start: Checkpoint, changes: list[Change], most: float) -> bool:
        return replay(start.before, changes, last, most, end).total > most

    def mends(index: int, margin: float) -> bool:
        """Whether customers would have been worse off without it, had nobody mitigated."""
        change = steps[index].change
        early = [at for at, step in enumerate(steps) if _mitigates(step.change)]
        if not early or (_mitigates(change) and change.action not in _STAY):
            return False
        start = steps[min(index, early[0])]
        rest = [each for each in kept if each is not change and not _mitigates(each)]
        mended = replay(start.before, [*rest, change], last, ends=end).total
        return exceeds(start, rest, mended + margin)

    for index in reversed(range(len(steps))):
        if index in put_back:
            continue
        step = steps[index]
        margin = (_CLEARLY * untouched if index in taken_back else 0.0) + SAME
        most = total - step.harm + margin
        rest = [change for change in kept if change is not step.change]
        if not exceeds(step, rest, most):
            if not mends(index, margin):
                kept = rest
                found.append(index)
        elif (fewer := _half(step, end)) and not exceeds(step, [*kept, fewer], most):
            found.append(index)
    return found


def _mitigates(change: Change) -> bool:
    return ACTIONS[change.action].group == "mitigate"


def _half(step: Checkpoint, end: int) -> Change | None:
    """Half of the pods that a change added go once all have started.

    None where it added few, or the play ended before.
    """
    change = step.change
    service = step.before.by_name[change.target]
    asked = change.parameters.get("replicas")
    if change.action != "scale_replicas" or not isinstance(asked, int | float):
        return None
    more = min(asked / service.pods, MOST_SIZE) - 1
    if more <= _ENOUGH - 1 or change.tick + STARTS > end:
        return None
    pods = ceil(service.pods * (1 + more / 2))
    return Change(change.tick + STARTS, "scale_replicas", change.target, {"replicas": pods})


def precision(count: int) -> float:
    """A quarter off for each unneeded change, down to 0.3."""
    return max(LEAST_PRECISION, 1 - EACH * count)
