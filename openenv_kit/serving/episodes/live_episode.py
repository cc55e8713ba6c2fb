"""A play: one session of an environment, and the record that makes it again.

Episodes are deterministic, so the reset's arguments and the actions since are all there is to keep.
Results of slow calls are kept beside them, so that no slow call runs a second time.
"""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from openenv_kit.environment import (
    ERROR,
    Environment,
    Reply,
    Session,
    get_environment,
    observation_of,
)
from openenv_kit.rollouts.run_policy import observed
from openenv_kit.serving import messages, metrics
from openenv_kit.serving.draining import DRAIN
from openenv_kit.serving.episodes.ids import new_episode_id, new_player_id
from openenv_kit.serving.episodes.running_episodes import (
    RUNNING,
    EndReason,
    EpisodeKey,
    RunningEpisode,
    level_of,
)
from openenv_kit.serving.episodes.saved_recordings import EpisodeRecorder, recorder_of
from openenv_kit.serving.episodes.slow_calls import SLOW_CALLS
from openenv_kit.serving.http import client_identity
from openenv_kit.serving.openenv_adapter import begin
from openenv_kit.serving.settings import Settings, settings
from openenv_kit.serving.store.interface import RETRY_AFTER_S, BusyError
from openenv_kit.session import REASON

T = TypeVar("T")
P = ParamSpec("P")

MAX_RECORD_BYTES = 256 * 1024
"""Actions of a WebSocket session that are kept so that it can be resumed, in bytes."""

WORKER_THREADS = 2
WORKERS = ThreadPoolExecutor(WORKER_THREADS, "slow-tools")
"""Makes and rebuilds episodes of environments with slow tools. Python runs in one thread at a time,
so more threads would only make each reset take longer and more memory."""

MOST_WAITING = 32
"""Resets that may wait for these threads; another one is refused."""

END_REASON = re.compile("[a-z_]{1,32}")
"""What an environment's reason for an end must be to stand in a log and as a label."""

_waiting = 0

Drawn = tuple[str, int]
"""Split and index of a task that was drawn for a session that named none."""


class ReplayError(Exception):
    """A record of an episode that cannot be played again.

    Attributes:
        index: position of the action that fails; -1 for the reset.
    """

    def __init__(self, index: int, reason: str) -> None:
        self.index = index
        super().__init__(reason)


@dataclass
class Play:
    """One session and its record.

    Attributes:
        transport: `ws`, `http`, `mcp` or `page`, for the log and the figures.
        max_record_bytes: where the record of actions and results stops, and with it the way to
            resume.
        environment, limits: what is played, on a server of which settings.
        episode_id: name of the running episode.
        player_id: handle of the episode's player.
        arguments: of the reset, without the episode's id.
        actions: JSON text of each action since, in order; with the arguments, this is the record
            that makes the play again.
        slow_results: compressed results of slow calls, by the index of their action.
        drawn: its task, where that was drawn for a session that named none.
        final: the reply that ended the episode, without its content, once there is one.
        parts: what the final score is made of; None where nothing was graded.
        started: of a stored episode, how it was started; see `held.start_text`.
        recorder: records it for the data folder, where it is recorded.
        running: its entry among the running episodes of this worker, where it has one.
    """

    transport: str = "ws"
    max_record_bytes: int = MAX_RECORD_BYTES
    environment: Environment = field(default_factory=get_environment)
    limits: Settings = field(default_factory=settings)
    episode_id: str | None = None
    player_id: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    actions: list[bytes] = field(default_factory=list)
    slow_results: dict[int, bytes] = field(default_factory=dict)
    recorded_bytes: int = 0
    drawn: Drawn | None = None
    final: Reply | None = None
    parts: dict[str, Any] | None = None
    started: dict[str, Any] = field(default_factory=dict)
    recorder: EpisodeRecorder | None = None
    running: RunningEpisode | None = None

    def __post_init__(self) -> None:
        self.session: Session = self.environment.session(debug=self.limits.debug)

    def reset(self, arguments: Mapping[str, Any], asked_at: float | None = None) -> Reply:
        """Start an episode. One that cannot be made leaves everything as it was.

        Args:
            arguments: of the reset.
            asked_at: when it was asked for, by `time.perf_counter`, where it had to wait.
        """
        started = time.perf_counter() if asked_at is None else asked_at
        reply = begin(self.environment, self.session, arguments, self.limits)
        if reply.status == ERROR:
            metrics.ERRORS.labels("reset").inc()
            return reply
        named = arguments.get("episode_id") or new_episode_id()
        self._opened(named, arguments, new_player_id(), reply)
        metrics.RESETS.labels(self.transport).observe(time.perf_counter() - started)
        return reply

    def step(
        self,
        action: dict[str, Any],
        text: bytes | None = None,
        names: dict[str, Any] | None = None,
        asked_at: float | None = None,
    ) -> dict[str, Any]:
        """One step, in the framework's form.

        Args:
            action: the action.
            text: its JSON, where that is at hand.
            names: of the episode, for the reply's metadata.
            asked_at: when it was asked for, by `time.perf_counter`, where it had to wait.
        """
        started = time.perf_counter() if asked_at is None else asked_at
        steps_before = self.session.steps
        try:
            reply = self.session.step(action)
        except Exception:
            self._rebuild_session()
            raise
        is_counted = self.session.steps > steps_before
        if self.recorder is not None and is_counted:
            self.recorder.step(action, reply)
        if is_counted and self.recorded_bytes <= self.max_record_bytes:
            self.keep(messages.dumps(action) if text is None else text)
        if self.running is not None:
            self.running.count_step(self.session.steps)
        if reply.done and self.final is None:
            self._end(reply)
            if self.parts is not None or self.session.is_sealed:
                metrics.SCORES.observe(reply.reward or 0.0)
            RUNNING.end(self.running, _end_reason(reply), reply.reward or 0.0)
            if self.recorder is not None:
                self.recorder.finish(reply)
        data = self.data(reply, names)
        tools, name = self.environment.tools, "refused"
        if reply.status == ERROR:
            metrics.ERRORS.labels("step").inc()
        elif (called := tools.called(action)[0]) in tools.names:
            name = called
        metrics.STEPS.labels(name).observe(time.perf_counter() - started)
        return data

    def state(self) -> dict[str, Any]:
        """Public progress, with the episode's id."""
        progress = self.session.state().model_dump(exclude={"episode_id"})
        return {"episode_id": self.episode_id, **progress}

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
        slow_results: Mapping[int, bytes] = MappingProxyType({}),
    ) -> Reply:
        """Make a play again; returns what a reset would, under the old names.

        Nothing is counted or recorded twice. Slow calls whose result is given are not run.

        Raises:
            ReplayError: the reset is rejected, or an action causes an internal error.
        """
        opening = begin(self.environment, self.session, arguments, self.limits)
        if opening.status == ERROR:
            raise ReplayError(-1, opening.message)
        self._opened(episode_id, arguments, player_id, opening)
        for index, text in enumerate(actions):
            try:
                self.follow(text, slow_results.get(index))
            except Exception as problem:
                raise ReplayError(index, "an action causes an internal error") from problem
        state, last = self.state(), self.final or opening
        message = f"Episode resumed at step {state['step_count']} of {state['max_steps']}."
        return replace(
            opening, status=last.status, reward=last.reward, done=last.done, message=message
        )

    def _rebuild_session(self) -> None:
        """Play the recorded actions again in a new session: the old one may be half changed."""
        if self.episode_id is None or not self.resumable:
            return
        self.session = self.environment.session(debug=self.limits.debug)
        begin(self.environment, self.session, self.arguments, self.limits)
        for index, text in enumerate(self.actions):
            result = unpack_result(self.slow_results.get(index))
            self.session.replay_step(messages.loads(text), result)

    def follow(self, text: bytes, slow_result: bytes | None = None) -> None:
        """Play an action that is stored already, with the result of its slow call, if any."""
        action = messages.loads(text)
        reply = self.session.replay_step(action, unpack_result(slow_result))
        if self.recorder is not None and self.final is None:
            self.recorder.step(action, reply)
        if reply.done and self.final is None:
            self._end(reply)
        self.keep(text)

    def keep(self, text: bytes) -> None:
        """Add an action that was played to the record."""
        self.recorded_bytes += len(text)
        if self.recorded_bytes > self.max_record_bytes:
            self.actions.clear()  # half a record is worth nothing
            self.slow_results.clear()
            return
        if (result := self.session.last_slow_result) is not None:
            packed = zlib.compress(messages.dumps(result))
            self.slow_results[len(self.actions)] = packed
            self.recorded_bytes += len(packed)
            self.session.last_slow_result = None
        self.actions.append(text)

    def note_start(self, *, is_stored: bool) -> None:
        """Note that its episode has started, and the end of the one before."""
        RUNNING.end(self.running, EndReason.RESTARTED)
        self.running = self._entry(is_stored=is_stored)
        RUNNING.start(self.running)

    def note_resume(self, *, by_client: bool = False) -> None:
        """Note that its stored episode goes on here.

        Args:
            by_client: whether a client asked for that, and it is worth a line in the log.
        """
        if self.final is not None or RUNNING.has(self.running):
            return
        entry = self._entry(is_stored=True)
        if self.running is not None:
            entry.transport, entry.started_s = self.running.transport, self.running.started_s
        elif self.started:
            entry.transport = self.started["transport"]
            entry.started_s -= max(0.0, time.time() - self.started["wall_s"])
        self.running = RUNNING.resume(entry, by_client=by_client)

    def _entry(self, *, is_stored: bool) -> RunningEpisode:
        return RunningEpisode(
            EpisodeKey(self.environment.name, self.episode_id or ""),
            self.transport,
            level_of(self.environment, self.arguments),
            self.player_id,
            is_stored=is_stored,
            steps=self.session.steps,
        )

    def data(self, reply: Reply, names: dict[str, Any] | None = None) -> dict[str, Any]:
        """The framework's form of a reply: `observation`, `reward`, `done`; `metadata` and `info`.

        Values may still be models, which `frames.dumps` writes. The episode's names travel as
        metadata.
        """
        observation = observation_of(self.environment, reply, self.session.task_id)
        data = {"observation": observation, "reward": reply.reward, "done": reply.done}
        if names:
            observation["metadata"] = data["metadata"] = names
        if reply.info is not None:
            data["info"] = reply.info
        return data

    @property
    def names(self) -> dict[str, Any]:
        """What a trainer is told when an episode starts: its id, and its player's."""
        return {"episode_id": self.episode_id, "player_id": self.player_id}

    def _opened(
        self, episode_id: str, arguments: Mapping[str, Any], player_id: str, opening: Reply
    ) -> None:
        self.episode_id, self.player_id = episode_id, player_id
        self.arguments = {name: value for name, value in arguments.items() if name != "episode_id"}
        self.actions, self.slow_results, self.recorded_bytes = [], {}, 0
        self.final = self.parts = None
        given = (self.environment, self.limits, self.transport, self.arguments)
        self.recorder = recorder_of(*given, opening)

    def _end(self, reply: Reply) -> None:
        parts = self.environment.score_parts(observed(reply))
        self.parts = None if parts is None else dict(parts)
        self.final = replace(reply, content={})


def _end_reason(reply: Reply) -> str:
    """Return why an episode is over: the environment's own word where it has one."""
    given = str((reply.info or {}).get(REASON) or "")
    return given if END_REASON.fullmatch(given) else EndReason.COMPLETED


async def in_turn(
    environment: Environment, reset: Callable[P, T], *given: P.args, **named: P.kwargs
) -> T:
    """Do a reset: in a thread, in its turn, where the environment has slow tools.

    Raises:
        BusyError: too many wait already, or whoever asked is gone.
        StoppingError: the server is about to stop.
    """
    global _waiting
    DRAIN.require_running()
    gone = client_identity.GONE.get()

    def unless_gone() -> T:
        if gone is not None and gone():
            raise BusyError("The connection is gone.")
        return reset(*given, **named)

    if not environment.tools.slow:
        return unless_gone()
    if _waiting >= MOST_WAITING:
        raise BusyError(f"{_waiting} episodes wait to be made. Retry in {RETRY_AFTER_S} s.")
    _waiting += 1
    metrics.WAITING_RESETS.inc()
    try:
        return await in_thread(environment, unless_gone)
    finally:
        _waiting -= 1
        metrics.WAITING_RESETS.dec()


async def in_thread(
    environment: Environment, work: Callable[P, T], *given: P.args, **named: P.kwargs
) -> T:
    """Rebuild a play: in a thread where the environment has slow tools."""
    if not environment.tools.slow:
        return work(*given, **named)

    def count_and_work() -> T:
        with metrics.BUSY_THREADS.track_inprogress():
            return work(*given, **named)

    doing = asyncio.get_running_loop().run_in_executor(WORKERS, count_and_work)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])  # nobody may save or play what is still being changed
        raise


async def take_step(
    play: Play,
    action: dict[str, Any],
    text: bytes | None = None,
    names: dict[str, Any] | None = None,
    asked_at: float | None = None,
) -> dict[str, Any]:
    """Take one step of a play; see `Play.step`. A slow call waits for its episode's turn."""
    tools = play.environment.tools
    if tools.slow and tools.is_slow_call(action):
        step = partial(play.step, action, text, names, asked_at)
        return await _in_fair_turn(play, play.episode_id, step)
    return play.step(action, text, names, asked_at)


async def follow(play: Play, text: bytes, slow_result: bytes | None) -> None:
    """Play an action that is stored already; see `Play.follow`."""
    work = partial(play.follow, text, slow_result)
    tools = play.environment.tools
    if tools.slow and slow_result is None and tools.is_slow_call(messages.loads(text)):
        await _in_fair_turn(play, play.episode_id, work)
    else:
        work()


async def rebuild(
    play: Play,
    episode_id: str,
    arguments: Mapping[str, Any],
    actions: Sequence[bytes],
    player_id: str = "",
    slow_results: Mapping[int, bytes] = MappingProxyType({}),
) -> Reply:
    """Make a play again from its record; see `Play.restore`.

    Slow calls without a stored result, such as the last one before a crash, wait for their turn.
    """
    work = partial(play.restore, episode_id, arguments, actions, player_id, slow_results)
    tools = play.environment.tools
    if any(
        tools.is_slow_call(messages.loads(text))
        for index, text in enumerate(actions)
        if tools.slow and index not in slow_results
    ):
        return await _in_fair_turn(play, episode_id, work)
    return await in_thread(play.environment, work)


def unpack_result(packed: bytes | None) -> dict[str, Any] | None:
    """Return the result of a slow call that was kept compressed."""
    return None if packed is None else dict(messages.loads(zlib.decompress(packed)))


async def _in_fair_turn(play: Play, episode_id: str | None, work: Callable[[], T]) -> T:
    return await SLOW_CALLS.run(f"{play.environment.name}/{episode_id}", work)
