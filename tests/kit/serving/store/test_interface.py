"""Episode stores: what they keep, whom they displace, and how they come through a full disk."""

from __future__ import annotations

import contextlib
import multiprocessing
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from openenv_kit.serving.app import main
from openenv_kit.serving.episodes.ids import OutdatedEpisodeError
from openenv_kit.serving.http.client_identity import client_address_or_network
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store import open_store as opening
from openenv_kit.serving.store.errors import StoreFullError, StoreUnavailableError
from openenv_kit.serving.store.interface import MEMORY_STORE
from openenv_kit.serving.store.limits import StoreLimits
from openenv_kit.serving.store.open_store import open_store
from openenv_kit.serving.store.redis import RedisStore
from openenv_kit.serving.store.sqlite import SqliteStore
from openenv_kit.serving.store.sqlite_schema import APPLICATION_ID, SCHEMA_VERSION
from support.blocking_store import Calls, sqlite_store
from support.small_disk import Disk

MIB = 1 << 20
ORDINARY = b"x" * 1400
"""About what an ordinary episode's start and actions take."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.time", clock)  # fakeredis' own
    monkeypatch.setattr("openenv_kit.serving.store.clock.seconds_since_boot", clock)
    return clock


@pytest.fixture(params=["sqlite", "memory", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Calls]:
    limits = StoreLimits(60, 100, client_percent=3)
    if request.param == "redis":
        made = Calls(RedisStore(fakeredis.FakeAsyncRedis(decode_responses=True), limits))
    else:
        made = sqlite_store(
            tmp_path / "s.db" if request.param == "sqlite" else MEMORY_STORE, limits
        )
    yield made
    made.close()


def living(store: Calls, names: str) -> str:
    """Those of the names that are stored."""
    return "".join(name for name in names if store.load(name))


def test_a_store_gives_back_what_it_was_given(store: Calls) -> None:
    generation = store.create("a", "http", b"{}", [b"1"])
    assert store.append_action("a", generation, 1, b'{"x":"\\n"}', "r1")
    found = store.load("a")
    assert found is not None
    assert (found.lease_id, found.start_json) == (generation, b"{}")
    assert found.actions == (b"1", b'{"x":"\\n"}')
    assert found.request_ids == ("", "r1")
    assert store.load("b") is None


def test_an_action_number_is_taken_only_once(store: Calls) -> None:
    generation = store.create("a", "http", b"{}", [])
    assert store.append_action("a", generation, 0, b"1", "")
    assert not store.append_action("a", generation, 0, b"2", "")
    assert not store.append_action("a", generation, 2, b"3", "")
    assert not store.append_action("a", "another generation", 1, b"4", "")
    assert not store.append_action("b", generation, 0, b"5", "")
    found = store.load("a")
    assert found is not None
    assert found.actions == (b"1",)


def test_starting_over_forgets_the_actions_and_shuts_out_old_writers(store: Calls) -> None:
    old = store.create("a", "http", b"1", [b"x"])
    new = store.create("a", "http", b"2", [])
    assert not store.append_action("a", old, 1, b"y", "")
    found = store.load("a")
    assert found is not None
    assert (found.lease_id, found.start_json, found.actions) == (new, b"2", ())


def test_episodes_are_counted_by_their_source(store: Calls) -> None:
    store.create("a", "mcp", b"{}", [])
    store.create("b", "mcp", b"{}", [])
    store.create("c", "http", b"{}", [])
    assert (store.count_open_episodes("mcp"), store.count_open_episodes("http")) == (2, 1)
    store.create("a", "http", b"{}", [])  # started over through another door
    assert (store.count_open_episodes("mcp"), store.count_open_episodes("http")) == (1, 2)


def test_an_unused_episode_expires_and_a_used_one_does_not(tmp_path: Path, clock: Clock) -> None:
    store = sqlite_store(tmp_path / "s.db", StoreLimits(60))
    generation = store.create("used", "http", b"{}", [])
    store.create("unused", "http", b"{}", [])
    clock.now += 40
    assert store.append_action("used", generation, 0, b"1", "")
    clock.now += 30
    assert store.load("unused") is None
    assert not store.append_action("unused", generation, 0, b"1", "")
    assert store.load("used") is not None
    assert store.count_open_episodes("http") == 1
    store.close()


# Who makes room.


def test_the_expired_go_first_then_the_finished_then_the_idle_and_the_running_never(
    tmp_path: Path, clock: Clock
) -> None:
    store = sqlite_store(tmp_path / "s.db", StoreLimits(60, 5))
    store.create("e", "http", b"{}", [])
    clock.now += 30
    store.create("i", "http", b"{}", [b"1", b"2"])
    clock.now += 31
    for name in "fgr":
        clock.now += 1
        generation = store.create(name, "http", b"{}", [])
        if name != "r":
            store.mark_ended(name, generation, "completed")
    for name, left in (("1", "ifgr1"), ("2", "igr12"), ("3", "ir123"), ("4", "r1234")):
        with sqlite3.connect(tmp_path / "s.db") as db:
            store.create(name, "http", b"{}", [])
            found = db.execute("SELECT group_concat(episode_id, '') FROM episodes").fetchone()[0]
        db.close()
        assert sorted(found) == sorted(left), name
    with pytest.raises(StoreFullError, match=r"running.* 5 episodes.* in 1\d s") as refused:
        store.create("5", "http", b"{}", [])
    assert not refused.value.is_client_limit
    assert refused.value.retry_after_s in (14, 15)
    assert living(store, "r12345") == "r1234"
    clock.now += refused.value.retry_after_s
    store.create("5", "http", b"{}", [])
    store.close()


def test_a_client_displaces_its_own_and_never_a_stranger_s(store: Calls, clock: Clock) -> None:
    store.create("s", "http", b"{}", [], client_address="stranger")
    store.mark_ended("s", store.load("s").lease_id, "completed")  # type: ignore[union-attr]
    clock.now += 1
    done = store.create("a", "http", b"{}", [], client_address="me")
    store.create("b", "http", b"{}", [], client_address="me")
    clock.now += 1
    store.create("c", "http", b"{}", [], client_address="me")
    with pytest.raises(StoreFullError, match=r"3 % of it.*3 episodes.* in 14 s") as refused:
        store.create("d", "http", b"{}", [], client_address="me")
    assert (refused.value.retry_after_s, refused.value.is_client_limit) == (14, True)
    store.create("c", "http", b"{}", [], client_address="me")  # starting over takes no more room
    store.mark_ended("a", done, "completed")
    store.create("d", "http", b"{}", [], client_address="me")
    clock.now += 14
    store.create("e", "http", b"{}", [], client_address="me")
    assert living(store, "sabcde") == "scde"
    store.create("t", "http", b"{}", [], client_address="another")
    for name in "12345":  # a caller without a share
        store.create(name, "http", b"{}", [])
    assert living(store, "scdet12345") == "scdet12345"


def test_a_finished_episode_can_still_be_read(store: Calls) -> None:
    generation = store.create("a", "http", b"{}", [b"1"], client_address="me")
    store.mark_ended("a", "another generation", "completed")
    store.mark_ended("a", generation, "completed")
    found = store.load("a")
    assert found is not None
    assert found.actions == (b"1",)


def test_steps_count_against_a_client_s_share(tmp_path: Path, clock: Clock) -> None:
    limits = StoreLimits(60, max_bytes=2 * MIB, client_percent=10)
    store = sqlite_store(tmp_path / "s.db", limits)
    generation = store.create("a", "http", b"{}", [], client_address="me")
    other = store.create("b", "http", b"{}", [], client_address="another")
    steps = 0

    def play() -> None:
        nonlocal steps
        while store.append_action("a", generation, steps, b"x" * 10_000, ""):
            steps += 1

    with pytest.raises(StoreFullError) as refused:
        play()
    assert refused.value.is_client_limit
    assert 8 < steps < 16
    assert store.append_action("b", other, 0, b"x" * 10_000, "")
    found = store.load("a")
    assert found is not None
    assert len(found.actions) == steps  # what was refused was not half done
    store.close()


def test_an_episode_that_never_fits_is_refused_for_good(tmp_path: Path) -> None:
    store = sqlite_store(tmp_path / "s.db", StoreLimits(60, max_bytes=MIB))
    with pytest.raises(StoreFullError, match="131072 at a time") as refused:
        store.create("a", "http", b"x" * MIB, [])
    assert refused.value.retry_after_s is None
    store.close()


def check(path: Path) -> None:
    """The file is whole, and the sums by client are what they should be."""
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    counted = (
        "SELECT client_address, COUNT(*), SUM(size_bytes) FROM episodes GROUP BY client_address"
    )
    assert db.execute(counted).fetchall() == db.execute("SELECT * FROM clients").fetchall()
    db.close()


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())


@pytest.mark.parametrize("size", [pytest.param(8000, marks=pytest.mark.slow), 60_000])
def test_a_store_never_takes_more_than_its_bytes_and_always_finds_room(
    tmp_path: Path, clock: Clock, size: int
) -> None:
    limit = 2 * MIB
    store = sqlite_store(tmp_path / "s.db", StoreLimits(3600, max_bytes=limit))
    most = 0
    for number in range(2 * limit // size):
        generation = store.create(f"{number:032}", "http", b"x" * size, [])
        assert store.append_action(f"{number:032}", generation, 0, b"y" * 200, "")
        store.mark_ended(f"{number:032}", generation, "completed")
        clock.now += 1
        most = max(most, on_disk(tmp_path))
    assert limit // 2 < most <= limit
    check(tmp_path / "s.db")
    kept = [n for n in range(number + 1) if store.load(f"{n:032}")]
    assert kept == list(range(kept[0], number + 1))  # the oldest went first
    store.close()


@pytest.mark.slow
def test_a_store_full_of_running_episodes_lets_them_go_on(tmp_path: Path, clock: Clock) -> None:
    store = sqlite_store(tmp_path / "s.db", StoreLimits(3600, max_bytes=2 * MIB))
    running: list[str] = []

    def fill() -> None:
        while True:
            running.append(store.create(f"{len(running)}", "http", ORDINARY, []))

    with pytest.raises(StoreFullError, match="full of running episodes"):
        fill()
    assert len(running) > 200
    for number, generation in enumerate(running):
        assert store.append_action(f"{number}", generation, 0, b"y" * 100, "")
    store.close()


# A disk that is really full.


def created(store: Calls, name: str, most: int) -> list[str]:
    """Generations of as many ordinary episodes as there is room for."""
    made: list[str] = []
    with contextlib.suppress(StoreFullError, StoreUnavailableError):
        for number in range(most):
            made.append(store.create(f"{name}-{number:027}", "http", ORDINARY, []))
    return made


def test_a_disk_that_others_filled_is_unavailable_until_it_has_space_again(
    disk: Disk, clock: Clock
) -> None:
    store = sqlite_store(disk.path / "s.db", StoreLimits(3600, max_bytes=8 * MIB))
    running = created(store, "old", 500)
    assert len(running) == 500
    disk.fill()
    taken: list[str] = []

    def fill() -> None:
        while True:
            taken.append(store.create(f"new-{len(taken)}", "http", ORDINARY, []))

    with pytest.raises(StoreUnavailableError, match="full") as refused:
        fill()
    assert len(taken) < 500
    assert refused.value.retry_after_s == 5
    disk.free()
    store.check_writable()
    store.create("a", "http", ORDINARY, [])
    for number, generation in enumerate(running):  # none of those that ran was displaced
        assert store.append_action(f"old-{number:027}", generation, 0, b"1", "")
    store.close()
    check(disk.path / "s.db")


def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE precious (x)")
    db.close()
    with pytest.raises(StoreUnavailableError, match="another program"):
        open_store(Settings(episode_store=str(path)))
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT COUNT(*) FROM precious").fetchone() == (0,)
    db.close()


@pytest.mark.parametrize("version", [0, 5, SCHEMA_VERSION + 1])
def test_store_of_another_release_is_refused_and_left_as_it_was(
    tmp_path: Path, version: int
) -> None:
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE episodes (id TEXT PRIMARY KEY)")
        db.execute("INSERT INTO episodes VALUES ('mine')")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    told = f"tables of version {version}, and this release reads version {SCHEMA_VERSION}"
    with pytest.raises(StoreUnavailableError, match=f"{told}.*move the file away"):
        open_store(Settings(episode_store=str(path)))
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT id FROM episodes").fetchall() == [("mine",)]
    db.close()


def test_episode_that_another_release_kept_in_redis_is_refused_by_its_version() -> None:
    server = fakeredis.FakeServer()
    old = fakeredis.FakeRedis(server=server, decode_responses=True)
    old.hset("openenv-kit:4:episode:game/mine", "generation", "1")
    redis = fakeredis.FakeAsyncRedis(server=server, decode_responses=True)
    store = Calls(RedisStore(redis, StoreLimits(60)))
    with pytest.raises(OutdatedEpisodeError, match=r"'mine'.*store 4 \(here 11\).*rolled back"):
        store.load("game/mine")
    assert store.load("game/other") is None


# Opening.


def open_at(folder: str, results: Any) -> None:
    tempfile.tempdir = folder
    try:
        results.put(open_store(Settings()).path)
    except StoreUnavailableError as problem:
        results.put(str(problem))


@pytest.mark.slow
def test_processes_that_open_the_default_store_at_once_share_it(tmp_path: Path) -> None:
    spawning = multiprocessing.get_context("fork")
    for turn in range(6):
        folder = tmp_path / str(turn)
        folder.mkdir()
        results = spawning.Queue()
        workers = [spawning.Process(target=open_at, args=(str(folder), results)) for _ in range(4)]
        for each in workers:
            each.start()
        found = {results.get(timeout=60) for _ in workers}
        for each in workers:
            each.join()
        (path,) = found
        assert path.startswith(str(folder))


def test_one_worker_without_a_writable_folder_keeps_episodes_in_memory_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "missing"))
    with caplog.at_level("WARNING"):
        store = Calls(open_store(Settings()))
    assert "missing" in caplog.records[-1].reason
    store.create("a", "http", b"{}", [])
    assert store.load("a") is not None
    store.close()


def test_a_folder_that_others_may_write_to_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    store = open_store(Settings())
    assert isinstance(store, SqliteStore)
    assert store.path.startswith(str(tmp_path))
    Path(store.path).parent.chmod(0o777)
    again = open_store(Settings())
    assert isinstance(again, SqliteStore)
    assert again.path == MEMORY_STORE
    Calls(store).close()
    Calls(again).close()


@pytest.mark.parametrize("address", ["", MEMORY_STORE])
def test_several_workers_never_have_a_memory_each(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "missing"))
    with pytest.raises(StoreUnavailableError, match="OPENENV_KIT_EPISODE_STORE"):
        open_store(Settings(episode_store=address, workers=2))
    # A worker is not told how many there are; that it has a parent is enough.
    monkeypatch.setattr(opening.multiprocessing, "parent_process", lambda: object())
    with pytest.raises(StoreUnavailableError, match="OPENENV_KIT_EPISODE_STORE"):
        open_store(Settings(episode_store=address))


def test_the_command_does_not_start_several_workers_with_a_memory_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENENV_KIT_EPISODE_STORE", "memory")
    monkeypatch.setattr(
        "openenv_kit.serving.app.run_server", lambda *_: pytest.fail("the server was started")
    )
    with pytest.raises(SystemExit, match="server: OPENENV_KIT_EPISODE_STORE is 'memory'"):
        main(["--workers", "2"])


def test_a_redis_that_does_not_answer_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENENV_KIT_EPISODE_STORE", "redis://127.0.0.1:1/0")
    with pytest.raises(SystemExit, match="server: The episode store"):
        main([])


# Redis.


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


@pytest.mark.parametrize(
    "problem", [OutOfMemoryError("OOM command not allowed"), RedisConnectionError("gone")]
)
def test_a_redis_that_is_full_or_gone_is_unavailable_and_comes_back(problem: Exception) -> None:
    redis = BrokenRedis(decode_responses=True)
    store = Calls(RedisStore(redis, StoreLimits(60)))
    generation = store.create("a", "http", b"{}", [])
    redis.problem = problem
    calls: list[Any] = [
        lambda: store.create("b", "http", b"{}", [], client_address="me"),
        lambda: store.load("a"),
        lambda: store.append_action("a", generation, 0, b"1", ""),
        lambda: store.mark_ended("a", generation, "completed"),
        lambda: store.count_open_episodes("http"),
        store.check_writable,
    ]
    for call in calls:
        with pytest.raises(StoreUnavailableError) as refused:
            call()
        assert refused.value.retry_after_s == 5
    redis.problem = None
    store.check_writable()
    assert store.append_action("a", generation, 0, b"1", "")


def test_an_episode_that_redis_has_displaced_is_gone() -> None:
    server = fakeredis.FakeServer()
    redis = fakeredis.FakeAsyncRedis(server=server, decode_responses=True)
    store = Calls(RedisStore(redis, StoreLimits(60)))
    generation = store.create("a", "http", b"{}", [])
    assert store.append_action("a", generation, 0, b"1", "")
    other = fakeredis.FakeRedis(server=server, decode_responses=True)
    (key,) = other.scan_iter("*:episode:*")  # its start and its actions go together
    other.delete(key)
    assert store.load("a") is None
    assert store.load("a", new_lease=True) is None
    assert not store.append_action("a", generation, 0, b"1", "")
    assert not store.append_action("a", generation, 1, b"1", "")


# Whose share.


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        (("203.0.113.7", 4711), "203.0.113.7"),
        (("::ffff:203.0.113.7", 1), "203.0.113.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::", 1), "2001:db8:1:2::/64"),
        (("testclient", 1), "testclient"),
        (("", 0), "unknown"),
        (None, "unknown"),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(peer: Any, key: str) -> None:
    assert client_address_or_network(peer) == key
