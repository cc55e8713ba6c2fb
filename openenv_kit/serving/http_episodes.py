"""Stored episodes: played over HTTP and MCP, and on WebSockets that resumed or named one.

An episode has one timeline, and the store has it. Whatever an episode of the store is played
through, an action is stored before it is played, in the place of the next one and no other.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from openenv_kit.environment import ERROR, Environment, Reply, get_environment
from openenv_kit.serving import clients, frames
from openenv_kit.serving.environment_store import EnvironmentStore
from openenv_kit.serving.episode_store import StoredEpisode, StoreError
from openenv_kit.serving.handles import (
    OWN_ID,
    EpisodeClosedError,
    EpisodeTooLongError,
    Handle,
    TakenOverError,
    UnknownEpisodeError,
    well_formed,
)
from openenv_kit.serving.held import (
    CLOSED,
    COMPLETED,
    NOT_YOURS,
    Held,
    SplitUsedUpError,
    Started,
    names_for,
    readable,
    record_model,
    record_of,
    recorded,
    start_text,
)
from openenv_kit.serving.open_store import StoreThread
from openenv_kit.serving.play import MAX_RECORD_BYTES, Play, Record
from openenv_kit.serving.settings import Settings

logger = logging.getLogger("metric_tracker.episodes")

PLAYS_KEPT = 512
"""Episodes that a worker keeps made; any other is made again from the store."""

MAX_REQUEST_ID = 255
Json = dict[str, Any]


class Episodes:
    """An environment's episodes of a store.

    Writers of one episode take turns: in one worker by a lock, among workers by the store,
    which takes the action number n only once. So what was answered is never lost.

    Args:
        settings: where they are kept, and limits.
        environment: what is played; None for the one that ENVIRONMENT names.
        store: None for one of its own.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Environment | None = None,
        store: StoreThread | None = None,
    ) -> None:
        self.environment = environment or get_environment()
        self.record_model = record_model(self.environment.models.state)
        self.store = EnvironmentStore(store or StoreThread(settings), self.environment.name)
        self._settings = settings
        # An episode stays as long as it is among the last used, or somebody holds on to it.
        self._held: WeakValueDictionary[str, Held] = WeakValueDictionary()
        self._recent: OrderedDict[str, Held] = OrderedDict()

    def play(self, transport: str, *, stored: bool = True) -> Play:
        """A new play of this server's environment; what is not stored may have fewer actions."""
        room = self._settings.max_episode_bytes if stored else MAX_RECORD_BYTES
        return Play(transport, room, self.environment, self._settings)

    async def reset(self, arguments: Mapping[str, Any], source: str = "http") -> Started:
        """Start an episode, or start one over: a new timeline with a new player."""
        play = self.play(source)
        given = arguments.get("episode_id")
        ours = isinstance(given, str) and OWN_ID.fullmatch(given)
        if ours and await self.store.call("load", given) is None:
            # It may be played on a WebSocket, which stores nothing until it is dropped.
            problem = NOT_YOURS.format(given)
            return Started(play.data(Reply(ERROR, problem)), problem=problem)
        reply = play.reset(arguments)
        if reply.status == ERROR or play.episode_id is None:
            return Started(play.data(reply), problem=reply.message)
        episode_id = play.episode_id
        held = self._hold(episode_id)
        async with held.lock:
            start = start_text(self.environment, play.arguments or {})
            named = (episode_id, source, start)
            held.generation = await self._create(*named, [], player=play.player_id)
            held.play, held.request_ids, held.ended = play, [], ""
            handle = Handle(episode_id, claim=held.generation)
        return Started(play.data(reply, play.names), handle, play.player_id, held)

    async def player(self, player_id: str) -> Handle:
        """The handle of a player.

        Raises:
            UnknownEpisodeError: no episode has this player.
        """
        found = await self.store.call("find", player_id) if well_formed(player_id) else None
        if found is None:
            raise UnknownEpisodeError(player_id, self._settings.episode_ttl_s, player=True)
        return Handle(found, player_id)

    async def player_of(self, episode_id: str) -> Handle:
        """The handle of an episode's player.

        Raises:
            UnknownEpisodeError: no such episode.
        """
        return Handle(episode_id, (await self._stored(Handle(episode_id))).player)

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
        text = frames.dumps(data)
        held = self._hold(handle.episode_id)
        async with held.lock:
            fresh = not held.serves(handle)
            play = await self._load(handle, held) if fresh else held.play
            assert play is not None
            while True:
                repeated = bool(request_id) and request_id in held.request_ids
                if (repeated or play.final or held.ended == CLOSED) and not fresh:
                    # Nothing would be stored, so nothing would say that this is out of date.
                    play, fresh = await self._load(handle, held), True
                    continue
                if held.ended == CLOSED:
                    raise EpisodeClosedError(handle)
                if repeated:
                    return self._again(handle, held, held.request_ids.index(request_id))
                if play.final:
                    return play.data(play.session.step(data), names_for(handle))
                if play.recorded_bytes + len(text) > play.max_record_bytes:
                    raise EpisodeTooLongError(
                        f"The actions of an episode may have {play.max_record_bytes} bytes in all."
                    )
                where = (handle.episode_id, held.generation)
                if await self.store.call("append", *where, len(play.actions), text, request_id):
                    held.request_ids.append(request_id)
                    answer = play.step(data, text, names_for(handle))
                    if answer["done"]:
                        await self._complete(*where)
                    return answer
                play, fresh = await self._load(handle, held), True

    async def state(self, handle: Handle) -> Any:
        """Progress of an episode that is played; a player is not told the trainer's id.

        Raises:
            EpisodeGoneError: see there.
        """
        held = self._hold(handle.episode_id)
        async with held.lock:
            play = await self._load(handle, held)
            if held.ended == CLOSED:
                raise EpisodeClosedError(handle)
            state = play.state()
        return state.model_copy(update={"episode_id": None}) if handle.player_id else state

    async def record(self, episode_id: str) -> Any:
        """An episode as its trainer sees it, after the end with its outcome.

        Raises:
            UnknownEpisodeError: see there.
        """
        held = self._hold(episode_id)
        async with held.lock:
            play = await self._load(Handle(episode_id), held)
            return record_of(self.record_model, play, held.ended, held.timeline)

    async def resume(self, episode_id: str) -> Started:
        """Take an episode over: connections that held it before can no longer play it.

        Raises:
            UnknownEpisodeError, EpisodeClosedError: see there.
        """
        handle = Handle(episode_id)
        if (await self._stored(handle)).ended == CLOSED:
            raise EpisodeClosedError(handle)
        held = self._hold(episode_id)
        async with held.lock:
            stored = self._checked(handle, await self.store.call("take", episode_id))
            play, reply = self._restored(handle, held, stored)
        claimed = Handle(episode_id, claim=stored.generation)
        return Started(play.data(reply, play.names), claimed, play.player_id, held)

    async def save(self, play: Play) -> bool:
        """Keep the episode of a WebSocket session that was dropped.

        One of the same name stays as it is.
        """
        episode_id, record = play.episode_id, play.record
        if episode_id is None or record is None:
            return False
        given = (episode_id, play.transport, start_text(self.environment, record.reset))
        try:
            generation = await self._create(
                *given, list(record.actions), player=play.player_id, over=False
            )
        except StoreError as problem:
            logger.warning("a dropped session was not kept", extra={"reason": str(problem)})
            return False
        if generation and play.final:
            await self._complete(episode_id, generation)
        return bool(generation)

    async def close_episode(self, handle: Handle) -> None:
        """End the playing of an episode. Its record stays.

        Raises:
            EpisodeGoneError: see there; also where it was closed before.
        """
        while True:
            stored = await self._stored(handle)
            if stored.ended == CLOSED:
                raise EpisodeClosedError(handle)
            if await self.store.call("finish", handle.episode_id, stored.generation, CLOSED):
                return

    async def fresh_task(self) -> Json:
        """Reset arguments of a task that no MCP session of this store had before.

        Raises:
            SplitUsedUpError: there is none left.
        """
        split = self._settings.mcp_split
        size = self.environment.splits.size(split)
        if (index := await self.store.call("next", f"split:{split}")) >= size:
            raise SplitUsedUpError(split, size)
        return self.environment.splits.task(split, index).reset_arguments()

    async def close(self) -> None:
        """Close the store."""
        await self.store.close()
        self._recent.clear()

    def _hold(self, episode_id: str) -> Held:
        held = self._held.setdefault(episode_id, Held())
        self._recent[episode_id] = held
        self._recent.move_to_end(episode_id)
        while len(self._recent) > PLAYS_KEPT:
            self._recent.popitem(last=False)
        return held

    async def _load(self, handle: Handle, held: Held) -> Play:
        """Bring what this worker holds up to date with the store."""
        try:
            stored = await self._stored(handle)
        except UnknownEpisodeError:
            self._recent.pop(handle.episode_id, None)
            raise
        play = held.play
        if play is None or held.generation != stored.generation:
            return self._restored(handle, held, stored)[0]
        for text in stored.actions[len(play.actions) :]:
            play.follow(text)
        held.now(play, stored)
        return play

    def _restored(self, handle: Handle, held: Held, stored: StoredEpisode) -> tuple[Play, Reply]:
        """Make an episode again from its record."""
        play = self.play("http")
        reply = play.restore(handle.episode_id, recorded(stored), stored.player)
        held.now(play, stored)
        return play, reply

    async def _stored(self, handle: Handle) -> StoredEpisode:
        """The episode as it is stored.

        Raises:
            UnknownEpisodeError: it is not, or not for this handle.
            TakenOverError: another connection has it now.
        """
        named = handle.episode_id
        stored = await self.store.call("load", named) if well_formed(named) else None
        return self._checked(handle, stored)

    def _checked(self, handle: Handle, stored: StoredEpisode | None) -> StoredEpisode:
        player_id = handle.player_id
        known = stored is not None and readable(self.environment, stored)
        if stored is None or not known or (player_id and player_id != stored.player):
            given, life = player_id or handle.episode_id, self._settings.episode_ttl_s
            raise UnknownEpisodeError(given, life, player=bool(player_id))
        if handle.claim and handle.claim != stored.generation:
            raise TakenOverError
        return stored

    def _again(self, handle: Handle, held: Held, index: int) -> Json:
        """The reply to an earlier action."""
        assert held.play is not None
        play, actions = self.play("http"), held.play.actions
        play.restore(handle.episode_id, Record(held.play.arguments or {}, tuple(actions[:index])))
        reply = play.session.step(frames.loads(actions[index]))
        return play.data(reply, names_for(handle))

    async def _create(self, *what: Any, **options: Any) -> str:
        """Store an episode on the account of the client that is being served."""
        return str(await self.store.call("create", *what, client=clients.CURRENT.get(), **options))

    async def _complete(self, episode_id: str, generation: str) -> None:
        """Let an episode that is over make room for others; its reply goes out in any case."""
        try:
            await self.store.call("finish", episode_id, generation, COMPLETED)
        except StoreError as problem:
            logger.warning("a finished episode was not marked", extra={"reason": str(problem)})
