"""The audit: every exploit over many episodes, against its ceiling.

A setting is what the episodes are drawn from: the mixed ones with a visible count, those of a
single family, or the tasks of a split, where neither family nor count is shown.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from metric_tracker_rl.engine.config import MIXED, SCENARIO_FAMILIES
from metric_tracker_rl.engine.levels import LEVELS
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.session import EpisodeSession
from metric_tracker_rl.engine.splits import get_task, list_splits, num_tasks
from metric_tracker_rl.exploits import EXPLOITS
from metric_tracker_rl.policies import POLICIES, Policy
from openenv_kit.errors import require_name
from openenv_kit.trust.arena import Arena, Played
from openenv_kit.trust.exploits import NOTHING, Ceiling

COUNTS = (2, 3, 4, 5)
"""Anomalies of the audited episodes, in turn; all of them have something to find."""
BASELINES = (
    "reference",
    "upstream_first_practice",
    "upstream_first",
    "median_filter",
    "random",
    "null",
)
"""Scripted policies that the audit plays beside the exploits."""
LEAK_SHARE = 10
"""One in so many episodes is played outside the mixed setting by what must earn nothing."""
KNOWN = 400
"""Episodes of a setting and level that an exploit may learn from before it plays."""
FIRST_KNOWN = 4000
"""Number of the first of them: beyond all that are played."""
KNOWN_SPLIT = "train"
SPLIT = "split:"
"""What the settings that are splits begin with; all others are names of families."""
Z = 1.96
"""Standard deviations of a 95 % interval."""


@dataclass(frozen=True)
class Job:
    """One unit of work: one policy over a stretch of the episodes of a level and a setting."""

    policy: str
    difficulty: str
    first: int
    stop: int
    setting: str = MIXED


@dataclass(frozen=True)
class Line:
    """One line of the table: a policy in a setting on a level.

    Attributes:
        mean: mean score.
        low, high: 95 % interval of the mean.
        perfect: share of episodes with a score of 1.0.
        calls, reply_bytes: mean cost of an episode.
        max_mean, max_perfect: ceiling; None where nothing is held to one.
        by_interval: whether the interval's lower end, not the mean, is held to the ceiling.
        min_mean: floor, for the reference policy.
        setting: family of the episodes, or `split:` and the name of the split.
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
    setting: str = MIXED

    @property
    def holds(self) -> bool:
        """Whether the policy stays where it belongs."""
        judged = self.low if self.by_interval else self.mean
        under = self.max_mean is None or judged <= self.max_mean
        rarely = self.max_perfect is None or self.perfect <= self.max_perfect
        return under and rarely and self.mean >= self.min_mean

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "holds": self.holds}


def audit_seed(difficulty: str, number: int) -> int:
    """Seed of an audited episode: a hash, so that nobody guesses it by counting."""
    text = f"metric-tracker-audit/1|{difficulty}|{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def settings() -> list[str]:
    """Every setting: mixed episodes first, then single families, then splits."""
    families = [name for name in SCENARIO_FAMILIES if name != MIXED]
    return [MIXED, *families, *(SPLIT + name for name in list_splits())]


def reset_arguments(
    difficulty: str, number: int, submissions: int = 1, setting: str = MIXED
) -> dict[str, Any]:
    """Arguments of the reset of an audited episode.

    Raises:
        InvalidValueError: a split has not so many tasks of the level.
    """
    rules = {"max_steps": 128, "max_submissions": submissions}
    if setting.startswith(SPLIT):
        split = setting.removeprefix(SPLIT)
        return {"split": split, "index": _tasks_of(split, difficulty)[number], **rules}
    return {
        "seed": audit_seed(difficulty, number),
        "scenario_family": require_name("setting", setting, SCENARIO_FAMILIES),
        "difficulty": difficulty,
        "anomaly_count": COUNTS[number % len(COUNTS)],
        **rules,
    }


def jobs(
    episodes: int,
    policies: Sequence[str] | None = None,
    difficulties: Sequence[str] = tuple(LEVELS),
    batch: int = 50,
    chosen: Sequence[str] = (MIXED,),
) -> list[Job]:
    """The audit as units of work.

    Args:
        episodes: of each level and setting; fewer where a split has no more.
        policies: names, or None for all.
        difficulties: names of levels.
        batch: most episodes of one unit.
        chosen: settings. In all but the mixed one, baselines and exploits that ask for it are
            played in full, those that must earn nothing in part, and others not at all.
    """
    names = (*BASELINES, *EXPLOITS) if policies is None else tuple(policies)
    work = []
    for setting in chosen:
        for level in difficulties:
            size = min(episodes, _size(setting, level))
            for name in names:
                stop = _episodes_of(name, setting, size)
                work += [
                    Job(name, level, first, min(first + batch, stop), setting)
                    for first in range(0, stop, batch)
                ]
    return work


def run_job(job: Job) -> tuple[Job, list[Played]]:
    """Play one unit of work; a pure function of it, so that any engine can run it."""
    policy = find_player(job.policy)
    resets = [
        reset_arguments(job.difficulty, number, policy.submissions, job.setting)
        for number in range(job.first, job.stop)
    ]
    if job.policy in EXPLOITS and EXPLOITS[job.policy].fit is not None:
        policy = EXPLOITS[job.policy].fitted(_known_episodes(job.setting, job.difficulty))
    arena = Arena()
    return job, [
        replace(arena.play(policy, reset), expected=len(_view_of(reset).episode.expected_rows))
        for reset in resets
    ]


def find_player(name: str) -> Policy:
    """Policy of that name, scripted or adversarial."""
    if name in POLICIES and name in BASELINES:
        return POLICIES[name]
    return EXPLOITS[name].policy


def lines(results: Iterable[tuple[Job, list[Played]]]) -> list[Line]:
    """The table's lines, from the results in any order."""
    groups: dict[tuple[str, str, str], list[Played]] = {}
    for job, played in results:
        groups.setdefault((job.setting, job.difficulty, job.policy), []).extend(played)
    names, levels, order = [*BASELINES, *EXPLOITS], list(LEVELS), settings()
    ordered = sorted(
        groups,
        key=lambda key: (order.index(key[0]), levels.index(key[1]), names.index(key[2])),
    )
    return [_line(*key, groups[key]) for key in ordered]


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % interval by the normal approximation, within [0, 1]."""
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return mean, mean, mean
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = Z * math.sqrt(variance / count)
    return mean, max(mean - half, 0.0), min(mean + half, 1.0)


def _episodes_of(name: str, setting: str, size: int) -> int:
    """Episodes that a policy plays in a setting, of the most that it could."""
    if setting == MIXED or name in BASELINES or EXPLOITS[name].everywhere:
        return size
    leaks = EXPLOITS[name].ceiling is NOTHING
    # Any leak shows in a few episodes: what must earn nothing has no mean to be estimated.
    return max(size // LEAK_SHARE, 1) if leaks else 0


def _size(setting: str, level: str) -> int:
    """Most episodes of a level that a setting has."""
    if setting.startswith(SPLIT):
        return min(len(_tasks_of(setting.removeprefix(SPLIT), level)), FIRST_KNOWN)
    return FIRST_KNOWN


@lru_cache
def _tasks_of(split: str, level: str) -> tuple[int, ...]:
    """Positions of a split's tasks of one level."""
    return tuple(
        index
        for index in range(num_tasks(split))
        if get_task(split, index).config.difficulty == level
    )


@lru_cache(maxsize=2)
def _known_episodes(setting: str, level: str) -> tuple[EpisodeView, ...]:
    """Episodes to learn from: none that is played, and of the train split for every split."""
    source = SPLIT + KNOWN_SPLIT if setting.startswith(SPLIT) else setting
    numbers = range(FIRST_KNOWN, FIRST_KNOWN + KNOWN)
    return tuple(_view_of(reset_arguments(level, n, setting=source)) for n in numbers)


def _view_of(reset: dict[str, Any]) -> EpisodeView:
    session = EpisodeSession()
    reply = session.reset(**reset)
    if session.view is None:
        raise RuntimeError(reply.message)
    return session.view


def _ceiling_of(policy: str) -> Ceiling | None:
    if policy in EXPLOITS:
        return EXPLOITS[policy].ceiling
    return NOTHING if policy == "null" else None


def _line(setting: str, level: str, policy: str, played: Sequence[Played]) -> Line:
    scores = [each.score for each in played]
    mean, low, high = interval(scores)
    limit = _ceiling_of(policy)
    if limit is not None and not limit.everywhere and setting != MIXED:
        limit = None
    # Where nothing is to be found, the empty report is right, and no exploit for being so.
    quiet = sum(each.expected == 0 for each in played) / len(played)
    spared = quiet if limit is not None and limit.mean == NOTHING.mean else 0.0
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
        max_mean=max(limit.mean[level], spared) if limit else None,
        max_perfect=max(limit.perfect[level], spared) if limit else None,
        min_mean=1.0 if policy == "reference" else 0.0,
        by_interval=limit.by_interval if limit else False,
    )
