"""Redis client of the store, and transactions on one episode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from openenv_kit.serving.store.errors import log_and_build_unavailable_error
from openenv_kit.serving.store.interface import EndStatus
from openenv_kit.serving.store.redis_records import build_episode_key

REDIS_TIMEOUT_S = 5.0
"""Maximum time to wait for a reply, so that a hanging Redis server does not block all requests."""

T = TypeVar("T")


def create_redis_client(address: str) -> Any:
    """Return a client for `RedisStore`."""
    return Redis.from_url(
        address,
        decode_responses=True,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
    )


class StoreErrorClient:
    """A Redis client that converts Redis errors to a StoreUnavailableError."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis

    def __getattr__(self, name: str) -> Any:
        async def call_and_convert_errors(*args: Any, **kwargs: Any) -> Any:
            try:
                return await getattr(self._redis, name)(*args, **kwargs)
            except RedisError as error:
                raise log_and_build_unavailable_error(error) from error

        return call_and_convert_errors


class EpisodeTransaction(NamedTuple):
    """Data that a transaction on one episode reads, and the pipeline for its writes.

    Attributes:
        pipeline: Redis pipeline for the writes.
        fields: the episode's hash; empty if the episode does not exist.
        sealed_entries: the list of sealed episodes, if the transaction includes one.
    """

    pipeline: Any
    fields: dict[str, str]
    sealed_entries: Sequence[str] = ()


async def run_episode_transaction(
    redis: StoreErrorClient,
    episode_id: str,
    work: Callable[[EpisodeTransaction], T],
    *,
    lease_id: str = "",
    sealed_list_key: str = "",
) -> T | None:
    """Run `work` in a transaction on an episode, and retry if another client changes the episode.

    Args:
        redis: client of the store.
        episode_id: id of the episode.
        work: function that reads the fields and adds writes to the pipeline.
        lease_id: if not empty, `work` runs only if this lease is valid and the episode is open.
        sealed_list_key: key of a list of sealed episodes that the function reads as well.

    Returns:
        The result of `work`, or None if the lease is not valid or the episode is closed.
    """
    key = build_episode_key(episode_id)
    watched_keys = [key, sealed_list_key] if sealed_list_key else [key]

    async def read_and_write(pipeline: Any) -> T | None:
        fields = await pipeline.hgetall(key)
        entries = await pipeline.lrange(sealed_list_key, 0, -1) if sealed_list_key else ()
        pipeline.multi()
        if lease_id and (
            fields.get("lease_id") != lease_id or fields["end_status"] == EndStatus.CLOSED
        ):
            return None
        return work(EpisodeTransaction(pipeline, fields, entries))

    result: T | None = await redis.transaction(
        read_and_write, *watched_keys, value_from_callable=True
    )
    return result
