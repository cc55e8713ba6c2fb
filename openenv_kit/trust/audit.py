"""Exploit audit: plays exploits on many episodes and compares scores with score ceilings.

A setting is a source of episodes, such as a split or a scenario family. By default, the settings
are the splits of the environment; a subclass of `Audit` can define others. In the first setting,
every policy plays all episodes. The scripted policies of the environment also play the splits in
`ALWAYS_AUDITED_SPLITS`, even if the subclass does not list them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from statistics import fmean
from typing import Any, NamedTuple, TypeAlias

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import require_name
from openenv_kit.own_data.product_argument import require_own_data
from openenv_kit.results.statistics import clipped_normal_mean_interval
from openenv_kit.rollouts.policies import PolicySteps
from openenv_kit.splits import Splits, find_task_indices_of_level
from openenv_kit.trust.exploits import (
    NO_CEILING,
    ZERO_CEILING,
    AuditedEpisode,
    Exploit,
    ExploitRunner,
    ScoreLimits,
)

REFERENCE_POLICY, NULL_POLICY = "reference", "null"
"""Names of the policy that must always score 1.0 and of the policy that must score 0."""
LEAK_CHECK_DIVISOR = 10
"""Divisor of the episode count of exploits with `ZERO_CEILING` outside `full_settings`."""
EPISODES_PER_JOB = 50
"""Largest number of episodes of one job."""
SPLIT_PREFIX = "split:"
"""Prefix of the setting names that refer to splits."""
ALWAYS_AUDITED_SPLITS = ("train", "test")
"""Splits that are audited in every environment that has them."""

EpisodeSource: TypeAlias = str
"""Name of a setting: the split or scenario family from which the audit takes episodes."""


@dataclass(frozen=True)
class AuditJob:
    """A unit of work: one policy on a range of episodes of one setting and level.

    Attributes:
        policy: name of the policy or exploit.
        level: name of the level.
        first_episode: number of the first episode, from 0.
        stop_episode: end of the range (exclusive).
        setting: name of the setting.
        environment_name: name of the environment; None for the default one.
        product: name of the product whose audit the job belongs to; None for the audit of the
            environment's own episodes.
    """

    policy: str
    level: str
    first_episode: int
    stop_episode: int
    setting: EpisodeSource
    environment_name: str | None = None
    product: str | None = None


class AuditJobResult(NamedTuple):
    """A job and the episodes that were played for it."""

    job: AuditJob
    episodes: list[AuditedEpisode]


AUDIT_FILE_KEYS = {"ci_low": "low", "ci_high": "high"}
"""Renamed fields of `AuditLine` in the file that `audit --out` writes."""


@dataclass(frozen=True)
class AuditLine:
    """One line of the audit's table: the results of a policy in one setting and level.

    Attributes:
        policy: name of the policy or exploit.
        difficulty: name of the level.
        episodes: number of episodes.
        mean, ci_low, ci_high: mean score and its 95 % confidence interval.
        perfect: share of episodes with a score of 1.0.
        calls: mean number of steps of an episode.
        max_mean, max_perfect: ceiling of `mean` and `perfect`; None if there is no ceiling.
        min_mean: smallest allowed mean.
        by_interval: whether `ci_low` instead of `mean` is compared with `max_mean`.
        setting: name of the setting.
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
    def is_within_limits(self) -> bool:
        """Whether the results respect the ceiling and the smallest allowed mean."""
        compared_mean = self.ci_low if self.by_interval else self.mean
        if self.max_mean is not None and compared_mean > self.max_mean:
            return False
        if self.max_perfect is not None and self.perfect > self.max_perfect:
            return False
        return self.mean >= self.min_mean

    def as_dict(self) -> dict[str, Any]:
        """Return the line as JSON values, under the keys of the file that `audit --out` writes."""
        return {
            **{AUDIT_FILE_KEYS.get(name, name): value for name, value in asdict(self).items()},
            "holds": self.is_within_limits,
        }


class Audit:
    """Exploit audit of an environment.

    This class audits the splits of the environment, with a single level. A subclass can define
    levels, settings and exploits.

    Attributes:
        levels: names of the levels.
        exploits: exploits by name.
        main_setting: first setting, in which every policy plays all episodes.
        full_settings: settings in which every policy plays all episodes and every ceiling applies.
        policy_names: names of all scripted policies and exploits, baselines first.
        product_name: name of the audited product; None for the environment's own episodes.
    """

    levels: Sequence[str] = ("all",)
    exploits: Mapping[str, Exploit] = {}
    product_name: str | None = None

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.main_setting = self.settings[0]
        self.full_settings = {self.main_setting}
        self.policy_names = tuple(
            dict.fromkeys((*self.baseline_names, *self.exploits, *environment.policies))
        )

    @property
    def splits(self) -> Splits:
        """The splits that are audited."""
        return self.environment.splits

    @property
    def settings(self) -> Sequence[EpisodeSource]:
        """Names of the settings, the main setting first."""
        return [SPLIT_PREFIX + name for name in self.splits.list_playable_split_names()]

    @property
    def settings_and_always_audited_splits(self) -> Sequence[EpisodeSource]:
        """Names of the settings and of the `ALWAYS_AUDITED_SPLITS` that are not among them."""
        splits = self.splits.list_playable_split_names()
        always_audited = [SPLIT_PREFIX + name for name in ALWAYS_AUDITED_SPLITS if name in splits]
        return list(dict.fromkeys((*self.settings, *always_audited)))

    @property
    def baseline_names(self) -> Sequence[str]:
        """Names of the scripted policies that are not exploits."""
        return [name for name in self.environment.policies if name not in self.exploits]

    def count_episodes(self, setting: EpisodeSource, level: str) -> int:
        """Return the number of episodes of a level in a setting."""
        return len(self.list_task_indices_of_level(setting.removeprefix(SPLIT_PREFIX), level))

    def list_task_indices_of_level(self, split: str, level: str) -> Sequence[int]:
        """Return the indices of the tasks in a split that have the given level."""
        splits: Any = self.splits
        if self.levels == Audit.levels:
            return range(splits.size(split))
        return find_task_indices_of_level(splits, split, level)

    def build_reset_arguments(
        self, level: str, episode_number: int, max_submissions: int = 1, setting: str | None = None
    ) -> dict[str, Any]:
        """Return the reset arguments of an episode.

        Args:
            level: name of the level.
            episode_number: number of the episode within setting and level, from 0.
            max_submissions: number of reports that the policy may submit.
            setting: name of the setting; None for the main setting.
        """
        split = (setting or self.main_setting).removeprefix(SPLIT_PREFIX)
        task_index = self.list_task_indices_of_level(split, level)[episode_number]
        arguments = self.splits.task(split, task_index).reset_arguments()
        if max_submissions > 1:
            return {**arguments, "max_submissions": max_submissions}
        return dict(arguments)

    def list_training_episodes(self, setting: str, level: str) -> Sequence[Any]:
        """Return the episodes on which an exploit is fitted. The audit does not play them."""
        return ()

    def compute_expected_answer_size(self, reset_arguments: Mapping[str, Any]) -> int | None:
        """Return the number of rows in the correct report; None if it is unknown."""
        return None

    def plan_jobs(
        self,
        episodes_per_level: int,
        policies: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
        settings: Sequence[EpisodeSource] | None = None,
    ) -> list[AuditJob]:
        """Divide the audit into jobs.

        Outside `full_settings`, the policies of the environment and exploits with
        `is_played_everywhere` play all episodes, exploits with `ZERO_CEILING` play some of the
        episodes, and other exploits play none.

        Args:
            episodes_per_level: largest number of episodes of each level and setting.
            policies: names of policies and exploits; None for all.
            levels: names of levels; None for all.
            settings: names of settings; None for all.

        Raises:
            UnknownNameError: there is no such policy, level or setting.
        """
        all_settings = self.settings_and_always_audited_splits
        for setting in settings or ():
            require_name("setting", setting, all_settings)
        for level in levels or ():
            require_name("difficulty", level, self.levels)
        for policy in policies or ():
            require_name("policy", policy, self.policy_names)
        jobs = []
        for setting, level, policy in product(
            settings or all_settings, levels or self.levels, policies or self.policy_names
        ):
            available = min(episodes_per_level, self.count_episodes(setting, level))
            planned = self.count_planned_episodes(policy, setting, available)
            for first in range(0, planned, EPISODES_PER_JOB):
                stop = min(first + EPISODES_PER_JOB, planned)
                job = AuditJob(policy, level, first, stop, setting, self.environment.name)
                jobs.append(replace(job, product=self.product_name))
        return jobs

    def run_job(self, job: AuditJob) -> list[AuditedEpisode]:
        """Play the episodes of a job."""
        exploit, runner = self.get_exploit_or_baseline(job.policy), ExploitRunner(self.environment)
        policy = exploit.policy
        if exploit.fit is not None:
            generate_actions: Callable[..., PolicySteps] = policy.generate_actions
            best = exploit.fit(self.list_training_episodes(job.setting, job.level))
            policy = replace(policy, generate_actions=partial(generate_actions, best=best))
        episodes = []
        for number in range(job.first_episode, job.stop_episode):
            reset_arguments = self.build_reset_arguments(
                job.level, number, policy.max_submissions, job.setting
            )
            episode = runner.run_policy_beyond_episode_end(policy, reset_arguments)
            expected_size = self.compute_expected_answer_size(reset_arguments)
            episodes.append(replace(episode, expected_answer_size=expected_size))
        return episodes

    def get_exploit_or_baseline(self, name: str) -> Exploit:
        """Return an exploit or a baseline. The only baseline with a ceiling is `NULL_POLICY`."""
        if name in self.exploits:
            return self.exploits[name]
        ceiling = ZERO_CEILING if name == NULL_POLICY else NO_CEILING
        return Exploit(self.environment.policies[name], ceiling, is_played_everywhere=True)

    def build_audit_lines(self, results: Iterable[AuditJobResult]) -> list[AuditLine]:
        """Build the lines of the audit's table from job results, which may be in any order."""
        groups: dict[tuple[str, str, str], list[AuditedEpisode]] = {}
        for job, episodes in results:
            groups.setdefault((job.setting, job.level, job.policy), []).extend(episodes)
        ordered = product(self.settings_and_always_audited_splits, self.levels, self.policy_names)
        return [self._build_audit_line(*key, groups[key]) for key in ordered if key in groups]

    def count_planned_episodes(
        self, policy_name: str, setting: EpisodeSource, max_episodes: int
    ) -> int:
        """Return how many of `max_episodes` episodes a policy plays; see `plan_jobs`."""
        exploit = self.get_exploit_or_baseline(policy_name)
        if (
            setting in self.full_settings
            or exploit.is_played_everywhere
            or policy_name in self.environment.policies
        ):
            return max_episodes
        # A few episodes are enough to find a leak, because a single score above 0 proves it.
        return max(max_episodes // LEAK_CHECK_DIVISOR, 1) if exploit.ceiling is ZERO_CEILING else 0

    def _build_audit_line(
        self, setting: EpisodeSource, level: str, policy: str, episodes: Sequence[AuditedEpisode]
    ) -> AuditLine:
        scores = [each.score for each in episodes]
        interval = clipped_normal_mean_interval(scores)
        ceiling = self.get_exploit_or_baseline(policy).ceiling
        if not ceiling.is_enforced_everywhere and setting not in self.full_settings:
            ceiling = NO_CEILING
        limits = ceiling.get_score_limits_of_level(level)
        if ceiling is ZERO_CEILING:
            # In an episode with nothing to report, an empty report is correct and may score.
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
    """Play the episodes of a job. The result depends only on the job, not on the process."""
    audit = find_audit(get_environment(job.environment_name), job.product)
    return AuditJobResult(job, audit.run_job(job))


def find_audit(environment: Environment, product: str | None) -> Audit:
    """Return the audit of a product; if it is None, of the environment's own episodes.

    Raises:
        ConfigurationError: the product is unknown, or the environment has no products.
    """
    if product is None:
        return environment.audit
    return require_own_data(environment).get_product_audit(product)
