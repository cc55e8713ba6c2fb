"""Episodes in Redis, for several machines behind one address (the `redis` extra).

Keys expire by themselves. The bound on episodes is Redis' own `maxmemory` with an eviction
policy, because no client can count what other machines store without asking for every key.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from server.store import StoredEpisode

PREFIX = "metric-tracker:2:"
"""Its number changes with what is kept, so that no version reads what another wrote."""


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

    def create(
        self,
        episode_id: str,
        source: str,
        start: bytes,
        actions: list[bytes],
        *,
        player: str = "",
        over: bool = True,
    ) -> str:
        """Start an episode; returns its generation, or nothing where it must not be there yet."""
        from redis.exceptions import WatchError

        generation = secrets.token_hex(8)
        head, tail = _keys(episode_id)
        fields = {"generation": generation, "source": source, "start": start, "player": player}
        with self._redis.pipeline(transaction=True) as batch:
            while True:
                try:
                    batch.watch(head)
                    before = batch.hmget(head, "source", "timeline")
                    if before[0] is not None and not over:
                        return ""
                    timeline = int(before[1] or 0) + 1
                    batch.multi()
                    batch.delete(head, tail)
                    if before[0] is not None:
                        batch.zrem(_living(before[0].decode()), episode_id)
                    batch.hset(head, mapping={**fields, "timeline": timeline})
                    if actions:
                        batch.rpush(tail, *(_entry("", action) for action in actions))
                    self._prolong(batch, episode_id, source, player)
                    batch.execute()
                except WatchError:
                    continue
                return generation

    def find(self, player: str) -> str | None:
        """Id of the episode that a player's handle belongs to."""
        found = self._redis.get(_player_key(player))
        return None if found is None else str(found.decode())

    def load(self, episode_id: str) -> StoredEpisode | None:
        """The episode, its life prolonged; None if unknown or expired."""
        return self._used(episode_id)

    def take(self, episode_id: str) -> StoredEpisode | None:
        """As `load`, under a new generation: whoever holds the old one can add nothing more."""
        from redis.exceptions import WatchError

        head, _ = _keys(episode_id)
        generation = secrets.token_hex(8)
        with self._redis.pipeline(transaction=True) as batch:
            while True:
                try:
                    batch.watch(head)  # setting a field of one that expired would revive it
                    if not batch.exists(head):
                        return None
                    batch.multi()
                    batch.hset(head, "generation", generation)
                    batch.execute()
                except WatchError:
                    continue
                found = self._used(episode_id)
                # Another one may have taken it since; its generation is not ours to hold.
                return found and replace(found, generation=generation)

    def _used(self, episode_id: str) -> StoredEpisode | None:
        head, tail = _keys(episode_id)
        with self._redis.pipeline(transaction=True) as batch:
            batch.hgetall(head)
            batch.lrange(tail, 0, -1)
            found, entries = batch.execute()
        if not found:
            return None
        player, ended = (found.get(name, b"").decode() for name in (b"player", b"ended"))
        with self._redis.pipeline(transaction=True) as batch:
            source = found[b"source"].decode()
            self._prolong(batch, episode_id, source, player, living=ended != "closed")
            batch.execute()
        pairs = [entry.split(b"\n", 1) for entry in entries]
        return StoredEpisode(
            found[b"generation"].decode(),
            found[b"start"],
            tuple(action for _, action in pairs),
            tuple(json.loads(request) for request, _ in pairs),
            player,
            int(found.get(b"timeline", 1)),
            ended,
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
                found = batch.hmget(head, "generation", "source", "player", "ended")
                if found[0] != generation.encode() or batch.llen(tail) != index:
                    return False
                if found[3] == b"closed":
                    return False
                batch.multi()
                batch.rpush(tail, _entry(request_id, action))
                self._prolong(batch, episode_id, found[1].decode(), (found[2] or b"").decode())
                batch.execute()
            except WatchError:
                return False
        return True

    def finish(self, episode_id: str, generation: str, ended: str) -> bool:
        """Mark an episode `completed` or `closed`; False if another writer was first."""
        from redis.exceptions import WatchError

        head, _ = _keys(episode_id)
        with self._redis.pipeline(transaction=True) as batch:
            try:
                batch.watch(head)
                found = batch.hmget(head, "generation", "source", "ended")
                if found[0] != generation.encode() or found[2] == b"closed":
                    return False
                batch.multi()
                batch.hset(head, "ended", ended)
                if ended == "closed":
                    batch.zrem(_living(found[1].decode()), episode_id)
                batch.execute()
            except WatchError:
                return False
        return True

    def next(self, counter: str) -> int:
        """The next number of a counter that all processes share, from 0."""
        return int(self._redis.incr(f"{PREFIX}counter:{counter}")) - 1

    def delete(self, episode_id: str) -> bool:
        """Forget an episode; False if there was none."""
        head, tail = _keys(episode_id)
        source = self._redis.hget(head, "source")
        if source is not None:
            self._redis.zrem(_living(source.decode()), episode_id)
        return bool(self._redis.delete(head, tail))

    def count(self, source: str) -> int:
        """Living episodes of that source that nobody closed."""
        self._redis.zremrangebyscore(_living(source), "-inf", self._clock())
        return int(self._redis.zcard(_living(source)))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _prolong(
        self, batch: Any, episode_id: str, source: str, player: str, *, living: bool = True
    ) -> None:
        for key in _keys(episode_id):
            batch.expire(key, self._ttl)
        if player:
            batch.set(_player_key(player), episode_id, ex=self._ttl)
        if living:
            batch.zadd(_living(source), {episode_id: self._clock() + self._ttl})


def _keys(episode_id: str) -> tuple[str, str]:
    return f"{PREFIX}episode:{episode_id}", f"{PREFIX}actions:{episode_id}"


def _player_key(player: str) -> str:
    return f"{PREFIX}player:{player}"


def _living(source: str) -> str:
    return f"{PREFIX}living:{source}"


def _entry(request_id: str, action: bytes) -> bytes:
    return json.dumps(request_id).encode() + b"\n" + action  # in JSON no name has a line break
