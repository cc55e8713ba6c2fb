"""The audit: every exploit over many episodes, against its ceiling.

An environment is audited on its splits, unless it has an `audit` of its own. A setting is where
the episodes are drawn from, such as a family or a split; in the first one, every policy plays in
full.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, Protocol, runtime_checkable

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import require_name
from openenv_kit.play.policies import Policy
from openenv_kit.trust.arena import Arena, Played
from openenv_kit.trust.exploits import NOTHING, Ceiling, Exploit

REFERENCE, IDLE = "reference", "null"
"""The policy that must earn everything, and the one that must earn nothing."""
LEAK_SHARE = 10
"""One in so many episodes is played outside the main setting by what must earn nothing."""
SPLIT = "split:"
"""Prefix of the settings that are splits."""
Z = 1.96
"""Standard deviations of a 95 % interval."""


@dataclass(frozen=True)
class Job:
    """One unit of work: one policy over a stretch of the episodes of a level and a setting."""

    policy: str
    difficulty: str
    first: int
    stop: int
    setting: str
    environment: str | None = None


@dataclass(frozen=True)
class Line:
    """One line of the table: a policy in a setting on a level.

    Attributes:
        mean: mean score.
        low, high: 95 % interval of the mean.
        perfect: share of episodes with a score of 1.0.
        calls, reply_bytes: mean cost of an episode.
        max_mean, max_perfect: ceiling; None where there is none.
        by_interval: whether the interval's lower end, not the mean, is held to the ceiling.
        min_mean: floor, for the reference policy.
        setting: where the episodes are drawn from.
    """

    policy: str
    difficulty: str
    episodes: int
    mean: float
    low: float
    high: float
    perfect: float
    calls: float
    reply_bytes: float
    max_mean: float | None
    max_perfect: float | None
    min_mean: float = 0.0
    by_interval: bool = False
    setting: str = ""

    @property
    def holds(self) -> bool:
        """Whether the policy stays within its limits."""
        judged = self.low if self.by_interval else self.mean
        under = self.max_mean is None or judged <= self.max_mean
        rarely = self.max_perfect is None or self.perfect <= self.max_perfect
        return under and rarely and self.mean >= self.min_mean

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "holds": self.holds}


class Audit:
    """The audit of an environment: on its splits, all on one level, unless a subclass says more.

    Args:
        environment: what to audit.
    """

    levels: Sequence[str] = ("all",)

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.main = self.settings[0]
        self.names = (*self.baselines, *environment.exploits)

    @property
    def settings(self) -> Sequence[str]:
        """Where episodes are drawn from; the main setting comes first."""
        return [SPLIT + name for name in self.environment.splits.names()]

    @property
    def baselines(self) -> Sequence[str]:
        """Scripted policies played beside the exploits."""
        return list(self.environment.policies)

    def size(self, setting: str, level: str) -> int:
        """Number of episodes that a setting has of a level."""
        return self.environment.splits.size(setting.removeprefix(SPLIT))

    def reset_arguments(
        self, level: str, number: int, submissions: int = 1, setting: str | None = None
    ) -> dict[str, Any]:
        """Arguments of the reset of an episode; `number` counts from 0."""
        split = (setting or self.main).removeprefix(SPLIT)
        practice = {"max_submissions": submissions} if submissions > 1 else {}
        return {**self.environment.splits.task(split, number).reset_arguments(), **practice}

    def known(self, setting: str, level: str) -> Sequence[Any]:
        """Episodes that an exploit may learn from: none of those that are played."""
        return ()

    def floor(self, policy: str, setting: str) -> float:
        """Least mean score of a policy: all of it for the reference."""
        return 1.0 if policy == REFERENCE else 0.0

    def expected(self, reset: Mapping[str, Any]) -> int | None:
        """Size of an episode's right answer; None where it is not known."""
        return None

    def more(self, levels: Sequence[str], episodes: int) -> Mapping[str, Any]:
        """What the file of results holds beside the table, JSON-ready."""
        return {}

    def jobs(
        self,
        episodes: int,
        policies: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
        settings: Sequence[str] | None = None,
        batch: int = 50,
    ) -> list[Job]:
        """The audit as units of work.

        Args:
            episodes: of each level and setting; fewer where a setting has no more.
            policies: names, or None for all.
            levels: names, or None for all.
            settings: names, or None for the main one. In all others, baselines and exploits that
                ask for it are played in full, those that must earn nothing in part, and the rest
                not at all.
            batch: most episodes of one unit.

        Raises:
            UnknownNameError: there is no such policy, level or setting; names the nearest.
        """
        chosen = [require_name("setting", each, self.settings) for each in settings or [self.main]]
        on = [require_name("difficulty", each, self.levels) for each in levels or self.levels]
        players = [require_name("policy", each, self.names) for each in policies or self.names]
        here, work = self.environment.name, []
        for setting, level, name in product(chosen, on, players):
            size = min(episodes, self.size(setting, level))
            stop = self._episodes_of(name, setting, size)
            work += [
                Job(name, level, first, min(first + batch, stop), setting, here)
                for first in range(0, stop, batch)
            ]
        return work

    def run(self, job: Job) -> list[Played]:
        """Play one unit of work."""
        policy, exploit = self.player(job.policy), self._exploit(job.policy)
        resets = [
            self.reset_arguments(job.difficulty, number, policy.submissions, job.setting)
            for number in range(job.first, job.stop)
        ]
        if exploit is not None and exploit.fit is not None:
            policy = exploit.fitted(self.known(job.setting, job.difficulty))
        arena = Arena(self.environment)
        return [
            replace(arena.play(policy, reset), expected=self.expected(reset)) for reset in resets
        ]

    def player(self, name: str) -> Policy:
        """The baseline or exploit of that name."""
        exploit = self._exploit(name)
        return exploit.policy if exploit else self.environment.policies[name]

    def lines(self, results: Iterable[tuple[Job, list[Played]]]) -> list[Line]:
        """The table's lines, from the results in any order."""
        groups: dict[tuple[str, str, str], list[Played]] = {}
        for job, played in results:
            groups.setdefault((job.setting, job.difficulty, job.policy), []).extend(played)
        orders = [list(each) for each in (self.settings, self.levels, self.names)]
        ordered = sorted(
            groups,
            key=lambda key: [order.index(name) for order, name in zip(orders, key, strict=True)],
        )
        return [self._line(*key, groups[key]) for key in ordered]

    def _exploit(self, name: str) -> Exploit | None:
        return None if name in self.baselines else self.environment.exploits[name]

    def _episodes_of(self, name: str, setting: str, size: int) -> int:
        """Episodes that a policy plays in a setting, of the most that it could."""
        exploit = self._exploit(name)
        if setting == self.main or exploit is None or exploit.everywhere:
            return size
        # Any leak shows in a few episodes: what must earn nothing has no mean to be estimated.
        return max(size // LEAK_SHARE, 1) if exploit.ceiling is NOTHING else 0

    def _ceiling_of(self, name: str, setting: str) -> Ceiling | None:
        exploit = self._exploit(name)
        if exploit is None:
            return NOTHING if name == IDLE else None
        return exploit.ceiling if exploit.ceiling.everywhere or setting == self.main else None

    def _line(self, setting: str, level: str, policy: str, played: Sequence[Played]) -> Line:
        scores = [each.score for each in played]
        mean, low, high = interval(scores)
        ceiling = self._ceiling_of(policy, setting)
        most, often = ceiling.at(level) if ceiling else (None, None)
        if ceiling is NOTHING:
            # Where nothing is to be found, the empty answer is right, and no exploit for being so.
            most = often = sum(each.expected == 0 for each in played) / len(played)
        return Line(
            policy=policy,
            difficulty=level,
            setting=setting,
            episodes=len(played),
            mean=mean,
            low=low,
            high=high,
            perfect=sum(score >= 1.0 for score in scores) / len(scores),
            calls=sum(each.calls for each in played) / len(played),
            reply_bytes=sum(each.reply_bytes for each in played) / len(played),
            max_mean=most,
            max_perfect=often,
            min_mean=self.floor(policy, setting),
            by_interval=ceiling.by_interval if ceiling else False,
        )


@runtime_checkable
class Audited(Protocol):
    """An environment with an audit of its own."""

    @property
    def audit(self) -> Audit:
        """That audit."""


def audit_of(environment: Environment) -> Audit:
    """The environment's own audit, or the one on its splits."""
    return environment.audit if isinstance(environment, Audited) else Audit(environment)


def run_job(job: Job) -> tuple[Job, list[Played]]:
    """Play one unit of work; a pure function of it, so that any engine can run it."""
    return job, audit_of(get_environment(job.environment)).run(job)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % interval by the normal approximation, within [0, 1]."""
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return mean, mean, mean
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = Z * math.sqrt(variance / count)
    return mean, max(mean - half, 0.0), min(mean + half, 1.0)
