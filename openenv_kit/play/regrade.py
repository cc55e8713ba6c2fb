"""Recorded runs graded again by today's grader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openenv_kit.environment import Environment, get_environment
from openenv_kit.play.recording import RecordedRun, RecordingError, replay

GRADER = "grader"
"""The one version under which a recorded run may differ from today's."""


@dataclass(frozen=True)
class Regraded:
    """One recorded run, played again.

    Attributes:
        score: score of the same actions under the grader of today.
        first_difference: number of the first step whose reply differs from the recorded one
            in more than wording; 0 is the reset.
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
    for name, now in chosen.versions.items():
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
