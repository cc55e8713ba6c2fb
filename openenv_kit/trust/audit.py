"""The audit: every exploit over many episodes, against its ceiling.

An environment is audited on its splits, unless it has an audit of its own. A setting is where
the episodes are drawn from, such as a family or a split; in the first one, every policy plays in
full. The environment's own policies are played on the train and test splits in any case, also
where an audit of its own names neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import require_name
from openenv_kit.rollouts.policies import Play
from openenv_kit.splits import tasks_of_level
from openenv_kit.trust.exploits import NOTHING, UNLIMITED, Arena, Exploit, Played

REFERENCE, IDLE = "reference", "null"
"""The policy that must earn everything, and the one that must earn nothing."""
LEAK_SHARE = 10
"""One in so many episodes is played outside the main setting by what must earn nothing."""
BATCH = 50
"""Most episodes of one unit of work."""
SPLIT = "split:"
"""Prefix of the settings that are splits."""
ALWAYS_AUDITED = ("train", "test")
"""Splits that are audited in every environment that has them."""
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
class AuditLine:
    """One line of the table: a policy in a setting on a level.

    Attributes:
        mean, low, high: mean score and its 95 % interval.
        perfect: share of episodes with a score of 1.0.
        calls: mean cost of an episode.
        max_mean, max_perfect: ceiling; None where there is none.
        min_mean: floor, for the reference policy.
        by_interval: whether the interval's lower end, not the mean, is held to the ceiling.
    """

    policy: str
    difficulty: str
    episodes: int
    mean: float
    low: float
    high: float
    perfect: float
    calls: float
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
    """The audit of an environment: on its splits, all on one level, unless a subclass says more."""

    levels: Sequence[str] = ("all",)
    exploits: Mapping[str, Exploit] = {}

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.main = self.settings[0]
        self.in_full = {self.main}  # settings where all play in full and every ceiling holds
        self.names = tuple(dict.fromkeys((*self.baselines, *self.exploits, *environment.policies)))

    @property
    def settings(self) -> Sequence[str]:
        """Where episodes are drawn from; the main setting comes first."""
        return [SPLIT + name for name in self.environment.splits.names()]

    @property
    def default_settings(self) -> Sequence[str]:
        """All settings, and the splits `ALWAYS_AUDITED` where `settings` leaves them out."""
        there = self.environment.splits.names()
        always = [SPLIT + name for name in ALWAYS_AUDITED if name in there]
        return list(dict.fromkeys((*self.settings, *always)))

    @property
    def baselines(self) -> Sequence[str]:
        """Scripted policies that are no exploits; those that are have a ceiling."""
        return [name for name in self.environment.policies if name not in self.exploits]

    def size(self, setting: str, level: str) -> int:
        """Number of episodes that a setting has of a level."""
        return len(self.places(setting.removeprefix(SPLIT), level))

    def places(self, split: str, level: str) -> Sequence[int]:
        """Positions of a split's tasks of a level."""
        splits: Any = self.environment.splits
        if self.levels == Audit.levels:
            return range(splits.size(split))
        return tasks_of_level(splits, split, level)

    def reset_arguments(
        self, level: str, number: int, submissions: int = 1, setting: str | None = None
    ) -> dict[str, Any]:
        """Arguments of the reset of an episode; `number` counts from 0."""
        split = (setting or self.main).removeprefix(SPLIT)
        practice = {"max_submissions": submissions} if submissions > 1 else {}
        place = self.places(split, level)[number]
        return {**self.environment.splits.task(split, place).reset_arguments(), **practice}

    def known(self, setting: str, level: str) -> Sequence[Any]:
        """Episodes that an exploit may learn from: none of those that are played."""
        return ()

    def expected(self, reset: Mapping[str, Any]) -> int | None:
        """Size of an episode's right answer; None where it is not known."""
        return None

    def jobs(
        self,
        episodes: int,
        policies: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
        settings: Sequence[str] | None = None,
    ) -> list[Job]:
        """The audit as units of work.

        Args:
            episodes: of each level and setting; fewer where a setting has no more.
            policies: names, or None for all.
            levels: names, or None for all.
            settings: names, or None for all. In those that are not `in_full`, policies of the
                environment and exploits that ask for it are played in full, those that must earn
                nothing in part, and the rest not at all.

        Raises:
            UnknownNameError: there is no such policy, level or setting; names the nearest.
        """
        every = self.default_settings
        chosen = [require_name("setting", each, every) for each in settings or every]
        on = [require_name("difficulty", each, self.levels) for each in levels or self.levels]
        players = [require_name("policy", each, self.names) for each in policies or self.names]
        work = []
        for setting, level, name in product(chosen, on, players):
            stop = self.episodes_of(name, setting, min(episodes, self.size(setting, level)))
            for first in range(0, stop, BATCH):
                last = min(first + BATCH, stop)
                work.append(Job(name, level, first, last, setting, self.environment.name))
        return work

    def run(self, job: Job) -> list[Played]:
        """Play one unit of work."""
        exploit, arena = self.player(job.policy), Arena(self.environment)
        policy = exploit.policy
        if exploit.fit is not None:
            play: Callable[..., Play] = policy.play
            best = exploit.fit(self.known(job.setting, job.difficulty))
            policy = replace(policy, play=partial(play, best=best))
        rest, numbers = (policy.submissions, job.setting), range(job.first, job.stop)
        resets = [self.reset_arguments(job.difficulty, number, *rest) for number in numbers]
        return [replace(arena.play(policy, each), expected=self.expected(each)) for each in resets]

    def player(self, name: str) -> Exploit:
        """The exploit of that name, or a baseline, which has no ceiling but where it is idle."""
        if name in self.exploits:
            return self.exploits[name]
        ceiling = NOTHING if name == IDLE else UNLIMITED
        return Exploit(self.environment.policies[name], ceiling, everywhere=True)

    def lines(self, results: Iterable[tuple[Job, list[Played]]]) -> list[AuditLine]:
        """The table's lines, from the results in any order."""
        groups: dict[tuple[str, str, str], list[Played]] = {}
        for job, played in results:
            groups.setdefault((job.setting, job.difficulty, job.policy), []).extend(played)
        ordered = product(self.default_settings, self.levels, self.names)
        return [self._line(*key, groups[key]) for key in ordered if key in groups]

    def episodes_of(self, name: str, setting: str, size: int) -> int:
        """Episodes that a policy plays in a setting, of the most that it could."""
        exploit = self.player(name)
        if setting in self.in_full or exploit.everywhere or name in self.environment.policies:
            return size
        # Any leak shows in a few episodes: what must earn nothing has no mean to be estimated.
        return max(size // LEAK_SHARE, 1) if exploit.ceiling is NOTHING else 0

    def _line(self, setting: str, level: str, policy: str, played: Sequence[Played]) -> AuditLine:
        scores = [each.score for each in played]
        mean, low, high = interval(scores)
        ceiling = self.player(policy).ceiling
        if not ceiling.everywhere and setting not in self.in_full:
            ceiling = UNLIMITED
        most, often = ceiling.at(level)
        if ceiling is NOTHING:
            # Where nothing is to be found, the empty answer is right, and no exploit for being so.
            most = often = fmean(each.expected == 0 for each in played)
        return AuditLine(
            policy=policy,
            difficulty=level,
            setting=setting,
            episodes=len(played),
            mean=mean,
            low=low,
            high=high,
            perfect=fmean(score >= 1.0 for score in scores),
            calls=fmean(each.calls for each in played),
            max_mean=most,
            max_perfect=often,
            min_mean=float(policy == REFERENCE),
            by_interval=ceiling.by_interval,
        )


def run_job(job: Job) -> tuple[Job, list[Played]]:
    """Play one unit of work; a pure function of it, so that any engine can run it."""
    return job, get_environment(job.environment).audit.run(job)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % interval by the normal approximation, within [0, 1]."""
    mean, count = fmean(values), len(values)
    half = Z * stdev(values) / sqrt(count) if count > 1 else 0.0
    return mean, max(mean - half, 0.0), min(mean + half, 1.0)
