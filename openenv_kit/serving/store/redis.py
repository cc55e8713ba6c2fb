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

from openenv_kit.serving.episodes.ids import EpisodeAccess, OutdatedEpisodeError
from openenv_kit.serving.store import clock
from openenv_kit.serving.store.interface import (
    CLOSED,
    NewEpisode,
    StoredEpisode,
    StoreLimits,
    StoreReplacedError,
    StoreUsage,
    build_unavailable_error,
)
from openenv_kit.serving.store.sealed_records import (
    SealedEpisode,
    SealedStartRequest,
    SealedStartsUsedUpError,
)

KEY_NAMESPACE, FORMAT_VERSION = "openenv-kit", 10
OTHER_FORMAT_VERSIONS = tuple(n for n in range(1, FORMAT_VERSION + 3) if n != FORMAT_VERSION)
"""Of releases before and after this one, whose episodes may still be there."""
KEY_PREFIX = f"{KEY_NAMESPACE}:{FORMAT_VERSION}:"
"""The number changes with the shape of what is kept; keys of another expire by themselves."""
CLOCK_SYNC_S = 60.0
"""Seconds after which the server's time is asked for again."""
HEARTBEAT_TTL_S = 60
TRANSPORTS = ("ws", "http", "mcp", "page")
"""Transports that open episodes."""
REDIS_TIMEOUT_S = 5.0
"""Longest wait for an answer: a Redis that hangs must not hang the steps of everybody."""


def create_redis_client(address: str) -> Any:
    """A client for `RedisStore`."""
    return Redis.from_url(
        address,
        decode_responses=True,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
    )


@dataclass
class StoreErrorClient:
    """A client whose errors are ours: out of memory, out of reach, too slow, loading, read-only."""

    redis: Any

    def __getattr__(self, name: str) -> Any:
        async def reported(*given: Any, **options: Any) -> Any:
            try:
                return await getattr(self.redis, name)(*given, **options)
            except RedisError as problem:
                raise build_unavailable_error(problem) from problem

        return reported


class RedisStore:
    """Episodes in one Redis database, through a client that decodes responses."""

    def __init__(self, redis: Any, limits: StoreLimits) -> None:
        self._redis = StoreErrorClient(redis)
        self._limits = limits
        self._ttl = max(1, round(limits.ttl_s))
        self._clock_offset_s = 0.0
        self._clock_synced_s: float | None = None
        self._secret = ""  # of the database that was used first

    async def _current_time_s(self) -> float:
        """Return Redis' time, by which its keys expire, whatever this machine's clock says."""
        since_boot = clock.seconds_since_boot()
        if self._clock_synced_s is None or since_boot - self._clock_synced_s > CLOCK_SYNC_S:
            seconds, microseconds = await self._redis.time()
            self._clock_offset_s = seconds + microseconds / 1e6 - since_boot
            self._clock_synced_s = since_boot
        return since_boot + self._clock_offset_s

    async def create(
        self, episode_id: str, new_episode: NewEpisode, *, overwrite: bool = True
    ) -> str:
        generation = secrets.token_hex(8)
        fields: dict[str, Any] = {
            **{
                "generation": generation,
                "source": new_episode.transport,
                "client": new_episode.client_address,
                "ended": "",
            },
            **{
                "player": new_episode.player_id,
                "start": new_episode.start_json,
                "steps": len(new_episode.actions),
            },
            **{str(n): f'""\n{action.decode()}' for n, action in enumerate(new_episode.actions)},
            **{
                _slow_result_field(n): _encode_base64(result)
                for n, result in new_episode.slow_results.items()
            },
        }

        def start(batch: Any, key: str, found: Mapping[str, Any], plays: Sequence[str] = ()) -> str:
            if found and not overwrite:
                return ""
            if new_episode.sealed_start is not None:
                _add_sealed_episode(batch, episode_id, new_episode, new_episode.sealed_start, plays)
            if found:
                batch.zrem(_redis_key("living", found["source"]), episode_id)
                batch.zrem(_redis_key("client", found["client"]), episode_id)
                batch.delete(key)
            batch.hset(key, mapping={**fields, "timeline": int(found.get("timeline", 0)) + 1})
            self._extend_expiry(batch, episode_id, fields, now)
            return generation

        now = await self._current_time_s()
        if new_episode.client_address:
            await self._evict_for_client(new_episode.client_address, episode_id)
        if new_episode.sealed_start is None:
            return str(await self._run_transaction(episode_id, start))
        sealed_key = _sealed_list_key(
            new_episode.sealed_start.participant, new_episode.sealed_start.task_set_key
        )
        return str(await self._run_transaction(episode_id, start, list_key=sealed_key))

    async def find_by_player(self, player_id: str) -> str | None:
        found: str | None = await self._redis.get(_redis_key("player", player_id))
        return found

    async def load(self, episode_id: str, *, new_lease: bool = False) -> StoredEpisode | None:
        taken, now = secrets.token_hex(8) if new_lease else "", await self._current_time_s()

        def read(batch: Any, key: str, found: Mapping[str, Any]) -> StoredEpisode | None:
            if not found:
                return None
            if taken:
                batch.hset(key, "generation", taken)
            self._extend_expiry(batch, episode_id, found, now)
            entries = [found[str(n)].split("\n", 1) for n in range(int(found["steps"]))]
            actions = tuple(action.encode() for _, action in entries)
            requests = tuple(json.loads(request_id) for request_id, _ in entries)
            generation, start = taken or found["generation"], found["start"].encode()
            player, timeline, ended = found["player"], int(found["timeline"]), found["ended"]
            results = {
                n: base64.b64decode(found[_slow_result_field(n)])
                for n in range(len(actions))
                if _slow_result_field(n) in found
            }
            return StoredEpisode(
                generation, start, actions, requests, player, timeline, ended, results
            )

        loaded: StoredEpisode | None = await self._run_transaction(episode_id, read)
        if loaded is None:
            await self._raise_if_other_version(episode_id)
        return loaded

    async def _raise_if_other_version(self, episode_id: str) -> None:
        """Raise an OutdatedEpisodeError where another release has kept an episode of that name."""
        keys = {
            f"{KEY_NAMESPACE}:{version}:episode:{episode_id}": version
            for version in OTHER_FORMAT_VERSIONS
        }
        if not await self._redis.exists(*keys):
            return
        for key, version in keys.items():
            if await self._redis.exists(key):
                kept = {"episode store": str(version)}
                handle = EpisodeAccess(episode_id.partition("/")[2])
                raise OutdatedEpisodeError(handle, kept, {"episode store": str(FORMAT_VERSION)})

    async def append_action(
        self,
        episode_id: str,
        lease_id: str,
        action_index: int,
        action_json: bytes,
        request_id: str = "",
    ) -> bool:
        now = await self._current_time_s()

        def add(batch: Any, key: str, found: Mapping[str, Any]) -> bool:
            if found["steps"] != str(action_index):
                return False
            entry = f"{json.dumps(request_id)}\n{action_json.decode()}"  # JSON holds no line break
            batch.hset(key, mapping={str(action_index): entry, "steps": action_index + 1})
            self._extend_expiry(batch, episode_id, found, now)
            return True

        return bool(await self._run_transaction(episode_id, add, lease_id))

    async def remove_last_action(self, episode_id: str, lease_id: str, action_index: int) -> bool:
        def remove(batch: Any, key: str, found: Mapping[str, Any]) -> bool:
            if found["steps"] != str(action_index + 1):
                return False
            batch.hset(key, "steps", action_index)
            batch.hdel(key, str(action_index), _slow_result_field(action_index))
            return True

        return bool(await self._run_transaction(episode_id, remove, lease_id))

    async def add_slow_result(
        self, episode_id: str, lease_id: str, action_index: int, compressed_result: bytes
    ) -> bool:
        def add(batch: Any, key: str, found: Mapping[str, Any]) -> bool:
            if int(found["steps"]) <= action_index or _slow_result_field(action_index) in found:
                return False
            batch.hset(key, _slow_result_field(action_index), _encode_base64(compressed_result))
            return True

        return bool(await self._run_transaction(episode_id, add, lease_id))

    async def mark_ended(self, episode_id: str, lease_id: str, end_status: str) -> bool:
        now = await self._current_time_s()

        def end(batch: Any, key: str, found: Mapping[str, Any]) -> bool:
            batch.hset(key, "ended", end_status)
            if end_status == CLOSED:
                batch.zrem(_redis_key("living", found["source"]), episode_id)
            # Before every running one, in the order in which they ended.
            batch.zadd(_redis_key("client", found["client"]), {episode_id: -1 / now}, xx=True)
            return True

        return bool(await self._run_transaction(episode_id, end, lease_id))

    async def get_secret(self) -> str:
        await self._redis.set(f"{KEY_PREFIX}secret", secrets.token_hex(32), nx=True)
        found = str(await self._redis.get(f"{KEY_PREFIX}secret"))
        self._secret = self._secret or found
        return found

    async def reserve_task(self, split: str, task_order: Sequence[int]) -> int | None:
        drawn, now = _redis_key("drawn", split), await self._current_time_s()
        await self._redis.zremrangebyscore(drawn, "-inf", now)
        before, until = set(await self._redis.zrange(drawn, 0, -1)), now + self._ttl
        for task in task_order:
            if str(task) not in before and await self._redis.zadd(drawn, {task: until}, nx=True):
                return task
        return None

    async def confirm_or_release_task(
        self, split: str, task_index: int, *, is_played: bool
    ) -> None:
        drawn = _redis_key("drawn", split)
        if is_played:
            await self._redis.zadd(drawn, {task_index: math.inf})
        elif await self._redis.zscore(drawn, task_index) not in (None, math.inf):
            await self._redis.zrem(drawn, task_index)

    async def list_sealed_episodes(
        self, participant: str, task_set_key: str
    ) -> list[SealedEpisode]:
        entries = await self._redis.lrange(_sealed_list_key(participant, task_set_key), 0, -1)
        return [
            _parse_sealed_episode(number, entry) for number, entry in enumerate(entries, start=1)
        ]

    async def record_sealed_result(
        self, player_id: str, score: float, step_count: int, actions_digest: str
    ) -> None:
        found = await self._redis.get(_redis_key("sealed-player", player_id))
        if found is None:
            return
        list_key, number = json.loads(found)
        play = json.loads(await self._redis.lindex(list_key, number - 1))
        if play["score"] is None:
            play |= {"score": score, "steps": step_count, "actions_digest": actions_digest}
            await self._redis.lset(list_key, number - 1, json.dumps(play))

    async def count_open_episodes(self, transport: str) -> int:
        now = await self._current_time_s()
        await self._redis.zremrangebyscore(_redis_key("living", transport), "-inf", now)
        return int(await self._redis.zcard(_redis_key("living", transport)))

    async def check_writable(self) -> None:
        written, key = secrets.token_hex(8), f"{KEY_PREFIX}heartbeat:{secrets.token_hex(4)}"
        await self._redis.set(key, written, ex=HEARTBEAT_TTL_S)
        if await self._redis.get(key) != written:
            raise build_unavailable_error(RedisError("what was written is not what is read"))
        if not self._secret:
            await self.get_secret()
        elif await self._redis.get(f"{KEY_PREFIX}secret") != self._secret:
            raise StoreReplacedError("was emptied or replaced")

    async def get_usage(self) -> StoreUsage:
        """See `EpisodeStore`; the size is that of all of Redis."""
        living = [await self.count_open_episodes(source) for source in TRANSPORTS]
        memory = await self._redis.info("memory")
        limit = int(memory.get("maxmemory", 0)) or math.inf
        return StoreUsage(sum(living), int(memory["used_memory"]), limit)

    async def close(self) -> None:
        await self._redis.aclose()

    async def _evict_for_client(self, client_address: str, episode_id: str) -> None:
        """Displace the client's own episodes where it has as many as it may; see `sqlite_store`."""
        redis, held, now = (
            self._redis,
            _redis_key("client", client_address),
            await self._current_time_s(),
        )
        await redis.zremrangebyscore(held, 0, now)
        others = self._limits.max_client_episodes - 1
        while await redis.zcard(held) - (await redis.zscore(held, episode_id) is not None) > others:
            ((name, expires),) = await redis.zrange(held, 0, 0, withscores=True)
            if expires > self._limits.latest_idle_expiry_s(now):
                raise self._limits.full_error(expires, now, is_client_limit=True)
            source = await redis.hget(_redis_key("episode", name), "source")
            await redis.zrem(_redis_key("living", source or ""), name)
            await redis.zrem(held, name)
            await redis.delete(_redis_key("episode", name))

    async def _run_transaction(
        self,
        episode_id: str,
        work: Callable[..., Any],
        lease_id: str = "",
        list_key: str = "",
    ) -> Any:
        """Work on an episode, again if it changes meanwhile; for a generation, while it is open.

        With the key of a list, `work` also gets the list's entries, and is called again if these
        change meanwhile.
        """
        key = _redis_key("episode", episode_id)

        async def change(batch: Any) -> Any:
            found = await batch.hgetall(key)
            if list_key:
                entries = await batch.lrange(list_key, 0, -1)
                batch.multi()
                return work(batch, key, found, entries)
            batch.multi()
            if lease_id and (found.get("generation") != lease_id or found["ended"] == CLOSED):
                return None
            return work(batch, key, found)

        keys = [key, list_key] if list_key else [key]
        return await self._redis.transaction(change, *keys, value_from_callable=True)

    def _extend_expiry(
        self, batch: Any, episode_id: str, fields: Mapping[str, Any], now_s: float
    ) -> None:
        expires, client = {episode_id: now_s + self._ttl}, _redis_key("client", fields["client"])
        batch.expire(_redis_key("episode", episode_id), self._ttl)
        if fields["player"]:
            batch.set(_redis_key("player", fields["player"]), episode_id, ex=self._ttl)
        if fields["ended"] != CLOSED:
            batch.zadd(_redis_key("living", fields["source"]), expires)
        if fields["client"] and not fields["ended"]:
            batch.zadd(client, expires)
        batch.expire(client, self._ttl)


def _slow_result_field(action_index: int) -> str:
    """Field of the result of the slow call in the action of that index."""
    return f"slow_result:{action_index}"


def _encode_base64(result: bytes) -> str:
    """Bytes as text, which is all that a client that decodes responses can read."""
    return base64.b64encode(result).decode()


def _redis_key(kind: str, name: str) -> str:
    return f"{KEY_PREFIX}{kind}:{name}"


def _sealed_list_key(participant: str, task_set_key: str) -> str:
    """Key of the list of a participant's sealed plays. It never expires."""
    return _redis_key("sealed-plays", f"{participant}/{task_set_key}")


def _add_sealed_episode(
    batch: Any,
    episode_id: str,
    new_episode: NewEpisode,
    sealed_start: SealedStartRequest,
    entries: Sequence[str],
) -> None:
    """Give a play of a sealed task its number, within the transaction that starts its episode."""
    if (
        sum(json.loads(entry)["index"] == sealed_start.index for entry in entries)
        >= sealed_start.max_starts
    ):
        raise SealedStartsUsedUpError(sealed_start.max_starts)
    list_key = _sealed_list_key(sealed_start.participant, sealed_start.task_set_key)
    play = {
        "index": sealed_start.index,
        "episode_id": episode_id,
        "player": new_episode.player_id,
        "start": new_episode.start_json.decode(),
        "score": None,
        "steps": 0,
        "actions_digest": "",
    }
    batch.rpush(list_key, json.dumps(play))
    batch.set(
        _redis_key("sealed-player", new_episode.player_id), json.dumps([list_key, len(entries) + 1])
    )


def _parse_sealed_episode(number: int, entry: str) -> SealedEpisode:
    fields = json.loads(entry)
    return SealedEpisode(number, **{**fields, "start": fields["start"].encode()})
