"""Episodes in Redis, for several machines behind one address (the `redis` extra).

Keys expire by themselves. The bound on bytes is Redis' own `maxmemory`: with the policy
`volatile-ttl` the longest unused episodes make room, with `noeviction` writes are refused until
others have expired. A client's share is a share of METRIC_TRACKER_MAX_STORED_EPISODES.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from server.episode_store import (
    StoredEpisode,
    StoreFullError,
    StoreLimits,
    StoreUnavailableError,
)

PREFIX = "metric-tracker:2:"
"""The number changes with the shape of what is kept; keys of another expire by themselves."""


logger = logging.getLogger("metric_tracker.store")


class RedisStore:
    """Episodes in one Redis database; see `server.episode_store.EpisodeStore`.

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
        self, episode_id: str, source: str, start: bytes, actions: list[bytes], client: str = ""
    ) -> str:
        """See `EpisodeStore`."""
        generation = secrets.token_hex(8)
        head, tail = _keys(episode_id)
        with _reported():
            if client:
                self._make_room(client, episode_id)
            before = self._redis.hget(head, "client")
            with self._redis.pipeline(transaction=True) as batch:
                batch.delete(head, tail)
                if before:
                    batch.zrem(_held(before.decode()), episode_id)
                told = {"generation": generation, "source": source, "client": client}
                batch.hset(head, mapping={**told, "start": start, "steps": len(actions)})
                if actions:
                    batch.rpush(tail, *(_entry("", action) for action in actions))
                self._prolong(batch, episode_id, source, client)
                batch.execute()
        return generation

    def load(self, episode_id: str) -> StoredEpisode | None:
        """See `EpisodeStore`."""
        head, tail = _keys(episode_id)
        with _reported():
            with self._redis.pipeline(transaction=True) as batch:
                batch.hgetall(head)
                batch.lrange(tail, 0, -1)
                found, entries = batch.execute()
            if not found or int(found[b"steps"]) != len(entries):
                # Redis displaces single keys: without its actions an episode would start again.
                return None
            with self._redis.pipeline(transaction=True) as batch:
                source, client = found[b"source"].decode(), found[b"client"].decode()
                finished = b"finished" in found
                self._prolong(batch, episode_id, source, client, finished=finished)
                batch.execute()
        pairs = [entry.split(b"\n", 1) for entry in entries]
        return StoredEpisode(
            found[b"generation"].decode(),
            found[b"start"],
            tuple(action for _, action in pairs),
            tuple(request.decode() for request, _ in pairs),
        )

    def append(
        self, episode_id: str, generation: str, index: int, action: bytes, request_id: str
    ) -> bool:
        """See `EpisodeStore`."""
        from redis.exceptions import WatchError

        head, tail = _keys(episode_id)
        with _reported(), self._redis.pipeline(transaction=True) as batch:
            try:
                # Whoever changes either key before the transaction makes it fail.
                batch.watch(head, tail)
                found = batch.hmget(head, "generation", "source", "client", "steps")
                if found[0] != generation.encode() or int(found[3]) != index:
                    return False
                if batch.llen(tail) != index:
                    return False
                batch.multi()
                batch.rpush(tail, _entry(request_id, action))
                batch.hincrby(head, "steps", 1)
                self._prolong(batch, episode_id, found[1].decode(), found[2].decode())
                batch.execute()
            except WatchError:
                return False
        return True

    def finish(self, episode_id: str, generation: str) -> None:
        """See `EpisodeStore`."""
        head, _ = _keys(episode_id)
        with _reported():
            found = self._redis.hmget(head, "generation", "client")
            if found[0] == generation.encode():
                self._redis.hset(head, "finished", 1)
                # Before every running one, in the order in which they ended.
                score = -1 / self._clock()
                self._redis.zadd(_held(found[1].decode()), {episode_id: score}, xx=True)

    def delete(self, episode_id: str) -> bool:
        """See `EpisodeStore`."""
        head, tail = _keys(episode_id)
        with _reported():
            source, client = self._redis.hmget(head, "source", "client")
            if source is not None:
                self._redis.zrem(_living(source.decode()), episode_id)
                self._redis.zrem(_held(client.decode()), episode_id)
            return bool(self._redis.delete(head, tail))

    def count(self, source: str) -> int:
        """See `EpisodeStore`."""
        with _reported():
            self._redis.zremrangebyscore(_living(source), "-inf", self._clock())
            return int(self._redis.zcard(_living(source)))

    def check(self) -> None:
        """See `EpisodeStore`."""
        with _reported():
            self._redis.set(f"{PREFIX}heartbeat", self._clock(), ex=self._ttl)

    def close(self) -> None:
        """See `EpisodeStore`."""
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

    def _prolong(
        self, batch: Any, episode_id: str, source: str, client: str, *, finished: bool = False
    ) -> None:
        expires = self._clock() + self._ttl
        for key in _keys(episode_id):
            batch.expire(key, self._ttl)
        batch.zadd(_living(source), {episode_id: expires})
        if client:
            if not finished:
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


def _living(source: str) -> str:
    return f"{PREFIX}living:{source}"


def _held(client: str) -> str:
    return f"{PREFIX}client:{client}"


def _entry(request_id: str, action: bytes) -> bytes:
    return request_id.replace("\n", " ").encode() + b"\n" + action
