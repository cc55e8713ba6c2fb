"""A play: one environment together with the record that makes it again.

Episodes are deterministic, so a configuration and the actions since are all there is to keep.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.engine.episode import build_episode
from metric_tracker_rl.engine.session import READY
from openenv_kit.environment import ERROR, Reply
from openenv_kit.serving import frames, metrics
from openenv_kit.serving.framework import MetricTrackerRlEnvironment
from openenv_kit.serving.handles import new_episode_id, new_player_id

MAX_RECORD_BYTES = 256 * 1024
"""Actions of a WebSocket session that are kept so that it can be resumed, in bytes."""

SUBMISSION = "submission"
BREAKDOWN = "reward_breakdown"


@dataclass(frozen=True)
class Record:
    """What makes a play again.

    Attributes:
        reset: arguments of the reset, without the episode's id.
        actions: JSON text of each action since, in order.
    """

    reset: dict[str, Any]
    actions: tuple[bytes, ...] = ()


@dataclass
class Play:
    """One environment and its record.

    Attributes:
        transport: `ws`, `http` or `mcp`, for the figures.
        max_record_bytes: where the record stops, and with it the way to resume.
        player_id: handle of the episode's player.
        final: what the reply that ended the episode said of its score, once there is one.
    """

    transport: str = "ws"
    max_record_bytes: int = MAX_RECORD_BYTES
    environment: MetricTrackerRlEnvironment = field(default_factory=MetricTrackerRlEnvironment)
    arguments: dict[str, Any] | None = None
    actions: list[bytes] = field(default_factory=list)
    recorded_bytes: int = 0
    player_id: str = ""
    final: Reply | None = None

    @property
    def episode_id(self) -> str | None:
        """Name of the running episode."""
        return self.environment.episode_id

    @property
    def over(self) -> bool:
        """Whether the episode came to its end."""
        return self.final is not None

    def reset(self, arguments: Mapping[str, Any]) -> Reply:
        """Start an episode. One that cannot be made leaves everything as it was."""
        started = time.perf_counter()
        misses = build_episode.cache_info().misses
        if arguments.get("episode_id") is None:
            arguments = {**arguments, "episode_id": new_episode_id()}
        reply = self.environment.begin(arguments)
        if reply.status == ERROR:
            metrics.ERRORS.labels("reset").inc()
            return reply
        missed = build_episode.cache_info().misses > misses
        metrics.CACHE.labels("miss" if missed else "hit").inc()
        self.arguments = {name: value for name, value in arguments.items() if name != "episode_id"}
        self.actions.clear()
        self.recorded_bytes = 0
        self.player_id, self.final = new_player_id(), None
        metrics.RESETS.labels(self.transport).observe(time.perf_counter() - started)
        return reply

    def step(self, data: dict[str, Any], text: bytes | None = None) -> Reply:
        """One step.

        Args:
            data: the action as it arrived.
            text: its JSON, where that is at hand.
        """
        started = time.perf_counter()
        reply = self.environment.act_on(data)
        if reply.done:
            self._note_end(reply)
        self._record(data, text)
        STEP_SECONDS.get(method_of(data), OTHER_SECONDS).observe(time.perf_counter() - started)
        if reply.status == ERROR:
            metrics.ERRORS.labels("step").inc()
        elif reply.done and BREAKDOWN in reply.content:
            metrics.SCORES.observe(reply.reward)
        return reply

    @property
    def record(self) -> Record | None:
        """What makes this play again; None before a reset, or where it grew too long."""
        if self.arguments is None or self.recorded_bytes > self.max_record_bytes:
            return None
        return Record(self.arguments, tuple(self.actions))

    def restore(self, episode_id: str, record: Record, player_id: str = "") -> Reply:
        """Make a play again; returns what a reset would, under the old names.

        Nothing is counted or recorded twice.
        """
        opening = self.environment.begin({**record.reset, "episode_id": episode_id})
        self.arguments, self.player_id, self.final = dict(record.reset), player_id, None
        self.actions, self.recorded_bytes = list(record.actions), sum(map(len, record.actions))
        for text in record.actions:
            self._again(text)
        state = self.environment.state
        last = self.final or Reply(READY, "")
        return Reply(
            last.status,
            f"Episode resumed after {state.step_count} step(s) of {state.max_steps}.",
            reward=last.reward,
            done=last.done,
            content=opening.content,
        )

    def follow(self, text: bytes) -> None:
        """Play an action that somebody else stored."""
        self._again(text)
        self.keep(text)

    def _again(self, text: bytes) -> None:
        reply = self.environment.act_on(frames.loads(text))
        if reply.done:
            self._note_end(reply)

    def _note_end(self, reply: Reply) -> None:
        if self.final is None:
            graded = {name: reply.content[name] for name in (BREAKDOWN,) if name in reply.content}
            self.final = replace(reply, content=graded)

    def data(self, reply: Reply, names: dict[str, Any] | None = None) -> dict[str, Any]:
        """The framework's form of a reply, with the episode's names where they are given."""
        return frames.observation_data(reply, self.environment.task_id, names)

    @property
    def names(self) -> dict[str, Any]:
        """What a trainer is told when an episode starts: its id, and its player's."""
        return {"episode_id": self.episode_id, "player_id": self.player_id}

    def _record(self, data: dict[str, Any], text: bytes | None) -> None:
        if self.recorded_bytes <= self.max_record_bytes:
            self.keep(frames.dumps(data) if text is None else text)

    def keep(self, written: bytes) -> None:
        """Add an action that was played to the record."""
        self.recorded_bytes += len(written)
        if self.recorded_bytes > self.max_record_bytes:
            self.actions.clear()  # half a record is worth nothing
        else:
            self.actions.append(written)


def method_of(data: Mapping[str, Any]) -> str:
    """Analysis method of an action; an action without one submits."""
    name = data.get("analysis_method")
    return name if isinstance(name, str) else SUBMISSION


# Looked up once: a label's child costs more to find than a step to measure.
STEP_SECONDS = {name: metrics.STEPS.labels(name) for name in (*TOOLS, SUBMISSION)}
OTHER_SECONDS = metrics.STEPS.labels("unknown")
