"""Loads copies of stored episodes into the memory of this worker, and keeps them up to date."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from openenv_kit.environment import Environment
from openenv_kit.reply import Reply
from openenv_kit.serving import logs
from openenv_kit.serving.episodes.episode_cache import CachedEpisode, EpisodeCache
from openenv_kit.serving.episodes.ids import (
    EpisodeAccess,
    EpisodeClosedError,
    EpisodeResumedElsewhereError,
    OutdatedEpisodeError,
    UnknownEpisodeError,
    UnreadableEpisodeError,
)
from openenv_kit.serving.episodes.live_episode import MAX_RECORD_BYTES, LiveEpisode
from openenv_kit.serving.episodes.records import RESET_ACTION_INDEX, EpisodeStart, ReplayError
from openenv_kit.serving.episodes.running_episodes import RUNNING_EPISODES
from openenv_kit.serving.episodes.sealed_episodes import record_result_if_sealed_and_ended
from openenv_kit.serving.episodes.task_assignment import AssignedTask
from openenv_kit.serving.episodes.worker_threads import (
    apply_stored_action_with_queued_slow_call,
    rebuild_with_queued_slow_calls,
)
from openenv_kit.serving.http import client_identity
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.errors import StoreError
from openenv_kit.serving.store.interface import (
    EndStatus,
    EpisodeStore,
    LeaseId,
    NewEpisode,
    StoredEpisode,
)
from openenv_kit.serving.store.sealed_records import SealedStartRequest
from openenv_kit.unencodable_text import is_encodable

logger = logging.getLogger("openenv_kit.episodes")


class RebuiltEpisode(NamedTuple):
    """An episode that was rebuilt from its record.

    Attributes:
        live_episode: the episode.
        reply: the reply to a resume request.
    """

    live_episode: LiveEpisode
    reply: Reply


class EpisodeLoader:
    """Loads and stores the episodes of one environment, and caches live copies of them.

    Callers hold the lock of a `CachedEpisode` while they use or change it.

    Args:
        environment: the environment.
        store: store that all environments of the server share.
        settings: settings of the server.
    """

    def __init__(self, environment: Environment, store: EpisodeStore, settings: Settings) -> None:
        self._environment = environment
        self._store = store
        self._settings = settings
        self.cache = EpisodeCache()

    def build_store_key_with_environment_name(self, episode_id: str) -> str:
        """Return the id under which the store keeps an episode: `ENVIRONMENT/EPISODE_ID`."""
        return f"{self._environment.name}/{episode_id}"

    def create_live_episode_without_reset(
        self, transport: str, *, is_stored: bool = True, assigned_task: AssignedTask | None = None
    ) -> LiveEpisode:
        """Create a live episode of this environment that has not been reset.

        Args:
            transport: transport through which the episode is played.
            is_stored: whether each action is stored. The record of a stored episode may be larger.
            assigned_task: task that the server assigned; None if the client chose the task.
        """
        max_record_bytes = self._settings.max_episode_bytes if is_stored else MAX_RECORD_BYTES
        return LiveEpisode(
            transport,
            max_record_bytes,
            self._environment,
            self._settings,
            assigned_task=assigned_task,
        )

    async def load_episode_or_raise_inaccessible(
        self, access: EpisodeAccess, *, replace_lease: bool = False, allow_closed: bool = False
    ) -> StoredEpisode:
        """Load an episode from the store, and check that the caller may use it.

        Args:
            access: id of the episode and the caller's credentials.
            replace_lease: whether to replace the lease, so that other connections lose the episode.
            allow_closed: whether the episode may be closed.

        Raises:
            UnknownEpisodeError: the episode is not stored, or belongs to another player.
            UnreadableEpisodeError: the start of the episode cannot be read.
            OutdatedEpisodeError: the episode was started under other versions.
            EpisodeResumedElsewhereError: the lease is no longer valid.
            EpisodeClosedError: the episode is closed and `allow_closed` is False.
        """
        episode_id, player_id = access.episode_id, access.player_id
        stored_episode = None
        if is_encodable(episode_id):
            stored_episode = await self._store.load_and_extend_expiry(
                self.build_store_key_with_environment_name(episode_id), replace_lease=replace_lease
            )
        if stored_episode is None or (player_id and player_id != stored_episode.player_id):
            raise UnknownEpisodeError(
                player_id or episode_id,
                self._settings.episode_ttl_s,
                is_player_id=bool(player_id),
            )
        versions = _parse_start_or_raise_unreadable(access, stored_episode).versions
        if versions != dict(self._environment.versions):
            raise OutdatedEpisodeError(access, versions, self._environment.versions)
        if access.lease_id and access.lease_id != stored_episode.lease_id:
            raise EpisodeResumedElsewhereError
        if stored_episode.end_status == EndStatus.CLOSED and not allow_closed:
            raise EpisodeClosedError(access)
        return stored_episode

    async def update_or_rebuild_cached_from_store(
        self, access: EpisodeAccess, cached_episode: CachedEpisode, *, allow_closed: bool = False
    ) -> LiveEpisode:
        """Return the cached copy of an episode after applying every stored action to it.

        Raises:
            EpisodeGoneError: the episode cannot be played, see
                `load_episode_or_raise_inaccessible` and
                `rebuild_without_failed_last_action_and_cache`.
        """
        try:
            stored_episode = await self.load_episode_or_raise_inaccessible(
                access, allow_closed=allow_closed
            )
        except UnknownEpisodeError:
            # Unknown ids must not displace other episodes in the cache.
            self.cache.drop_episode(access.episode_id)
            raise
        live_episode = cached_episode.live_episode
        if live_episode is None or cached_episode.lease_id != stored_episode.lease_id:
            return (
                await self.rebuild_without_failed_last_action_and_cache(
                    access, cached_episode, stored_episode
                )
            ).live_episode
        try:
            for index in range(len(live_episode.record.actions), len(stored_episode.actions)):
                await apply_stored_action_with_queued_slow_call(
                    live_episode,
                    stored_episode.actions[index],
                    stored_episode.slow_results.get(index),
                )
        except Exception:
            # Another worker has stored an action that fails, and could not remove it.
            cached_episode.live_episode = None
            return (
                await self.rebuild_without_failed_last_action_and_cache(
                    access, cached_episode, stored_episode
                )
            ).live_episode
        has_ended = live_episode.final_reply or stored_episode.end_status
        if live_episode.running_entry is not None and has_ended:
            # Another worker has logged the end.
            RUNNING_EPISODES.remove_without_logging_end(live_episode.running_entry)
        cached_episode.replace_with_stored_episode(live_episode, stored_episode)
        await self.store_new_slow_results_or_log_failure(access.episode_id, cached_episode)
        return live_episode

    async def rebuild_without_failed_last_action_and_cache(
        self, access: EpisodeAccess, cached_episode: CachedEpisode, stored_episode: StoredEpisode
    ) -> RebuiltEpisode:
        """Rebuild an episode from its record, and cache it.

        If the last action fails, it is removed from the store. The store can contain such an action
        because it is stored before it is executed, and the server may stop in between.

        Raises:
            UnreadableEpisodeError: the reset or an earlier action fails.
        """
        try:
            rebuilt = await self._rebuild_from_stored_episode(access, stored_episode)
        except ReplayError as error:
            logs.log_internal_error_and_build_client_message(logger, error, access.episode_id)
            last_index = len(stored_episode.actions) - 1
            if error.action_index == RESET_ACTION_INDEX or error.action_index != last_index:
                raise UnreadableEpisodeError(access, str(error)) from None
            await self.remove_last_action_from_store(
                access.episode_id, stored_episode.lease_id, last_index
            )
            stored_episode = replace(
                stored_episode,
                actions=stored_episode.actions[:-1],
                request_ids=stored_episode.request_ids[:-1],
            )
            try:
                rebuilt = await self._rebuild_from_stored_episode(access, stored_episode)
            except ReplayError as second_error:
                raise UnreadableEpisodeError(access, str(second_error)) from None
        cached_episode.replace_with_stored_episode(rebuilt.live_episode, stored_episode)
        self.cache.update_size_and_enforce_memory_limit(access.episode_id)
        await self.store_new_slow_results_or_log_failure(access.episode_id, cached_episode)
        return rebuilt

    async def store_new_episode(
        self,
        live_episode: LiveEpisode,
        episode_id: str,
        *,
        overwrite: bool = True,
        sealed_start: SealedStartRequest | None = None,
    ) -> LeaseId | None:
        """Store a new episode, which counts towards the limit of the current client.

        Returns:
            The id of the episode's lease, or None if an episode with the same id exists and
            `overwrite` is False.
        """
        start = EpisodeStart(
            live_episode.reset_arguments,
            self._environment.versions,
            live_episode.assigned_task,
            live_episode.transport,
        )
        new_episode = NewEpisode(
            live_episode.transport,
            start.to_json(),
            live_episode.record.actions,
            client_address=client_identity.GET_CLIENT_ADDRESS.get()(),
            player_id=live_episode.player_id,
            slow_results=live_episode.record.slow_results,
            sealed_start=sealed_start,
        )
        return await self._store.create_or_replace_episode(
            self.build_store_key_with_environment_name(episode_id), new_episode, overwrite=overwrite
        )

    async def confirm_assigned_task_before_first_action(self, live_episode: LiveEpisode) -> None:
        """Mark the assigned task of an episode as played, so that it is never assigned again."""
        if live_episode.assigned_task is not None and not live_episode.record.actions:
            await self._store.confirm_or_release_task(*live_episode.assigned_task, is_played=True)

    async def append_action_unless_cache_is_outdated(
        self,
        episode_id: str,
        cached_episode: CachedEpisode,
        live_episode: LiveEpisode,
        action_json: bytes,
        request_id: str,
    ) -> bool:
        """Append an action to the stored episode, unless the cached copy is out of date.

        Returns:
            False if nothing was appended because another worker has stored another action or a new
            lease.
        """
        was_appended = await self._store.append_action_if_index_is_next(
            self.build_store_key_with_environment_name(episode_id),
            cached_episode.lease_id,
            len(live_episode.record.actions),
            action_json,
            request_id,
        )
        if was_appended:
            cached_episode.request_ids.append(request_id)
        return was_appended

    async def store_new_slow_results_or_log_failure(
        self, episode_id: str, cached_episode: CachedEpisode
    ) -> None:
        """Store the results of slow calls that are not stored yet. Failures are only logged.

        Args:
            episode_id: id of the episode.
            cached_episode: the cached copy, which has the same actions as the stored episode.
        """
        slow_results: Mapping[int, bytes] = {}
        if cached_episode.live_episode is not None:
            slow_results = cached_episode.live_episode.record.slow_results
        for index in sorted(slow_results.keys() - cached_episode.stored_result_indices):
            cached_episode.stored_result_indices.add(index)
            try:
                await self._store.add_slow_result_if_missing(
                    self.build_store_key_with_environment_name(episode_id),
                    cached_episode.lease_id,
                    index,
                    slow_results[index],
                )
            except StoreError as error:
                logger.warning("failed to store a slow result", extra={"reason": str(error)})

    async def remove_last_action_from_store(
        self, episode_id: str, lease_id: str, action_index: int
    ) -> None:
        """Remove the last action of an episode from the store. Failures are only logged."""
        try:
            await self._store.remove_action_if_last(
                self.build_store_key_with_environment_name(episode_id), lease_id, action_index
            )
        except StoreError as error:
            logger.warning("failed to remove an action", extra={"reason": str(error)})

    async def record_sealed_result_and_mark_completed(
        self, episode_id: str, lease_id: str, live_episode: LiveEpisode
    ) -> None:
        """Record the result of a sealed task, and mark the episode as completed.

        The store may evict completed episodes before running ones. Failures are only logged.
        """
        try:
            await record_result_if_sealed_and_ended(self._store, live_episode)
            await self._store.mark_ended_if_lease_is_valid(
                self.build_store_key_with_environment_name(episode_id),
                lease_id,
                EndStatus.COMPLETED,
            )
        except StoreError as error:
            logger.warning("failed to mark the episode as completed", extra={"reason": str(error)})

    async def _rebuild_from_stored_episode(
        self, access: EpisodeAccess, stored_episode: StoredEpisode
    ) -> RebuiltEpisode:
        start = _parse_start_or_raise_unreadable(access, stored_episode)
        live_episode = self.create_live_episode_without_reset(
            "http", assigned_task=start.assigned_task
        )
        live_episode.original_start = start
        reply = await rebuild_with_queued_slow_calls(
            live_episode,
            access.episode_id,
            start.reset_arguments,
            stored_episode.actions,
            stored_episode.player_id,
            stored_episode.slow_results,
        )
        return RebuiltEpisode(live_episode, reply)


def _parse_start_or_raise_unreadable(
    access: EpisodeAccess, stored_episode: StoredEpisode
) -> EpisodeStart:
    try:
        return EpisodeStart.from_json(stored_episode.start_json)
    except (ValueError, KeyError, TypeError):
        raise UnreadableEpisodeError(access, "its start cannot be read") from None
