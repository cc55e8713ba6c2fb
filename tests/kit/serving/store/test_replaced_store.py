"""Missing, hanging and replaced stores are detected; the wall clock expires nothing."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from starlette.testclient import TestClient

from openenv_kit.serving.app import build_app
from openenv_kit.serving.http import readiness
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store import clock
from openenv_kit.serving.store.errors import StoreError, StoreReplacedError, StoreUnavailableError
from openenv_kit.serving.store.limits import StoreLimits
from openenv_kit.serving.store.open_store import open_store
from openenv_kit.serving.store.redis import RedisStore
from openenv_kit.serving.store.redis_client import create_redis_client
from openenv_kit.serving.store.sqlite import SqliteStore
from support.blocking_store import BlockingStore, sqlite_store

LIMITS = StoreLimits(60)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture
def store(path: Path) -> Iterator[BlockingStore]:
    made = sqlite_store(path, LIMITS)
    yield made
    made.close()


def put_other_store(path: Path) -> None:
    """Put the file of another store in place of a store's."""
    other = path.with_name("other.db")
    made = sqlite_store(other, LIMITS)
    made.create("b", "http", b"{}")
    made.close()
    other.replace(path)


def test_sqlite_store_deleted_refuses_until_the_file_is_back(
    store: BlockingStore, path: Path
) -> None:
    generation = store.create("a", "http", b"{}")
    kept = path.with_name("kept.db")
    path.rename(kept)
    with pytest.raises(StoreReplacedError, match="was deleted while the server ran"):
        store.require_store_is_writable()
    with pytest.raises(StoreReplacedError):  # it would be lost with this process
        store.append_action_if_index_is_next("a", generation, 0, b"1", "")
    kept.rename(path)
    store.require_store_is_writable()
    assert store.append_action_if_index_is_next("a", generation, 0, b"1", "")


def test_sqlite_store_replaced_by_another_file_refuses(store: BlockingStore, path: Path) -> None:
    store.create("a", "http", b"{}")
    put_other_store(path)
    with pytest.raises(StoreReplacedError, match="was replaced"):
        store.require_store_is_writable()
    with pytest.raises(StoreReplacedError):
        store.load_and_extend_expiry("b")


def test_sqlite_store_reopened_on_another_store_refuses(store: BlockingStore, path: Path) -> None:
    store._store._database.close()  # as after an error of the disk
    other = path.with_name("other.db")
    sqlite_store(other, LIMITS).close()
    shutil.copyfile(other, path)  # the same inode
    with pytest.raises(StoreReplacedError):
        store.require_store_is_writable()


def test_redis_store_emptied_refuses() -> None:
    server = fakeredis.FakeServer()
    store = BlockingStore(
        RedisStore(fakeredis.FakeAsyncRedis(server=server, decode_responses=True), LIMITS)
    )
    store.require_store_is_writable()
    store.require_store_is_writable()
    fakeredis.FakeRedis(server=server).flushall()
    with pytest.raises(StoreReplacedError, match="was emptied or replaced"):
        store.require_store_is_writable()


def test_ready_store_deleted_answers_503_and_says_what_to_do(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "READY_CACHE_S", 0.0)
    with TestClient(build_app(Settings(episode_store=str(path)))) as client:
        assert client.get("/ready").status_code == 200
        path.unlink()
        answer = client.get("/ready")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert "restart the server" in answer.json()["detail"]
        assert client.get("/health").status_code == 200


def test_ready_times_add_up_to_less_than_two_seconds() -> None:
    assert readiness.READY_CACHE_S + readiness.STORE_CHECK_TIMEOUT_S < 2


async def test_ready_store_hangs_answers_without_it_and_asks_it_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "STORE_CHECK_TIMEOUT_S", 0.1)
    store = SqliteStore(str(path), LIMITS)
    check = readiness.StoreCheck(store)
    assert await check.find_store_error_with_cache() is None
    monkeypatch.setattr(readiness, "READY_CACHE_S", 0.0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    problems = await asyncio.gather(*(check.find_store_error_with_cache() for _ in range(5)))
    assert all("cannot be written" in str(problem) for problem in problems)
    assert store._thread._work_queue.qsize() == 0  # nothing waits behind the check that hangs
    other.execute("ROLLBACK")
    other.close()
    running = check.running_check
    assert running is not None
    await running
    assert await check.find_store_error_with_cache() is None
    await store.close()


async def test_ready_redis_hangs_answers_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "STORE_CHECK_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system takes connections for it
        redis = create_redis_client(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        check = readiness.StoreCheck(RedisStore(redis, LIMITS))
        assert await check.find_store_error_with_cache() is not None
        running = check.running_check
        assert running is not None
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await redis.aclose()


# The clock.


class Machine:
    """A machine's clocks, which a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall_time_s, self.since_boot_s, self.boot_id = 1_700_000_000.0, 500.0, "first"
        monkeypatch.setattr("time.time", lambda: self.wall_time_s)
        monkeypatch.setattr(clock, "get_seconds_since_boot", lambda: self.since_boot_s)
        monkeypatch.setattr(clock, "read_boot_id_or_empty", lambda: self.boot_id)

    def wait(self, seconds: float) -> None:
        self.wall_time_s += seconds
        self.since_boot_s += seconds

    def restart(self, off_s: float) -> None:
        self.wall_time_s += off_s
        self.since_boot_s, self.boot_id = 3.0, self.boot_id + "'"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.mark.parametrize("jump_s", [86_400.0, -86_400.0])
@pytest.mark.parametrize("is_reopened", [False, True])
def test_sqlite_store_wall_clock_jumps_expires_after_the_time_that_passed(
    path: Path, machine: Machine, jump_s: float, is_reopened: bool
) -> None:
    store = sqlite_store(path, LIMITS)
    store.create("a", "http", b"{}")
    store.create("b", "http", b"{}")
    machine.wall_time_s += jump_s
    if is_reopened:
        store.close()
        store = sqlite_store(path, LIMITS)
    machine.wait(40)
    assert store.load_and_extend_expiry("a") is not None
    machine.wait(30)
    assert store.load_and_extend_expiry("a") is not None
    assert store.load_and_extend_expiry("b") is None
    store.close()


@pytest.mark.parametrize(("off_s", "is_there"), [(30.0, True), (61.0, False), (-86_400.0, True)])
def test_sqlite_store_machine_restarts_counts_the_time_it_was_off(
    path: Path, machine: Machine, off_s: float, is_there: bool
) -> None:
    store = sqlite_store(path, LIMITS)
    store.create("a", "http", b"{}")
    store.close()
    machine.restart(off_s)
    store = sqlite_store(path, LIMITS)
    assert (store.load_and_extend_expiry("a") is not None) is is_there
    machine.wait(61)
    assert store.load_and_extend_expiry("a") is None
    store.close()


def test_redis_store_wall_clock_jumps_counts_by_redis_own_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Redis(fakeredis.FakeAsyncRedis):
        """A Redis on another machine, whose clock is right."""

        async def time(self, **_: Any) -> Any:
            return 1_700_000_000 + int(machine.since_boot_s), 0

    store = BlockingStore(
        RedisStore(Redis(decode_responses=True), StoreLimits(60, 1, client_percent=100))
    )
    store.create("a", "mcp", b"{}", client_address="me")
    for jump_s in (45.0, -45.0):  # either would let a running episode count as idle, or as used
        machine.wall_time_s += jump_s
        with pytest.raises(StoreError, match="retry in 15 s"):
            store.create("b", "mcp", b"{}", client_address="me")
    assert store.count_open_episodes("mcp") == 1


def test_a_redis_that_hangs_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv_kit.serving.store.redis_client.REDIS_TIMEOUT_S", 0.05)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"redis://127.0.0.1:{silent.getsockname()[1]}"

        def use() -> None:
            with contextlib.suppress(StoreUnavailableError):
                asyncio.run(open_store(Settings(episode_store=address)).require_store_is_writable())
            ended.set()

        threading.Thread(target=use, daemon=True).start()
        assert ended.wait(30)
