"""The data folder holds the episode store and recordings of finished episodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from openenv_kit.recordings.format import iter_recording_paths, read_runs
from openenv_kit.recordings.replay import replay_and_compare_run
from openenv_kit.serving.app import build_app
from openenv_kit.serving.episodes import saved_recordings as kept
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.errors import StoreUnavailableError
from openenv_kit.serving.store.open_store import open_store
from openenv_kit.variables import SALT_VARIABLE
from support.server_requests import send_message

LIST = {"analysis_method": "list_dates"}
EASY = {"task_id": "easy_single_spike"}


def client_at(folder: Path) -> TestClient:
    return TestClient(build_app(Settings(data_folder=str(folder))))


def test_episode_goes_on_after_a_restart_and_is_recorded_whole(tmp_path: Path) -> None:
    with client_at(tmp_path) as client:
        episode_id = client.post("/reset", json=EASY).json()["episode_id"]
        client.post("/step", json={"episode_id": episode_id, "action": LIST})
    assert list(tmp_path.glob("episodes-*.sqlite3"))
    with client_at(tmp_path) as client:
        for _ in range(2):  # the second one comes after the end
            client.post("/step", json={"episode_id": episode_id, "action": {}})
    kept.wait_for_recordings()
    (path,) = iter_recording_paths([tmp_path / "recordings" / "metric_tracker_rl"])
    (run,) = read_runs(path)
    assert (run.reset, run.score, len(run.steps)) == (EASY, 0.0, 2)
    assert run.steps[0].action == LIST
    assert replay_and_compare_run(run).matches_recording


def test_websocket_episode_is_recorded_once_finished(tmp_path: Path) -> None:
    with client_at(tmp_path) as client, client.websocket_connect("/ws") as socket:
        send_message(socket, "reset", EASY)
        send_message(socket, "step", LIST)
        send_message(socket, "reset", EASY)
        send_message(socket, "step", {})
    kept.wait_for_recordings()
    (path,) = tmp_path.glob("recordings/*/*.jsonl")
    assert path.stat().st_mode & 0o077 == 0
    assert [len(run.steps) for run in read_runs(path)] == [1]


def test_sealed_episode_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SALT_VARIABLE, "a salt that nobody knows, of some length")
    with client_at(tmp_path) as client, client.websocket_connect("/ws") as socket:
        send_message(socket, "reset", {"split": "sealed", "index": 3})
        send_message(socket, "step", {})
    kept.wait_for_recordings()
    assert not list(tmp_path.glob("recordings/*/*"))


def test_without_the_setting_nothing_is_recorded(tmp_path: Path) -> None:
    settings = Settings(episode_store=str(tmp_path / "s.db"))
    with TestClient(build_app(settings)) as client, client.websocket_connect("/ws") as socket:
        send_message(socket, "reset", EASY)
        send_message(socket, "step", {})
    kept.wait_for_recordings()
    assert not list(tmp_path.glob("recordings"))


def test_oldest_recordings_go_when_they_take_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 5):
        path = tmp_path / "recordings" / f"game{number % 2}" / f"2026-01-0{number}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100)
    monkeypatch.setattr(kept, "MAX_RECORDINGS_BYTES", 250)
    kept._delete_oldest_recording_files_above_limit(tmp_path / "recordings")
    names = sorted(path.name for path in tmp_path.glob("recordings/*/*"))
    assert names == ["2026-01-03.jsonl", "2026-01-04.jsonl"]


def test_data_folder_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(data_folder=str(tmp_path / "file"))
    with pytest.raises(StoreUnavailableError, match=r"OPENENV_KIT_DATA_FOLDER"):
        open_store(settings)


def test_named_store_stays_where_it_is(tmp_path: Path) -> None:
    store = open_store(Settings(data_folder=str(tmp_path / "data"), episode_store="memory"))
    assert store.path == "memory"  # type: ignore[attr-defined]
