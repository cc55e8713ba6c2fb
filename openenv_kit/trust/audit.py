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
from statistics import fmean
from typing import Any, NamedTuple

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import require_name
from openenv_kit.results.statistics import normal_mean_interval
from openenv_kit.rollouts.policies import PolicySteps
from openenv_kit.splits import indices_of_level
from openenv_kit.trust.exploits import (
    NO_CEILING,
    ZERO_CEILING,
    AuditedEpisode,
    Exploit,
    ExploitRunner,
    ScoreLimits,
)

REFERENCE_POLICY, NULL_POLICY = "reference", "null"
"""The policy that must earn everything, and the one that must earn nothing."""
LEAK_CHECK_DIVISOR = 10
"""One in so many episodes is played outside the main setting by what must earn nothing."""
EPISODES_PER_JOB = 50
"""Most episodes of one unit of work."""
SPLIT_PREFIX = "split:"
"""Prefix of the settings that are splits."""
ALWAYS_AUDITED_SPLITS = ("train", "test")
"""Splits that are audited in every environment that has them."""


@dataclass(frozen=True)
class AuditJob:
    """One unit of work: one policy over a stretch of the episodes of a level and a setting."""

    policy: str
    level: str
    first_episode: int
    stop_episode: int
    setting: str
    environment_name: str | None = None


class AuditJobResult(NamedTuple):
    """A unit of work and the episodes that were played for it."""

    job: AuditJob
    episodes: list[AuditedEpisode]


AUDIT_FILE_KEYS = {"ci_low": "low", "ci_high": "high"}
"""Keys in the file that `audit --out` writes, where they differ from the fields' names."""


@dataclass(frozen=True)
class AuditLine:
    """One line of the table: a policy in a setting on a level.

    Attributes:
        mean, ci_low, ci_high: mean score and its 95 % interval.
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
    ci_low: float
    ci_high: float
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
        judged = self.ci_low if self.by_interval else self.mean
        under = self.max_mean is None or judged <= self.max_mean
        rarely = self.max_perfect is None or self.perfect <= self.max_perfect
        return under and rarely and self.mean >= self.min_mean

    def as_dict(self) -> dict[str, Any]:
        """Return the line as JSON values, under the keys of the file that `audit --out` writes."""
        return {
            **{AUDIT_FILE_KEYS.get(name, name): value for name, value in asdict(self).items()},
            "holds": self.holds,
        }


class Audit:
    """The audit of an environment: on its splits, all on one level, unless a subclass says more."""

    levels: Sequence[str] = ("all",)
    exploits: Mapping[str, Exploit] = {}

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.main_setting = self.settings[0]
        self.full_settings = {
            self.main_setting
        }  # settings where all play in full and every ceiling holds
        self.policy_names = tuple(
            dict.fromkeys((*self.baselines, *self.exploits, *environment.policies))
        )

    @property
    def settings(self) -> Sequence[str]:
        """Where episodes are drawn from; the main setting comes first."""
        return [SPLIT_PREFIX + name for name in self.environment.splits.names()]

    @property
    def all_settings(self) -> Sequence[str]:
        """All settings, and the splits `ALWAYS_AUDITED_SPLITS` where `settings` leaves them out."""
        there = self.environment.splits.names()
        always = [SPLIT_PREFIX + name for name in ALWAYS_AUDITED_SPLITS if name in there]
        return list(dict.fromkeys((*self.settings, *always)))

    @property
    def baselines(self) -> Sequence[str]:
        """Scripted policies that are no exploits; those that are have a ceiling."""
        return [name for name in self.environment.policies if name not in self.exploits]

    def count_episodes(self, setting: str, level: str) -> int:
        """Number of episodes that a setting has of a level."""
        return len(self.task_indices(setting.removeprefix(SPLIT_PREFIX), level))

    def task_indices(self, split: str, level: str) -> Sequence[int]:
        """Positions of a split's tasks of a level."""
        splits: Any = self.environment.splits
        if self.levels == Audit.levels:
            return range(splits.size(split))
        return indices_of_level(splits, split, level)

    def reset_arguments(
        self, level: str, episode_number: int, max_submissions: int = 1, setting: str | None = None
    ) -> dict[str, Any]:
        """Arguments of the reset of an episode; `number` counts from 0."""
        split = (setting or self.main_setting).removeprefix(SPLIT_PREFIX)
        practice = {"max_submissions": max_submissions} if max_submissions > 1 else {}
        place = self.task_indices(split, level)[episode_number]
        return {**self.environment.splits.task(split, place).reset_arguments(), **practice}

    def training_episodes(self, setting: str, level: str) -> Sequence[Any]:
        """Episodes that an exploit may learn from: none of those that are played."""
        return ()

    def expected_answer_size(self, reset: Mapping[str, Any]) -> int | None:
        """Size of an episode's right answer; None where it is not known."""
        return None

    def plan_jobs(
        self,
        episodes_per_level: int,
        policies: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
        settings: Sequence[str] | None = None,
    ) -> list[AuditJob]:
        """The audit as units of work.

        Args:
            episodes_per_level: of each level and setting; fewer where a setting has no more.
            policies: names, or None for all.
            levels: names, or None for all.
            settings: names, or None for all. In those that are not `full_settings`, policies of the
                environment and exploits that ask for it are played in full, those that must earn
                nothing in part, and the rest not at all.

        Raises:
            UnknownNameError: there is no such policy, level or setting; names the nearest.
        """
        every = self.all_settings
        chosen = [require_name("setting", each, every) for each in settings or every]
        on = [require_name("difficulty", each, self.levels) for each in levels or self.levels]
        players = [
            require_name("policy", each, self.policy_names)
            for each in policies or self.policy_names
        ]
        work = []
        for setting, level, name in product(chosen, on, players):
            stop = self.count_planned_episodes(
                name, setting, min(episodes_per_level, self.count_episodes(setting, level))
            )
            for first in range(0, stop, EPISODES_PER_JOB):
                last = min(first + EPISODES_PER_JOB, stop)
                work.append(AuditJob(name, level, first, last, setting, self.environment.name))
        return work

    def run_job(self, job: AuditJob) -> list[AuditedEpisode]:
        """Play one unit of work."""
        exploit, arena = self.get_exploit_or_baseline(job.policy), ExploitRunner(self.environment)
        policy = exploit.policy
        if exploit.fit is not None:
            play: Callable[..., PolicySteps] = policy.generate_actions
            best = exploit.fit(self.training_episodes(job.setting, job.level))
            policy = replace(policy, generate_actions=partial(play, best=best))
        rest, numbers = (
            (policy.max_submissions, job.setting),
            range(job.first_episode, job.stop_episode),
        )
        resets = [self.reset_arguments(job.level, number, *rest) for number in numbers]
        return [
            replace(
                arena.run_policy(policy, each), expected_answer_size=self.expected_answer_size(each)
            )
            for each in resets
        ]

    def get_exploit_or_baseline(self, name: str) -> Exploit:
        """The exploit of that name, or a baseline, which has no ceiling but where it is idle."""
        if name in self.exploits:
            return self.exploits[name]
        ceiling = ZERO_CEILING if name == NULL_POLICY else NO_CEILING
        return Exploit(self.environment.policies[name], ceiling, is_played_everywhere=True)

    def build_lines(self, results: Iterable[AuditJobResult]) -> list[AuditLine]:
        """Return the table's lines, from results in any order."""
        groups: dict[tuple[str, str, str], list[AuditedEpisode]] = {}
        for job, episodes in results:
            groups.setdefault((job.setting, job.level, job.policy), []).extend(episodes)
        ordered = product(self.all_settings, self.levels, self.policy_names)
        return [self._build_line(*key, groups[key]) for key in ordered if key in groups]

    def count_planned_episodes(self, policy_name: str, setting: str, max_episodes: int) -> int:
        """Episodes that a policy plays in a setting, of the most that it could."""
        exploit = self.get_exploit_or_baseline(policy_name)
        if (
            setting in self.full_settings
            or exploit.is_played_everywhere
            or policy_name in self.environment.policies
        ):
            return max_episodes
        # Any leak shows in a few episodes: what must earn nothing has no mean to be estimated.
        return max(max_episodes // LEAK_CHECK_DIVISOR, 1) if exploit.ceiling is ZERO_CEILING else 0

    def _build_line(
        self, setting: str, level: str, policy: str, episodes: Sequence[AuditedEpisode]
    ) -> AuditLine:
        scores = [each.score for each in episodes]
        interval = normal_mean_interval(scores)
        ceiling = self.get_exploit_or_baseline(policy).ceiling
        if not ceiling.is_enforced_everywhere and setting not in self.full_settings:
            ceiling = NO_CEILING
        limits = ceiling.score_limits_of(level)
        if ceiling is ZERO_CEILING:
            # Where nothing is to be found, the empty answer is right, and no exploit for being so.
            share = fmean(episode.expected_answer_size == 0 for episode in episodes)
            limits = ScoreLimits(max_mean=share, max_perfect_share=share)
        return AuditLine(
            policy=policy,
            difficulty=level,
            setting=setting,
            episodes=len(episodes),
            mean=interval.mean,
            ci_low=interval.ci_low,
            ci_high=interval.ci_high,
            perfect=fmean(score >= 1.0 for score in scores),
            calls=fmean(each.step_count for each in episodes),
            max_mean=limits.max_mean,
            max_perfect=limits.max_perfect_share,
            min_mean=float(policy == REFERENCE_POLICY),
            by_interval=ceiling.is_checked_by_ci_low,
        )


def run_job(job: AuditJob) -> AuditJobResult:
    """Play one unit of work; a pure function of it, so that any engine can run it."""
    return AuditJobResult(job, get_environment(job.environment_name).audit.run_job(job))
