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

from openenv_kit.environment import ERROR, Environment, Reply, get_environment
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving import logs, messages
from openenv_kit.serving.episodes.ids import (
    OWN_ID,
    EpisodeClosedError,
    EpisodeTooLongError,
    Handle,
    OutdatedEpisodeError,
    TakenOverError,
    UnknownEpisodeError,
    UnreadableEpisodeError,
)
from openenv_kit.serving.episodes.live_episode import (
    MAX_RECORD_BYTES,
    Drawn,
    Play,
    ReplayError,
    follow,
    in_turn,
    rebuild,
    take_step,
    unpack_result,
)
from openenv_kit.serving.episodes.records import (
    NOT_YOURS,
    Held,
    HeldEpisodes,
    Started,
    draw_task,
    record_model,
    record_of,
    running_of,
    start_text,
    store_slow_results,
    versions_of,
)
from openenv_kit.serving.episodes.running_episodes import (
    RUNNING,
    EndReason,
    EpisodeKey,
)
from openenv_kit.serving.episodes.sealed_episodes import SealedPlays
from openenv_kit.serving.http import client_identity
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
from openenv_kit.serving.store.sealed_records import SealedStart
from openenv_kit.unencodable_text import find_unencodable, is_encodable

logger = logging.getLogger("openenv_kit.episodes")

PLAYS_KEPT, MAX_PLAYS_BYTES = 1024, 256 << 20
"""Stored episodes that a worker keeps made: how many, and the bytes of their sessions together. Any
other is made again from the store."""

Json = dict[str, Any]


class Episodes:
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
        self.record_model = record_model(self.environment.models.state)
        self.store = store or open_store(settings)
        self._settings = settings
        self.mcp_split = settings.mcp_split
        self.sealed_plays = SealedPlays(self, settings)
        self._held = HeldEpisodes(MAX_PLAYS_BYTES)

    def play(self, transport: str, *, stored: bool = True, drawn: Drawn | None = None) -> Play:
        """A new play of this server's environment; what is not stored may have fewer actions."""
        room = self._settings.max_episode_bytes if stored else MAX_RECORD_BYTES
        return Play(transport, room, self.environment, self._settings, drawn=drawn)

    async def reset(
        self, arguments: Mapping[str, Any], source: str = "http", drawn: Drawn | None = None
    ) -> Started:
        """Start an episode, or start one over: a new timeline with a new player.

        Args:
            arguments: of the reset.
            source: the transport that asks for it.
            drawn: the task, where it was drawn for a session that named none.
        """
        if is_sealed_split(arguments.get("split")):
            return await self.sealed_plays.reset(arguments, source, drawn)
        return await self.start(arguments, source, drawn)

    async def start(
        self,
        arguments: Mapping[str, Any],
        source: str,
        drawn: Drawn | None,
        sealed: SealedStart | None = None,
    ) -> Started:
        """Start an episode; a SealedPlaysUsedUpError rejects a sealed task."""
        asked_at = time.perf_counter()
        play = self.play(source, drawn=drawn)
        given = arguments.get("episode_id")
        ours = isinstance(given, str) and OWN_ID.fullmatch(given)
        if ours and await self.store.load(self._key(str(given))) is None:
            # It may be played on a WebSocket, which stores nothing until it is dropped.
            problem = NOT_YOURS.format(given)
            return Started(play.data(Reply(ERROR, problem)), problem=problem)
        reply = await in_turn(self.environment, play.reset, arguments, asked_at)
        if reply.status == ERROR or play.episode_id is None:
            return Started(play.data(reply), problem=reply.message)
        episode_id = play.episode_id
        held = self._hold(episode_id)
        async with held.lock:
            held.generation = await self._create(play, episode_id, sealed=sealed)
            held.play, held.request_ids, held.ended = play, [], ""
            held.stored_results = set()
            self._held.bound_memory(episode_id)
            play.note_start(is_stored=True)
            handle = Handle(episode_id, claim=held.generation)
        return Started(play.data(reply, play.names), handle, play.player_id)

    async def player(self, player_id: str) -> Handle:
        """The handle of a player; an UnknownEpisodeError where no episode has this player."""
        found = await self.store.find(player_id) if is_encodable(player_id) else None
        own, _, episode_id = (found or "").partition("/")
        if own != self.environment.name:  # or it is another environment's
            raise UnknownEpisodeError(player_id, self._settings.episode_ttl_s, player=True)
        return Handle(episode_id, player_id)

    async def player_of(self, episode_id: str) -> Handle:
        """The handle of an episode's player."""
        return Handle(episode_id, (await self._stored(Handle(episode_id), closed=True)).player)

    async def step(self, handle: Handle, data: Json, request_id: str = "") -> Json:
        """One step, in the framework's form.

        Args:
            handle: which episode, and by what right.
            data: the action.
            request_id: the client's name for this request; a second request of the same name
                gets the first one's reply, and is not a second step.

        Raises:
            EpisodeGoneError: it cannot be played, or not any longer.
            EpisodeTooLongError: its actions take more room than it has.
        """
        asked_at = time.perf_counter()
        held = self._hold(handle.episode_id)
        http = not (handle.player_id or handle.claim)  # where a reply names the trainer's id
        names = {"episode_id": handle.episode_id} if http else None
        async with held.lock:
            play, fresh = held.play, False
            while True:
                mine = play is not None and handle.player_id in ("", play.player_id)
                if play is None or not mine or handle.claim not in ("", held.generation):
                    play, fresh = await self._load(handle, held), True
                repeated = bool(request_id) and request_id in held.request_ids
                if (repeated or play.final) and not fresh:
                    play = None  # nothing would be stored, and so tell that this is out of date
                    continue
                if repeated:
                    return await self._again(handle, held, request_id, names)
                if play.final or find_unencodable(data, "action"):
                    # The session's reply says why. Nothing of it counts or is stored.
                    return play.data(play.session.step(data), names)
                play.note_resume()
                where = (self._key(handle.episode_id), held.generation)
                messages.check_shape(data)
                text = messages.dumps(data)
                if play.recorded_bytes + len(text) > play.max_record_bytes:
                    raise EpisodeTooLongError(play.max_record_bytes)
                if play.drawn and not play.actions:
                    await self.store.settle(*play.drawn, played=True)
                if not await self.store.append(*where, len(play.actions), text, request_id):
                    play = None
                    continue
                held.request_ids.append(request_id)
                try:
                    answer = await take_step(play, data, text, names, asked_at)
                except Exception:
                    await self._retract(*where, len(held.request_ids) - 1)
                    held.play = None  # the next request loads the episode without the action
                    raise
                if play.slow_results:
                    await store_slow_results(self.store, self._key(handle.episode_id), held)
                if answer["done"]:
                    await self._complete(handle.episode_id, held.generation, play)
                return answer

    async def state(self, handle: Handle) -> Json:
        """Progress of an episode that is played; a player is not told the trainer's id."""
        state = (await self.get_play(handle)).state()
        return state | {"episode_id": None} if handle.player_id else state

    async def record(self, episode_id: str) -> Any:
        """An episode as its trainer sees it, after the end with its outcome."""
        held = self._hold(episode_id)
        async with held.lock:
            play = await self._load(Handle(episode_id), held, closed=True)
            return record_of(self.record_model, play, held.ended, held.timeline)

    async def get_play(self, handle: Handle, *, closed: bool = False) -> Play:
        """Return a stored episode's play, with every action that is stored.

        Raises:
            EpisodeGoneError: there is none for this handle; also if it was closed, unless `closed`.
        """
        held = self._hold(handle.episode_id)
        async with held.lock:
            return await self._load(handle, held, closed=closed)

    async def resume(self, episode_id: str) -> Started:
        """Take an episode over: connections that held it before can no longer play it."""
        handle, held = Handle(episode_id), self._hold(episode_id)
        await self._stored(handle)  # a closed one stays whose it is
        async with held.lock:
            stored = await self._stored(handle, take=True)
            play, reply = await self._restored(handle, held, stored)
            play.note_resume(by_client=True)
        claimed = Handle(episode_id, claim=stored.generation)
        return Started(play.data(reply, play.names), claimed, play.player_id)

    async def save(self, play: Play) -> bool:
        """Keep the episode of a dropped WebSocket session; one of the same name stays as it is."""
        if play.episode_id is None or not play.resumable:
            return False
        try:
            generation = await self._create(play, play.episode_id, over=False)
        except StoreError as problem:
            logger.warning("a dropped session was not kept", extra={"reason": str(problem)})
            return False
        if generation and play.final:
            await self._complete(play.episode_id, generation, play)
        return bool(generation)

    async def close_episode(self, handle: Handle) -> None:
        """End the playing of an episode. Its record stays."""
        while True:
            stored = await self._stored(handle)
            if await self.store.finish(self._key(handle.episode_id), stored.generation, CLOSED):
                break
        key = EpisodeKey(self.environment.name, handle.episode_id)
        running = RUNNING.find(key)
        if running is None and stored.ended != COMPLETED:  # another worker has played it
            running = RUNNING.resume(running_of(self.environment, key, stored), by_client=False)
        RUNNING.end(running, EndReason.CLOSED)
        if not stored.actions and (drawn := messages.loads(stored.start).get("drawn")):
            await self.store.settle(*drawn, played=False)

    async def fresh(self, source: str) -> Started:
        """Start an episode of a task that no session played before; see `draw_task`."""
        arguments, drawn = await draw_task(self.environment, self.store, self.mcp_split)
        started = None
        try:
            started = await self.reset(arguments, source, drawn)
        finally:
            if started is None or started.handle is None:
                await self.store.settle(*drawn, played=False)
        return started

    async def close(self) -> None:
        await self.store.close()
        self._held = HeldEpisodes(MAX_PLAYS_BYTES)

    def _key(self, episode_id: str) -> str:
        """Name of an episode in the store, which the environments of a server share."""
        return f"{self.environment.name}/{episode_id}"

    def _hold(self, episode_id: str) -> Held:
        held = self._held.setdefault(episode_id, Held())
        self._held.move_to_end(episode_id)
        if len(self._held) > PLAYS_KEPT:
            self._held.drop(next(iter(self._held)))
        return held

    async def _load(self, handle: Handle, held: Held, *, closed: bool = False) -> Play:
        """Bring what this worker holds up to date with the store."""
        try:
            stored = await self._stored(handle, closed=closed)
        except UnknownEpisodeError:
            self._held.drop(handle.episode_id)  # unknown names must not push others out
            raise
        play = held.play
        if play is None or held.generation != stored.generation:
            return (await self._restored(handle, held, stored))[0]
        try:
            for index in range(len(play.actions), len(stored.actions)):
                await follow(play, stored.actions[index], stored.slow_results.get(index))
        except Exception:  # another worker stored an action that fails, and could not remove it
            held.play = None
            return (await self._restored(handle, held, stored))[0]
        if play.running is not None and (play.final or stored.ended):
            RUNNING.forget(play.running)  # another worker has noted its end
        held.update(play, stored)
        await store_slow_results(self.store, self._key(handle.episode_id), held)
        return play

    async def _restored(
        self, handle: Handle, held: Held, stored: StoredEpisode
    ) -> tuple[Play, Reply]:
        """Make an episode again from its record.

        A last action that fails is removed: the server stopped before it could remove it.

        Raises:
            UnreadableEpisodeError: the reset or an earlier action fails.
        """
        try:
            play, reply = await self._rebuild(handle, stored)
        except ReplayError as problem:
            last = len(stored.actions) - 1
            logs.internal_error(logger, problem, handle.episode_id)
            if problem.index < 0 or problem.index != last:
                raise UnreadableEpisodeError(handle, str(problem)) from None
            await self._retract(self._key(handle.episode_id), stored.generation, last)
            stored = replace(
                stored, actions=stored.actions[:-1], request_ids=stored.request_ids[:-1]
            )
            try:
                play, reply = await self._rebuild(handle, stored)
            except ReplayError as second:
                raise UnreadableEpisodeError(handle, str(second)) from None
        held.update(play, stored)
        self._held.bound_memory(handle.episode_id)
        await store_slow_results(self.store, self._key(handle.episode_id), held)
        return play, reply

    async def _rebuild(self, handle: Handle, stored: StoredEpisode) -> tuple[Play, Reply]:
        try:
            start = messages.loads(stored.start)
            arguments = dict(start["reset"])
        except (ValueError, KeyError, TypeError):
            raise ReplayError(-1, "its reset is not readable") from None
        play = self.play("http", drawn=start.get("drawn"))
        play.started = start.get("started", {})
        record = (handle.episode_id, arguments, stored.actions, stored.player)
        return play, await rebuild(play, *record, stored.slow_results)

    async def _retract(self, key: str, generation: str, index: int) -> None:
        """Remove the last action of an episode; a failure is logged."""
        try:
            await self.store.retract(key, generation, index)
        except StoreError as problem:
            logger.warning("failed to remove an action", extra={"reason": str(problem)})

    async def _stored(
        self, handle: Handle, *, take: bool = False, closed: bool = False
    ) -> StoredEpisode:
        """The episode as it is stored; with `take`, from now on nobody else's.

        Raises:
            UnknownEpisodeError: it is not, or not for this handle.
            OutdatedEpisodeError: it was started under other versions.
            TakenOverError: another connection has it now.
            EpisodeClosedError: it was closed; not raised with `closed`.
        """
        named, player_id = handle.episode_id, handle.player_id
        found = is_encodable(named) and await self.store.load(self._key(named), take=take)
        if not found or (player_id and player_id != found.player):
            life = self._settings.episode_ttl_s
            raise UnknownEpisodeError(player_id or named, life, player=bool(player_id))
        then, now = versions_of(found), dict(self.environment.versions)
        if then != now:
            raise OutdatedEpisodeError(handle, then, now)
        if handle.claim and handle.claim != found.generation:
            raise TakenOverError
        if found.ended == CLOSED and not closed:
            raise EpisodeClosedError(handle)
        return found

    async def _again(self, handle: Handle, held: Held, request_id: str, names: Any) -> Json:
        """The reply to an earlier action."""
        assert held.play is not None
        index = held.request_ids.index(request_id)
        play, arguments, actions = self.play("http"), held.play.arguments, held.play.actions
        results = held.play.slow_results
        before, action = actions[:index], messages.loads(actions[index])
        try:
            await rebuild(play, handle.episode_id, arguments, before, slow_results=results)
        except ReplayError as problem:
            raise UnreadableEpisodeError(handle, str(problem)) from None
        return play.data(play.session.replay_step(action, unpack_result(results.get(index))), names)

    async def _create(
        self,
        play: Play,
        episode_id: str,
        *,
        over: bool = True,
        sealed: SealedStart | None = None,
    ) -> str:
        """Store a play on the account of the client that is being served."""
        start = start_text(self.environment, play.arguments, play.drawn, play.transport)
        client = client_identity.CLIENT.get()()
        new = NewEpisode(
            play.transport,
            start,
            play.actions,
            client,
            play.player_id,
            play.slow_results,
            sealed,
        )
        return await self.store.create(self._key(episode_id), new, over=over)

    async def _complete(self, episode_id: str, generation: str, play: Play) -> None:
        """Let an episode that is over make room for others; its reply goes out in any case."""
        try:
            await self.sealed_plays.finish(play)
            await self.store.finish(self._key(episode_id), generation, COMPLETED)
        except StoreError as problem:
            logger.warning("a finished episode was not marked", extra={"reason": str(problem)})
