"""Watching another player: a list of frames that grows as the player moves."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
    parse_runs,
)
from openenv_kit.reply import ReplyStatus
from openenv_kit.reset_limits import reset_within_limits
from openenv_kit.rollouts.policies import Policy
from openenv_kit.rollouts.run_policy import iter_policy_steps
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving.settings import current_settings

MAX_PLAYBACK_STEPS = 600
"""More than an episode may have steps."""
MAX_RUN_CHARACTERS = 900_000
"""Longest run that the page is sent, in characters: less than a message to the server may have."""
MAX_ADVANCE_S = 2.0
"""Longest time for which a player moves on before the page answers, in seconds."""


@dataclass(frozen=True)
class PlaybackStep:
    """One moment of a play.

    Attributes:
        action: what the player did; empty for the reset.
        observation: the reply to it.
        matches_recording: for a recorded run, whether the reply is the recorded one.
        elapsed_s: seconds that the environment took for the step, where they were measured.
    """

    action: Mapping[str, Any]
    observation: Mapping[str, Any]
    matches_recording: bool | None = None
    elapsed_s: float = 0.0


class Playback:
    """The frames of one play, and the one the visitor looks at.

    Args:
        player: who plays, for people.
        source: gives the frames, the reset's first; asked for one at a time.
        reset: arguments that make the episode, for its recording.
        environment: what is played.

    Attributes:
        index: index of the frame looked at.
        is_finished: whether the player will make no more moves.
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
        self.advance()

    @property
    def task_id(self) -> str:
        """Of its episode; `episode` where the reset names none."""
        return str(self.reset.get("task_id") or "episode")

    @property
    def visible_steps(self) -> list[PlaybackStep]:
        """The frames up to the one looked at."""
        return self.steps[: self.index + 1]

    def advance(self) -> None:
        """Look at the next frame; the player moves if there is none yet."""
        if self.index + 1 == len(self.steps) and not self.is_finished:
            frame = next(self._source, None) if len(self.steps) < MAX_PLAYBACK_STEPS else None
            self.is_finished |= frame is None or bool(frame.observation.get("done"))
            self.steps += [frame] if frame else []
        self.index = min(self.index + 1, len(self.steps) - 1)

    def seek(self, index: int) -> None:
        """Look at a frame by its index; one beyond either end means that end."""
        self.index = min(max(index, 0), len(self.steps) - 1)

    def handle_navigation(self, target: object) -> None:
        """Look where a click says: at a frame, or `on` by one, or at the `end`.

        A call past the page may hold anything, which changes nothing.
        """
        if target == "on":
            self.advance()
        elif target == "end":
            self.run_to_end()
        elif str(target).isdecimal():
            self.seek(int(str(target)[:9]))

    def run_to_end(self, max_advance_s: float = MAX_ADVANCE_S) -> None:
        """Let the player move on to the end, or for so long, and look at the last frame."""
        until = time.monotonic() + max_advance_s
        self.index = len(self.steps) - 1
        while not self.is_finished and time.monotonic() < until:
            self.advance()

    def copy(self) -> Playback:
        """The same frames for another visitor, who looks at the last one."""
        copy = Playback(self.player, iter(self.steps), self.reset, self.environment)
        copy.run_to_end()
        return copy


def playback_of_policy(
    policy: Policy, reset: Mapping[str, Any], environment: Environment | None = None
) -> Playback:
    """A scripted policy on the episode that a reset makes, in a session of its own.

    Raises:
        ConfigurationError: the reset makes no episode.
    """
    chosen = environment or get_environment()
    session, opening = open_session(reset, chosen)

    def frames() -> Iterator[PlaybackStep]:
        yield PlaybackStep({}, observation_json_from_reply(opening))
        began = time.perf_counter()
        for action, reply in iter_policy_steps(session, policy, opening):
            yield PlaybackStep(
                action, observation_json_from_reply(reply), elapsed_s=time.perf_counter() - began
            )
            began = time.perf_counter()

    return Playback(policy.name, frames(), reset, chosen)


def playback_of_recording(run: RecordedRun, environment: Environment | None = None) -> Playback:
    """A recorded run, played again step by step as it is looked at, beside the recording.

    Raises:
        RecordingError: it is a run of another environment, or its reset makes no episode.
    """
    chosen = environment or get_environment()
    if not set(run.versions) <= set(chosen.versions):
        fitting = (get_environment(name) for name in find_environment_entry_points())
        home = [each.title for each in fitting if set(run.versions) <= set(each.versions)]
        where = f"It is one of {' or '.join(home)}: open it there." if home else ""
        raise RecordingError(f"This is not a run of {chosen.title}. {where}".strip())
    reset = {name: value for name, value in run.reset.items() if name != "episode_id"}
    try:
        session, opening = open_session(reset, chosen)
    except (TypeError, AttributeError, ValueError) as problem:
        reason = str(problem) if isinstance(problem, KitError) else "its reset is unreadable"
        raise RecordingError(f"The run cannot be played again: {reason}") from None

    prose_fields = chosen.tools.prose_fields

    def frames() -> Iterator[PlaybackStep]:
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

    playback = Playback(str(run.player), frames(), reset, chosen)
    playback.run_to_end()
    playback.seek(0)
    return playback


def parse_first_run(text: str) -> tuple[RecordedRun, str]:
    """The first run of a recording's text.

    Returns:
        What could be read, and which line could not be: that of a file that was cut off, say.

    Raises:
        RecordingError: too large, or nothing of it is a recording; says which line.
    """
    if len(text) > MAX_RUN_CHARACTERS:
        raise RecordingError(
            f"The run has {len(text):,} characters; allowed: {MAX_RUN_CHARACTERS:,}."
        )
    runs, broken = parse_runs(text)
    if not runs:
        raise broken or RecordingError("The file holds no run.")
    return runs[0], f"{broken} What stands before it is shown." if broken else ""


def open_session(reset: Mapping[str, Any], environment: Environment) -> tuple[Session, Reply]:
    """A session of its own and its opening; never in debug, so that no player sees the answers.

    Raises:
        ConfigurationError: the reset makes no episode, or one beyond this server's limits.
    """
    if is_sealed_split(reset.get("split")):
        # Nothing played here is counted, and whoever looks on would see the task's data.
        raise ConfigurationError("Sealed tasks can be neither watched nor played again here.")
    session = environment.create_session()
    reply = reset_within_limits(environment, session, reset, current_settings())
    if reply.status == ReplyStatus.ERROR:
        raise ConfigurationError(reply.message)
    return session, reply
