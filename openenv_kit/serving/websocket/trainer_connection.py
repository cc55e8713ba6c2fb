"""Connection of a trainer on `/ws`, which starts, resumes and plays episodes."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from openenv_kit.errors import MAX_REPR_CHARACTERS
from openenv_kit.reply import Reply, ReplyStatus
from openenv_kit.reset_arguments import TABLE
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving.episodes.ids import EpisodeAccess, EpisodeGoneError
from openenv_kit.serving.episodes.records import StartedEpisode
from openenv_kit.serving.episodes.running_episodes import RUNNING_EPISODES, EndReason, EpisodeKey
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.episodes.worker_threads import (
    run_reset_in_thread_if_slow_or_raise_busy,
    step_with_queued_slow_call,
)
from openenv_kit.serving.messages import JsonObject, WireReply
from openenv_kit.serving.transports import Transport
from openenv_kit.serving.websocket.episode_connection import EpisodeConnection
from openenv_kit.serving.websocket.sessions import SessionSlots

RELEASE_TIMEOUT_S = 6.0
"""Maximum time to wait for another connection to release an episode."""

RESUME_ARGUMENT = "resume"


class TrainerConnection(EpisodeConnection):
    """A connection that starts and plays its own episodes.

    If the server generated the id of an episode, the episode stays in memory until the connection
    ends, because no other connection can play it until then. If the client chose the id or resumed
    the episode, every step is stored, and the episode belongs to the connection that started or
    resumed it last.

    Args:
        slots: slots for the sessions of this worker.
        episodes: episodes of the environment.
        transport: transport of the episodes in the log and metrics: `WEBSOCKET` or `PAGE`.
    """

    def __init__(self, slots: SessionSlots, episodes: EpisodeService, transport: Transport) -> None:
        super().__init__(episodes)
        self._slots = slots
        self._transport = transport
        self._live_episode = episodes.create_live_episode_without_reset(transport, is_stored=False)
        self._stored_access: EpisodeAccess | None = None
        self._task = asyncio.current_task()
        self.immediate_step = self._live_episode.step

    @property
    def logged_episode_id(self) -> str | None:
        return self.resumable_episode_id

    @property
    def resumable_episode_id(self) -> str | None:
        if self._stored_access is not None:
            return self._stored_access.episode_id
        return self._live_episode.episode_id

    async def reset(self, reset_arguments: JsonObject) -> WireReply:
        """Start an episode, or continue a stored one if the argument `resume` is given."""
        if RESUME_ARGUMENT in reset_arguments:
            return await self._resume_episode_or_build_error_reply(reset_arguments)
        requested_at_s = time.perf_counter()
        if (
            reset_arguments.get("episode_id") is not None
            or is_sealed_split(reset_arguments.get("split"))
            or TABLE.name in reset_arguments
        ):
            started = await self._episodes.reset(reset_arguments, self._transport)
            if started.access is not None:
                await self._end_other_connections_to_episode(
                    started.access.episode_id, EndReason.RESTARTED
                )
                self._switch_to_stored_episode_and_end_previous(started)
            return started.wire_reply
        live_episode = self._live_episode
        reply = await run_reset_in_thread_if_slow_or_raise_busy(
            live_episode.environment, live_episode.reset, reset_arguments, requested_at_s
        )
        if reply.status == ReplyStatus.ERROR:
            return live_episode.build_wire_reply(reply)
        live_episode.register_start_and_end_previous(is_stored=False)
        self._stored_access = None
        has_slow_tools = live_episode.environment.tools.has_slow_tools
        self.immediate_step = None if has_slow_tools else live_episode.step
        return live_episode.build_wire_reply(reply, live_episode.episode_and_player_ids)

    async def step(self, action: JsonObject) -> WireReply:
        if self._stored_access is not None:
            return await self._episodes.step(self._stored_access, action)
        return await step_with_queued_slow_call(
            self._live_episode, action, requested_at_s=time.perf_counter()
        )

    async def get_state(self) -> JsonObject:
        if self._stored_access is not None:
            return await self._episodes.get_progress_without_id_for_players(self._stored_access)
        return self._live_episode.get_progress_with_episode_id()

    async def get_tool_selection_fields(self) -> JsonObject:
        if self._stored_access is not None:
            return await self._episodes.get_tool_selection_fields(self._stored_access)
        return self._live_episode.get_tool_selection_fields()

    async def store_or_close_episode_at_connection_end(
        self, *, may_resume: bool, reason: EndReason
    ) -> None:
        if self._stored_access is None:
            if may_resume:
                await self._episodes.try_to_store_disconnected_episode(self._live_episode)
            RUNNING_EPISODES.remove_and_log_end_if_registered(
                self._live_episode.running_entry, reason
            )
        elif not may_resume:
            # The episode may be gone because another connection resumed or closed it.
            with suppress(EpisodeGoneError):
                await self._episodes.close_episode_and_release_unplayed_task(self._stored_access)
        elif reason not in (EndReason.RESUMED, EndReason.RESTARTED):
            # After RESUMED or RESTARTED, another connection plays the episode, so it goes on.
            key = EpisodeKey(self._episodes.environment.name, self._stored_access.episode_id)
            RUNNING_EPISODES.remove_and_log_end_if_registered(RUNNING_EPISODES.find(key), reason)

    def _switch_to_stored_episode_and_end_previous(self, started: StartedEpisode) -> None:
        """Switch to a stored episode, and end the episode that this connection played before."""
        RUNNING_EPISODES.remove_and_log_end_if_registered(
            self._live_episode.running_entry, EndReason.RESTARTED
        )
        self._stored_access, self.immediate_step = started.access, None
        self._live_episode = self._episodes.create_live_episode_without_reset(
            self._transport, is_stored=False
        )

    async def _resume_episode_or_build_error_reply(self, reset_arguments: JsonObject) -> WireReply:
        episode_id = reset_arguments.get("episode_id")
        if (
            reset_arguments[RESUME_ARGUMENT] is not True
            or not isinstance(episode_id, str)
            or len(reset_arguments) > 2
        ):
            return self._build_error_reply(
                'To resume an episode, send {"episode_id": its id, "resume": true} without other '
                "arguments."
            )
        if self._stored_access is None and self._live_episode.episode_id == episode_id:
            return self._build_error_reply(
                f"This session already plays {episode_id[:MAX_REPR_CHARACTERS]!r}."
            )
        await self._end_other_connections_to_episode(episode_id, EndReason.RESUMED)
        try:
            started = await self._episodes.resume_episode(episode_id)
        except EpisodeGoneError as error:
            return self._build_error_reply(str(error))
        self._switch_to_stored_episode_and_end_previous(started)
        return started.wire_reply

    async def _end_other_connections_to_episode(self, episode_id: str, reason: EndReason) -> None:
        """End this worker's other connections to an episode, and wait until they have stored it."""
        environment = self._episodes.environment.name
        ending_tasks = []
        for session in self._slots:
            if session.environment != environment or session.episode_id != episode_id:
                continue
            if session.task is not None and session.task is not self._task:
                session.end_by_cancelling_task(reason)
                ending_tasks.append(session.task)
        if ending_tasks:
            await asyncio.wait(ending_tasks, timeout=RELEASE_TIMEOUT_S)

    def _build_error_reply(self, error_text: str) -> WireReply:
        return self._live_episode.build_wire_reply(Reply(ReplyStatus.ERROR, error_text))
