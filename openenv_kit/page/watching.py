"""Watching another player: a list of frames that grows as the player moves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openenv_kit.environment import ERROR, Environment, Reply, Session, get_environment
from openenv_kit.errors import ConfigurationError, KitError
from openenv_kit.play.driver import moves, observed
from openenv_kit.play.policies import Policy
from openenv_kit.play.recording import RecordedRun, RecordingError, readable_runs, replay
from openenv_kit.serving.framework import begin
from openenv_kit.serving.settings import MAX_RECORDING_BYTES, settings

MAX_FRAMES = 600
"""More than an episode may have steps."""


@dataclass(frozen=True)
class Frame:
    """One moment of a play.

    Attributes:
        action: what the player did; empty for the reset, and for a call that was refused.
        observation: the reply to it.
        same: for a recorded run, whether the reply is the recorded one.
        words: what the model said with it, or instead of making a call.
        reasoning: what the model thought before.
        refused: name and arguments of a call that could not be made into an action.
        facts: what it took, for people: tokens, time, cost, by name.
        elapsed_s: seconds that the environment took for the step, where they were measured.
    """

    action: Mapping[str, Any]
    observation: Mapping[str, Any]
    same: bool | None = None
    words: str = ""
    refused: tuple[str, Any] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    elapsed_s: float = 0.0
    reasoning: str = ""


class Playback:
    """The frames of one play, and the one the visitor looks at.

    Args:
        player: who plays, for people.
        session: plays the same episode; read by scenes that draw its data.
        source: gives the frames, the reset's first; asked for one at a time.
        reset: arguments that make the episode, for its recording.
        environment: what is played; None for the one that ENVIRONMENT names.

    Attributes:
        at: index of the frame looked at.
        finished: whether the player will make no more moves.
        hurried: whether the visitor asked for the end.
        waiting: whether the player is thinking; scripted players and recordings never are.
        remark: how the play ended, if there is more to say than its last frame shows.
        kept_back: whether it is not shown, because the visitor means to race against it.
    """

    waiting = False

    def __init__(
        self,
        player: str,
        session: Session,
        source: Iterator[Frame],
        reset: Mapping[str, Any] | None = None,
        environment: Environment | None = None,
    ) -> None:
        self.player = player
        self.session = session
        self.frames: list[Frame] = []
        self.at = -1
        self.finished = False
        self.hurried = False
        self.remark = ""
        self.kept_back = False
        self.reset = dict(reset or {})
        self.environment = environment or get_environment()
        self._source = source
        Playback.advance(self)

    @property
    def frame(self) -> Frame:
        """The frame looked at."""
        return self.frames[self.at]

    def advance(self) -> None:
        """Look at the next frame; the player moves if there is none yet."""
        if self.at + 1 == len(self.frames) and not self.finished:
            frame = next(self._source, None) if len(self.frames) < MAX_FRAMES else None
            self.finished = frame is None or bool(frame.observation.get("done"))
            self.frames += [frame] if frame else []
        self.at = min(self.at + 1, len(self.frames) - 1)

    def catch_up(self) -> None:
        """Look at the last frame."""
        self.at = len(self.frames) - 1

    def go(self, index: int) -> None:
        """Look at a frame by its index; one beyond either end means that end."""
        self.at = min(max(index, 0), len(self.frames) - 1)

    def run_to_end(self) -> None:
        """Let the player finish."""
        while not self.finished:
            self.advance()

    def close(self) -> None:
        """Stop the play: nobody watches any more."""
        self.finished = True


def scripted(
    policy: Policy, reset: Mapping[str, Any], environment: Environment | None = None
) -> Playback:
    """A scripted policy on the episode that a reset makes, in a session of its own.

    Raises:
        ConfigurationError: the reset makes no episode.
    """
    session, opening = open_session(reset, environment)

    def frames() -> Iterator[Frame]:
        yield Frame({}, observed(opening))
        began = time.perf_counter()
        for action, reply in moves(session, policy, opening):
            took = time.perf_counter() - began
            yield Frame(action, observed(reply), facts=took_ms(took), elapsed_s=took)
            began = time.perf_counter()

    return Playback(policy.name, session, frames(), reset, environment)


def took_ms(seconds: float) -> dict[str, str]:
    """The time of a step as one of its facts; none where it was not measured."""
    return {"took": f"{1000 * seconds:.1f} ms"} if seconds else {}


def recorded(run: RecordedRun, environment: Environment | None = None) -> Playback:
    """A recorded run, played again and compared with the recording.

    Raises:
        RecordingError: the run's reset makes no episode, or a step is not an action.
    """
    try:
        reset = {name: value for name, value in run.reset.items() if name != "episode_id"}
        session, _ = open_session(reset, environment)
        took = [0.0, *(step.elapsed_s for step in run.steps)]
        frames = (
            Frame(*each, facts=took_ms(seconds), elapsed_s=seconds)
            for each, seconds in zip(replay(run, environment), took, strict=True)
        )
        playback = Playback(str(run.player), session, frames, reset, environment)
        playback.run_to_end()
    except (TypeError, AttributeError, ValueError) as problem:
        reason = str(problem) if isinstance(problem, KitError) else "an action is unreadable"
        raise RecordingError(f"The run cannot be played again: {reason}") from None
    playback.go(0)
    return playback


def runs_of(path: Path) -> tuple[list[RecordedRun], str]:
    """The runs of an uploaded file, which is deleted as soon as it is read.

    Returns:
        What could be read, and which line could not be: that of a file that was cut off, say.

    Raises:
        RecordingError: too large, or nothing of it is a recording; says which line.
    """
    try:
        size = path.stat().st_size
        if size > MAX_RECORDING_BYTES:
            raise RecordingError(f"The file has {size:,} bytes; allowed: {MAX_RECORDING_BYTES:,}.")
        runs, broken = readable_runs(path)
    except UnicodeDecodeError:
        raise RecordingError("The file is not text in UTF-8.") from None
    finally:
        path.unlink(missing_ok=True)
    if not runs:
        raise broken or RecordingError("The file holds no run.")
    if broken is None:
        return runs, ""
    return runs, f"{broken} What stands before it is shown."


def open_session(
    reset: Mapping[str, Any], environment: Environment | None = None
) -> tuple[Session, Reply]:
    """A session of its own and its opening; never in debug, so that no player sees the answers.

    Raises:
        ConfigurationError: the reset makes no episode, or one beyond this server's limits.
    """
    chosen = environment or get_environment()
    session = chosen.session()
    reply = begin(chosen, session, reset, settings())
    if reply.status == ERROR:
        raise ConfigurationError(reply.message)
    return session, reply


def call_text(name: str, arguments: object) -> str:
    """A tool call in one line; arguments that are not an object are shown as they came."""
    if not isinstance(arguments, Mapping):
        return f"{name}({arguments})"
    told = (f"{key}={json.dumps(value, default=str)}" for key, value in arguments.items())
    return f"{name}({', '.join(told)})"
