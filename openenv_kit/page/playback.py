"""Step-by-step playback of a policy's episode, a recorded run or the visitor's own steps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
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
    parse_runs_until_error,
)
from openenv_kit.reply import ReplyStatus
from openenv_kit.reset_limits import reset_within_server_limits
from openenv_kit.rollouts.policies import Policy
from openenv_kit.rollouts.run_policy import iter_policy_steps
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving.settings import current_settings

MAX_PLAYBACK_STEPS = 600
"""Maximum number of steps in a playback. All episodes have fewer steps."""
MAX_RUN_CHARACTERS = 900_000
"""Maximum length of a run that the page sends, in characters.

It is below the server's default limit for a message.
"""
MAX_ADVANCE_S = 2.0
"""Maximum time that a request spends on taking steps, in seconds."""


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


class Playback:
    """The steps of an episode, and the step that is shown.

    Args:
        player: name of the player, as shown on the page.
        source: iterator over the steps, beginning with the reset. Steps are read on demand.
        reset: reset arguments of the episode.
        environment: the environment.

    Attributes:
        steps: steps that have been read from the source.
        index: index of the step that is shown.
        is_finished: whether there will be no further steps.
    """

    def __init__(
        self,
        player: str,
        source: Iterator[PlaybackStep],
        reset: Mapping[str, Any],
        environment: Environment,
    ) -> None:
        self.player = player
        self.steps: list[PlaybackStep] = []
        self.index = -1
        self.is_finished = False
        self.reset = dict(reset)
        self.environment = environment
        self._source = source
        self.show_next_step()

    @property
    def task_id(self) -> str:
        """Task id of the episode; "episode" if the reset arguments contain none."""
        return str(self.reset.get("task_id") or "episode")

    @property
    def visible_steps(self) -> list[PlaybackStep]:
        """Steps up to and including the current step."""
        return self.steps[: self.index + 1]

    def show_next_step(self) -> None:
        """Show the next step, which is read from the source if necessary."""
        if self.index + 1 == len(self.steps) and not self.is_finished:
            frame = next(self._source, None) if len(self.steps) < MAX_PLAYBACK_STEPS else None
            self.is_finished |= frame is None or bool(frame.observation.get("done"))
            self.steps += [frame] if frame else []
        self.index = min(self.index + 1, len(self.steps) - 1)

    def show_step_clamped(self, index: int) -> None:
        """Show a step. An index out of range shows the first or the last step."""
        self.index = min(max(index, 0), len(self.steps) - 1)

    def show_navigation_target(self, target: object) -> None:
        """Show the step that a navigation button requests.

        Args:
            target: index of the step, `on` for the next step or `end` for the last step. Any other
                value is ignored.
        """
        if target == "on":
            self.show_next_step()
        elif target == "end":
            self.read_steps_to_end_and_show_last()
        elif str(target).isdecimal():
            self.show_step_clamped(int(str(target)[:9]))

    def read_steps_to_end_and_show_last(self, max_advance_s: float = MAX_ADVANCE_S) -> None:
        """Read steps until the episode ends or the time limit is reached, and show the last one."""
        until = time.monotonic() + max_advance_s
        self.index = len(self.steps) - 1
        while not self.is_finished and time.monotonic() < until:
            self.show_next_step()

    def copy_at_last_step(self) -> Playback:
        """Return an independent playback of the steps so far, which shows the last step."""
        copy = Playback(self.player, iter(self.steps), self.reset, self.environment)
        copy.read_steps_to_end_and_show_last()
        return copy


def playback_of_policy(
    policy: Policy, reset: Mapping[str, Any], environment: Environment | None = None
) -> Playback:
    """Return a playback of a new episode that a scripted policy plays.

    Raises:
        ConfigurationError: the reset is rejected.
    """
    chosen = environment or get_environment()
    session, opening = start_unsealed_playback_session(reset, chosen)

    def iter_steps() -> Iterator[PlaybackStep]:
        yield PlaybackStep({}, observation_json_from_reply(opening))
        began = time.perf_counter()
        for action, reply in iter_policy_steps(session, policy, opening):
            yield PlaybackStep(
                action, observation_json_from_reply(reply), elapsed_s=time.perf_counter() - began
            )
            began = time.perf_counter()

    return Playback(policy.name, iter_steps(), reset, chosen)


def create_playback_that_checks_recording(
    run: RecordedRun, environment: Environment | None = None
) -> Playback:
    """Return a playback that replays a recorded run and compares each reply with the recording.

    Raises:
        RecordingError: the run belongs to another environment, or its reset is rejected.
    """
    chosen = environment or get_environment()
    if not set(run.versions) <= set(chosen.versions):
        fitting = (get_environment(name) for name in find_environment_entry_points())
        home = [each.title for each in fitting if set(run.versions) <= set(each.versions)]
        where = f"It is one of {' or '.join(home)}: open it there." if home else ""
        raise RecordingError(f"This is not a run of {chosen.title}. {where}".strip())
    reset = {name: value for name, value in run.reset.items() if name != "episode_id"}
    try:
        session, opening = start_unsealed_playback_session(reset, chosen)
    except (TypeError, AttributeError, ValueError) as problem:
        reason = str(problem) if isinstance(problem, KitError) else "its reset is unreadable"
        raise RecordingError(f"The run cannot be played again: {reason}") from None

    prose_fields = chosen.tools.prose_fields

    def iter_replayed_steps() -> Iterator[PlaybackStep]:
        seen = observation_json_from_reply(opening)
        yield PlaybackStep({}, seen, compute_reply_digest(seen, prose_fields) == run.digest)
        for step in run.steps:
            try:
                seen = observation_json_from_reply(session.step(step.action))
            except (TypeError, AttributeError, ValueError):
                message = "The recording holds an action that cannot be read; it ends here."
                yield PlaybackStep(
                    {"unreadable": step.action},
                    {"status": ReplyStatus.ERROR, "message": message},
                    False,
                )
                return
            same = compute_reply_digest(seen, prose_fields) == step.digest
            yield PlaybackStep(step.action, seen, same, elapsed_s=step.elapsed_s)

    playback = Playback(str(run.player), iter_replayed_steps(), reset, chosen)
    playback.read_steps_to_end_and_show_last()
    playback.show_step_clamped(0)
    return playback


class FirstRun(NamedTuple):
    """The first run of a recording, and a note about an unreadable line, which may be empty."""

    run: RecordedRun
    problem: str


def parse_first_run(recording_jsonl: str) -> FirstRun:
    """Return the first run of a recording.

    Raises:
        RecordingError: the text is too long or contains no run.
    """
    if len(recording_jsonl) > MAX_RUN_CHARACTERS:
        raise RecordingError(
            f"The run has {len(recording_jsonl):,} characters; allowed: {MAX_RUN_CHARACTERS:,}."
        )
    runs, broken = parse_runs_until_error(recording_jsonl)
    if not runs:
        raise broken or RecordingError("The file holds no run.")
    return FirstRun(runs[0], f"{broken} What stands before it is shown." if broken else "")


class StartedSession(NamedTuple):
    """A session, and the reply to its reset."""

    session: Session
    reset_reply: Reply


def start_unsealed_playback_session(
    reset: Mapping[str, Any], environment: Environment
) -> StartedSession:
    """Start an episode of an unsealed task in a new session with debug mode disabled.

    Raises:
        ConfigurationError: the task is sealed, or the reset is rejected.
    """
    if is_sealed_split(reset.get("split")):
        # The server counts how often a player starts a sealed task. A playback would show the
        # task's data without being counted.
        raise ConfigurationError("Sealed tasks can be neither watched nor played again here.")
    session = environment.create_session()
    reply = reset_within_server_limits(environment, session, reset, current_settings())
    if reply.status == ReplyStatus.ERROR:
        raise ConfigurationError(reply.message)
    return StartedSession(session, reply)
