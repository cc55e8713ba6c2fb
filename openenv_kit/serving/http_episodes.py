"""Stored episodes: played over HTTP and MCP, and on WebSockets that resumed or named one.

An episode has one timeline, and the store has it. Whatever an episode of the store is played
through, an action is stored before it is played, in the place of the next one and no other.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from openenv_kit.environment import ERROR, Environment, Reply, get_environment
from openenv_kit.serving import clients, frames
from openenv_kit.serving.environment_store import EnvironmentStore
from openenv_kit.serving.episode_store import CLOSED, COMPLETED, StoredEpisode, StoreError
from openenv_kit.serving.framework import prepare, worked
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
    NOT_YOURS,
    Held,
    SplitUsedUpError,
    Started,
    readable,
    record_model,
    record_of,
    start_text,
)
from openenv_kit.serving.open_store import StoreThread
from openenv_kit.serving.play import MAX_RECORD_BYTES, Play
from openenv_kit.serving.settings import Settings

logger = logging.getLogger("metric_tracker.episodes")

PLAYS_KEPT = 512
"""Episodes that a worker keeps made; any other is made again from the store."""

MAX_REQUEST_ID = 255
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
        await prepare(self.environment, arguments)
        reply = play.reset(arguments)
        if reply.status == ERROR or play.episode_id is None:
            return Started(play.data(reply), problem=reply.message)
        episode_id = play.episode_id
        held = self._hold(episode_id)
        async with held.lock:
            held.generation = await self._create(play, episode_id)
            held.play, held.request_ids, held.ended = play, [], ""
            handle = Handle(episode_id, claim=held.generation)
        return Started(play.data(reply, play.names), handle, play.player_id, held)

    async def player(self, player_id: str) -> Handle:
        """The handle of a player; an UnknownEpisodeError where no episode has this player."""
        found = await self.store.call("find", player_id) if well_formed(player_id) else None
        if found is None:
            raise UnknownEpisodeError(player_id, self._settings.episode_ttl_s, player=True)
        return Handle(found, player_id)

    async def player_of(self, episode_id: str) -> Handle:
        """The handle of an episode's player."""
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
                    return await self._again(handle, held, held.request_ids.index(request_id))
                if play.final:
                    return play.data(play.session.step(data), handle.names)
                if play.recorded_bytes + len(text) > play.max_record_bytes:
                    raise EpisodeTooLongError(
                        f"The actions of an episode may have {play.max_record_bytes} bytes in all."
                    )
                where = (handle.episode_id, held.generation)
                if await self.store.call("append", *where, len(play.actions), text, request_id):
                    held.request_ids.append(request_id)
                    step = partial(play.step, data, text, handle.names)
                    answer = await worked(self.environment, play.arguments, step)
                    if answer["done"]:
                        await self._complete(*where)
                    return answer
                play, fresh = await self._load(handle, held), True

    async def state(self, handle: Handle) -> Any:
        """Progress of an episode that is played; a player is not told the trainer's id."""
        held = self._hold(handle.episode_id)
        async with held.lock:
            play = await self._load(handle, held)
            if held.ended == CLOSED:
                raise EpisodeClosedError(handle)
            state = play.state()
        return state.model_copy(update={"episode_id": None}) if handle.player_id else state

    async def record(self, episode_id: str) -> Any:
        """An episode as its trainer sees it, after the end with its outcome."""
        held = self._hold(episode_id)
        async with held.lock:
            play = await self._load(Handle(episode_id), held)
            return record_of(self.record_model, play, held.ended, held.timeline)

    async def resume(self, episode_id: str) -> Started:
        """Take an episode over: connections that held it before can no longer play it."""
        handle = Handle(episode_id)
        if (await self._stored(handle)).ended == CLOSED:
            raise EpisodeClosedError(handle)
        held = self._hold(episode_id)
        async with held.lock:
            stored = await self._stored(handle, take=True)
            play, reply = await self._restored(handle, held, stored)
        claimed = Handle(episode_id, claim=stored.generation)
        return Started(play.data(reply, play.names), claimed, play.player_id, held)

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
            await self._complete(play.episode_id, generation)
        return bool(generation)

    async def close_episode(self, handle: Handle) -> None:
        """End the playing of an episode. Its record stays."""
        while True:
            stored = await self._stored(handle)
            if stored.ended == CLOSED:
                raise EpisodeClosedError(handle)
            if await self.store.call("finish", handle.episode_id, stored.generation, CLOSED):
                return

    @property
    def fresh_split(self) -> str:
        """Split that MCP sessions without a task of their own play."""
        return self._settings.mcp_split

    async def fresh_task(self) -> Json:
        """Reset arguments of a task that no MCP session of this store had before."""
        split = self.fresh_split
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
            return (await self._restored(handle, held, stored))[0]
        for text in stored.actions[len(play.actions) :]:
            await worked(self.environment, play.arguments, partial(play.follow, text))
        held.now(play, stored)
        return play

    async def _restored(
        self, handle: Handle, held: Held, stored: StoredEpisode
    ) -> tuple[Play, Reply]:
        """Make an episode again from its record."""
        play = self.play("http")
        arguments = frames.loads(stored.start)["reset"]
        await prepare(self.environment, arguments)
        record = (handle.episode_id, arguments, stored.actions, stored.player)
        reply = await worked(self.environment, arguments, partial(play.restore, *record))
        held.now(play, stored)
        return play, reply

    async def _stored(self, handle: Handle, *, take: bool = False) -> StoredEpisode:
        """The episode as it is stored; with `take`, from now on nobody else's.

        Raises:
            UnknownEpisodeError: it is not, or not for this handle.
            TakenOverError: another connection has it now.
        """
        named, player_id = handle.episode_id, handle.player_id
        stored: StoredEpisode | None = None
        if well_formed(named):
            stored = await self.store.call("load", named, take=take)
        known = stored is not None and readable(self.environment, stored)
        if stored is None or not known or (player_id and player_id != stored.player):
            life = self._settings.episode_ttl_s
            raise UnknownEpisodeError(player_id or named, life, player=bool(player_id))
        if handle.claim and handle.claim != stored.generation:
            raise TakenOverError
        return stored

    async def _again(self, handle: Handle, held: Held, index: int) -> Json:
        """The reply to an earlier action."""
        assert held.play is not None
        play, arguments, actions = self.play("http"), held.play.arguments, held.play.actions

        def again() -> Json:
            play.restore(handle.episode_id, arguments, actions[:index])
            reply = play.session.step(frames.loads(actions[index]))
            return play.data(reply, handle.names)

        return await worked(self.environment, arguments, again)

    async def _create(self, play: Play, episode_id: str, *, over: bool = True) -> str:
        """Store a play on the account of the client that is being served."""
        start = start_text(self.environment, play.arguments)
        stored = (episode_id, play.transport, start, list(play.actions))
        whose = {"client": clients.CURRENT.get(), "player": play.player_id}
        return str(await self.store.call("create", *stored, **whose, over=over))

    async def _complete(self, episode_id: str, generation: str) -> None:
        """Let an episode that is over make room for others; its reply goes out in any case."""
        try:
            await self.store.call("finish", episode_id, generation, COMPLETED)
        except StoreError as problem:
            logger.warning("a finished episode was not marked", extra={"reason": str(problem)})
