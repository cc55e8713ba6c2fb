"""Files and folders of the SQLite store."""

from __future__ import annotations

import contextlib
import multiprocessing
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest

from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.errors import StoreFullError, StoreUnavailableError
from openenv_kit.serving.store.interface import MEMORY_STORE
from openenv_kit.serving.store.limits import StoreLimits
from openenv_kit.serving.store.open_store import open_store
from openenv_kit.serving.store.sqlite import SqliteStore
from openenv_kit.serving.store.sqlite_schema import APPLICATION_ID, SCHEMA_VERSION
from support.blocking_store import BlockingStore, sqlite_store
from support.manual_clock import ManualClock
from support.small_disk import Disk

MIB = 1 << 20


ORDINARY = b"x" * 1400
"""About what an ordinary episode's start and actions take."""


def check(path: Path) -> None:
    """The file is whole, and the sums by client are what they should be."""
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    counted = (
        "SELECT client_address, COUNT(*), SUM(size_bytes) FROM episodes GROUP BY client_address"
    )
    assert db.execute(counted).fetchall() == db.execute("SELECT * FROM clients").fetchall()
    db.close()


def created(store: BlockingStore, name: str, most: int) -> list[str]:
    """Generations of as many ordinary episodes as there is room for."""
    made: list[str] = []
    with contextlib.suppress(StoreFullError, StoreUnavailableError):
        for number in range(most):
            made.append(store.create(f"{name}-{number:027}", "http", ORDINARY, []))
    return made


def open_at(folder: str, results: Any) -> None:
    tempfile.tempdir = folder
    try:
        results.put(open_store(Settings()).path)
    except StoreUnavailableError as problem:
        results.put(str(problem))


def test_store_on_a_full_disk_is_unavailable_until_space_is_free(
    disk: Disk, clock: ManualClock
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
    store.require_store_is_writable()
    store.create("a", "http", ORDINARY, [])
    for number, generation in enumerate(running):  # none of those that ran was displaced
        assert store.append_action_if_index_is_next(f"old-{number:027}", generation, 0, b"1", "")
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
        store = BlockingStore(open_store(Settings()))
    assert "missing" in caplog.records[-1].reason
    store.create("a", "http", b"{}", [])
    assert store.load_and_extend_expiry("a") is not None
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
    BlockingStore(store).close()
    BlockingStore(again).close()
