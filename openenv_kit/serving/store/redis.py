"""Episodes in Redis, for several machines behind one address (the `redis` extra).

An episode is one hash, so it expires or is displaced as a whole. Redis' own `maxmemory` bounds the
bytes: under `volatile-ttl` the longest unused episodes make room, under `noeviction` writes are
refused until others have expired. A client's share is one of OPENENV_KIT_MAX_STORED_EPISODES.
"""

from __future__ import annotations

import base64
import json
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from openenv_kit.serving.episodes.ids import Handle, OutdatedEpisodeError
from openenv_kit.serving.store import clock
from openenv_kit.serving.store.interface import (
    CLOSED,
    NewEpisode,
    StoredEpisode,
    StoreLimits,
    StoreReplacedError,
    StoreUsage,
    unavailable,
)
from openenv_kit.serving.store.sealed_records import SealedPlay, SealedPlaysUsedUpError, SealedStart

NAME, VERSION = "openenv-kit", 10
OTHER_VERSIONS = tuple(n for n in range(1, VERSION + 3) if n != VERSION)
"""Of releases before and after this one, whose episodes may still be there."""
PREFIX = f"{NAME}:{VERSION}:"
"""The number changes with the shape of what is kept; keys of another expire by themselves."""
CLOCK_SYNC_S = 60.0
"""Seconds after which the server's time is asked for again."""
HEARTBEAT_TTL_S = 60
SOURCES = ("ws", "http", "mcp", "page")
"""Transports that open episodes."""
ANSWER_S = 5.0
"""Longest wait for an answer: a Redis that hangs must not hang the steps of everybody."""


def connect(address: str) -> Any:
    """A client for `RedisStore`."""
    return Redis.from_url(
        address, decode_responses=True, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S
    )


@dataclass
class Reporting:
    """A client whose errors are ours: out of memory, out of reach, too slow, loading, read-only."""

    redis: Any

    def __getattr__(self, name: str) -> Any:
        async def reported(*given: Any, **options: Any) -> Any:
            try:
                return await getattr(self.redis, name)(*given, **options)
            except RedisError as problem:
                raise unavailable(problem) from problem

        return reported


class RedisStore:
    """Episodes in one Redis database, through a client that decodes responses."""

    def __init__(self, redis: Any, limits: StoreLimits) -> None:
        self._redis = Reporting(redis)
        self._limits = limits
        self._ttl = max(1, round(limits.ttl_s))
        self._clock_offset_s = 0.0
        self._clock_synced_s: float | None = None
        self._secret = ""  # of the database that was used first

    async def _now(self) -> float:
        """Return Redis' time, by which its keys expire, whatever this machine's clock says."""
        since_boot = clock.seconds_since_boot()
        if self._clock_synced_s is None or since_boot - self._clock_synced_s > CLOCK_SYNC_S:
            seconds, microseconds = await self._redis.time()
            self._clock_offset_s = seconds + microseconds / 1e6 - since_boot
            self._clock_synced_s = since_boot
        return since_boot + self._clock_offset_s

    async def create(self, episode_id: str, new: NewEpisode, *, over: bool = True) -> str:
        generation = secrets.token_hex(8)
        fields: dict[str, Any] = {
            **{"generation": generation, "source": new.source, "client": new.client, "ended": ""},
            **{"player": new.player, "start": new.start, "steps": len(new.actions)},
            **{str(n): f'""\n{action.decode()}' for n, action in enumerate(new.actions)},
            **{_result_field(n): _text(result) for n, result in new.slow_results.items()},
        }

        def start(batch: Any, key: str, found: Mapping[str, Any], plays: Sequence[str] = ()) -> str:
            if found and not over:
                return ""
            if new.sealed is not None:
                _count_sealed_play(batch, episode_id, new, new.sealed, plays)
            if found:
                batch.zrem(_key("living", found["source"]), episode_id)
                batch.zrem(_key("client", found["client"]), episode_id)
                batch.delete(key)
            batch.hset(key, mapping={**fields, "timeline": int(found.get("timeline", 0)) + 1})
            self._prolong(batch, episode_id, fields, now)
            return generation

        now = await self._now()
        if new.client:
            await self._make_room(new.client, episode_id)
        if new.sealed is None:
            return str(await self._change(episode_id, start))
        sealed_key = _sealed_key(new.sealed.participant, new.sealed.task_set)
        return str(await self._change(episode_id, start, list_key=sealed_key))

    async def find(self, player: str) -> str | None:
        found: str | None = await self._redis.get(_key("player", player))
        return found

    async def load(self, episode_id: str, *, take: bool = False) -> StoredEpisode | None:
        taken, now = secrets.token_hex(8) if take else "", await self._now()

        def read(batch: Any, key: str, found: Mapping[str, Any]) -> StoredEpisode | None:
            if not found:
                return None
            if taken:
                batch.hset(key, "generation", taken)
            self._prolong(batch, episode_id, found, now)
            entries = [found[str(n)].split("\n", 1) for n in range(int(found["steps"]))]
            actions = tuple(action.encode() for _, action in entries)
            requests = tuple(json.loads(request_id) for request_id, _ in entries)
            generation, start = taken or found["generation"], found["start"].encode()
            player, timeline, ended = found["player"], int(found["timeline"]), found["ended"]
            results = {
                n: base64.b64decode(found[_result_field(n)])
                for n in range(len(actions))
                if _result_field(n) in found
            }
            return StoredEpisode(
                generation, start, actions, requests, player, timeline, ended, results
            )

        loaded: StoredEpisode | None = await self._change(episode_id, read)
        if loaded is None:
            await self._refuse_older(episode_id)
        return loaded

    async def _refuse_older(self, episode_id: str) -> None:
        """Raise an OutdatedEpisodeError where another release has kept an episode of that name."""
        keys = {f"{NAME}:{version}:episode:{episode_id}": version for version in OTHER_VERSIONS}
        if not await self._redis.exists(*keys):
            return
        for key, version in keys.items():
            if await self._redis.exists(key):
                kept = {"episode store": str(version)}
                handle = Handle(episode_id.partition("/")[2])
                raise OutdatedEpisodeError(handle, kept, {"episode store": str(VERSION)})

    async def append(
        self, episode_id: str, generation: str, index: int, action: bytes, request_id: str = ""
    ) -> bool:
        now = await self._now()

        def add(batch: Any, key: str, found: Mapping[str, Any]) -> bool:
            if found["steps"] != str(index):
                return False
            entry = f"{json.dumps(request_id)}\n{action.decode()}"  # JSON holds no line break
            batch.hset(key, mapping={str(index): entry, "steps": index + 1})
            self._prolong(batch, episode_id, found, now)
            return True

        return bool(await self._change(episode_id, add, generation))

    async def retract(self, episode_id: str, generation: str, index: int) -> bool:
        def remove(batch: Any, key: str, found: Mapping[str, Any]) -> bool:
            if found["steps"] != str(index + 1):
                return False
            batch.hset(key, "steps", index)
            batch.hdel(key, str(index), _result_field(index))
            return True

        return bool(await self._change(episode_id, remove, generation))

    async def add_slow_result(
        self, episode_id: str, generation: str, index: int, result: bytes
    ) -> bool:
        def add(batch: Any, key: str, found: Mapping[str, Any]) -> bool:
            if int(found["steps"]) <= index or _result_field(index) in found:
                return False
            batch.hset(key, _result_field(index), _text(result))
            return True

        return bool(await self._change(episode_id, add, generation))

    async def finish(self, episode_id: str, generation: str, ended: str) -> bool:
        now = await self._now()

        def end(batch: Any, key: str, found: Mapping[str, Any]) -> bool:
            batch.hset(key, "ended", ended)
            if ended == CLOSED:
                batch.zrem(_key("living", found["source"]), episode_id)
            # Before every running one, in the order in which they ended.
            batch.zadd(_key("client", found["client"]), {episode_id: -1 / now}, xx=True)
            return True

        return bool(await self._change(episode_id, end, generation))

    async def secret(self) -> str:
        await self._redis.set(f"{PREFIX}secret", secrets.token_hex(32), nx=True)
        found = str(await self._redis.get(f"{PREFIX}secret"))
        self._secret = self._secret or found
        return found

    async def draw(self, split: str, order: Sequence[int]) -> int | None:
        drawn, now = _key("drawn", split), await self._now()
        await self._redis.zremrangebyscore(drawn, "-inf", now)
        before, until = set(await self._redis.zrange(drawn, 0, -1)), now + self._ttl
        for task in order:
            if str(task) not in before and await self._redis.zadd(drawn, {task: until}, nx=True):
                return task
        return None

    async def settle(self, split: str, task: int, *, played: bool) -> None:
        drawn = _key("drawn", split)
        if played:
            await self._redis.zadd(drawn, {task: math.inf})
        elif await self._redis.zscore(drawn, task) not in (None, math.inf):
            await self._redis.zrem(drawn, task)

    async def list_sealed_plays(self, participant: str, task_set: str) -> list[SealedPlay]:
        entries = await self._redis.lrange(_sealed_key(participant, task_set), 0, -1)
        return [_read_sealed_play(number, entry) for number, entry in enumerate(entries, start=1)]

    async def finish_sealed_play(
        self, player: str, score: float, steps: int, actions_digest: str
    ) -> None:
        found = await self._redis.get(_key("sealed-player", player))
        if found is None:
            return
        list_key, number = json.loads(found)
        play = json.loads(await self._redis.lindex(list_key, number - 1))
        if play["score"] is None:
            play |= {"score": score, "steps": steps, "actions_digest": actions_digest}
            await self._redis.lset(list_key, number - 1, json.dumps(play))

    async def count(self, source: str) -> int:
        now = await self._now()
        await self._redis.zremrangebyscore(_key("living", source), "-inf", now)
        return int(await self._redis.zcard(_key("living", source)))

    async def check(self) -> None:
        written, key = secrets.token_hex(8), f"{PREFIX}heartbeat:{secrets.token_hex(4)}"
        await self._redis.set(key, written, ex=HEARTBEAT_TTL_S)
        if await self._redis.get(key) != written:
            raise unavailable(RedisError("what was written is not what is read"))
        if not self._secret:
            await self.secret()
        elif await self._redis.get(f"{PREFIX}secret") != self._secret:
            raise StoreReplacedError("was emptied or replaced")

    async def usage(self) -> StoreUsage:
        """See `EpisodeStore`; the size is that of all of Redis."""
        living = [await self.count(source) for source in SOURCES]
        memory = await self._redis.info("memory")
        limit = int(memory.get("maxmemory", 0)) or math.inf
        return StoreUsage(sum(living), int(memory["used_memory"]), limit)

    async def close(self) -> None:
        await self._redis.aclose()

    async def _make_room(self, client: str, episode_id: str) -> None:
        """Displace the client's own episodes where it has as many as it may; see `sqlite_store`."""
        redis, held, now = self._redis, _key("client", client), await self._now()
        await redis.zremrangebyscore(held, 0, now)
        others = self._limits.client_episodes - 1
        while await redis.zcard(held) - (await redis.zscore(held, episode_id) is not None) > others:
            ((name, expires),) = await redis.zrange(held, 0, 0, withscores=True)
            if expires > self._limits.idle_until(now):
                raise self._limits.used_up(expires, now, own=True)
            source = await redis.hget(_key("episode", name), "source")
            await redis.zrem(_key("living", source or ""), name)
            await redis.zrem(held, name)
            await redis.delete(_key("episode", name))

    async def _change(
        self,
        episode_id: str,
        work: Callable[..., Any],
        generation: str = "",
        list_key: str = "",
    ) -> Any:
        """Work on an episode, again if it changes meanwhile; for a generation, while it is open.

        With the key of a list, `work` also gets the list's entries, and is called again if these
        change meanwhile.
        """
        key = _key("episode", episode_id)

        async def change(batch: Any) -> Any:
            found = await batch.hgetall(key)
            if list_key:
                entries = await batch.lrange(list_key, 0, -1)
                batch.multi()
                return work(batch, key, found, entries)
            batch.multi()
            if generation and (found.get("generation") != generation or found["ended"] == CLOSED):
                return None
            return work(batch, key, found)

        keys = [key, list_key] if list_key else [key]
        return await self._redis.transaction(change, *keys, value_from_callable=True)

    def _prolong(self, batch: Any, episode_id: str, found: Mapping[str, Any], now: float) -> None:
        expires, client = {episode_id: now + self._ttl}, _key("client", found["client"])
        batch.expire(_key("episode", episode_id), self._ttl)
        if found["player"]:
            batch.set(_key("player", found["player"]), episode_id, ex=self._ttl)
        if found["ended"] != CLOSED:
            batch.zadd(_key("living", found["source"]), expires)
        if found["client"] and not found["ended"]:
            batch.zadd(client, expires)
        batch.expire(client, self._ttl)


def _result_field(index: int) -> str:
    """Field of the result of the slow call in the action of that index."""
    return f"slow_result:{index}"


def _text(result: bytes) -> str:
    """Bytes as text, which is all that a client that decodes responses can read."""
    return base64.b64encode(result).decode()


def _key(kind: str, name: str) -> str:
    return f"{PREFIX}{kind}:{name}"


def _sealed_key(participant: str, task_set: str) -> str:
    """Key of the list of a participant's sealed plays. It never expires."""
    return _key("sealed-plays", f"{participant}/{task_set}")


def _count_sealed_play(
    batch: Any, episode_id: str, new: NewEpisode, sealed: SealedStart, entries: Sequence[str]
) -> None:
    """Give a play of a sealed task its number, within the transaction that starts its episode."""
    if sum(json.loads(entry)["index"] == sealed.index for entry in entries) >= sealed.max_plays:
        raise SealedPlaysUsedUpError(sealed.max_plays)
    list_key = _sealed_key(sealed.participant, sealed.task_set)
    play = {
        "index": sealed.index,
        "episode_id": episode_id,
        "player": new.player,
        "start": new.start.decode(),
        "score": None,
        "steps": 0,
        "actions_digest": "",
    }
    batch.rpush(list_key, json.dumps(play))
    batch.set(_key("sealed-player", new.player), json.dumps([list_key, len(entries) + 1]))


def _read_sealed_play(number: int, entry: str) -> SealedPlay:
    fields = json.loads(entry)
    return SealedPlay(number, **{**fields, "start": fields["start"].encode()})
