"""A play: one session of an environment, and the record that makes it again.

Episodes are deterministic, so the reset's arguments and the actions since are all there is to keep.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from openenv_kit.environment import ERROR, Environment, Reply, Session, get_environment
from openenv_kit.play.driver import observed
from openenv_kit.serving import frames, metrics
from openenv_kit.serving.framework import begin
from openenv_kit.serving.handles import new_episode_id, new_player_id
from openenv_kit.serving.settings import Settings, settings

MAX_RECORD_BYTES = 256 * 1024
"""Actions of a WebSocket session that are kept so that it can be resumed, in bytes."""


@dataclass
class Play:
    """One session and its record.

    Attributes:
        transport: `ws`, `http` or `mcp`, for the figures.
        max_record_bytes: where the record stops, and with it the way to resume.
        environment, limits: what is played, on a server of which settings.
        episode_id: name of the running episode.
        player_id: handle of the episode's player.
        arguments: of the reset, without the episode's id.
        actions: JSON text of each action since, in order; with the arguments, this is the record
            that makes the play again.
        final: the reply that ended the episode, without its content, once there is one.
        parts: what the final score is made of; None where nothing was graded.
    """

    transport: str = "ws"
    max_record_bytes: int = MAX_RECORD_BYTES
    environment: Environment = field(default_factory=get_environment)
    limits: Settings = field(default_factory=settings)
    episode_id: str | None = None
    player_id: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    actions: list[bytes] = field(default_factory=list)
    recorded_bytes: int = 0
    final: Reply | None = None
    parts: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.session: Session = self.environment.session(debug=self.limits.debug)
        self._timers = _timers(tuple(self.environment.tools.names))

    def reset(self, arguments: Mapping[str, Any]) -> Reply:
        """Start an episode. One that cannot be made leaves everything as it was."""
        started = time.perf_counter()
        cached = self.environment.cache
        misses = cached.misses() if cached else 0
        reply = begin(self.environment, self.session, arguments, self.limits)
        if reply.status == ERROR:
            metrics.ERRORS.labels("reset").inc()
            return reply
        if cached:
            metrics.CACHE.labels("miss" if cached.misses() > misses else "hit").inc()
        self._opened(arguments.get("episode_id") or new_episode_id(), arguments, new_player_id())
        metrics.RESETS.labels(self.transport).observe(time.perf_counter() - started)
        return reply

    def step(
        self,
        action: dict[str, Any],
        text: bytes | None = None,
        names: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """One step, in the framework's form; `text` is the action's JSON, where that is at hand."""
        started = time.perf_counter()
        reply = self.session.step(action)
        if self.recorded_bytes <= self.max_record_bytes:
            self.keep(frames.dumps(action) if text is None else text)
        if reply.done and self.final is None:
            self._end(reply)
            if self.parts is not None:
                metrics.SCORES.observe(reply.reward or 0.0)
        if reply.status == ERROR:
            metrics.ERRORS.labels("step").inc()
            timer = REFUSED
        else:
            timer = self._timers.get(self.environment.tools.called(action)[0], REFUSED)
        timer.observe(time.perf_counter() - started)
        return frames.reply_data(self.environment, reply, self.session.task_id, names)

    def state(self) -> Any:
        """Public progress, with the episode's id."""
        progress = self.session.state().model_dump(exclude={"episode_id"})
        return self.environment.models.state(episode_id=self.episode_id, **progress)

    @property
    def resumable(self) -> bool:
        """Whether the record makes this play again: there was a reset, and it is not too long."""
        return self.episode_id is not None and self.recorded_bytes <= self.max_record_bytes

    def restore(
        self,
        episode_id: str,
        arguments: Mapping[str, Any],
        actions: Sequence[bytes],
        player_id: str = "",
    ) -> Reply:
        """Make a play again; returns what a reset would, under the old names.

        Nothing is counted or recorded twice.
        """
        opening = begin(self.environment, self.session, arguments, self.limits)
        self._opened(episode_id, arguments, player_id)
        for text in actions:
            self.follow(text)
        state, last = self.state(), self.final or opening
        message = f"Episode resumed after {state.step_count} step(s) of {state.max_steps}."
        return replace(
            opening, status=last.status, reward=last.reward, done=last.done, message=message
        )

    def follow(self, text: bytes) -> None:
        """Play an action that is stored already."""
        reply = self.session.step(frames.loads(text))
        if reply.done and self.final is None:
            self._end(reply)
        self.keep(text)

    def keep(self, text: bytes) -> None:
        """Add an action that was played to the record."""
        self.recorded_bytes += len(text)
        if self.recorded_bytes > self.max_record_bytes:
            self.actions.clear()  # half a record is worth nothing
        else:
            self.actions.append(text)

    def data(self, reply: Reply, names: dict[str, Any] | None = None) -> dict[str, Any]:
        """The framework's form of a reply, with the episode's names where they are given."""
        return frames.reply_data(self.environment, reply, self.session.task_id, names)

    @property
    def names(self) -> dict[str, Any]:
        """What a trainer is told when an episode starts: its id, and its player's."""
        return {"episode_id": self.episode_id, "player_id": self.player_id}

    def _opened(self, episode_id: str, arguments: Mapping[str, Any], player_id: str) -> None:
        self.episode_id, self.player_id = episode_id, player_id
        self.arguments = {name: value for name, value in arguments.items() if name != "episode_id"}
        self.actions, self.recorded_bytes = [], 0
        self.final = self.parts = None

    def _end(self, reply: Reply) -> None:
        parts = self.environment.score_parts(observed(reply))
        self.parts = None if parts is None else dict(parts)
        self.final = replace(reply, content={})


REFUSED = metrics.STEPS.labels("refused")


@cache
def _timers(tools: tuple[str, ...]) -> dict[str, Any]:
    """A figure for each tool, looked up once: finding one takes longer than a step to measure."""
    return {name: metrics.STEPS.labels(name) for name in tools}
