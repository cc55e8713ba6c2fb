"""Recorded runs graded again by today's grader, and summaries of a player's runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import fmean
from typing import Any

from openenv_kit.environment import Environment, get_environment
from openenv_kit.play.recording import RecordedRun, RecordingError, replay

GRADER = "grader"
"""The one version under which a recorded run may differ from today's."""
PASS_POWERS = (1, 4, 8)
"""Values of k that pass^k is reported for."""

Versions = tuple[tuple[str, str], ...]
"""Names and numbers of versions, sorted."""


@dataclass(frozen=True)
class Regraded:
    """One recorded run, played again.

    Attributes:
        score: score of the same actions under the grader of today.
        first_difference: number of the first step whose reply differs from the recorded one in
            any byte; 0 is the reset.
        tool_calls: analysis steps.
        reply_bytes: bytes of all replies to steps, in canonical form.
    """

    run: RecordedRun
    score: float
    first_difference: int | None
    tool_calls: int
    reply_bytes: int

    @property
    def same(self) -> bool:
        """Whether every reply is the recorded one."""
        return self.first_difference is None

    @property
    def episode(self) -> str:
        """The same for runs of the same episode; see `episode_of`."""
        return episode_of(self.run.reset)


def episode_of(reset: Mapping[str, Any]) -> str:
    """Which episode a reset makes: its arguments, without those that make no difference.

    Feedback comes after the play, so runs with and without it are of the same episode.
    """
    apart = ("episode_id", "feedback")
    return repr(sorted((k, repr(v)) for k, v in reset.items() if k not in apart))


def regrade(run: RecordedRun, environment: Environment | None = None) -> Regraded:
    """Play a recorded run again and grade it anew.

    Raises:
        RecordingError: it was made under another version of anything but the grader, so its
            episode no longer exists and a score would mean nothing.
    """
    chosen = environment or get_environment()
    for name, now in chosen.versions_for(run.reset).items():
        if name != GRADER and run.versions.get(name) != now:
            raise RecordingError(
                f"The run was made under {name} version {run.versions.get(name)!r}; "
                f"this is {now!r}. Replay it with the release that recorded it."
            )
    analyses = {tool.name for tool in chosen.tools.tools if tool.reads_only}
    score, difference, calls = 0.0, None, 0
    for number, (action, observation, same) in enumerate(replay(run, chosen)):
        if not same and difference is None:
            difference = number
        score = max(score, observation["reward"] or 0.0)
        calls += bool(action) and chosen.tools.called(action)[0] in analyses
    total = sum(step.bytes for step in run.steps)
    return Regraded(run, score, difference, calls, total)


@dataclass(frozen=True)
class Summary:
    """A player's runs under one set of versions.

    Attributes:
        runs, episodes: number of runs, and of different episodes among them.
        mean: mean score.
        passes: by k, the chance that k runs of an episode are all perfect; None where no
            episode has k runs.
        tool_calls, reply_bytes: means over runs.
    """

    player: str
    versions: Versions
    runs: int
    episodes: int
    mean: float
    passes: tuple[tuple[int, float | None], ...]
    tool_calls: float
    reply_bytes: float


def summaries(regraded: Iterable[Regraded]) -> list[Summary]:
    """One summary per player and set of versions; versions are never mixed."""
    groups: dict[tuple[str, Versions], list[Regraded]] = {}
    for each in regraded:
        key = (each.run.player, tuple(sorted(each.run.versions.items())))
        groups.setdefault(key, []).append(each)
    return [_summary(*key, group) for key, group in groups.items()]


def pass_hat_k(perfect: Sequence[bool], k: int) -> float | None:
    """Unbiased estimate of the chance that k runs are all perfect; None with fewer than k."""
    if not 1 <= k <= len(perfect):
        return None
    return comb(sum(perfect), k) / comb(len(perfect), k)


def pass_rates(episodes: Iterable[Sequence[bool]]) -> tuple[tuple[int, float | None], ...]:
    """By k, the chance that k runs of an episode are all perfect.

    Args:
        episodes: which runs of each episode are perfect. With fewer than k runs of every one the
            chance is None.
    """
    found = tuple(episodes)
    rates = []
    for k in PASS_POWERS:
        known = [p for runs in found if (p := pass_hat_k(runs, k)) is not None]
        rates.append((k, fmean(known) if known else None))
    return tuple(rates)


def _summary(player: str, versions: Versions, group: Sequence[Regraded]) -> Summary:
    episodes: dict[str, list[bool]] = {}
    for each in group:
        episodes.setdefault(each.episode, []).append(each.score == 1.0)
    return Summary(
        player=player,
        versions=versions,
        runs=len(group),
        episodes=len(episodes),
        mean=fmean(each.score for each in group),
        passes=pass_rates(episodes.values()),
        tool_calls=fmean(each.tool_calls for each in group),
        reply_bytes=fmean(each.reply_bytes for each in group),
    )
