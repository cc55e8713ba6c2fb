"""The registry of adversarial policies, each with the ceiling it must stay under.

An exploit is a policy that tries to be paid for something else than analysis. It speaks the
same words as every scripted policy, and two more: `{"state": True}` reads the session's
state, and `{"elsewhere": {"reset": {…}}}` or `{"elsewhere": {"action": {…}}}` plays in a
second session. The audit adds up every reward that the episode pays, before its end and after.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from metric_tracker_rl.errors import UnknownNameError
from metric_tracker_rl.play import EpisodeView
from metric_tracker_rl.policies.registry import Play, Policy

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
        everywhere: whether it holds in every setting, or in mixed episodes only.
    """

    mean: Mapping[str, float]
    perfect: Mapping[str, float]
    by_interval: bool = False
    everywhere: bool = True


def ceiling(
    easy: tuple[float, float], medium: tuple[float, float], hard: tuple[float, float]
) -> Ceiling:
    """A ceiling from (mean, perfect share) pairs; levels beyond hard share hard's."""
    levels = {"easy": easy, "medium": medium, "hard": hard, "expert": hard}
    return Ceiling(
        {name: mean for name, (mean, _) in levels.items()},
        {name: perfect for name, (_, perfect) in levels.items()},
    )


ZERO_CALL = ceiling((0.20, 0.20), (0.20, 0.20), (0.25, 0.25))
"""For play without a single call, in any episode whatever."""
NOTHING = ceiling((0.0, 0.0), (0.0, 0.0), (0.0, 0.0))
"""For what must be worth no more than the empty report."""
NOTHING_BUT_LUCK = replace(ceiling((0.0011, 0.0), (0.0012, 0.0), (0.0011, 0.0)), by_interval=True)
"""For channels full of noise: what a row for each of as many dates, drawn at random, earned in
2,000 mixed episodes of each level."""
FLAGGED = replace(ceiling((0.25, 0.40), (0.15, 0.20), (0.15, 0.10)), everywhere=False)
"""For reports of everything that any tool flags."""
BLIND = replace(ceiling((0.50, 0.40), (0.40, 0.20), (0.35, 0.10)), everywhere=False)
"""For policies that read tool results and never apply the reporting policy's order.

Both hold for mixed episodes. Where all anomalies are funnel breaks, shifts of the traffic mix or
impossible counts, whatever the tools flag is what the policy asks for, and reporting it is right.
"""


@dataclass(frozen=True)
class Exploit:
    """One adversarial policy.

    Attributes:
        policy: name, one line about it, and its generator function.
        ceiling: most that it may earn.
        everywhere: whether the audit plays it on single families and splits, too.
        fit: what it learns from other episodes beforehand, given to its generator function
            as `best`; None for an exploit that learns nothing.
    """

    policy: Policy
    ceiling: Ceiling
    everywhere: bool = False
    fit: Callable[[Sequence[EpisodeView]], Any] | None = None

    @property
    def name(self) -> str:
        """Its policy's name."""
        return self.policy.name

    def fitted(self, views: Sequence[EpisodeView]) -> Policy:
        """Its policy, once it has learnt from these episodes."""
        if self.fit is None:
            return self.policy
        play: Callable[..., Play] = self.policy.play
        return replace(self.policy, play=partial(play, best=self.fit(views)))


def exploit(
    name: str,
    ceiling: Ceiling,
    *,
    submissions: int = 1,
    everywhere: bool = False,
    fit: Callable[[Sequence[EpisodeView]], Any] | None = None,
) -> Callable[[Callable[..., Play]], Callable[..., Play]]:
    """Decorator: register a generator function as the exploit of that name.

    The first line of its docstring is the description people read.
    """

    def register(play: Callable[..., Play]) -> Callable[..., Play]:
        if name in EXPLOITS:
            raise TypeError(f"exploit {name!r} is declared twice")
        line = (inspect.getdoc(play) or "").split("\n", 1)[0]
        EXPLOITS[name] = Exploit(Policy(name, line, play, submissions), ceiling, everywhere, fit)
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
