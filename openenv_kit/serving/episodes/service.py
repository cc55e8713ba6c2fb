"""Service for the stored episodes of an environment.

HTTP and MCP use the service for all episodes. WebSockets use it for episodes that the client
resumes, or for which it chose the id. An action is stored before it is executed, under the index
that follows the last stored action, so that no acknowledged action is lost and all connections see
the same episode.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from openenv_kit.environment import Environment, Reply, get_environment
from openenv_kit.reply import ReplyStatus
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving.episodes.episode_loader import EpisodeLoader
from openenv_kit.serving.episodes.ids import (
    EpisodeAccess,
    UnknownEpisodeError,
    format_unknown_server_id_message,
    has_server_id_form,
)
from openenv_kit.serving.episodes.live_episode import LiveEpisode
from openenv_kit.serving.episodes.records import EpisodeStart, StartedEpisode
from openenv_kit.serving.episodes.running_episodes import (
    RUNNING_EPISODES,
    EndReason,
    EpisodeKey,
    RunningEpisode,
)
from openenv_kit.serving.episodes.sealed_episodes import SealedEpisodes
from openenv_kit.serving.episodes.step_executor import StepExecutor
from openenv_kit.serving.episodes.task_assignment import AssignedTask, reserve_next_unassigned_task
from openenv_kit.serving.episodes.trainer_record import (
    build_trainer_record,
    build_trainer_record_model,
)
from openenv_kit.serving.episodes.worker_threads import (
    run_reset_in_thread_if_slow_or_raise_busy,
)
from openenv_kit.serving.messages import JsonObject, WireReply
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.errors import StoreError
from openenv_kit.serving.store.interface import EndStatus, EpisodeStore
from openenv_kit.serving.store.open_store import open_store
from openenv_kit.serving.store.sealed_records import SealedStartRequest
from openenv_kit.unencodable_text import is_encodable

logger = logging.getLogger("openenv_kit.episodes")


class EpisodeService:
    """Starts, plays, resumes and closes the stored episodes of one environment.

    Methods raise an EpisodeGoneError for an episode that cannot be played.

    Requests to one episode run one after the other. Within a worker, a lock orders them; among
    workers, the store accepts each action index only once.

    Args:
        settings: settings of the server.
        environment: the environment; None to read its name from the variable ENVIRONMENT.
        store: store that the environments of the server share; None to open a store.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Environment | None = None,
        store: EpisodeStore | None = None,
    ) -> None:
        self.environment = environment or get_environment()
        self.record_model = build_trainer_record_model(self.environment.wire_models.state)
        self.store = store or open_store(settings)
        self.mcp_split = settings.mcp_split
        self.sealed_episodes = SealedEpisodes(self, settings)
        self._settings = settings
        self._loader = EpisodeLoader(self.environment, self.store, settings)
        self._executor = StepExecutor(self._loader)

    def create_live_episode_without_reset(
        self, transport: str, *, is_stored: bool = True, assigned_task: AssignedTask | None = None
    ) -> LiveEpisode:
        """Create a live episode; see `EpisodeLoader.create_live_episode_without_reset`."""
        return self._loader.create_live_episode_without_reset(
            transport, is_stored=is_stored, assigned_task=assigned_task
        )

    async def reset(
        self,
        reset_arguments: Mapping[str, Any],
        transport: str = "http",
        assigned_task: AssignedTask | None = None,
    ) -> StartedEpisode:
        """Start an episode, or restart it with a new player id if its id is already stored.

        Args:
            reset_arguments: unvalidated arguments of the reset.
            transport: transport of the request.
            assigned_task: task that the server assigned; None if the client chose the task.
        """
        if is_sealed_split(reset_arguments.get("split")):
            return await self.sealed_episodes.resume_or_start_episode(
                reset_arguments, transport, assigned_task
            )
        return await self.start_and_store_episode(reset_arguments, transport, assigned_task)

    async def start_next_task_of_mcp_split(self, transport: str) -> StartedEpisode:
        """Assign the next task of the MCP split, and start an episode of this task."""
        assignment = await reserve_next_unassigned_task(
            self.environment, self.store, self.mcp_split
        )
        started = None
        try:
            started = await self.reset(assignment.reset_arguments, transport, assignment.task)
        finally:
            if started is None or started.access is None:
                await self.store.confirm_or_release_task(*assignment.task, is_played=False)
        return started

    async def start_and_store_episode(
        self,
        reset_arguments: Mapping[str, Any],
        transport: str,
        assigned_task: AssignedTask | None,
        sealed_start: SealedStartRequest | None = None,
    ) -> StartedEpisode:
        """Start an episode and store it.

        Raises:
            SealedStartsUsedUpError: the participant may not start the sealed task again.
        """
        requested_at_s = time.perf_counter()
        live_episode = self.create_live_episode_without_reset(
            transport, assigned_task=assigned_task
        )
        requested_id = reset_arguments.get("episode_id")
        # A WebSocket may play an episode with this id, which is stored only when it disconnects.
        if has_server_id_form(requested_id) and not await self._is_stored(requested_id):
            problem = format_unknown_server_id_message(requested_id)
            error_reply = Reply(ReplyStatus.ERROR, problem)
            return StartedEpisode(live_episode.build_wire_reply(error_reply), error_text=problem)
        reply = await run_reset_in_thread_if_slow_or_raise_busy(
            self.environment, live_episode.reset, reset_arguments, requested_at_s
        )
        episode_id = live_episode.episode_id
        if reply.status == ReplyStatus.ERROR or episode_id is None:
            return StartedEpisode(live_episode.build_wire_reply(reply), error_text=reply.message)
        cached_episode = self._loader.cache.get_or_add_entry_within_max_episodes(episode_id)
        async with cached_episode.lock:
            lease_id = await self._loader.store_new_episode(
                live_episode, episode_id, sealed_start=sealed_start
            )
            assert lease_id is not None  # a stored episode with this id is overwritten
            cached_episode.replace_with_new_episode(live_episode, lease_id)
            self._loader.cache.update_size_and_enforce_memory_limit(episode_id)
            live_episode.register_start_and_end_previous(is_stored=True)
        return StartedEpisode(
            live_episode.build_wire_reply(reply, live_episode.episode_and_player_ids),
            EpisodeAccess(episode_id, lease_id=lease_id),
            live_episode.player_id,
        )

    async def find_access_by_player_id(self, player_id: str) -> EpisodeAccess:
        """Return an `EpisodeAccess` for the episode that has a player id.

        Raises:
            UnknownEpisodeError: no episode of this environment has this player id.
        """
        store_key = (
            await self.store.find_episode_id_by_player_id(player_id)
            if is_encodable(player_id)
            else None
        )
        environment_name, _, episode_id = (store_key or "").partition("/")
        if environment_name != self.environment.name:
            raise UnknownEpisodeError(player_id, self._settings.episode_ttl_s, is_player_id=True)
        return EpisodeAccess(episode_id, player_id)

    async def get_player_access_by_episode_id(self, episode_id: str) -> EpisodeAccess:
        """Return the access of a player to the episode with this id."""
        access = EpisodeAccess(episode_id)
        stored_episode = await self._loader.load_episode_or_raise_inaccessible(
            access, allow_closed=True
        )
        return EpisodeAccess(episode_id, stored_episode.player_id)

    async def step(
        self, access: EpisodeAccess, action: JsonObject, request_id: str = ""
    ) -> WireReply:
        """Execute an action and return the reply in the framework's format.

        Args:
            access: id of the episode and the caller's credentials.
            action: the unvalidated action.
            request_id: id that the client chose for this request. A second request with the same id
                gets the reply to the first one and executes nothing.

        Raises:
            EpisodeGoneError: the episode cannot be played.
            EpisodeTooLongError: the action would exceed the maximum size of an episode.
        """
        return await self._executor.step(access, action, request_id)

    async def get_progress_without_id_for_players(self, access: EpisodeAccess) -> JsonObject:
        """Return the progress of an episode. Players do not receive the episode id."""
        state = (
            await self.get_live_episode_updated_from_store(access)
        ).get_progress_with_episode_id()
        return {**state, "episode_id": None} if access.player_id else state

    async def get_tool_selection_fields(self, access: EpisodeAccess) -> JsonObject:
        """Return the episode fields that determine which tools are available."""
        live_episode = await self.get_live_episode_updated_from_store(access)
        return live_episode.get_tool_selection_fields()

    async def get_trainer_record(self, episode_id: str) -> Any:
        """Return the record of an episode for its trainer; see `EndedEpisode`."""
        cached_episode = self._loader.cache.get_or_add_entry_within_max_episodes(episode_id)
        async with cached_episode.lock:
            live_episode = await self._loader.update_or_rebuild_cached_from_store(
                EpisodeAccess(episode_id), cached_episode, allow_closed=True
            )
            return build_trainer_record(
                self.record_model,
                live_episode,
                cached_episode.end_status,
                cached_episode.start_count,
            )

    async def get_live_episode_updated_from_store(
        self, access: EpisodeAccess, *, allow_closed: bool = False
    ) -> LiveEpisode:
        """Return the live episode, after applying every stored action to it.

        Args:
            access: id of the episode and the caller's credentials.
            allow_closed: whether the episode may be closed.
        """
        cached_episode = self._loader.cache.get_or_add_entry_within_max_episodes(access.episode_id)
        async with cached_episode.lock:
            return await self._loader.update_or_rebuild_cached_from_store(
                access, cached_episode, allow_closed=allow_closed
            )

    async def resume_episode(self, episode_id: str) -> StartedEpisode:
        """Resume an episode with a new lease. Earlier connections can no longer play it."""
        access = EpisodeAccess(episode_id)
        cached_episode = self._loader.cache.get_or_add_entry_within_max_episodes(episode_id)
        # A closed episode is rejected before its lease is replaced.
        await self._loader.load_episode_or_raise_inaccessible(access)
        async with cached_episode.lock:
            stored_episode = await self._loader.load_episode_or_raise_inaccessible(
                access, replace_lease=True
            )
            live_episode, reply = await self._loader.rebuild_without_failed_last_action_and_cache(
                access, cached_episode, stored_episode
            )
            live_episode.register_as_running_if_not_ended(is_client_request=True)
        return StartedEpisode(
            live_episode.build_wire_reply(reply, live_episode.episode_and_player_ids),
            EpisodeAccess(episode_id, lease_id=stored_episode.lease_id),
            live_episode.player_id,
        )

    async def try_to_store_disconnected_episode(self, live_episode: LiveEpisode) -> bool:
        """Store the episode of a WebSocket session that was disconnected.

        Returns:
            False if the episode cannot be resumed or stored, or its id is already stored.
        """
        episode_id = live_episode.episode_id
        if episode_id is None or not live_episode.is_resumable:
            return False
        try:
            lease_id = await self._loader.store_new_episode(
                live_episode, episode_id, overwrite=False
            )
        except StoreError as error:
            logger.warning("failed to store a disconnected session", extra={"reason": str(error)})
            return False
        if lease_id is None:
            return False
        if live_episode.final_reply:
            await self._loader.record_sealed_result_and_mark_completed(
                episode_id, lease_id, live_episode
            )
        return True

    async def close_episode_and_release_unplayed_task(self, access: EpisodeAccess) -> None:
        """Close an episode, so that it accepts no further actions. Its record is kept."""
        store_key = self._loader.build_store_key_with_environment_name(access.episode_id)
        while True:
            stored_episode = await self._loader.load_episode_or_raise_inaccessible(access)
            lease_id = stored_episode.lease_id
            if await self.store.mark_ended_if_lease_is_valid(store_key, lease_id, EndStatus.CLOSED):
                break
        running_entry = RUNNING_EPISODES.find(EpisodeKey(self.environment.name, access.episode_id))
        if running_entry is None and stored_episode.end_status != EndStatus.COMPLETED:
            # The episode was played by another worker.
            running_entry = RUNNING_EPISODES.get_or_register_resumed(
                RunningEpisode.from_stored(self.environment, access.episode_id, stored_episode),
                is_client_request=False,
            )
        RUNNING_EPISODES.remove_and_log_end_if_registered(running_entry, EndReason.CLOSED)
        assigned_task = EpisodeStart.from_json(stored_episode.start_json).assigned_task
        if assigned_task is not None and not stored_episode.actions:
            await self.store.confirm_or_release_task(*assigned_task, is_played=False)

    async def close_store_and_clear_cache(self) -> None:
        """Close the store, and remove all live episodes from the cache."""
        await self.store.close()
        self._loader.cache.clear()

    async def _is_stored(self, episode_id: str) -> bool:
        return (
            await self.store.load_and_extend_expiry(
                self._loader.build_store_key_with_environment_name(episode_id)
            )
            is not None
        )
