"""Episodes in Redis, for several machines behind one address (the `redis` extra).

An episode is one hash, so it expires, or is displaced, as a whole. The bound on bytes is Redis' own
`maxmemory`: with the policy `volatile-ttl` the longest unused episodes make room, with `noeviction`
writes are refused until others have expired. A client's share is a share of
METRIC_TRACKER_MAX_STORED_EPISODES.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from redis.exceptions import RedisError

from openenv_kit.serving.episode_store import (
    CLOSED,
    StoredEpisode,
    StoreLimits,
    share_used_up,
    unavailable,
)

PREFIX = "metric-tracker:4:"
"""The number changes with the shape of what is kept; keys of another expire by themselves."""

HEAD = ("generation", "source", "client", "player", "timeline", "ended", "steps")
"""Fields of an episode besides its start and its actions, which are called by their number."""


@contextmanager
def _reported() -> Iterator[None]:
    """Errors of Redis as ours: out of memory, not reachable, still loading, read-only."""
    try:
        yield
    except RedisError as problem:
        raise unavailable(problem) from problem


class RedisStore:
    """Episodes in one Redis database, through a client that decodes responses."""

    @_reported()
    def __init__(self, redis: Any, limits: StoreLimits) -> None:
        self._redis = redis
        self._limits = limits
        self._ttl = max(1, round(limits.ttl_s))
        redis.ping()

    @_reported()
    def create(
        self,
        episode_id: str,
        source: str,
        start: bytes,
        actions: list[bytes],
        *,
        client: str = "",
        player: str = "",
        over: bool = True,
    ) -> str:
        generation = secrets.token_hex(8)
        fields = {"generation": generation, "source": source, "client": client, "player": player}
        fields |= {"ended": "", "steps": str(len(actions)), "start": start.decode()}
        entries = {n: _entry("", action) for n, action in enumerate(actions)}

        def work(batch: Any, before: Mapping[str, Any]) -> str:
            if before["source"] is not None and not over:
                return ""
            batch.multi()
            batch.delete(_key("episode", episode_id))
            if before["source"] is not None:
                batch.zrem(_key("living", before["source"]), episode_id)
                batch.zrem(_key("client", before["client"]), episode_id)
            timeline = int(before["timeline"] or 0) + 1
            batch.hset(_key("episode", episode_id), mapping={**fields, "timeline": timeline})
            if entries:
                batch.hset(_key("episode", episode_id), mapping=entries)
            self._prolong(batch, episode_id, fields)
            return generation

        if client:
            self._make_room(client, episode_id)
        return str(self._change(episode_id, work))

    @_reported()
    def find(self, player: str) -> str | None:
        found: str | None = self._redis.get(_key("player", player)) if player else None
        return found

    @_reported()
    def load(self, episode_id: str, *, take: bool = False) -> StoredEpisode | None:
        def work(batch: Any, head: Mapping[str, Any]) -> StoredEpisode | None:
            if head["generation"] is None:
                return None
            found = batch.hgetall(_key("episode", episode_id))
            batch.multi()
            if take:
                found["generation"] = secrets.token_hex(8)
                batch.hset(_key("episode", episode_id), "generation", found["generation"])
            self._prolong(batch, episode_id, found)
            entries = [found[str(n)].split("\n", 1) for n in range(int(found["steps"]))]
            return StoredEpisode(
                found["generation"],
                found["start"].encode(),
                tuple(action.encode() for _, action in entries),
                tuple(json.loads(request_id) for request_id, _ in entries),
                found["player"],
                int(found["timeline"]),
                found["ended"],
            )

        found: StoredEpisode | None = self._change(episode_id, work)
        return found

    @_reported()
    def append(
        self, episode_id: str, generation: str, index: int, action: bytes, request_id: str
    ) -> bool:
        def work(batch: Any, head: Mapping[str, Any]) -> bool:
            if (head["generation"], head["steps"]) != (generation, str(index)):
                return False
            if head["ended"] == CLOSED:
                return False
            batch.multi()
            entry = {index: _entry(request_id, action), "steps": index + 1}
            batch.hset(_key("episode", episode_id), mapping=entry)
            self._prolong(batch, episode_id, head)
            return True

        return bool(self._change(episode_id, work))

    @_reported()
    def finish(self, episode_id: str, generation: str, ended: str) -> bool:
        def work(batch: Any, head: Mapping[str, Any]) -> bool:
            if head["generation"] != generation or head["ended"] == CLOSED:
                return False
            batch.multi()
            batch.hset(_key("episode", episode_id), "ended", ended)
            if ended == CLOSED:
                batch.zrem(_key("living", head["source"]), episode_id)
            # Before every running one, in the order in which they ended.
            batch.zadd(_key("client", head["client"]), {episode_id: -1 / time.time()}, xx=True)
            return True

        return bool(self._change(episode_id, work))

    @_reported()
    def next(self, counter: str) -> int:
        return int(self._redis.incr(_key("counter", counter))) - 1

    @_reported()
    def count(self, source: str) -> int:
        self._redis.zremrangebyscore(_key("living", source), "-inf", time.time())
        return int(self._redis.zcard(_key("living", source)))

    @_reported()
    def check(self) -> None:
        self._redis.set(f"{PREFIX}heartbeat", time.time(), ex=self._ttl)

    def close(self) -> None:
        self._redis.close()

    def _make_room(self, client: str, episode_id: str) -> None:
        """Displace the client's own episodes where it has as many as it may; see `store_room`."""
        limits, held, now = self._limits, _key("client", client), time.time()
        self._redis.zremrangebyscore(held, 0, now)
        while True:
            again = self._redis.zscore(held, episode_id) is not None
            if int(self._redis.zcard(held)) - again < limits.client_episodes:
                return
            ((name, score),) = self._redis.zrange(held, 0, 0, withscores=True)
            wait = math.ceil(score - limits.ttl_s + limits.idle_s - now)
            if wait > 0:
                raise share_used_up(limits, wait)
            source = self._redis.hget(_key("episode", name), "source")
            self._redis.zrem(_key("living", source or ""), name)
            self._redis.zrem(held, name)
            self._redis.delete(_key("episode", name))

    def _change(self, episode_id: str, work: Callable[[Any, Mapping[str, Any]], Any]) -> Any:
        """Do work on an episode; it is done again where the episode changes meanwhile.

        Args:
            episode_id: which one.
            work: takes the transaction and the fields `HEAD`, all None where there is no such
                episode; reads, calls `multi`, writes.
        """
        key = _key("episode", episode_id)

        def attempt(batch: Any) -> Any:
            return work(batch, dict(zip(HEAD, batch.hmget(key, *HEAD), strict=True)))

        return self._redis.transaction(attempt, key, value_from_callable=True)

    def _prolong(self, batch: Any, episode_id: str, head: Mapping[str, Any]) -> None:
        source, client, player = head["source"], head["client"], head["player"]
        expires = time.time() + self._ttl
        batch.expire(_key("episode", episode_id), self._ttl)
        if player:
            batch.set(_key("player", player), episode_id, ex=self._ttl)
        if head["ended"] != CLOSED:
            batch.zadd(_key("living", source), {episode_id: expires})
        if client:
            if not head["ended"]:
                batch.zadd(_key("client", client), {episode_id: expires})
            batch.expire(_key("client", client), self._ttl)


def _key(kind: str, name: str) -> str:
    return f"{PREFIX}{kind}:{name}"


def _entry(request_id: str, action: bytes) -> str:
    return f"{json.dumps(request_id)}\n{action.decode()}"  # JSON text holds no line break
