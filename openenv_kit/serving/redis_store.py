"""Episodes in Redis, for several machines behind one address (the `redis` extra).

Keys expire by themselves. The bound on bytes is Redis' own `maxmemory`: with the policy
`volatile-ttl` the longest unused episodes make room, with `noeviction` writes are refused until
others have expired. A client's share is a share of METRIC_TRACKER_MAX_STORED_EPISODES.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from openenv_kit.serving.episode_store import (
    StoredEpisode,
    StoreFullError,
    StoreLimits,
    StoreUnavailableError,
)

PREFIX = "metric-tracker:3:"
"""The number changes with the shape of what is kept; keys of another expire by themselves."""

CLOSED = b"closed"

logger = logging.getLogger("metric_tracker.store")


class RedisStore:
    """Episodes in one Redis database; see `openenv_kit.serving.episode_store.EpisodeStore`.

    Args:
        address: redis://, rediss:// or unix:// address.
        limits: what it may hold; bytes are Redis' own matter.
        client: a client to use instead of one for the address.
        clock: seconds since the epoch.

    Raises:
        StoreUnavailableError: no Redis answers there, or the `redis` extra is not installed.
    """

    def __init__(
        self,
        address: str,
        limits: StoreLimits,
        *,
        client: Any = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if client is None:
            try:
                import redis
            except ImportError:
                raise StoreUnavailableError(
                    "METRIC_TRACKER_EPISODE_STORE is a Redis address, but the `redis` extra is not "
                    "installed."
                ) from None
            client = redis.Redis.from_url(address)
        self._redis = client
        self._limits = limits
        self._ttl = max(1, round(limits.ttl_s))
        self._clock = clock
        with _reported():
            client.ping()

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
        head, tail = _keys(episode_id)
        fields = {"generation": generation, "source": source, "client": client, "start": start}

        def work(batch: Any) -> str:
            before = batch.hmget(head, "source", "client", "timeline")
            if before[0] is not None and not over:
                return ""
            batch.multi()
            batch.delete(head, tail)
            if before[0] is not None:
                batch.zrem(_living(before[0].decode()), episode_id)
                batch.zrem(_held(before[1].decode()), episode_id)
            timeline = int(before[2] or 0) + 1
            counts = {"steps": len(actions), "timeline": timeline}
            batch.hset(head, mapping={**fields, **counts, "player": player})
            if actions:
                batch.rpush(tail, *(_entry("", action) for action in actions))
            self._prolong(batch, episode_id, source, client, player)
            return generation

        with _reported():
            if client:
                self._make_room(client, episode_id)
            return str(self._redis_write(work, head))

    def find(self, player: str) -> str | None:
        with _reported():
            found = self._redis.get(_player_key(player)) if player else None
        return None if found is None else str(found.decode())

    def load(self, episode_id: str) -> StoredEpisode | None:
        with _reported():
            return self._used(episode_id)

    def take(self, episode_id: str) -> StoredEpisode | None:
        head, _ = _keys(episode_id)
        generation = secrets.token_hex(8)

        def work(batch: Any) -> bool:
            if not batch.exists(head):  # setting a field of one that expired would revive it
                return False
            batch.multi()
            batch.hset(head, "generation", generation)
            return True

        with _reported():
            if not self._redis_write(work, head):
                return None
            found = self._used(episode_id)
        # Another one may have taken it since; its generation is not ours to hold.
        return found and replace(found, generation=generation)

    def _used(self, episode_id: str) -> StoredEpisode | None:
        head, tail = _keys(episode_id)
        with self._redis.pipeline(transaction=True) as batch:
            batch.hgetall(head)
            batch.lrange(tail, 0, -1)
            found, entries = batch.execute()
        if not found or int(found[b"steps"]) != len(entries):
            # Redis displaces single keys: without its actions an episode would start again.
            return None
        source, client, player = (found[n].decode() for n in (b"source", b"client", b"player"))
        ended = found.get(b"ended", b"").decode()
        with self._redis.pipeline(transaction=True) as batch:
            self._prolong(batch, episode_id, source, client, player, ended=ended)
            batch.execute()
        pairs = [entry.split(b"\n", 1) for entry in entries]
        return StoredEpisode(
            found[b"generation"].decode(),
            found[b"start"],
            tuple(action for _, action in pairs),
            tuple(json.loads(request) for request, _ in pairs),
            player,
            int(found[b"timeline"]),
            ended,
        )

    def append(
        self, episode_id: str, generation: str, index: int, action: bytes, request_id: str
    ) -> bool:
        head, tail = _keys(episode_id)

        def work(batch: Any) -> bool:
            names = ("generation", "source", "client", "player", "steps", "ended")
            found = batch.hmget(head, *names)
            if found[0] != generation.encode() or int(found[4]) != index:
                return False
            if found[5] == CLOSED or batch.llen(tail) != index:
                return False
            batch.multi()
            batch.rpush(tail, _entry(request_id, action))
            batch.hincrby(head, "steps", 1)
            self._prolong(batch, episode_id, *(each.decode() for each in found[1:4]))
            return True

        with _reported():
            return bool(self._redis_write(work, head, tail))

    def finish(self, episode_id: str, generation: str, ended: str) -> bool:
        head, _ = _keys(episode_id)

        def work(batch: Any) -> bool:
            found = batch.hmget(head, "generation", "source", "client", "ended")
            if found[0] != generation.encode() or found[3] == CLOSED:
                return False
            batch.multi()
            batch.hset(head, "ended", ended)
            if ended.encode() == CLOSED:
                batch.zrem(_living(found[1].decode()), episode_id)
            # Before every running one, in the order in which they ended.
            batch.zadd(_held(found[2].decode()), {episode_id: -1 / self._clock()}, xx=True)
            return True

        with _reported():
            return bool(self._redis_write(work, head))

    def next(self, counter: str) -> int:
        with _reported():
            return int(self._redis.incr(f"{PREFIX}counter:{counter}")) - 1

    def delete(self, episode_id: str) -> bool:
        head, tail = _keys(episode_id)
        with _reported():
            source, client = self._redis.hmget(head, "source", "client")
            if source is not None:
                self._redis.zrem(_living(source.decode()), episode_id)
                self._redis.zrem(_held(client.decode()), episode_id)
            return bool(self._redis.delete(head, tail))

    def count(self, source: str) -> int:
        with _reported():
            self._redis.zremrangebyscore(_living(source), "-inf", self._clock())
            return int(self._redis.zcard(_living(source)))

    def check(self) -> None:
        with _reported():
            self._redis.set(f"{PREFIX}heartbeat", self._clock(), ex=self._ttl)

    def close(self) -> None:
        self._redis.close()

    def _make_room(self, client: str, episode_id: str) -> None:
        """Displace the client's own episodes where it has as many as it may; see `store_room`."""
        limits, held, now = self._limits, _held(client), self._clock()
        self._redis.zremrangebyscore(held, 0, now)
        while True:
            again = self._redis.zscore(held, episode_id) is not None
            if int(self._redis.zcard(held)) - again < limits.client_episodes:
                return
            ((name, score),) = self._redis.zrange(held, 0, 0, withscores=True)
            wait = math.ceil(score - limits.ttl_s + limits.idle_s - now)
            if wait > 0:
                raise StoreFullError(
                    f"Your running episodes take up your share of the episode store: "
                    f"{limits.client_percent} % of it, which is {limits.client_episodes} "
                    f"episodes. Finish one, or retry in {wait} s.",
                    wait,
                    own=True,
                )
            self.delete(name.decode())
            self._redis.zrem(held, name)

    def _redis_write(self, work: Callable[[Any], Any], *keys: str) -> Any:
        """Do work in a transaction that fails, and is done again, where a key changes meanwhile.

        Args:
            work: reads, calls `multi`, writes; without `multi` nothing is written.
            keys: what it reads.
        """
        from redis.exceptions import WatchError

        with self._redis.pipeline(transaction=True) as batch:
            while True:
                try:
                    batch.watch(*keys)
                    result = work(batch)
                    batch.execute()
                except WatchError:
                    continue
                return result

    def _prolong(
        self, batch: Any, episode_id: str, source: str, client: str, player: str, *, ended: str = ""
    ) -> None:
        expires = self._clock() + self._ttl
        for key in _keys(episode_id):
            batch.expire(key, self._ttl)
        if player:
            batch.set(_player_key(player), episode_id, ex=self._ttl)
        if ended.encode() != CLOSED:
            batch.zadd(_living(source), {episode_id: expires})
        if client:
            if not ended:
                batch.zadd(_held(client), {episode_id: expires})
            batch.expire(_held(client), self._ttl)


@contextmanager
def _reported() -> Iterator[None]:
    """Errors of Redis as ours: out of memory, not reachable, still loading, read-only.

    Raises:
        StoreUnavailableError: one of them.
    """
    from redis.exceptions import RedisError

    try:
        yield
    except RedisError as problem:
        logger.warning("episode store unavailable", extra={"reason": str(problem)})
        raise StoreUnavailableError(
            "The episode store cannot be written at the moment. Retry in a few seconds."
        ) from problem


def _keys(episode_id: str) -> tuple[str, str]:
    return f"{PREFIX}episode:{episode_id}", f"{PREFIX}actions:{episode_id}"


def _player_key(player: str) -> str:
    return f"{PREFIX}player:{player}"


def _living(source: str) -> str:
    return f"{PREFIX}living:{source}"


def _held(client: str) -> str:
    return f"{PREFIX}client:{client}"


def _entry(request_id: str, action: bytes) -> bytes:
    return json.dumps(request_id).encode() + b"\n" + action  # JSON text holds no line break
