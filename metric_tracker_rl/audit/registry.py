"""The registry of adversarial policies, each with the ceiling it must stay under.

An exploit is a policy that tries to be paid for something else than analysis. It speaks the
same words as every scripted policy, and two more: `{"state": True}` reads the session's
state, and `{"elsewhere": {"reset": {…}}}` or `{"elsewhere": {"action": {…}}}` plays in a
second session. The audit adds up every reward that the episode pays, before its end and after.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from metric_tracker_rl.errors import UnknownNameError
from metric_tracker_rl.policies.registry import Observed, Play, Policy

EXPLOITS: dict[str, Exploit] = {}
"""Every adversarial policy by name, in the order of declaration."""


@dataclass(frozen=True)
class Ceiling:
    """Most that an exploit may earn, by difficulty.

    Attributes:
        mean: largest mean score.
        perfect: largest share of episodes with a score of 1.0.
        by_interval: whether the mean may lie above by chance: then it is the lower end of its
            95 % interval that must not. For noise, which no two runs share.
    """

    mean: Mapping[str, float]
    perfect: Mapping[str, float]
    by_interval: bool = False


def ceiling(
    easy: tuple[float, float], medium: tuple[float, float], hard: tuple[float, float]
) -> Ceiling:
    """A ceiling from (mean, perfect share) pairs; levels beyond hard share hard's."""
    levels = {"easy": easy, "medium": medium, "hard": hard, "expert": hard}
    return Ceiling(
        {name: mean for name, (mean, _) in levels.items()},
        {name: perfect for name, (_, perfect) in levels.items()},
    )


NOTHING = ceiling((0.0, 0.0), (0.0, 0.0), (0.0, 0.0))
"""For what must be worth no more than the empty report."""
NOTHING_BUT_LUCK = replace(NOTHING, by_interval=True)
"""The same for channels full of noise, where a row may be hit by luck once in a while."""
FLAGGED = ceiling((0.25, 0.40), (0.15, 0.20), (0.15, 0.10))
"""For reports of everything that any tool flags."""
BLIND = ceiling((0.50, 0.40), (0.40, 0.20), (0.35, 0.10))
"""For policies that read tool results and never apply the reporting policy's order."""


@dataclass(frozen=True)
class Exploit:
    """One adversarial policy.

    Attributes:
        policy: name, one line about it, and its generator function.
        ceiling: most that it may earn.
        submissions: submissions it is allowed (`max_submissions` of its resets).
    """

    policy: Policy
    ceiling: Ceiling
    submissions: int = 1

    @property
    def name(self) -> str:
        """Its policy's name."""
        return self.policy.name


def exploit(
    name: str, ceiling: Ceiling, submissions: int = 1
) -> Callable[[Callable[[Observed], Play]], Callable[[Observed], Play]]:
    """Decorator: register a generator function as the exploit of that name.

    The first line of its docstring is the description people read.
    """

    def register(play: Callable[[Observed], Play]) -> Callable[[Observed], Play]:
        if name in EXPLOITS:
            raise TypeError(f"exploit {name!r} is declared twice")
        line = (inspect.getdoc(play) or "").split("\n", 1)[0]
        EXPLOITS[name] = Exploit(Policy(name, line, play), ceiling, submissions)
        return play

    return register


def get_exploit(name: str) -> Exploit:
    """Exploit of that name.

    Raises:
        UnknownNameError: there is none; names the nearest.
    """
    if name in EXPLOITS:
        return EXPLOITS[name]
    raise UnknownNameError("exploit", name, EXPLOITS)
