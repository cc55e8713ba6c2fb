"""Episodes in Redis, for several machines behind one address (the `redis` extra).

Keys expire by themselves. The bound on episodes is Redis' own `maxmemory` with an eviction
policy, because no client can count what other machines store without asking for every key.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from server.store import StoredEpisode

PREFIX = "metric-tracker:"


class RedisStore:
    """Episodes in one Redis database; see `server.store.EpisodeStore`.

    Args:
        address: redis://, rediss:// or unix:// address.
        ttl_s: life after the last use, in seconds.
        client: a client to use instead of one for the address.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        address: str,
        ttl_s: float,
        *,
        client: Any = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if client is None:
            import redis

            client = redis.Redis.from_url(address)
            client.ping()
        self._redis = client
        self._ttl = max(1, round(ttl_s))
        self._clock = clock

    def create(self, episode_id: str, source: str, start: bytes, actions: list[bytes]) -> str:
        """Start an episode, or start it over; returns its generation."""
        generation = secrets.token_hex(8)
        head, tail = _keys(episode_id)
        with self._redis.pipeline(transaction=True) as batch:
            batch.delete(head, tail)
            batch.hset(head, mapping={"generation": generation, "source": source, "start": start})
            if actions:
                batch.rpush(tail, *(_entry("", action) for action in actions))
            self._prolong(batch, head, tail, source, episode_id)
            batch.execute()
        return generation

    def load(self, episode_id: str) -> StoredEpisode | None:
        """The episode, its life prolonged; None if unknown or expired."""
        head, tail = _keys(episode_id)
        with self._redis.pipeline(transaction=True) as batch:
            batch.hgetall(head)
            batch.lrange(tail, 0, -1)
            found, entries = batch.execute()
        if not found:
            return None
        with self._redis.pipeline(transaction=True) as batch:
            self._prolong(batch, head, tail, found[b"source"].decode(), episode_id)
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
        """Add the action of that index; False if another writer was first, or it is gone."""
        from redis.exceptions import WatchError

        head, tail = _keys(episode_id)
        with self._redis.pipeline(transaction=True) as batch:
            try:
                # Whoever changes either key before the transaction makes it fail.
                batch.watch(head, tail)
                found = batch.hmget(head, "generation", "source")
                if found[0] != generation.encode() or batch.llen(tail) != index:
                    return False
                batch.multi()
                batch.rpush(tail, _entry(request_id, action))
                self._prolong(batch, head, tail, found[1].decode(), episode_id)
                batch.execute()
            except WatchError:
                return False
        return True

    def delete(self, episode_id: str) -> bool:
        """Forget an episode; False if there was none."""
        head, tail = _keys(episode_id)
        source = self._redis.hget(head, "source")
        if source is not None:
            self._redis.zrem(_living(source.decode()), episode_id)
        return bool(self._redis.delete(head, tail))

    def count(self, source: str) -> int:
        """Living episodes of that source."""
        self._redis.zremrangebyscore(_living(source), "-inf", self._clock())
        return int(self._redis.zcard(_living(source)))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _prolong(self, batch: Any, head: str, tail: str, source: str, episode_id: str) -> None:
        batch.expire(head, self._ttl)
        batch.expire(tail, self._ttl)
        batch.zadd(_living(source), {episode_id: self._clock() + self._ttl})


def _keys(episode_id: str) -> tuple[str, str]:
    return f"{PREFIX}episode:{episode_id}", f"{PREFIX}actions:{episode_id}"


def _living(source: str) -> str:
    return f"{PREFIX}living:{source}"


def _entry(request_id: str, action: bytes) -> bytes:
    return request_id.replace("\n", " ").encode() + b"\n" + action
