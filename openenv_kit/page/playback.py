"""Creates playbacks (the steps of an episode with their replies) from policies and recordings."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from openenv_kit.environment import (
    Environment,
    Reply,
    Session,
    find_environment_entry_points,
    get_environment,
)
from openenv_kit.episode_clients.in_process import observation_json_from_reply
from openenv_kit.errors import ConfigurationError, KitError
from openenv_kit.recordings.digest import compute_reply_digest
from openenv_kit.recordings.format import (
    RecordedRun,
    RecordingError,
)
from openenv_kit.recordings.replay import require_replayable_run
from openenv_kit.reply import ReplyStatus
from openenv_kit.reset_limits import reset_within_server_limits
from openenv_kit.rollouts.policies import Policy
from openenv_kit.rollouts.run_policy import iter_policy_steps
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving.settings import current_settings

MAX_PLAYBACK_STEPS = 600
"""Maximum number of steps in a playback. All episodes have fewer steps."""
MAX_REPLAY_S = 2.0
"""Maximum time that a request spends on replaying a recording, in seconds."""
MAX_POLICY_S = 60.0
"""Maximum time that a scripted policy may play, in seconds."""


@dataclass(frozen=True)
class PlaybackStep:
    """One step of an episode.

    Attributes:
        action: action of the player; empty for the reset.
        observation: reply to the action.
        matches_recording: whether the reply equals the recorded one; None if there is no recording.
        elapsed_s: time that the environment took, in seconds; 0 if it was not measured.
    """

    action: Mapping[str, Any]
    observation: Mapping[str, Any]
    matches_recording: bool | None = None
    elapsed_s: float = 0.0


@dataclass(frozen=True)
class Playback:
    """The steps of an episode.

    Attributes:
        player: name of the player.
        reset: reset arguments of the episode.
        environment: the environment.
        steps: the reset and the steps, each with its reply.
    """

    player: str
    reset: Mapping[str, Any]
    environment: Environment
    steps: Sequence[PlaybackStep]

    @property
    def task_id(self) -> str:
        """Task id of the episode; "episode" if the reset arguments contain none."""
        return str(self.reset.get("task_id") or "episode")


def create_playback_of_policy(
    policy: Policy,
    reset: Mapping[str, Any],
    environment: Environment | None = None,
    max_duration_s: float = MAX_POLICY_S,
) -> Playback:
    """Play an episode with a scripted policy until the episode ends or time runs out.

    Raises:
        ConfigurationError: the reset is rejected.
    """
    chosen = environment or get_environment()
    session, opening = start_playback_session_unless_sealed(reset, chosen)

    def iter_steps() -> Iterator[PlaybackStep]:
        yield PlaybackStep({}, observation_json_from_reply(opening))
        began = time.perf_counter()
        for action, reply in iter_policy_steps(session, policy, opening):
            yield PlaybackStep(
                action, observation_json_from_reply(reply), elapsed_s=time.perf_counter() - began
            )
            began = time.perf_counter()

    return Playback(policy.name, dict(reset), chosen, _read_steps(iter_steps(), max_duration_s))


def create_playback_that_checks_recording(
    run: RecordedRun,
    environment: Environment | None = None,
    max_duration_s: float = MAX_REPLAY_S,
) -> Playback:
    """Replay a recorded run, and compare each reply with the recording.

    If the time limit is reached, the result contains only the first steps of the run.

    Raises:
        RecordingError: the run belongs to another environment or product, is private, or its reset
            is rejected.
    """
    chosen = environment or get_environment()
    if not set(run.versions) <= set(chosen.versions):
        fitting = (get_environment(name) for name in find_environment_entry_points())
        home = [each.title for each in fitting if set(run.versions) <= set(each.versions)]
        where = f"It is one of {' or '.join(home)}: open it there." if home else ""
        raise RecordingError(f"This is not a run of {chosen.title}. {where}".strip())
    require_replayable_run(run, chosen)
    reset = {name: value for name, value in run.reset.items() if name != "episode_id"}
    try:
        session, opening = start_playback_session_unless_sealed(reset, chosen)
    except (TypeError, AttributeError, ValueError) as problem:
        reason = str(problem) if isinstance(problem, KitError) else "its reset is unreadable"
        raise RecordingError(f"The run cannot be replayed: {reason}") from None

    prose_fields = chosen.tools.prose_fields

    def iter_replayed_steps() -> Iterator[PlaybackStep]:
        seen = observation_json_from_reply(opening)
        yield PlaybackStep({}, seen, compute_reply_digest(seen, prose_fields) == run.digest)
        for step in run.steps:
            try:
                seen = observation_json_from_reply(session.step(step.action))
            except (TypeError, AttributeError, ValueError):
                message = "The recording contains an action that cannot be read. It ends here."
                yield PlaybackStep(
                    {"unreadable": step.action},
                    {"status": ReplyStatus.ERROR, "message": message},
                    False,
                )
                return
            same = compute_reply_digest(seen, prose_fields) == step.digest
            yield PlaybackStep(step.action, seen, same, elapsed_s=step.elapsed_s)

    steps = _read_steps(iter_replayed_steps(), max_duration_s)
    return Playback(str(run.player), reset, chosen, steps)


def _read_steps(source: Iterator[PlaybackStep], max_duration_s: float) -> list[PlaybackStep]:
    """Collect steps until the episode ends or a limit is reached. The reset is always included."""
    deadline_s = time.monotonic() + max_duration_s
    steps: list[PlaybackStep] = []
    for step in source:
        steps.append(step)
        is_over = bool(step.observation.get("done")) or len(steps) >= MAX_PLAYBACK_STEPS
        if is_over or time.monotonic() > deadline_s:
            break
    return steps


class StartedSession(NamedTuple):
    """A session and the reply to its reset."""

    session: Session
    reset_reply: Reply


def start_playback_session_unless_sealed(
    reset: Mapping[str, Any], environment: Environment
) -> StartedSession:
    """Start an episode of an unsealed task in a new session with debug mode disabled.

    Raises:
        ConfigurationError: the task is sealed, or the reset is rejected.
    """
    if is_sealed_split(reset.get("split")):
        # The server counts how often a player starts a sealed task. A playback would show the
        # task's data without being counted.
        raise ConfigurationError("Sealed tasks can be neither watched nor replayed here.")
    session = environment.create_session()
    reply = reset_within_server_limits(environment, session, reset, current_settings())
    if reply.status == ReplyStatus.ERROR:
        raise ConfigurationError(reply.message)
    return StartedSession(session, reply)
