"""Stored episodes: played over HTTP and MCP, and on WebSockets that resumed or named one.

An episode has one timeline, and the store has it. Whatever an episode of the store is played
through, an action is stored before it is played, in the place of the next one and no other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from openenv_kit.environment import Environment, Reply, get_environment
from openenv_kit.reply import ReplyStatus
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving import logs, messages
from openenv_kit.serving.episodes.ids import (
    SERVER_EPISODE_ID_PATTERN,
    EpisodeAccess,
    EpisodeClosedError,
    EpisodeResumedElsewhereError,
    EpisodeTooLongError,
    OutdatedEpisodeError,
    UnknownEpisodeError,
    UnreadableEpisodeError,
)
from openenv_kit.serving.episodes.live_episode import (
    MAX_RECORD_BYTES,
    AssignedTask,
    LiveEpisode,
    ReplayError,
    apply_stored_action,
    decompress_slow_result,
    rebuild_live_episode,
    run_queued_reset,
    step_live_episode,
)
from openenv_kit.serving.episodes.records import (
    UNKNOWN_SERVER_ID,
    CachedEpisode,
    EpisodeCache,
    StartedEpisode,
    assign_next_task,
    build_record_model,
    build_running_entry,
    build_start_json,
    build_trainer_record,
    store_slow_results,
    versions_at_start,
)
from openenv_kit.serving.episodes.running_episodes import (
    RUNNING_EPISODES,
    EndReason,
    EpisodeKey,
)
from openenv_kit.serving.episodes.sealed_episodes import SealedEpisodes
from openenv_kit.serving.http import client_identity
from openenv_kit.serving.message_limits import require_bounded_complexity
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.interface import (
    CLOSED,
    COMPLETED,
    EpisodeStore,
    NewEpisode,
    StoredEpisode,
    StoreError,
    open_store,
)
from openenv_kit.serving.store.sealed_records import SealedStartRequest
from openenv_kit.unencodable_text import describe_unencodable_text, is_encodable

logger = logging.getLogger("openenv_kit.episodes")

MAX_CACHED_EPISODES, MAX_CACHED_BYTES = 1024, 256 << 20
"""Stored episodes that a worker keeps made: how many, and the bytes of their sessions together. Any
other is made again from the store."""

JsonObject = dict[str, Any]


class EpisodeService:
    """An environment's episodes of a store, which is one of its own unless one is given.

    What cannot be played, or not any longer, is an EpisodeGoneError.

    Writers of one episode take turns: in one worker by a lock, among workers by the store,
    which takes the action number n only once. An action is stored before it is played, so what
    was answered is never lost.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Environment | None = None,
        store: EpisodeStore | None = None,
    ) -> None:
        self.environment = environment or get_environment()
        self.record_model = build_record_model(self.environment.wire_models.state)
        self.store = store or open_store(settings)
        self._settings = settings
        self.mcp_split = settings.mcp_split
        self.sealed_episodes = SealedEpisodes(self, settings)
        self._held = EpisodeCache(MAX_CACHED_BYTES)

    def create_live_episode(
        self, transport: str, *, is_stored: bool = True, assigned_task: AssignedTask | None = None
    ) -> LiveEpisode:
        """A new play of this server's environment; what is not stored may have fewer actions."""
        room = self._settings.max_episode_bytes if is_stored else MAX_RECORD_BYTES
        return LiveEpisode(
            transport, room, self.environment, self._settings, assigned_task=assigned_task
        )

    async def reset(
        self,
        reset_arguments: Mapping[str, Any],
        transport: str = "http",
        assigned_task: AssignedTask | None = None,
    ) -> StartedEpisode:
        """Start an episode, or start one over: a new timeline with a new player.

        Args:
            reset_arguments: of the reset.
            transport: the transport that asks for it.
            assigned_task: the task, where it was drawn for a session that named none.
        """
        if is_sealed_split(reset_arguments.get("split")):
            return await self.sealed_episodes.reset(reset_arguments, transport, assigned_task)
        return await self.start_stored_episode(reset_arguments, transport, assigned_task)

    async def start_stored_episode(
        self,
        reset_arguments: Mapping[str, Any],
        transport: str,
        assigned_task: AssignedTask | None,
        sealed_start: SealedStartRequest | None = None,
    ) -> StartedEpisode:
        """Start an episode; a SealedPlaysUsedUpError rejects a sealed task."""
        asked_at = time.perf_counter()
        play = self.create_live_episode(transport, assigned_task=assigned_task)
        given = reset_arguments.get("episode_id")
        ours = isinstance(given, str) and SERVER_EPISODE_ID_PATTERN.fullmatch(given)
        if ours and await self.store.load(self._store_key(str(given))) is None:
            # It may be played on a WebSocket, which stores nothing until it is dropped.
            problem = UNKNOWN_SERVER_ID.format(given)
            return StartedEpisode(
                play.build_wire_reply(Reply(ReplyStatus.ERROR, problem)), error_text=problem
            )
        reply = await run_queued_reset(self.environment, play.reset, reset_arguments, asked_at)
        if reply.status == ReplyStatus.ERROR or play.episode_id is None:
            return StartedEpisode(play.build_wire_reply(reply), error_text=reply.message)
        episode_id = play.episode_id
        held = self._get_cached(episode_id)
        async with held.lock:
            held.lease_id = await self._store_new_episode(
                play, episode_id, sealed_start=sealed_start
            )
            held.live_episode, held.request_ids, held.end_status = play, [], ""
            held.stored_result_indices = set()
            self._held.enforce_memory_limit(episode_id)
            play.register_start(is_stored=True)
            handle = EpisodeAccess(episode_id, lease_id=held.lease_id)
        return StartedEpisode(
            play.build_wire_reply(reply, play.episode_ids), handle, play.player_id
        )

    async def find_player_access(self, player_id: str) -> EpisodeAccess:
        """The handle of a player; an UnknownEpisodeError where no episode has this player."""
        found = await self.store.find_by_player(player_id) if is_encodable(player_id) else None
        own, _, episode_id = (found or "").partition("/")
        if own != self.environment.name:  # or it is another environment's
            raise UnknownEpisodeError(player_id, self._settings.episode_ttl_s, is_player_id=True)
        return EpisodeAccess(episode_id, player_id)

    async def get_player_access(self, episode_id: str) -> EpisodeAccess:
        """The handle of an episode's player."""
        return EpisodeAccess(
            episode_id,
            (await self._load_stored(EpisodeAccess(episode_id), allow_closed=True)).player_id,
        )

    async def step(
        self, access: EpisodeAccess, action: JsonObject, request_id: str = ""
    ) -> JsonObject:
        """One step, in the framework's form.

        Args:
            access: which episode, and by what right.
            action: the action.
            request_id: the client's name for this request; a second request of the same name
                gets the first one's reply, and is not a second step.

        Raises:
            EpisodeGoneError: it cannot be played, or not any longer.
            EpisodeTooLongError: its actions take more room than it has.
        """
        asked_at = time.perf_counter()
        held = self._get_cached(access.episode_id)
        http = not (access.player_id or access.lease_id)  # where a reply names the trainer's id
        names = {"episode_id": access.episode_id} if http else None
        async with held.lock:
            play, fresh = held.live_episode, False
            while True:
                mine = play is not None and access.player_id in ("", play.player_id)
                if play is None or not mine or access.lease_id not in ("", held.lease_id):
                    play, fresh = await self._update_cached_from_store(access, held), True
                repeated = bool(request_id) and request_id in held.request_ids
                if (repeated or play.final_reply) and not fresh:
                    play = None  # nothing would be stored, and so tell that this is out of date
                    continue
                if repeated:
                    return await self._repeat_reply(access, held, request_id, names)
                if play.final_reply or describe_unencodable_text(action, "action"):
                    # The session's reply says why. Nothing of it counts or is stored.
                    return play.build_wire_reply(play.session.step(action), names)
                play.register_resume()
                where = (self._store_key(access.episode_id), held.lease_id)
                require_bounded_complexity(action)
                text = messages.dumps(action)
                if play.recorded_bytes + len(text) > play.max_record_bytes:
                    raise EpisodeTooLongError(play.max_record_bytes)
                if play.assigned_task and not play.actions:
                    await self.store.confirm_or_release_task(*play.assigned_task, is_played=True)
                if not await self.store.append_action(*where, len(play.actions), text, request_id):
                    play = None
                    continue
                held.request_ids.append(request_id)
                try:
                    answer = await step_live_episode(play, action, text, names, asked_at)
                except Exception:
                    await self._remove_last_action(*where, len(held.request_ids) - 1)
                    held.live_episode = (
                        None  # the next request loads the episode without the action
                    )
                    raise
                if play.slow_results:
                    await store_slow_results(self.store, self._store_key(access.episode_id), held)
                if answer["done"]:
                    await self._mark_completed(access.episode_id, held.lease_id, play)
                return answer

    async def get_state(self, access: EpisodeAccess) -> JsonObject:
        """Progress of an episode that is played; a player is not told the trainer's id."""
        state = (await self.get_live_episode(access)).get_state()
        return state | {"episode_id": None} if access.player_id else state

    async def get_trainer_record(self, episode_id: str) -> Any:
        """An episode as its trainer sees it, after the end with its outcome."""
        held = self._get_cached(episode_id)
        async with held.lock:
            play = await self._update_cached_from_store(
                EpisodeAccess(episode_id), held, allow_closed=True
            )
            return build_trainer_record(self.record_model, play, held.end_status, held.start_count)

    async def get_live_episode(
        self, access: EpisodeAccess, *, allow_closed: bool = False
    ) -> LiveEpisode:
        """Return a stored episode's play, with every action that is stored.

        Raises:
            EpisodeGoneError: there is none for this handle; also if it was closed, unless `closed`.
        """
        held = self._get_cached(access.episode_id)
        async with held.lock:
            return await self._update_cached_from_store(access, held, allow_closed=allow_closed)

    async def resume_episode(self, episode_id: str) -> StartedEpisode:
        """Take an episode over: connections that held it before can no longer play it."""
        handle, held = EpisodeAccess(episode_id), self._get_cached(episode_id)
        await self._load_stored(handle)  # a closed one stays whose it is
        async with held.lock:
            stored = await self._load_stored(handle, new_lease=True)
            play, reply = await self._rebuild_cached(handle, held, stored)
            play.register_resume(is_client_request=True)
        claimed = EpisodeAccess(episode_id, lease_id=stored.lease_id)
        return StartedEpisode(
            play.build_wire_reply(reply, play.episode_ids), claimed, play.player_id
        )

    async def store_disconnected_episode(self, live_episode: LiveEpisode) -> bool:
        """Keep the episode of a dropped WebSocket session; one of the same name stays as it is."""
        if live_episode.episode_id is None or not live_episode.is_resumable:
            return False
        try:
            generation = await self._store_new_episode(
                live_episode, live_episode.episode_id, overwrite=False
            )
        except StoreError as problem:
            logger.warning("a dropped session was not kept", extra={"reason": str(problem)})
            return False
        if generation and live_episode.final_reply:
            await self._mark_completed(live_episode.episode_id, generation, live_episode)
        return bool(generation)

    async def close_episode(self, access: EpisodeAccess) -> None:
        """End the playing of an episode. Its record stays."""
        while True:
            stored = await self._load_stored(access)
            if await self.store.mark_ended(
                self._store_key(access.episode_id), stored.lease_id, CLOSED
            ):
                break
        key = EpisodeKey(self.environment.name, access.episode_id)
        running = RUNNING_EPISODES.find(key)
        if running is None and stored.end_status != COMPLETED:  # another worker has played it
            running = RUNNING_EPISODES.register_resume(
                build_running_entry(self.environment, key, stored), is_client_request=False
            )
        RUNNING_EPISODES.register_end(running, EndReason.CLOSED)
        if not stored.actions and (drawn := messages.loads(stored.start_json).get("drawn")):
            await self.store.confirm_or_release_task(*drawn, is_played=False)

    async def start_assigned_task(self, transport: str) -> StartedEpisode:
        """Start an episode of a task that no session played before; see `draw_task`."""
        arguments, drawn = await assign_next_task(self.environment, self.store, self.mcp_split)
        started = None
        try:
            started = await self.reset(arguments, transport, drawn)
        finally:
            if started is None or started.access is None:
                await self.store.confirm_or_release_task(*drawn, is_played=False)
        return started

    async def close(self) -> None:
        await self.store.close()
        self._held = EpisodeCache(MAX_CACHED_BYTES)

    def _store_key(self, episode_id: str) -> str:
        """Name of an episode in the store, which the environments of a server share."""
        return f"{self.environment.name}/{episode_id}"

    def _get_cached(self, episode_id: str) -> CachedEpisode:
        held = self._held.setdefault(episode_id, CachedEpisode())
        self._held.move_to_end(episode_id)
        if len(self._held) > MAX_CACHED_EPISODES:
            self._held.drop(next(iter(self._held)))
        return held

    async def _update_cached_from_store(
        self, access: EpisodeAccess, cached_episode: CachedEpisode, *, allow_closed: bool = False
    ) -> LiveEpisode:
        """Bring what this worker holds up to date with the store."""
        try:
            stored = await self._load_stored(access, allow_closed=allow_closed)
        except UnknownEpisodeError:
            self._held.drop(access.episode_id)  # unknown names must not push others out
            raise
        play = cached_episode.live_episode
        if play is None or cached_episode.lease_id != stored.lease_id:
            return (await self._rebuild_cached(access, cached_episode, stored))[0]
        try:
            for index in range(len(play.actions), len(stored.actions)):
                await apply_stored_action(
                    play, stored.actions[index], stored.slow_results.get(index)
                )
        except Exception:  # another worker stored an action that fails, and could not remove it
            cached_episode.live_episode = None
            return (await self._rebuild_cached(access, cached_episode, stored))[0]
        if play.running_entry is not None and (play.final_reply or stored.end_status):
            RUNNING_EPISODES.remove(play.running_entry)  # another worker has noted its end
        cached_episode.update_from_store(play, stored)
        await store_slow_results(self.store, self._store_key(access.episode_id), cached_episode)
        return play

    async def _rebuild_cached(
        self, access: EpisodeAccess, cached_episode: CachedEpisode, stored_episode: StoredEpisode
    ) -> tuple[LiveEpisode, Reply]:
        """Make an episode again from its record.

        A last action that fails is removed: the server stopped before it could remove it.

        Raises:
            UnreadableEpisodeError: the reset or an earlier action fails.
        """
        try:
            play, reply = await self._rebuild_live_episode(access, stored_episode)
        except ReplayError as problem:
            last = len(stored_episode.actions) - 1
            logs.log_internal_error(logger, problem, access.episode_id)
            if problem.action_index < 0 or problem.action_index != last:
                raise UnreadableEpisodeError(access, str(problem)) from None
            await self._remove_last_action(
                self._store_key(access.episode_id), stored_episode.lease_id, last
            )
            stored_episode = replace(
                stored_episode,
                actions=stored_episode.actions[:-1],
                request_ids=stored_episode.request_ids[:-1],
            )
            try:
                play, reply = await self._rebuild_live_episode(access, stored_episode)
            except ReplayError as second:
                raise UnreadableEpisodeError(access, str(second)) from None
        cached_episode.update_from_store(play, stored_episode)
        self._held.enforce_memory_limit(access.episode_id)
        await store_slow_results(self.store, self._store_key(access.episode_id), cached_episode)
        return play, reply

    async def _rebuild_live_episode(
        self, access: EpisodeAccess, stored_episode: StoredEpisode
    ) -> tuple[LiveEpisode, Reply]:
        try:
            start = messages.loads(stored_episode.start_json)
            arguments = dict(start["reset"])
        except (ValueError, KeyError, TypeError):
            raise ReplayError(-1, "its reset is not readable") from None
        play = self.create_live_episode("http", assigned_task=start.get("drawn"))
        play.start_details = start.get("started", {})
        record = (access.episode_id, arguments, stored_episode.actions, stored_episode.player_id)
        return play, await rebuild_live_episode(play, *record, stored_episode.slow_results)

    async def _remove_last_action(self, store_key: str, lease_id: str, action_index: int) -> None:
        """Remove the last action of an episode; a failure is logged."""
        try:
            await self.store.remove_last_action(store_key, lease_id, action_index)
        except StoreError as problem:
            logger.warning("failed to remove an action", extra={"reason": str(problem)})

    async def _load_stored(
        self, access: EpisodeAccess, *, new_lease: bool = False, allow_closed: bool = False
    ) -> StoredEpisode:
        """The episode as it is stored; with `take`, from now on nobody else's.

        Raises:
            UnknownEpisodeError: it is not, or not for this handle.
            OutdatedEpisodeError: it was started under other versions.
            TakenOverError: another connection has it now.
            EpisodeClosedError: it was closed; not raised with `closed`.
        """
        named, player_id = access.episode_id, access.player_id
        found = is_encodable(named) and await self.store.load(
            self._store_key(named), new_lease=new_lease
        )
        if not found or (player_id and player_id != found.player_id):
            life = self._settings.episode_ttl_s
            raise UnknownEpisodeError(player_id or named, life, is_player_id=bool(player_id))
        then, now = versions_at_start(found), dict(self.environment.versions)
        if then != now:
            raise OutdatedEpisodeError(access, then, now)
        if access.lease_id and access.lease_id != found.lease_id:
            raise EpisodeResumedElsewhereError
        if found.end_status == CLOSED and not allow_closed:
            raise EpisodeClosedError(access)
        return found

    async def _repeat_reply(
        self,
        access: EpisodeAccess,
        cached_episode: CachedEpisode,
        request_id: str,
        episode_ids: Any,
    ) -> JsonObject:
        """The reply to an earlier action."""
        assert cached_episode.live_episode is not None
        index = cached_episode.request_ids.index(request_id)
        play, arguments, actions = (
            self.create_live_episode("http"),
            cached_episode.live_episode.reset_arguments,
            cached_episode.live_episode.actions,
        )
        results = cached_episode.live_episode.slow_results
        before, action = actions[:index], messages.loads(actions[index])
        try:
            await rebuild_live_episode(
                play, access.episode_id, arguments, before, slow_results=results
            )
        except ReplayError as problem:
            raise UnreadableEpisodeError(access, str(problem)) from None
        return play.build_wire_reply(
            play.session.repeat_stored_step(action, decompress_slow_result(results.get(index))),
            episode_ids,
        )

    async def _store_new_episode(
        self,
        live_episode: LiveEpisode,
        episode_id: str,
        *,
        overwrite: bool = True,
        sealed_start: SealedStartRequest | None = None,
    ) -> str:
        """Store a play on the account of the client that is being served."""
        start = build_start_json(
            self.environment,
            live_episode.reset_arguments,
            live_episode.assigned_task,
            live_episode.transport,
        )
        client = client_identity.GET_CLIENT_ADDRESS.get()()
        new = NewEpisode(
            live_episode.transport,
            start,
            live_episode.actions,
            client,
            live_episode.player_id,
            live_episode.slow_results,
            sealed_start,
        )
        return await self.store.create(self._store_key(episode_id), new, overwrite=overwrite)

    async def _mark_completed(
        self, episode_id: str, lease_id: str, live_episode: LiveEpisode
    ) -> None:
        """Let an episode that is over make room for others; its reply goes out in any case."""
        try:
            await self.sealed_episodes.record_result(live_episode)
            await self.store.mark_ended(self._store_key(episode_id), lease_id, COMPLETED)
        except StoreError as problem:
            logger.warning("a finished episode was not marked", extra={"reason": str(problem)})
