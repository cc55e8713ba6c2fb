"""Episodes in Redis."""

from __future__ import annotations

from typing import Any

import fakeredis
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from openenv_kit.serving.app import main
from openenv_kit.serving.episodes.ids import OutdatedEpisodeError
from openenv_kit.serving.store.errors import StoreUnavailableError
from openenv_kit.serving.store.limits import StoreLimits
from openenv_kit.serving.store.redis import RedisStore
from support.blocking_store import BlockingStore


class BrokenRedis(fakeredis.FakeAsyncRedis):
    """Refuses to write, as a full one or one that is gone does."""

    problem: Exception | None = None

    async def execute_command(self, *arguments: Any, **options: Any) -> Any:
        if self.problem is not None:
            raise self.problem
        return await super().execute_command(*arguments, **options)

    def pipeline(self, *arguments: Any, **options: Any) -> Any:
        if self.problem is not None:
            raise self.problem
        return super().pipeline(*arguments, **options)


def test_episode_that_another_release_kept_in_redis_is_refused_by_its_version() -> None:
    server = fakeredis.FakeServer()
    old = fakeredis.FakeRedis(server=server, decode_responses=True)
    old.hset("openenv-kit:4:episode:game/mine", "generation", "1")
    redis = fakeredis.FakeAsyncRedis(server=server, decode_responses=True)
    store = BlockingStore(RedisStore(redis, StoreLimits(60)))
    with pytest.raises(OutdatedEpisodeError, match=r"'mine'.*store 4 \(here 11\).*rolled back"):
        store.load_and_extend_expiry("game/mine")
    assert store.load_and_extend_expiry("game/other") is None


def test_a_redis_that_does_not_answer_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENENV_KIT_EPISODE_STORE", "redis://127.0.0.1:1/0")
    with pytest.raises(SystemExit, match="server: The episode store"):
        main([])


@pytest.mark.parametrize(
    "problem", [OutOfMemoryError("OOM command not allowed"), RedisConnectionError("gone")]
)
def test_a_redis_that_is_full_or_gone_is_unavailable_and_comes_back(problem: Exception) -> None:
    redis = BrokenRedis(decode_responses=True)
    store = BlockingStore(RedisStore(redis, StoreLimits(60)))
    generation = store.create("a", "http", b"{}", [])
    redis.problem = problem
    calls: list[Any] = [
        lambda: store.create("b", "http", b"{}", [], client_address="me"),
        lambda: store.load_and_extend_expiry("a"),
        lambda: store.append_action_if_index_is_next("a", generation, 0, b"1", ""),
        lambda: store.mark_ended_if_lease_is_valid("a", generation, "completed"),
        lambda: store.count_open_episodes("http"),
        store.require_store_is_writable,
    ]
    for call in calls:
        with pytest.raises(StoreUnavailableError) as refused:
            call()
        assert refused.value.retry_after_s == 5
    redis.problem = None
    store.require_store_is_writable()
    assert store.append_action_if_index_is_next("a", generation, 0, b"1", "")


def test_an_episode_that_redis_has_displaced_is_gone() -> None:
    server = fakeredis.FakeServer()
    redis = fakeredis.FakeAsyncRedis(server=server, decode_responses=True)
    store = BlockingStore(RedisStore(redis, StoreLimits(60)))
    generation = store.create("a", "http", b"{}", [])
    assert store.append_action_if_index_is_next("a", generation, 0, b"1", "")
    other = fakeredis.FakeRedis(server=server, decode_responses=True)
    (key,) = other.scan_iter("*:episode:*")  # its start and its actions go together
    other.delete(key)
    assert store.load_and_extend_expiry("a") is None
    assert store.load_and_extend_expiry("a", replace_lease=True) is None
    assert not store.append_action_if_index_is_next("a", generation, 0, b"1", "")
    assert not store.append_action_if_index_is_next("a", generation, 1, b"1", "")
