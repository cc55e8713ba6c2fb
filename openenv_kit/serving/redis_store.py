"""Episodes in Redis, for several machines behind one address (the `redis` extra).

An episode is one hash, so it expires, or is displaced, as a whole. The bound on bytes is Redis' own
`maxmemory`: with the policy `volatile-ttl` the longest unused episodes make room, with `noeviction`
writes are refused until others have expired. A client's share is a share of
OPENENV_KIT_MAX_STORED_EPISODES.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from openenv_kit.serving.store import CLOSED, StoredEpisode, StoreLimits, unavailable

PREFIX = "openenv-kit:5:"
"""The number changes with the shape of what is kept; keys of another expire by themselves."""
HEAD = ("generation", "source", "client", "player", "timeline", "ended", "steps")
"""Fields of an episode besides its start and its actions, which are called by their number."""
ANSWER_S = 5.0
"""Longest wait for an answer: a Redis that hangs must not hang the steps of everybody."""


def connect(address: str) -> Any:
    """A client for `RedisStore`."""
    return Redis.from_url(
        address, decode_responses=True, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S
    )


@asynccontextmanager
async def _reported() -> AsyncIterator[None]:
    """Errors of Redis as ours: out of memory, not reachable, too slow, still loading, read-only."""
    try:
        yield
    except RedisError as problem:
        raise unavailable(problem) from problem


class RedisStore:
    """Episodes in one Redis database, through a client that decodes responses."""

    def __init__(self, redis: Any, limits: StoreLimits) -> None:
        self._redis = redis
        self._limits = limits
        self._ttl = max(1, round(limits.ttl_s))

    @_reported()
    async def create(
        self,
        episode_id: str,
        source: str,
        start: bytes,
        actions: Sequence[bytes] = (),
        *,
        client: str = "",
        player: str = "",
        over: bool = True,
    ) -> str:
        generation, key = secrets.token_hex(8), _key("episode", episode_id)
        fields = {"generation": generation, "source": source, "client": client, "player": player}
        fields |= {"ended": "", "steps": str(len(actions)), "start": start.decode()}
        fields |= {str(n): _entry("", action) for n, action in enumerate(actions)}

        def work(batch: Any, before: Mapping[str, Any]) -> str:
            if before["source"] is not None:
                if not over:
                    return ""
                batch.zrem(_key("living", before["source"]), episode_id)
                batch.zrem(_key("client", before["client"]), episode_id)
                batch.delete(key)
            timeline = int(before["timeline"] or 0) + 1
            batch.hset(key, mapping={**fields, "timeline": timeline})
            self._prolong(batch, episode_id, fields)
            return generation

        if client:
            await self._make_room(client, episode_id)
        return str(await self._change(episode_id, work))

    @_reported()
    async def find(self, player: str) -> str | None:
        found: str | None = await self._redis.get(_key("player", player)) if player else None
        return found

    @_reported()
    async def load(self, episode_id: str, *, take: bool = False) -> StoredEpisode | None:
        taken = secrets.token_hex(8) if take else ""

        def work(batch: Any, found: Mapping[str, Any]) -> StoredEpisode | None:
            if not found:
                return None
            if taken:
                batch.hset(_key("episode", episode_id), "generation", taken)
            self._prolong(batch, episode_id, found)
            entries = [found[str(n)].split("\n", 1) for n in range(int(found["steps"]))]
            return StoredEpisode(
                taken or found["generation"],
                found["start"].encode(),
                tuple(action.encode() for _, action in entries),
                tuple(json.loads(request_id) for request_id, _ in entries),
                found["player"],
                int(found["timeline"]),
                found["ended"],
            )

        found: StoredEpisode | None = await self._change(episode_id, work, whole=True)
        return found

    @_reported()
    async def append(
        self, episode_id: str, generation: str, index: int, action: bytes, request_id: str = ""
    ) -> bool:
        def work(batch: Any, head: Mapping[str, Any]) -> bool:
            current = (head["generation"], head["steps"]) == (generation, str(index))
            if not current or head["ended"] == CLOSED:
                return False
            entry = {str(index): _entry(request_id, action), "steps": str(index + 1)}
            batch.hset(_key("episode", episode_id), mapping=entry)
            self._prolong(batch, episode_id, head)
            return True

        return bool(await self._change(episode_id, work))

    @_reported()
    async def finish(self, episode_id: str, generation: str, ended: str) -> bool:
        def work(batch: Any, head: Mapping[str, Any]) -> bool:
            if head["generation"] != generation or head["ended"] == CLOSED:
                return False
            batch.hset(_key("episode", episode_id), "ended", ended)
            if ended == CLOSED:
                batch.zrem(_key("living", head["source"]), episode_id)
            # Before every running one, in the order in which they ended.
            batch.zadd(_key("client", head["client"]), {episode_id: -1 / time.time()}, xx=True)
            return True

        return bool(await self._change(episode_id, work))

    @_reported()
    async def secret(self) -> str:
        await self._redis.set(f"{PREFIX}secret", secrets.token_hex(32), nx=True)
        return str(await self._redis.get(f"{PREFIX}secret"))

    @_reported()
    async def draw(self, split: str, order: Sequence[int]) -> int | None:
        drawn, now = _key("drawn", split), time.time()
        await self._redis.zremrangebyscore(drawn, "-inf", now)
        before, until = set(await self._redis.zrange(drawn, 0, -1)), now + self._ttl
        for task in order:
            if str(task) not in before and await self._redis.zadd(drawn, {task: until}, nx=True):
                return task
        return None

    @_reported()
    async def settle(self, split: str, task: int, *, played: bool) -> None:
        drawn = _key("drawn", split)
        if played:
            await self._redis.zadd(drawn, {task: math.inf})
        elif await self._redis.zscore(drawn, task) not in (None, math.inf):
            await self._redis.zrem(drawn, task)

    @_reported()
    async def count(self, source: str) -> int:
        await self._redis.zremrangebyscore(_key("living", source), "-inf", time.time())
        return int(await self._redis.zcard(_key("living", source)))

    @_reported()
    async def check(self) -> None:
        await self._redis.set(f"{PREFIX}heartbeat", time.time(), ex=self._ttl)

    async def close(self) -> None:
        await self._redis.aclose()

    async def _make_room(self, client: str, episode_id: str) -> None:
        """Displace the client's own episodes where it has as many as it may; see `sqlite_store`."""
        redis, held = self._redis, _key("client", client)
        await redis.zremrangebyscore(held, 0, time.time())
        others = self._limits.client_episodes - 1
        while await redis.zcard(held) - (await redis.zscore(held, episode_id) is not None) > others:
            ((name, expires),) = await redis.zrange(held, 0, 0, withscores=True)
            if expires > self._limits.idle_until():
                raise self._limits.used_up(expires, own=True)
            source = await redis.hget(_key("episode", name), "source")
            await redis.zrem(_key("living", source or ""), name)
            await redis.zrem(held, name)
            await redis.delete(_key("episode", name))

    async def _change(
        self, episode_id: str, work: Callable[[Any, dict[str, Any]], Any], *, whole: bool = False
    ) -> Any:
        """Do work on an episode, again where somebody else changes the episode meanwhile.

        Args:
            episode_id: which one.
            work: takes the transaction to write to and the fields `HEAD`, None where there is no
                such episode.
            whole: whether it takes all fields, and none where there is no such episode.
        """
        key = _key("episode", episode_id)

        async def change(batch: Any) -> Any:
            if whole:
                found = await batch.hgetall(key)
            else:
                found = dict(zip(HEAD, await batch.hmget(key, *HEAD), strict=True))
            batch.multi()
            return work(batch, found)

        return await self._redis.transaction(change, key, value_from_callable=True)

    def _prolong(self, batch: Any, episode_id: str, head: Mapping[str, Any]) -> None:
        expires, client = {episode_id: time.time() + self._ttl}, _key("client", head["client"])
        batch.expire(_key("episode", episode_id), self._ttl)
        if head["player"]:
            batch.set(_key("player", head["player"]), episode_id, ex=self._ttl)
        if head["ended"] != CLOSED:
            batch.zadd(_key("living", head["source"]), expires)
        if head["client"]:
            if not head["ended"]:
                batch.zadd(client, expires)
            batch.expire(client, self._ttl)


def _key(kind: str, name: str) -> str:
    return f"{PREFIX}{kind}:{name}"


def _entry(request_id: str, action: bytes) -> str:
    return f"{json.dumps(request_id)}\n{action.decode()}"  # JSON text holds no line break
