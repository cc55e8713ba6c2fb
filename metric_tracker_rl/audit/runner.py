"""The audit: every exploit over many mixed episodes, against its ceiling."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from metric_tracker_rl.audit import EXPLOITS
from metric_tracker_rl.audit.arena import Arena, Played
from metric_tracker_rl.audit.registry import NOTHING, Ceiling
from metric_tracker_rl.config import MIXED
from metric_tracker_rl.levels import LEVELS
from metric_tracker_rl.policies import POLICIES, Policy

COUNTS = (2, 3, 4, 5)
"""Anomalies of the audited episodes, in turn; all of them have something to find."""
BASELINES = ("reference", "median_filter", "random", "null")
"""Scripted policies that the audit plays beside the exploits."""
Z = 1.96
"""Standard deviations of a 95 % interval."""


@dataclass(frozen=True)
class Job:
    """One unit of work: one policy over a stretch of one level's episodes."""

    policy: str
    difficulty: str
    first: int
    stop: int


@dataclass(frozen=True)
class Line:
    """One line of the table: a policy on a level.

    Attributes:
        mean: mean score.
        low, high: 95 % interval of the mean.
        perfect: share of episodes with a score of 1.0.
        calls, reply_bytes: mean cost of an episode.
        max_mean, max_perfect: ceiling; None for a baseline.
        by_interval: whether the interval's lower end, not the mean, is held to the ceiling.
        min_mean: floor, for the reference policy.
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


def reset_arguments(difficulty: str, number: int, submissions: int = 1) -> dict[str, Any]:
    """Arguments of the reset of an audited episode."""
    return {
        "seed": audit_seed(difficulty, number),
        "scenario_family": MIXED,
        "difficulty": difficulty,
        "anomaly_count": COUNTS[number % len(COUNTS)],
        "max_steps": 128,
        "max_submissions": submissions,
    }


def jobs(
    episodes: int,
    policies: Sequence[str] | None = None,
    difficulties: Sequence[str] = tuple(LEVELS),
    batch: int = 50,
) -> list[Job]:
    """The whole audit as units of work."""
    names = (*BASELINES, *EXPLOITS) if policies is None else tuple(policies)
    return [
        Job(name, difficulty, first, min(first + batch, episodes))
        for difficulty in difficulties
        for name in names
        for first in range(0, episodes, batch)
    ]


def run_job(job: Job) -> tuple[Job, list[Played]]:
    """Play one unit of work; a pure function of it, so that any engine can run it."""
    policy, submissions = find_player(job.policy)
    arena = Arena()
    return job, [
        arena.play(policy, reset_arguments(job.difficulty, number, submissions))
        for number in range(job.first, job.stop)
    ]


def find_player(name: str) -> tuple[Policy, int]:
    """Policy of that name, scripted or adversarial, and its number of submissions."""
    if name in POLICIES and name in BASELINES:
        return POLICIES[name], 1
    return EXPLOITS[name].policy, EXPLOITS[name].submissions


def lines(results: Iterable[tuple[Job, list[Played]]]) -> list[Line]:
    """The table's lines, from the results in any order."""
    groups: dict[tuple[str, str], list[Played]] = {}
    for job, played in results:
        groups.setdefault((job.policy, job.difficulty), []).extend(played)
    names = [*BASELINES, *EXPLOITS]
    levels = list(LEVELS)
    ordered = sorted(groups, key=lambda key: (levels.index(key[1]), names.index(key[0])))
    return [_line(policy, level, groups[policy, level]) for policy, level in ordered]


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % interval by the normal approximation, within [0, 1]."""
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return mean, mean, mean
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = Z * math.sqrt(variance / count)
    return mean, max(mean - half, 0.0), min(mean + half, 1.0)


def _ceiling_of(policy: str) -> Ceiling | None:
    if policy in EXPLOITS:
        return EXPLOITS[policy].ceiling
    return NOTHING if policy == "null" else None


def _line(policy: str, level: str, played: Sequence[Played]) -> Line:
    scores = [each.score for each in played]
    mean, low, high = interval(scores)
    limit = _ceiling_of(policy)
    return Line(
        policy=policy,
        difficulty=level,
        episodes=len(played),
        mean=mean,
        low=low,
        high=high,
        perfect=sum(score >= 1.0 for score in scores) / len(scores),
        calls=sum(each.calls for each in played) / len(played),
        reply_bytes=sum(each.reply_bytes for each in played) / len(played),
        max_mean=limit.mean[level] if limit else None,
        max_perfect=limit.perfect[level] if limit else None,
        min_mean=1.0 if policy == "reference" else 0.0,
        by_interval=limit.by_interval if limit else False,
    )
