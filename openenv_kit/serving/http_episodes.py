"""Stored episodes: what HTTP and MCP clients play, and WebSockets that resumed or named one.

An episode has one timeline, and the store has it. Whatever an episode of the store is played
through, an action is stored before it is played, in the place of the next one and no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakValueDictionary

from metric_tracker_rl.engine.splits import num_tasks
from metric_tracker_rl.models import MetricTrackerRlState
from openenv_kit.environment import ERROR, Reply
from openenv_kit.serving import clients, frames, metrics
from openenv_kit.serving.episode_store import MEMORY, EpisodeStore, StoredEpisode, StoreError
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
    COMPLETED,
    NOT_YOURS,
    Held,
    SplitUsedUpError,
    Started,
    names_for,
    readable,
    recorded,
    start_text,
)
from openenv_kit.serving.open_store import open_store
from openenv_kit.serving.outcome import CLOSED, EpisodeRecord, record_of
from openenv_kit.serving.play import Play, Record
from openenv_kit.serving.settings import Settings

logger = logging.getLogger("metric_tracker.episodes")

PLAYS_KEPT = 512
"""Episodes that a worker keeps made; any other is made again from the store."""

MAX_REQUEST_ID = 255


class Episodes:
    """The episodes of a store.

    Writers of one episode take turns: in one worker by a lock, among workers by the store,
    which takes the action number n only once. An action is stored before it is played, so what
    was answered is never lost.

    Args:
        settings: where they are kept, and limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # An episode stays as long as it is among the last used, or somebody holds on to it.
        self._held: WeakValueDictionary[str, Held] = WeakValueDictionary()
        self._recent: OrderedDict[str, Held] = OrderedDict()
        self._store: EpisodeStore | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Open the store, in the one thread that calls it.

        Raises:
            StoreUnavailableError: what the setting names cannot be opened.
        """
        async with self._opening:
            if self._store is not None:
                return
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="episode-store")
            self._store, where, reason = await asyncio.get_running_loop().run_in_executor(
                self._thread, open_store, self._settings
            )
        logger.info("episode store opened", extra={"store": where})
        if reason:
            logger.warning(
                "episodes are kept in memory and end with this process",
                extra={"store": MEMORY, "reason": reason},
            )

    async def reset(self, arguments: Mapping[str, Any], source: str = "http") -> Started:
        """Start an episode, or start one over: a new timeline with a new player."""
        play = self._new_play(source)
        given = arguments.get("episode_id")
        ours = isinstance(given, str) and OWN_ID.fullmatch(given)
        if ours and await self._call("load", given) is None:
            # It may be played on a WebSocket, which stores nothing until it is dropped.
            return Started(play.data(Reply(ERROR, NOT_YOURS.format(given))))
        reply = play.reset(arguments)
        if reply.status == ERROR or play.episode_id is None:
            return Started(play.data(reply))
        episode_id = play.episode_id
        held = self._hold(episode_id)
        async with held.lock:
            start = start_text(play.arguments or {})
            held.generation = await self._create(
                episode_id, source, start, [], player=play.player_id
            )
            held.play, held.request_ids, held.ended = play, [], ""
            handle = Handle(episode_id, claim=held.generation)
        return Started(play.data(reply, play.names), handle, play.player_id, held)

    async def player(self, player_id: str) -> Handle:
        """The handle of a player.

        Raises:
            UnknownEpisodeError: no episode has this player.
        """
        found = await self._call("find", player_id) if well_formed(player_id) else None
        if found is None:
            raise UnknownEpisodeError(player_id, self._settings.episode_ttl_s, player=True)
        return Handle(found, player_id)

    async def player_of(self, episode_id: str) -> str:
        """The player's handle of an episode.

        Raises:
            UnknownEpisodeError: no such episode.
        """
        return (await self._stored(Handle(episode_id))).player

    async def step(
        self, handle: Handle, data: dict[str, Any], request_id: str = ""
    ) -> dict[str, Any]:
        """One step, in the framework's form.

        Args:
            handle: which episode, and by what right.
            data: the action.
            request_id: the client's name for this request; a second request of the same name
                gets the first one's reply, and is no second step.

        Raises:
            EpisodeGoneError, EpisodeTooLongError: see there.
        """
        text = frames.dumps(data)
        held = self._hold(handle.episode_id)
        async with held.lock:
            fresh = not held.serves(handle)
            play = await self._load(handle, held) if fresh else held.play
            assert play is not None
            while True:
                repeated = bool(request_id) and request_id in held.request_ids
                if (repeated or play.over or held.ended == CLOSED) and not fresh:
                    # Nothing would be stored, so nothing would say that this is out of date.
                    play, fresh = await self._load(handle, held), True
                    continue
                if held.ended == CLOSED:
                    raise EpisodeClosedError(handle)
                if repeated:
                    return self._again(handle, held, held.request_ids.index(request_id))
                if play.over:
                    return play.data(play.environment.act_on(data), names_for(handle))
                if play.recorded_bytes + len(text) > play.max_record_bytes:
                    raise EpisodeTooLongError(
                        f"The actions of an episode may have {play.max_record_bytes} bytes in all."
                    )
                where = (handle.episode_id, held.generation)
                if await self._call("append", *where, len(play.actions), text, request_id):
                    held.request_ids.append(request_id)
                    reply = play.step(data, text)
                    if reply.done:
                        await self._complete(*where)
                    return play.data(reply, names_for(handle))
                play, fresh = await self._load(handle, held), True

    async def state(self, handle: Handle) -> MetricTrackerRlState:
        """Progress of an episode that is played; a player is not told the trainer's id.

        Raises:
            EpisodeGoneError: see there.
        """
        held = self._hold(handle.episode_id)
        async with held.lock:
            play = await self._load(handle, held)
            if held.ended == CLOSED:
                raise EpisodeClosedError(handle)
            state = play.environment.state
        return state.model_copy(update={"episode_id": None}) if handle.player_id else state

    async def record(self, episode_id: str) -> EpisodeRecord:
        """An episode as its trainer sees it, after the end with its outcome.

        Raises:
            UnknownEpisodeError: see there.
        """
        held = self._hold(episode_id)
        async with held.lock:
            play = await self._load(Handle(episode_id), held)
            return record_of(play, held.ended, held.timeline)

    async def resume(self, episode_id: str) -> Started:
        """Take an episode over: no connection that held it before can go on with it.

        Raises:
            UnknownEpisodeError, EpisodeClosedError: see there.
        """
        handle = Handle(episode_id)
        if (await self._stored(handle)).ended == CLOSED:
            raise EpisodeClosedError(handle)
        held = self._hold(episode_id)
        async with held.lock:
            stored = self._checked(handle, await self._call("take", episode_id))
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
        given = (episode_id, play.transport, start_text(record.reset), list(record.actions))
        try:
            generation = await self._create(*given, player=play.player_id, over=False)
        except StoreError as problem:
            logger.warning("a dropped session was not kept", extra={"reason": str(problem)})
            return False
        if generation and play.over:
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
            if await self._call("finish", handle.episode_id, stored.generation, CLOSED):
                return

    async def fresh_task(self) -> dict[str, Any]:
        """Reset arguments of a task that no MCP session of this store had before.

        Raises:
            SplitUsedUpError: there is none left.
        """
        split = self._settings.mcp_split
        index = await self._call("next", f"split:{split}")
        if index >= num_tasks(split):
            raise SplitUsedUpError(split)
        return {"split": split, "index": index}

    async def count(self, source: str) -> int:
        """Living episodes of that source that nobody closed."""
        return int(await self._call("count", source))

    async def check(self) -> None:
        """Find out whether episodes can be stored.

        Raises:
            StoreUnavailableError: they cannot.
        """
        await self._call("check")

    async def close(self) -> None:
        """Let go of the store."""
        if self._store is not None and self._thread is not None:
            await self._call("close")
            self._thread.shutdown()
            self._store = self._thread = None
            self._recent.clear()

    def _new_play(self, transport: str) -> Play:
        return Play(transport, self._settings.max_episode_bytes)

    def _hold(self, episode_id: str) -> Held:
        held = self._held.get(episode_id)
        if held is None:
            held = self._held[episode_id] = Held()
        self._recent[episode_id] = held
        self._recent.move_to_end(episode_id)
        while len(self._recent) > PLAYS_KEPT:
            self._recent.popitem(last=False)
        return held

    async def _load(self, handle: Handle, held: Held) -> Play:
        """Bring what this worker holds to where the store is."""
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
        held.timeline, held.ended = stored.timeline, stored.ended
        held.request_ids = list(stored.request_ids)
        return play

    def _restored(self, handle: Handle, held: Held, stored: StoredEpisode) -> tuple[Play, Reply]:
        """Make an episode again from its record."""
        play = self._new_play("http")
        reply = play.restore(handle.episode_id, recorded(stored), stored.player)
        held.play, held.generation = play, stored.generation
        held.timeline, held.ended = stored.timeline, stored.ended
        held.request_ids = list(stored.request_ids)
        return play, reply

    async def _stored(self, handle: Handle) -> StoredEpisode:
        """The episode as it is stored.

        Raises:
            UnknownEpisodeError: it is not, or not for this handle.
            TakenOverError: another connection has it now.
        """
        known = well_formed(handle.episode_id)
        return self._checked(handle, await self._call("load", handle.episode_id) if known else None)

    def _checked(self, handle: Handle, stored: StoredEpisode | None) -> StoredEpisode:
        life = self._settings.episode_ttl_s
        if stored is None or not readable(stored):
            if handle.player_id:
                raise UnknownEpisodeError(handle.player_id, life, player=True)
            raise UnknownEpisodeError(handle.episode_id, life)
        if handle.player_id and handle.player_id != stored.player:
            raise UnknownEpisodeError(handle.player_id, life, player=True)
        if handle.claim and handle.claim != stored.generation:
            raise TakenOverError
        return stored

    def _again(self, handle: Handle, held: Held, index: int) -> dict[str, Any]:
        """The reply to an earlier action."""
        assert held.play is not None
        play = self._new_play("http")
        actions = held.play.actions
        record = Record(held.play.arguments or {}, tuple(actions[:index]))
        play.restore(handle.episode_id, record)
        reply = play.environment.act_on(frames.loads(actions[index]))
        return play.data(reply, names_for(handle))

    async def _create(self, *what: Any, **options: Any) -> str:
        """Store an episode on the account of the client that is being served."""
        return str(await self._call("create", *what, client=clients.CURRENT.get(), **options))

    async def _complete(self, episode_id: str, generation: str) -> None:
        """Let an episode that is over make room for others; its reply goes out in any case."""
        try:
            await self._call("finish", episode_id, generation, COMPLETED)
        except StoreError as problem:
            logger.warning("a finished episode was not marked", extra={"reason": str(problem)})

    async def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """One call of the store, in its thread."""
        if self._store is None:
            await self.open()
        store = self._store

        def call() -> Any:
            started = time.perf_counter()
            try:
                return getattr(store, name)(*arguments, **options)
            finally:
                metrics.STORE.labels(name).observe(time.perf_counter() - started)

        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
