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
    Environment,
    Reply,
    Session,
    full_observation_from_reply,
    get_environment,
)
from openenv_kit.reply import EndInfo, ReplyStatus, observation_from_reply
from openenv_kit.reset_limits import reset_within_limits
from openenv_kit.serving import messages, metrics
from openenv_kit.serving.draining import SERVER_DRAIN
from openenv_kit.serving.episodes.ids import new_episode_id, new_player_id
from openenv_kit.serving.episodes.running_episodes import (
    RUNNING_EPISODES,
    EndReason,
    EpisodeKey,
    RunningEpisode,
    level_of,
)
from openenv_kit.serving.episodes.saved_recordings import EpisodeRecorder, create_recorder
from openenv_kit.serving.episodes.slow_calls import SLOW_CALL_QUEUE
from openenv_kit.serving.http import client_identity
from openenv_kit.serving.settings import Settings, current_settings
from openenv_kit.serving.store.interface import RETRY_AFTER_S, BusyError

T = TypeVar("T")
P = ParamSpec("P")

MAX_RECORD_BYTES = 256 * 1024
"""Actions of a WebSocket session that are kept so that it can be resumed, in bytes."""

WORKER_THREAD_COUNT = 2
WORKER_THREAD_POOL = ThreadPoolExecutor(WORKER_THREAD_COUNT, "slow-tools")
"""Makes and rebuilds episodes of environments with slow tools. Python runs in one thread at a time,
so more threads would only make each reset take longer and more memory."""

MAX_WAITING_RESETS = 32
"""Resets that may wait for these threads; another one is refused."""

END_REASON_PATTERN = re.compile("[a-z_]{1,32}")
"""What an environment's reason for an end must be to stand in a log and as a label."""

_waiting_reset_count = 0

AssignedTask = tuple[str, int]
"""Split and index of a task that was drawn for a session that named none."""


class ReplayError(Exception):
    """A record of an episode that cannot be played again.

    Attributes:
        action_index: position of the action that fails; -1 for the reset.
    """

    def __init__(self, action_index: int, reason: str) -> None:
        self.action_index = action_index
        super().__init__(reason)


@dataclass
class LiveEpisode:
    """One session and its record.

    Attributes:
        transport: `ws`, `http`, `mcp` or `page`, for the log and the figures.
        max_record_bytes: where the record of actions and results stops, and with it the way to
            resume.
        environment, settings: what is played, on a server of which settings.
        episode_id: name of the running episode.
        player_id: handle of the episode's player.
        reset_arguments: of the reset, without the episode's id.
        actions: JSON text of each action since, in order; with the arguments, this is the record
            that makes the play again.
        slow_results: compressed results of slow calls, by the index of their action.
        assigned_task: its task, where that was drawn for a session that named none.
        final_reply: the reply that ended the episode, without its content, once there is one.
        score_components: what the final score is made of; None where nothing was graded.
        start_details: of a stored episode, how it was started; see `held.build_start_json`.
        recorder: records it for the data folder, where it is recorded.
        running_entry: its entry among the running episodes of this worker, where it has one.
    """

    transport: str = "ws"
    max_record_bytes: int = MAX_RECORD_BYTES
    environment: Environment = field(default_factory=get_environment)
    settings: Settings = field(default_factory=current_settings)
    episode_id: str | None = None
    player_id: str = ""
    reset_arguments: dict[str, Any] = field(default_factory=dict)
    actions: list[bytes] = field(default_factory=list)
    slow_results: dict[int, bytes] = field(default_factory=dict)
    recorded_bytes: int = 0
    assigned_task: AssignedTask | None = None
    final_reply: Reply | None = None
    score_components: dict[str, Any] | None = None
    start_details: dict[str, Any] = field(default_factory=dict)
    recorder: EpisodeRecorder | None = None
    running_entry: RunningEpisode | None = None

    def __post_init__(self) -> None:
        self.session: Session = self.environment.create_session(debug=self.settings.debug)

    def reset(
        self, reset_arguments: Mapping[str, Any], requested_at_s: float | None = None
    ) -> Reply:
        """Start an episode. One that cannot be made leaves everything as it was.

        Args:
            reset_arguments: of the reset.
            requested_at_s: when it was asked for, by `time.perf_counter`, where it had to wait.
        """
        started = time.perf_counter() if requested_at_s is None else requested_at_s
        reply = reset_within_limits(self.environment, self.session, reset_arguments, self.settings)
        if reply.status == ReplyStatus.ERROR:
            metrics.ERRORS.labels("reset").inc()
            return reply
        named = reset_arguments.get("episode_id") or new_episode_id()
        self._begin_episode(named, reset_arguments, new_player_id(), reply)
        metrics.RESET_SECONDS.labels(self.transport).observe(time.perf_counter() - started)
        return reply

    def step(
        self,
        action: dict[str, Any],
        action_json: bytes | None = None,
        episode_ids: dict[str, Any] | None = None,
        requested_at_s: float | None = None,
    ) -> dict[str, Any]:
        """One step, in the framework's form.

        Args:
            action: the action.
            action_json: its JSON, where that is at hand.
            episode_ids: of the episode, for the reply's metadata.
            requested_at_s: when it was asked for, by `time.perf_counter`, where it had to wait.
        """
        started = time.perf_counter() if requested_at_s is None else requested_at_s
        steps_before = self.session.steps
        try:
            reply = self.session.step(action)
        except Exception:
            self._rebuild_session()
            raise
        is_counted = self.session.steps > steps_before
        if self.recorder is not None and is_counted:
            self.recorder.record_step(action, reply)
        if is_counted and self.recorded_bytes <= self.max_record_bytes:
            self.record_action(messages.dumps(action) if action_json is None else action_json)
        if self.running_entry is not None:
            self.running_entry.update_step_count(self.session.steps)
        if reply.done and self.final_reply is None:
            self._set_final_reply(reply)
            if self.score_components is not None or self.session.is_sealed:
                metrics.SCORES.observe(reply.reward or 0.0)
            RUNNING_EPISODES.register_end(
                self.running_entry, _end_reason_of_reply(reply), reply.reward or 0.0
            )
            if self.recorder is not None:
                self.recorder.save_recording(reply)
        data = self.build_wire_reply(reply, episode_ids)
        tools, name = self.environment.tools, "refused"
        if reply.status == ReplyStatus.ERROR:
            metrics.ERRORS.labels("step").inc()
        elif (called := tools.tool_call_of_action(action).name) in tools.tool_names:
            name = called
        metrics.STEP_SECONDS.labels(name).observe(time.perf_counter() - started)
        return data

    def get_state(self) -> dict[str, Any]:
        """Public progress, with the episode's id."""
        progress = self.session.state().model_dump(exclude={"episode_id"})
        return {"episode_id": self.episode_id, **progress}

    @property
    def is_resumable(self) -> bool:
        """Whether the record makes this play again: there was a reset, and it is not too long."""
        return self.episode_id is not None and self.recorded_bytes <= self.max_record_bytes

    def rebuild(
        self,
        episode_id: str,
        reset_arguments: Mapping[str, Any],
        action_jsons: Sequence[bytes],
        player_id: str = "",
        slow_results: Mapping[int, bytes] = MappingProxyType({}),
    ) -> Reply:
        """Make a play again; returns what a reset would, under the old names.

        Nothing is counted or recorded twice. Slow calls whose result is given are not run.

        Raises:
            ReplayError: the reset is rejected, or an action causes an internal error.
        """
        opening = reset_within_limits(
            self.environment, self.session, reset_arguments, self.settings
        )
        if opening.status == ReplyStatus.ERROR:
            raise ReplayError(-1, opening.message)
        self._begin_episode(episode_id, reset_arguments, player_id, opening)
        for index, text in enumerate(action_jsons):
            try:
                self.apply_stored_action(text, slow_results.get(index))
            except Exception as problem:
                raise ReplayError(index, "an action causes an internal error") from problem
        state, last = self.get_state(), self.final_reply or opening
        message = f"Episode resumed at step {state['step_count']} of {state['max_steps']}."
        return replace(
            opening, status=last.status, reward=last.reward, done=last.done, message=message
        )

    def _rebuild_session(self) -> None:
        """Play the recorded actions again in a new session: the old one may be half changed."""
        if self.episode_id is None or not self.is_resumable:
            return
        self.session = self.environment.create_session(debug=self.settings.debug)
        reset_within_limits(self.environment, self.session, self.reset_arguments, self.settings)
        for index, text in enumerate(self.actions):
            result = decompress_slow_result(self.slow_results.get(index))
            self.session.repeat_stored_step(messages.loads(text), result)

    def apply_stored_action(
        self, action_json: bytes, compressed_result: bytes | None = None
    ) -> None:
        """Play an action that is stored already, with the result of its slow call, if any."""
        action = messages.loads(action_json)
        reply = self.session.repeat_stored_step(action, decompress_slow_result(compressed_result))
        if self.recorder is not None and self.final_reply is None:
            self.recorder.record_step(action, reply)
        if reply.done and self.final_reply is None:
            self._set_final_reply(reply)
        self.record_action(action_json)

    def record_action(self, action_json: bytes) -> None:
        """Add an action that was played to the record."""
        self.recorded_bytes += len(action_json)
        if self.recorded_bytes > self.max_record_bytes:
            self.actions.clear()  # half a record is worth nothing
            self.slow_results.clear()
            return
        if (result := self.session.last_slow_result) is not None:
            packed = zlib.compress(messages.dumps(result))
            self.slow_results[len(self.actions)] = packed
            self.recorded_bytes += len(packed)
            self.session.last_slow_result = None
        self.actions.append(action_json)

    def register_start(self, *, is_stored: bool) -> None:
        """Note that its episode has started, and the end of the one before."""
        RUNNING_EPISODES.register_end(self.running_entry, EndReason.RESTARTED)
        self.running_entry = self._build_running_entry(is_stored=is_stored)
        RUNNING_EPISODES.register_start(self.running_entry)

    def register_resume(self, *, is_client_request: bool = False) -> None:
        """Note that its stored episode goes on here.

        Args:
            is_client_request: whether a client asked for that, and it is worth a line in the log.
        """
        if self.final_reply is not None or RUNNING_EPISODES.contains(self.running_entry):
            return
        entry = self._build_running_entry(is_stored=True)
        if self.running_entry is not None:
            entry.transport, entry.started_s = (
                self.running_entry.transport,
                self.running_entry.started_s,
            )
        elif self.start_details:
            entry.transport = self.start_details["transport"]
            entry.started_s -= max(0.0, time.time() - self.start_details["wall_s"])
        self.running_entry = RUNNING_EPISODES.register_resume(
            entry, is_client_request=is_client_request
        )

    def _build_running_entry(self, *, is_stored: bool) -> RunningEpisode:
        return RunningEpisode(
            EpisodeKey(self.environment.name, self.episode_id or ""),
            self.transport,
            level_of(self.environment, self.reset_arguments),
            self.player_id,
            is_stored=is_stored,
            step_count=self.session.steps,
        )

    def build_wire_reply(
        self, reply: Reply, episode_ids: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The framework's form of a reply: `observation`, `reward`, `done`; `metadata` and `info`.

        Values may still be models, which `frames.dumps` writes. The episode's names travel as
        metadata.
        """
        observation = full_observation_from_reply(self.environment, reply, self.session.task_id)
        data = {"observation": observation, "reward": reply.reward, "done": reply.done}
        if episode_ids:
            observation["metadata"] = data["metadata"] = episode_ids
        if reply.info is not None:
            data["info"] = reply.info
        return data

    @property
    def episode_ids(self) -> dict[str, Any]:
        """What a trainer is told when an episode starts: its id, and its player's."""
        return {"episode_id": self.episode_id, "player_id": self.player_id}

    def _begin_episode(
        self,
        episode_id: str,
        reset_arguments: Mapping[str, Any],
        player_id: str,
        reset_reply: Reply,
    ) -> None:
        self.episode_id, self.player_id = episode_id, player_id
        self.reset_arguments = {
            name: value for name, value in reset_arguments.items() if name != "episode_id"
        }
        self.actions, self.slow_results, self.recorded_bytes = [], {}, 0
        self.final_reply = self.score_components = None
        given = (self.environment, self.settings, self.transport, self.reset_arguments)
        self.recorder = create_recorder(*given, reset_reply)

    def _set_final_reply(self, reply: Reply) -> None:
        parts = self.environment.score_components(observation_from_reply(reply))
        self.score_components = None if parts is None else dict(parts)
        self.final_reply = replace(reply, observation_fields={})


def _end_reason_of_reply(reply: Reply) -> str:
    """Return why an episode is over: the environment's own word where it has one."""
    reason = EndInfo.from_info(reply.info).reason
    return reason if END_REASON_PATTERN.fullmatch(reason) else EndReason.COMPLETED


async def run_queued_reset(
    environment: Environment, run_reset: Callable[P, T], *given: P.args, **named: P.kwargs
) -> T:
    """Do a reset: in a thread, in its turn, where the environment has slow tools.

    Raises:
        BusyError: too many wait already, or whoever asked is gone.
        StoppingError: the server is about to stop.
    """
    global _waiting_reset_count
    SERVER_DRAIN.require_not_draining()
    gone = client_identity.IS_CONNECTION_CLOSED.get()

    def unless_gone() -> T:
        if gone is not None and gone():
            raise BusyError("The connection is gone.")
        return run_reset(*given, **named)

    if not environment.tools.has_slow_tools:
        return unless_gone()
    if _waiting_reset_count >= MAX_WAITING_RESETS:
        raise BusyError(
            f"{_waiting_reset_count} episodes wait to be made. Retry in {RETRY_AFTER_S} s."
        )
    _waiting_reset_count += 1
    metrics.WAITING_RESETS.inc()
    try:
        return await run_in_worker_thread(environment, unless_gone)
    finally:
        _waiting_reset_count -= 1
        metrics.WAITING_RESETS.dec()


async def run_in_worker_thread(
    environment: Environment, work: Callable[P, T], *given: P.args, **named: P.kwargs
) -> T:
    """Rebuild a play: in a thread where the environment has slow tools."""
    if not environment.tools.has_slow_tools:
        return work(*given, **named)

    def count_and_work() -> T:
        with metrics.BUSY_THREADS.track_inprogress():
            return work(*given, **named)

    doing = asyncio.get_running_loop().run_in_executor(WORKER_THREAD_POOL, count_and_work)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])  # nobody may save or play what is still being changed
        raise


async def step_live_episode(
    live_episode: LiveEpisode,
    action: dict[str, Any],
    action_json: bytes | None = None,
    episode_ids: dict[str, Any] | None = None,
    requested_at_s: float | None = None,
) -> dict[str, Any]:
    """Take one step of a play; see `Play.step`. A slow call waits for its episode's turn."""
    tools = live_episode.environment.tools
    if tools.has_slow_tools and tools.is_slow_call(action):
        step = partial(live_episode.step, action, action_json, episode_ids, requested_at_s)
        return await _run_in_fair_turn(live_episode, live_episode.episode_id, step)
    return live_episode.step(action, action_json, episode_ids, requested_at_s)


async def apply_stored_action(
    live_episode: LiveEpisode, action_json: bytes, compressed_result: bytes | None
) -> None:
    """Play an action that is stored already; see `Play.apply_stored_action`."""
    work = partial(live_episode.apply_stored_action, action_json, compressed_result)
    tools = live_episode.environment.tools
    if (
        tools.has_slow_tools
        and compressed_result is None
        and tools.is_slow_call(messages.loads(action_json))
    ):
        await _run_in_fair_turn(live_episode, live_episode.episode_id, work)
    else:
        work()


async def rebuild_live_episode(
    live_episode: LiveEpisode,
    episode_id: str,
    reset_arguments: Mapping[str, Any],
    action_jsons: Sequence[bytes],
    player_id: str = "",
    slow_results: Mapping[int, bytes] = MappingProxyType({}),
) -> Reply:
    """Make a play again from its record; see `Play.restore`.

    Slow calls without a stored result, such as the last one before a crash, wait for their turn.
    """
    work = partial(
        live_episode.rebuild, episode_id, reset_arguments, action_jsons, player_id, slow_results
    )
    tools = live_episode.environment.tools
    if any(
        tools.is_slow_call(messages.loads(text))
        for index, text in enumerate(action_jsons)
        if tools.has_slow_tools and index not in slow_results
    ):
        return await _run_in_fair_turn(live_episode, episode_id, work)
    return await run_in_worker_thread(live_episode.environment, work)


def decompress_slow_result(compressed_result: bytes | None) -> dict[str, Any] | None:
    """Return the result of a slow call that was kept compressed."""
    return (
        None
        if compressed_result is None
        else dict(messages.loads(zlib.decompress(compressed_result)))
    )


async def _run_in_fair_turn(
    live_episode: LiveEpisode, episode_id: str | None, work: Callable[[], T]
) -> T:
    return await SLOW_CALL_QUEUE.run_in_turn(f"{live_episode.environment.name}/{episode_id}", work)
