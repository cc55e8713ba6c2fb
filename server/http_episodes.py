"""Episodes by id: what plain HTTP and MCP clients play, on any worker and after a restart."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from metric_tracker_rl.models import MetricTrackerRlState
from metric_tracker_rl.recording import versions
from metric_tracker_rl.session import ERROR, Reply
from server import clients, frames, metrics
from server.episode_store import MEMORY, EpisodeStore, StoredEpisode, StoreError
from server.open_store import open_store
from server.play import Play, Record
from server.settings import Settings

logger = logging.getLogger("metric_tracker.episodes")

PLAYS_KEPT = 512
"""Episodes that a worker keeps made; any other is made again from the store."""

MAX_REQUEST_ID = 255


class UnknownEpisodeError(LookupError):
    """No episode of that id lives here."""

    def __init__(self, episode_id: str, ttl_s: float) -> None:
        shown = episode_id if len(episode_id) <= 80 else f"{episode_id[:79]}…"
        super().__init__(
            f"No episode {shown!r}: the id is unknown, or the episode was not used for {ttl_s:g} s "
            "and is gone. Start one with POST /reset."
        )


class EpisodeTooLongError(ValueError):
    """The actions of an episode take more room than it has."""


@dataclass(eq=False)
class Held:
    """An episode that this worker has made."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    play: Play | None = None
    generation: str = ""
    request_ids: list[str] = field(default_factory=list)


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
        self._held: OrderedDict[str, Held] = OrderedDict()
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

    async def reset(
        self, arguments: Mapping[str, Any], source: str = "http"
    ) -> tuple[str | None, dict[str, Any]]:
        """Start an episode.

        Returns:
            Its id (None where the arguments were refused), and the reply in the framework's form.
        """
        play = self._new_play(source)
        reply = play.reset(arguments)
        if reply.status == ERROR or play.episode_id is None:
            return None, play.data(reply)
        episode_id = play.episode_id
        held = self._hold(episode_id)
        async with held.lock:
            start = _start(play.arguments or {})
            held.generation = await self._create(episode_id, source, start, [])
            held.play, held.request_ids = play, []
        return episode_id, play.data(reply, named=True)

    async def step(
        self, episode_id: str, data: dict[str, Any], request_id: str = ""
    ) -> dict[str, Any]:
        """One step, in the framework's form.

        Args:
            episode_id: which episode.
            data: the action.
            request_id: the client's name for this request; a second request of the same name
                gets the first one's reply, and is no second step.

        Raises:
            UnknownEpisodeError, EpisodeTooLongError: see there.
        """
        text = frames.dumps(data)
        held = self._hold(episode_id)
        async with held.lock:
            play = held.play or await self._load(episode_id, held)
            while True:
                if request_id and request_id in held.request_ids:
                    # The store knows whether the episode still lives, and is still the same one.
                    play = await self._load(episode_id, held)
                if request_id and request_id in held.request_ids:
                    return self._again(episode_id, held, held.request_ids.index(request_id))
                if play.environment.state.status == "completed":
                    generation = held.generation
                    play = await self._load(episode_id, held)
                    if held.generation == generation:
                        # Nothing is left to play, so nothing is left to store.
                        return play.data(play.environment.act_on(data), named=True)
                if play.recorded_bytes + len(text) > play.max_record_bytes:
                    raise EpisodeTooLongError(
                        f"The actions of an episode may have {play.max_record_bytes} bytes in all."
                    )
                done = len(play.actions)
                if await self._call("append", episode_id, held.generation, done, text, request_id):
                    held.request_ids.append(request_id)
                    reply = play.step(data, text)
                    if reply.done:
                        await self._finish(episode_id, held.generation)
                    return play.data(reply, named=True)
                play = await self._load(episode_id, held)

    async def state(self, episode_id: str) -> MetricTrackerRlState:
        """Public progress of an episode.

        Raises:
            UnknownEpisodeError: see there.
        """
        held = self._hold(episode_id)
        async with held.lock:
            return (await self._load(episode_id, held)).environment.state

    async def opening(self, episode_id: str) -> dict[str, Any]:
        """What the reset of a running episode said, in the framework's form.

        Raises:
            UnknownEpisodeError: see there.
        """
        play, reply = await self.resume(episode_id)
        return play.data(reply, named=True)

    async def resume(self, episode_id: str, transport: str = "ws") -> tuple[Play, Reply]:
        """A play of its own that goes on where the stored one stands.

        Raises:
            UnknownEpisodeError: see there.
        """
        stored = await self._stored(episode_id)
        play = Play(transport)
        return play, play.restore(episode_id, _record(stored))

    async def save(self, play: Play) -> bool:
        """Keep the episode of a WebSocket session that was dropped.

        An episode of the same name that this one does not continue stays as it is.
        """
        episode_id, record = play.episode_id, play.record
        if episode_id is None or record is None:
            return False
        start, actions = _start(record.reset), list(record.actions)
        try:
            stored = await self._call("load", episode_id)
            if stored is not None and not _continues(record, stored):
                return False
            await self._create(episode_id, play.transport, start, actions)
        except StoreError as problem:
            logger.warning("a dropped session was not kept", extra={"reason": str(problem)})
            return False
        return True

    async def end(self, episode_id: str) -> bool:
        """Forget an episode; False if there was none."""
        self._held.pop(episode_id, None)
        return bool(await self._call("delete", episode_id))

    async def count(self, source: str) -> int:
        """Living episodes of that source."""
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
            self._held.clear()

    def _new_play(self, transport: str) -> Play:
        return Play(transport, self._settings.max_episode_bytes)

    def _hold(self, episode_id: str) -> Held:
        held = self._held.setdefault(episode_id, Held())
        self._held.move_to_end(episode_id)
        while len(self._held) > PLAYS_KEPT:
            # One that is being written to is the last to have been used, so never this one.
            self._held.popitem(last=False)
        return held

    async def _load(self, episode_id: str, held: Held) -> Play:
        """Bring what this worker holds to where the store is."""
        try:
            stored = await self._stored(episode_id)
        except UnknownEpisodeError:
            self._held.pop(episode_id, None)
            raise
        play = held.play
        if play is None or held.generation != stored.generation:
            play = self._new_play("http")
            play.restore(episode_id, _record(stored))
        else:
            for text in stored.actions[len(play.actions) :]:
                play.environment.act_on(frames.loads(text))
                play.keep(text)
        held.play, held.generation = play, stored.generation
        held.request_ids = list(stored.request_ids)
        return play

    async def _stored(self, episode_id: str) -> StoredEpisode:
        stored: StoredEpisode | None = await self._call("load", episode_id)
        if stored is None or frames.loads(stored.start)["versions"] != versions():
            raise UnknownEpisodeError(episode_id, self._settings.episode_ttl_s)
        return stored

    def _again(self, episode_id: str, held: Held, index: int) -> dict[str, Any]:
        """The reply to an earlier action."""
        assert held.play is not None
        play = self._new_play("http")
        actions = held.play.actions
        play.restore(episode_id, Record(held.play.arguments or {}, tuple(actions[:index])))
        reply = play.environment.act_on(frames.loads(actions[index]))
        return play.data(reply, named=True)

    async def _create(
        self, episode_id: str, source: str, start: bytes, actions: list[bytes]
    ) -> str:
        """Store an episode on the account of the client that is being served."""
        client = clients.CURRENT.get()
        return str(await self._call("create", episode_id, source, start, actions, client))

    async def _finish(self, episode_id: str, generation: str) -> None:
        """Let an episode that is over make room for others; its reply goes out in any case."""
        try:
            await self._call("finish", episode_id, generation)
        except StoreError as problem:
            logger.warning("a finished episode was not marked", extra={"reason": str(problem)})

    async def _call(self, name: str, *arguments: Any) -> Any:
        """One call of the store, in its thread."""
        if self._store is None:
            await self.open()
        store = self._store

        def call() -> Any:
            started = time.perf_counter()
            try:
                return getattr(store, name)(*arguments)
            finally:
                metrics.STORE.labels(name).observe(time.perf_counter() - started)

        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _start(arguments: Mapping[str, Any]) -> bytes:
    return frames.dumps({"reset": dict(arguments), "versions": versions()})


def _record(stored: StoredEpisode) -> Record:
    return Record(frames.loads(stored.start)["reset"], stored.actions)


def _continues(record: Record, stored: StoredEpisode) -> bool:
    before = _record(stored)
    return before.reset == record.reset and before.actions == record.actions[: len(before.actions)]
