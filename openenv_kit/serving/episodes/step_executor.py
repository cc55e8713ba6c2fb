"""Executes the steps of stored episodes: each action is stored first, then executed."""

from __future__ import annotations

import time

from openenv_kit.serving import messages
from openenv_kit.serving.episodes.episode_cache import CachedEpisode
from openenv_kit.serving.episodes.episode_loader import EpisodeLoader
from openenv_kit.serving.episodes.ids import (
    EpisodeAccess,
    EpisodeTooLongError,
    UnreadableEpisodeError,
)
from openenv_kit.serving.episodes.live_episode import LiveEpisode
from openenv_kit.serving.episodes.records import ReplayError
from openenv_kit.serving.episodes.worker_threads import (
    rebuild_with_queued_slow_calls,
    step_with_queued_slow_call,
)
from openenv_kit.serving.message_limits import require_json_within_complexity_limits
from openenv_kit.serving.messages import JsonObject, WireReply
from openenv_kit.unencodable_text import describe_unencodable_text


class StepExecutor:
    """Executes the steps of one environment's stored episodes.

    Args:
        loader: loader of the episodes.
    """

    def __init__(self, loader: EpisodeLoader) -> None:
        self._loader = loader

    async def step(self, access: EpisodeAccess, action: JsonObject, request_id: str) -> WireReply:
        """Execute an action and return the reply; see `EpisodeService.step`."""
        requested_at_s = time.perf_counter()
        # A reply to a trainer over HTTP contains the episode id.
        is_trainer_over_http = not (access.player_id or access.lease_id)
        episode_ids = {"episode_id": access.episode_id} if is_trainer_over_http else None
        cached_episode = self._loader.cache.get_or_add_entry_within_max_episodes(access.episode_id)
        async with cached_episode.lock:
            live_episode = cached_episode.get_live_episode_if_access_is_valid(access)
            # Appending an action to the store fails if the cached copy is out of date. A step that
            # appends nothing has no such check, so the copy is updated first.
            stores_nothing = live_episode is not None and (
                live_episode.final_reply or cached_episode.has_stored_action_of_request(request_id)
            )
            if live_episode is None or stores_nothing:
                live_episode = await self._loader.update_or_rebuild_cached_from_store(
                    access, cached_episode
                )
            while True:
                if cached_episode.has_stored_action_of_request(request_id):
                    return await self._recompute_reply_to_earlier_request(
                        access, cached_episode, live_episode, request_id, episode_ids
                    )
                if live_episode.final_reply or describe_unencodable_text(action, "action"):
                    # The session's reply explains the error. The step is neither counted nor
                    # stored.
                    reply = live_episode.session.step(action)
                    return live_episode.build_wire_reply(reply, episode_ids)
                live_episode.register_as_running_if_not_ended()
                action_json = _serialize_action_within_limits(live_episode, action)
                await self._loader.confirm_assigned_task_before_first_action(live_episode)
                if await self._loader.append_action_unless_cache_is_outdated(
                    access.episode_id, cached_episode, live_episode, action_json, request_id
                ):
                    break
                # Another worker has stored an action with this index.
                live_episode = await self._loader.update_or_rebuild_cached_from_store(
                    access, cached_episode
                )
            try:
                wire_reply = await step_with_queued_slow_call(
                    live_episode, action, action_json, episode_ids, requested_at_s
                )
            except Exception:
                action_index = len(cached_episode.request_ids) - 1
                await self._loader.remove_last_action_from_store(
                    access.episode_id, cached_episode.lease_id, action_index
                )
                cached_episode.live_episode = None  # the next request rebuilds the episode
                raise
            if live_episode.record.slow_results:
                await self._loader.store_new_slow_results_or_log_failure(
                    access.episode_id, cached_episode
                )
            if wire_reply["done"]:
                await self._loader.record_sealed_result_and_mark_completed(
                    access.episode_id, cached_episode.lease_id, live_episode
                )
            return wire_reply

    async def _recompute_reply_to_earlier_request(
        self,
        access: EpisodeAccess,
        cached_episode: CachedEpisode,
        live_episode: LiveEpisode,
        request_id: str,
        metadata_ids: JsonObject | None,
    ) -> WireReply:
        """Return the reply to an earlier request, by replaying the episode up to that request."""
        action_index = cached_episode.request_ids.index(request_id)
        record = live_episode.record
        copy = self._loader.create_live_episode_without_reset("http")
        try:
            await rebuild_with_queued_slow_calls(
                copy,
                access.episode_id,
                live_episode.reset_arguments,
                record.actions[:action_index],
                slow_results=record.slow_results,
            )
        except ReplayError as error:
            raise UnreadableEpisodeError(access, str(error)) from None
        action = messages.parse_json_within_limits(record.actions[action_index])
        reply = copy.session.repeat_stored_step(action, record.get_slow_result(action_index))
        return copy.build_wire_reply(reply, metadata_ids)


def _serialize_action_within_limits(live_episode: LiveEpisode, action: JsonObject) -> bytes:
    """Serialize an action to JSON.

    Raises:
        MessageTooComplexError: the action is nested too deeply or has too many members.
        EpisodeTooLongError: the action would exceed the maximum size of the episode.
    """
    require_json_within_complexity_limits(action)
    action_json = messages.to_json_bytes(action)
    record = live_episode.record
    if record.size_bytes + len(action_json) > record.max_bytes:
        raise EpisodeTooLongError(record.max_bytes)
    return action_json
