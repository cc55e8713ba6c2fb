"""Episode store in Redis, for several machines behind one address (the `redis` extra).

Each episode is one hash, so it expires or is evicted as a whole. Redis' own `maxmemory` limits the
bytes: with `volatile-ttl`, Redis evicts the least recently used episodes; with `noeviction`, it
rejects writes until episodes have expired. A client's limit is a share of
OPENENV_KIT_MAX_STORED_EPISODES.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from redis.exceptions import RedisError

from openenv_kit.serving.episodes.ids import EpisodeAccess, OutdatedEpisodeError
from openenv_kit.serving.store import clock, redis_records, redis_sealed_episodes
from openenv_kit.serving.store.errors import StoreReplacedError, log_and_build_unavailable_error
from openenv_kit.serving.store.interface import (
    EndStatus,
    LeaseId,
    NewEpisode,
    StoredEpisode,
    StoredEpisodeId,
    StoreUsage,
    TaskIndex,
)
from openenv_kit.serving.store.limits import StoreLimits
from openenv_kit.serving.store.redis_client import (
    EpisodeTransaction,
    StoreErrorClient,
    run_episode_transaction,
)
from openenv_kit.serving.store.redis_records import (
    FORMAT_VERSION,
    KEY_PREFIX,
    OTHER_FORMAT_VERSIONS,
    SECRET_KEY,
    StoredAction,
    action_field,
    build_assigned_tasks_key,
    build_client_episodes_key,
    build_episode_key,
    build_open_episodes_key,
    build_player_episode_id_key,
    slow_result_field,
)
from openenv_kit.serving.store.sealed_records import SealedEpisode

CLOCK_SYNC_S = 60.0
"""Seconds after which the time of the Redis server is read again."""
HEARTBEAT_TTL_S = 60
TRANSPORTS = ("ws", "http", "mcp", "page")
"""Transports through which episodes are started."""


class RedisStore:
    """Episodes in one Redis database; see `EpisodeStore`.

    Args:
        redis: client that decodes responses, see `create_redis_client`.
        limits: limits of the store.
    """

    def __init__(self, redis: Any, limits: StoreLimits) -> None:
        self._redis = StoreErrorClient(redis)
        self._limits = limits
        self._ttl_s = max(1, round(limits.ttl_s))
        self._clock_offset_s = 0.0
        self._clock_synced_s: float | None = None
        self._first_secret = ""

    async def create_or_replace_episode(
        self, episode_id: str, new_episode: NewEpisode, *, overwrite: bool = True
    ) -> LeaseId | None:
        lease_id, now_s = secrets.token_hex(8), await self._get_server_time_s()
        sealed_start = new_episode.sealed_start

        def replace_stored_episode(transaction: EpisodeTransaction) -> str | None:
            pipeline, previous = transaction.pipeline, transaction.fields
            if previous and not overwrite:
                return None
            if sealed_start is not None:
                redis_sealed_episodes.add_sealed_episode_within_max_starts(
                    transaction, episode_id, new_episode, sealed_start
                )
            if previous:
                pipeline.zrem(build_open_episodes_key(previous["transport"]), episode_id)
                pipeline.zrem(build_client_episodes_key(previous["client_address"]), episode_id)
                pipeline.delete(build_episode_key(episode_id))
            start_count = int(previous.get("start_count", 0)) + 1
            fields = redis_records.build_episode_fields(new_episode, lease_id, start_count)
            pipeline.hset(build_episode_key(episode_id), mapping=fields)
            self._extend_expiry_and_update_indexes(pipeline, episode_id, fields, now_s)
            return lease_id

        if new_episode.client_address:
            await self._evict_until_client_may_start(new_episode.client_address, episode_id)
        if sealed_start is None:
            return await run_episode_transaction(self._redis, episode_id, replace_stored_episode)
        return await run_episode_transaction(
            self._redis,
            episode_id,
            replace_stored_episode,
            sealed_list_key=redis_sealed_episodes.build_sealed_episodes_key(
                sealed_start.participant, sealed_start.task_set_key
            ),
        )

    async def find_episode_id_by_player_id(self, player_id: str) -> StoredEpisodeId | None:
        episode_id: str | None = await self._redis.get(build_player_episode_id_key(player_id))
        return episode_id

    async def load_and_extend_expiry(
        self, episode_id: str, *, replace_lease: bool = False
    ) -> StoredEpisode | None:
        new_lease_id, now_s = (
            secrets.token_hex(8) if replace_lease else "",
            await self._get_server_time_s(),
        )

        def read_and_renew_episode(transaction: EpisodeTransaction) -> StoredEpisode | None:
            pipeline, fields = transaction.pipeline, transaction.fields
            if not fields:
                return None
            if new_lease_id:
                pipeline.hset(build_episode_key(episode_id), "lease_id", new_lease_id)
            self._extend_expiry_and_update_indexes(pipeline, episode_id, fields, now_s)
            return redis_records.parse_stored_episode(fields, new_lease_id or fields["lease_id"])

        stored = await run_episode_transaction(self._redis, episode_id, read_and_renew_episode)
        if stored is None:
            await self._raise_if_stored_by_other_release(episode_id)
        return stored

    async def append_action_if_index_is_next(
        self,
        episode_id: str,
        lease_id: str,
        action_index: int,
        action_json: bytes,
        request_id: str = "",
    ) -> bool:
        now_s = await self._get_server_time_s()

        def append_if_index_is_next(transaction: EpisodeTransaction) -> bool:
            pipeline, fields = transaction.pipeline, transaction.fields
            if int(fields["step_count"]) != action_index:
                return False
            entry = StoredAction(action_json, request_id).to_json()
            changes = {action_field(action_index): entry, "step_count": action_index + 1}
            pipeline.hset(build_episode_key(episode_id), mapping=changes)
            self._extend_expiry_and_update_indexes(pipeline, episode_id, fields, now_s)
            return True

        return bool(
            await run_episode_transaction(
                self._redis, episode_id, append_if_index_is_next, lease_id=lease_id
            )
        )

    async def remove_action_if_last(
        self, episode_id: str, lease_id: str, action_index: int
    ) -> bool:
        def remove_if_index_is_last(transaction: EpisodeTransaction) -> bool:
            pipeline, fields = transaction.pipeline, transaction.fields
            if int(fields["step_count"]) != action_index + 1:
                return False
            key = build_episode_key(episode_id)
            pipeline.hset(key, "step_count", action_index)
            pipeline.hdel(key, action_field(action_index), slow_result_field(action_index))
            return True

        return bool(
            await run_episode_transaction(
                self._redis, episode_id, remove_if_index_is_last, lease_id=lease_id
            )
        )

    async def add_slow_result_if_missing(
        self, episode_id: str, lease_id: str, action_index: int, compressed_result: bytes
    ) -> bool:
        field = slow_result_field(action_index)

        def add_result_if_missing(transaction: EpisodeTransaction) -> bool:
            pipeline, fields = transaction.pipeline, transaction.fields
            if int(fields["step_count"]) <= action_index or field in fields:
                return False
            result = redis_records.encode_slow_result_base64(compressed_result)
            pipeline.hset(build_episode_key(episode_id), field, result)
            return True

        return bool(
            await run_episode_transaction(
                self._redis, episode_id, add_result_if_missing, lease_id=lease_id
            )
        )

    async def mark_ended_if_lease_is_valid(
        self, episode_id: str, lease_id: str, end_status: EndStatus
    ) -> bool:
        now_s = await self._get_server_time_s()

        def mark_and_reorder_for_eviction(transaction: EpisodeTransaction) -> bool:
            pipeline, fields = transaction.pipeline, transaction.fields
            pipeline.hset(build_episode_key(episode_id), "end_status", end_status)
            if end_status == EndStatus.CLOSED:
                pipeline.zrem(build_open_episodes_key(fields["transport"]), episode_id)
            # A negative score sorts ended episodes before running ones, the earliest end first.
            client_key = build_client_episodes_key(fields["client_address"])
            pipeline.zadd(client_key, {episode_id: -1 / now_s}, xx=True)
            return True

        return bool(
            await run_episode_transaction(
                self._redis, episode_id, mark_and_reorder_for_eviction, lease_id=lease_id
            )
        )

    async def get_secret(self) -> str:
        await self._redis.set(SECRET_KEY, secrets.token_hex(32), nx=True)
        secret = str(await self._redis.get(SECRET_KEY))
        self._first_secret = self._first_secret or secret
        return secret

    async def reserve_first_free_task(
        self, split_key: str, task_order: Sequence[int]
    ) -> TaskIndex | None:
        key, now_s = build_assigned_tasks_key(split_key), await self._get_server_time_s()
        await self._redis.zremrangebyscore(key, "-inf", now_s)
        reserved = set(await self._redis.zrange(key, 0, -1))
        reserved_until_s = now_s + self._ttl_s
        for index in task_order:
            if str(index) in reserved:
                continue
            if await self._redis.zadd(key, {index: reserved_until_s}, nx=True):
                return index
        return None

    async def confirm_or_release_task(
        self, split_key: str, task_index: int, *, is_played: bool
    ) -> None:
        key = build_assigned_tasks_key(split_key)
        if is_played:
            await self._redis.zadd(key, {task_index: math.inf})
        elif await self._redis.zscore(key, task_index) not in (None, math.inf):
            await self._redis.zrem(key, task_index)

    async def list_sealed_episodes(
        self, participant: str, task_set_key: str
    ) -> list[SealedEpisode]:
        return await redis_sealed_episodes.list_sealed_episodes(
            self._redis, participant, task_set_key
        )

    async def record_first_sealed_result(
        self, player_id: str, score: float, step_count: int, actions_digest: str
    ) -> None:
        await redis_sealed_episodes.record_first_sealed_result(
            self._redis, player_id, score, step_count, actions_digest
        )

    async def count_open_episodes(self, transport: str) -> int:
        key = build_open_episodes_key(transport)
        await self._redis.zremrangebyscore(key, "-inf", await self._get_server_time_s())
        return int(await self._redis.zcard(key))

    async def require_store_is_writable(self) -> None:
        token, key = secrets.token_hex(8), f"{KEY_PREFIX}heartbeat:{secrets.token_hex(4)}"
        await self._redis.set(key, token, ex=HEARTBEAT_TTL_S)
        if await self._redis.get(key) != token:
            raise log_and_build_unavailable_error(
                RedisError("the value read differs from the value written")
            )
        if not self._first_secret:
            await self.get_secret()
        elif await self._redis.get(SECRET_KEY) != self._first_secret:
            raise StoreReplacedError("was emptied or replaced")

    async def get_usage_and_limit(self) -> StoreUsage:
        """Return the number of episodes, and the memory that the whole Redis server uses."""
        counts = [await self.count_open_episodes(transport) for transport in TRANSPORTS]
        memory = await self._redis.info("memory")
        limit_bytes = int(memory.get("maxmemory", 0)) or math.inf
        return StoreUsage(sum(counts), int(memory["used_memory"]), limit_bytes)

    async def close(self) -> None:
        await self._redis.aclose()

    async def _get_server_time_s(self) -> float:
        """Return the time of the Redis server in seconds, which determines when keys expire."""
        since_boot_s = clock.get_seconds_since_boot()
        if self._clock_synced_s is None or since_boot_s - self._clock_synced_s > CLOCK_SYNC_S:
            seconds, microseconds = await self._redis.time()
            self._clock_offset_s = seconds + microseconds / 1e6 - since_boot_s
            self._clock_synced_s = since_boot_s
        return since_boot_s + self._clock_offset_s

    async def _raise_if_stored_by_other_release(self, episode_id: str) -> None:
        """Raise an OutdatedEpisodeError if another release has stored an episode with this id."""
        versions_by_key = {
            redis_records.build_episode_key_of_version(episode_id, version): version
            for version in OTHER_FORMAT_VERSIONS
        }
        if not await self._redis.exists(*versions_by_key):
            return
        for key, version in versions_by_key.items():
            if await self._redis.exists(key):
                access = EpisodeAccess(episode_id.partition("/")[2])
                raise OutdatedEpisodeError(
                    access, {"episode store": str(version)}, {"episode store": str(FORMAT_VERSION)}
                )

    async def _evict_until_client_may_start(self, client_address: str, episode_id: str) -> None:
        """Evict episodes of a client until the client may start an episode with this id.

        Ended episodes are evicted first, then idle ones.
        """
        redis, client_key = self._redis, build_client_episodes_key(client_address)
        now_s = await self._get_server_time_s()
        await redis.zremrangebyscore(client_key, 0, now_s)
        while True:
            is_overwritten = await redis.zscore(client_key, episode_id) is not None
            other_count = await redis.zcard(client_key) - is_overwritten
            if other_count < self._limits.max_client_episodes:
                return
            ((first_id, expires_s),) = await redis.zrange(client_key, 0, 0, withscores=True)
            if expires_s > self._limits.get_latest_idle_expiry_s(now_s):
                raise self._limits.build_full_error(expires_s, now_s, is_client_limit=True)
            transport = await redis.hget(build_episode_key(first_id), "transport")
            await redis.zrem(build_open_episodes_key(transport or ""), first_id)
            await redis.zrem(client_key, first_id)
            await redis.delete(build_episode_key(first_id))

    def _extend_expiry_and_update_indexes(
        self, pipeline: Any, episode_id: str, fields: Mapping[str, str | int], now_s: float
    ) -> None:
        client_address, player_id = str(fields["client_address"]), str(fields["player_id"])
        client_key, expiry = (
            build_client_episodes_key(client_address),
            {episode_id: now_s + self._ttl_s},
        )
        pipeline.expire(build_episode_key(episode_id), self._ttl_s)
        if player_id:
            pipeline.set(build_player_episode_id_key(player_id), episode_id, ex=self._ttl_s)
        if fields["end_status"] != EndStatus.CLOSED:
            pipeline.zadd(build_open_episodes_key(str(fields["transport"])), expiry)
        if client_address and fields["end_status"] == EndStatus.NOT_ENDED:
            pipeline.zadd(client_key, expiry)
        pipeline.expire(client_key, self._ttl_s)
