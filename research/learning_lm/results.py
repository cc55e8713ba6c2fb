"""What the players come to, over their seeds: means with intervals, gains, and what is missing.

Intervals are 95 % percentile intervals of a bootstrap over held-out tasks, of a task's mean over
plays and seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from openenv_kit.results.statistics import bootstrap_mean_interval
from research.learning_lm.settings import (
    GRPO,
    PLAYERS,
    SHUFFLED,
    SUPERVISED,
    Exam,
    Stage,
)

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval of a mean."""
AIM = 0.10
"""What GRPO is to add to the mean score of the supervised players."""


@dataclass(frozen=True)
class Summary:
    """One player, over its seeds.

    Attributes:
        seeds: how many.
        score, between: mean score with each token drawn at random, and its interval.
        by_seed: that score of each seed.
        greedy, greedy_between: the same where it plays the likeliest token each time.
        exact, exact_between: share of perfect plays with tokens drawn, and its interval.
        tokens: mean of an episode after its opening.
        equal: share of the groups of training rollouts that were all paid the same, in the first
            and in the last steps that TRL logged; None without training by GRPO.
        seconds, cpu_seconds: mean time that its training took, and of it on a processor.
    """

    player: str
    seeds: int
    score: float
    between: Interval | None
    by_seed: Sequence[float]
    greedy: float
    greedy_between: Interval | None
    exact: float
    exact_between: Interval | None
    tokens: float
    equal: tuple[float, float] | None
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Gain:
    """What an arm added to the supervised players, task by task."""

    player: str
    score: float
    between: Interval | None
    greedy: float
    greedy_between: Interval | None


def summaries(stages: Sequence[Stage]) -> Iterator[Summary]:
    """Every player that has finished with some seed."""
    for player in PLAYERS:
        own = _of(stages, player)
        if not own:
            continue
        last, greedy = _sampled(own), _greedy(own)
        score, likely = by_task(last), by_task(greedy)
        perfect = by_task([replace(exam, graded=exam.perfect) for exam in last])
        yield Summary(
            player=player,
            seeds=len(own),
            score=fmean(score.values()),
            between=_bootstrap_interval(list(score.values())),
            by_seed=[exam.mean for exam in last],
            greedy=fmean(likely.values()),
            greedy_between=_bootstrap_interval(list(likely.values())),
            exact=fmean(perfect.values()),
            exact_between=_bootstrap_interval(list(perfect.values())),
            tokens=fmean(exam.tokens for exam in last),
            equal=_equal(own),
            seconds=fmean(each.seconds for each in own),
            cpu_seconds=fmean(each.cpu_seconds for each in own),
        )


def gains(stages: Sequence[Stage]) -> Iterator[Gain]:
    """What each arm added, over the seeds that have both."""
    for player in (GRPO, SHUFFLED):
        after = _of(stages, player)
        seeds = {each.seed for each in after}
        before = [each for each in _of(stages, SUPERVISED) if each.seed in seeds]
        if not after:
            continue
        score = _added(_sampled(after), _sampled(before))
        greedy = _added(_greedy(after), _greedy(before))
        yield Gain(
            player,
            fmean(score),
            _bootstrap_interval(score),
            fmean(greedy),
            _bootstrap_interval(greedy),
        )


def verdicts(stages: Sequence[Stage]) -> list[str]:
    """What the experiment failed to show; empty where it showed all it should."""
    found = {each.player: each for each in gains(stages)}
    failures = [f"No player of {arm} has finished." for arm in (GRPO, SHUFFLED) if arm not in found]
    if GRPO in found and found[GRPO].score < AIM:
        failures.append(f"GRPO added {found[GRPO].score:+.3f}, which is less than {AIM:.2f}.")
    if SHUFFLED in found:
        between = found[SHUFFLED].between
        if between and between[0] > 0.0:
            failures.append(f"The control added {found[SHUFFLED].score:+.3f}, which is no chance.")
    return failures


def by_task(exams: Sequence[Exam]) -> Mapping[str, float]:
    """Mean score of each task over several examinations with the same tasks."""
    return {task: fmean(fmean(exam.graded[task]) for exam in exams) for task in exams[0].graded}


def _equal(stages: Sequence[Stage]) -> tuple[float, float] | None:
    logs = [each.practice for each in stages if each.practice]
    if not logs:
        return None
    first, last = ([log[place]["frac_reward_zero_std"] for log in logs] for place in (0, -1))
    return fmean(first), fmean(last)


def _bootstrap_interval(values: Sequence[float]) -> Interval | None:
    found = bootstrap_mean_interval(values)
    return (found.ci_low, found.ci_high) if found else None


def _added(after: Sequence[Exam], before: Sequence[Exam]) -> list[float]:
    now, then = by_task(after), by_task(before)
    return [now[task] - then[task] for task in now]


def _of(stages: Sequence[Stage], player: str) -> list[Stage]:
    return [each for each in stages if each.player == player and each.finished]


def _sampled(stages: Sequence[Stage]) -> list[Exam]:
    return [each.sampled for each in stages if each.sampled]


def _greedy(stages: Sequence[Stage]) -> list[Exam]:
    return [each.greedy for each in stages if each.greedy]
