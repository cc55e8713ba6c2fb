"""What makes an incident easy, medium or hard: sizes and chances, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES


@dataclass(frozen=True, slots=True)
class Level:
    """What tasks of a level are drawn from. Chances are between 0 and 1.

    Attributes:
        ticks: steps of an episode, 30 seconds each.
        services: how many there are.
        depth: services from the entry to the fault: the fewest and the most.
        faults: how many there may be, all equally likely.
        innocent: services without a fault that had a release that day.
        rival: chance that the faulty service had an innocent release as well.
        circumstance: chance that no release did it.
        partial: chance that a faulty build runs in one zone only, where that does enough harm.
        aftermath: chance that the fault spoilt something that undoing it does not mend.
        bystanders: services whose meters look bad for a harmless reason.
        advice: chance that a log gives bad advice.
        false_alert: chance that something pages and customers are well.
        slow: chance that one of several faults is not felt yet.
        alerted: the faulty service has alert rules.
        blamed: log lines name the release that wrote them.
    """

    name: str
    ticks: int
    services: int
    depth: tuple[int, int]
    faults: tuple[int, ...]
    innocent: int
    rival: float
    circumstance: float
    partial: float
    aftermath: float
    bystanders: int
    advice: float
    false_alert: float
    slow: float
    alerted: bool
    blamed: bool


LEVELS: dict[str, Level] = {
    level.name: level
    for level in (
        Level(
            name="easy", ticks=20, services=5, depth=(3, 4), faults=(1,), innocent=1, rival=0.5,
            circumstance=0.5, partial=0.0, aftermath=0.0, bystanders=0, advice=0.0,
            false_alert=0.0, slow=0.0, alerted=True, blamed=True,
        ),
        Level(
            name="medium", ticks=30, services=8, depth=(3, 6), faults=(1, 2), innocent=3,
            rival=0.7, circumstance=0.5, partial=0.3, aftermath=0.2, bystanders=2, advice=0.3,
            false_alert=0.03, slow=0.0, alerted=False, blamed=False,
        ),
        Level(
            name="hard", ticks=40, services=11, depth=(4, 8), faults=(2, 2, 3), innocent=5,
            rival=0.8, circumstance=0.4, partial=0.6, aftermath=0.3, bystanders=3, advice=0.7,
            false_alert=0.04, slow=0.3, alerted=False, blamed=False,
        ),
    )
}  # fmt: skip


def _rung(number: int) -> Level:
    """A rung, from 0 to 9: one fault next to the entry, which alerts, then ever more around it.

    Sizes and chances lie on straight lines from the first rung to `hard`; how many faults there
    are, and whether alerts and logs name the service, is as on easy, medium and hard by thirds.
    """
    share, last = number / (len(RUNG_LEVEL_NAMES) - 1), LEVELS["hard"]
    kind = LEVELS[("easy", "medium", "hard")[min(3 * number // (len(RUNG_LEVEL_NAMES) - 1), 2)]]
    first = replace(
        LEVELS["easy"], services=3, depth=(2, 3), innocent=0, rival=0.0, circumstance=0.0
    )

    def between(low: Any, high: Any) -> Any:
        if isinstance(low, tuple):
            return tuple(map(between, low, high))
        made = low + (high - low) * share
        return round(made) if isinstance(low, int) else round(made, 4)

    named: dict[str, Any] = {"name": RUNG_LEVEL_NAMES[number], "faults": kind.faults}
    named |= {"alerted": kind.alerted, "blamed": kind.blamed}
    along = {
        each.name: between(getattr(first, each.name), getattr(last, each.name))
        for each in fields(Level)
        if each.name not in named
    }
    return Level(**named, **along)


EVERY_LEVEL: dict[str, Level] = {
    **LEVELS,
    **{RUNG_LEVEL_NAMES[n]: _rung(n) for n in range(len(RUNG_LEVEL_NAMES))},
}
"""The levels and the rungs, by name."""
STAGES = tuple({"difficulty": name} for name in RUNG_LEVEL_NAMES)
"""Arguments of resets on each rung, for a curriculum."""
