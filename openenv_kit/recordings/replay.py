"""Recorded runs played again in process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from openenv_kit.environment import Environment, get_environment
from openenv_kit.recordings.format import RecordedRun, RecordingError, compute_reply_digest
from openenv_kit.reply import observation_from_reply


@dataclass(frozen=True)
class ReplayResult:
    """How a recorded run went when it was played again.

    Attributes:
        score: what the same actions earned.
        first_different_step: number of the first step whose reply differs from the recorded one
            in more than wording; 0 is the reset, None means that no reply does.
    """

    run: RecordedRun
    score: float
    first_different_step: int | None

    @property
    def matches_recording(self) -> bool:
        """Whether every reply and the score, where one is recorded, are the recorded ones."""
        return self.first_different_step is None and self.run.score in (None, self.score)


def check_replay(run: RecordedRun, environment: Environment | None = None) -> ReplayResult:
    """Play a recorded run again.

    Raises:
        RecordingError: it was made under another version of something, so its episode or its
            score no longer exists.
    """
    chosen = environment or get_environment()
    for name, now in chosen.versions.items():
        if run.versions.get(name) != now:
            raise RecordingError(
                f"The run was made under {name} version {run.versions.get(name)!r}; "
                f"this is {now!r}. Replay it with the release that recorded it."
            )
    score, difference = 0.0, None
    for number, (_, observation, same) in enumerate(iter_replayed_steps(run, chosen)):
        if not same and difference is None:
            difference = number
        score = max(score, observation["reward"] or 0.0)
    return ReplayResult(run, score, difference)


def iter_replayed_steps(
    run: RecordedRun, environment: Environment | None = None
) -> Iterator[tuple[dict[str, Any], dict[str, Any], bool]]:
    """Play a run again in process, in the environment that it was recorded in.

    Yields (action, observation, same) of the reset, whose action is empty, and of each step;
    `same` says whether the reply's digest is the recorded one.
    """
    session = (environment or get_environment()).create_session()
    reset = {name: value for name, value in run.reset.items() if name != "episode_id"}
    opening = observation_from_reply(session.reset(**reset))
    yield {}, opening, compute_reply_digest(opening) == run.digest
    for step in run.steps:
        answer = observation_from_reply(session.step(step.action))
        yield step.action, answer, compute_reply_digest(answer) == step.digest
