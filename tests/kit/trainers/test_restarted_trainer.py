"""A trainer that is killed continues from its checkpoint; what it abandoned expires."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from openenv_kit.rollouts.curriculum import Curriculum
from openenv_kit.rollouts.curriculum_file import read_curriculum_file, write_curriculum_file
from support.live_server import served
from support.restartable_trainer import read_started_episodes, run_trainer

KILLED = -9
TTL_S = 1
EXPIRY_TIMEOUT_S = 120.0


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", ["between", "rollout"])
def test_killed_trainer_repeats_only_the_interrupted_step(
    server_url: str, tmp_path: Path, kill_at: str
) -> None:
    whole, interrupted = tmp_path / "whole", tmp_path / "interrupted"
    for folder in (whole, interrupted):
        folder.mkdir()
    assert run_trainer(whole, server_url) == 0
    assert run_trainer(interrupted, server_url, kill_at) == KILLED
    before = read_started_episodes(interrupted)
    assert {episode.step for episode in before} == ({1} if kill_at == "between" else {1, 2})
    assert run_trainer(interrupted, server_url) == 0
    after = read_started_episodes(interrupted)[len(before) :]
    expected = read_started_episodes(whole)
    assert {episode.step for episode in after} == {2, 3}
    assert [episode[:3] for episode in (*before, *after) if episode.step == 1] == [
        episode[:3] for episode in expected if episode.step == 1
    ]
    assert [episode[:3] for episode in after] == [
        episode[:3] for episode in expected if episode.step > 1
    ]
    assert {episode.level for episode in expected} == {"rung_1", "rung_2", "rung_3"}
    for step in (1, 2, 3):
        files = [
            folder / f"checkpoint-{step}" / "curriculum.json" for folder in (whole, interrupted)
        ]
        assert files[0].read_text() == files[1].read_text()


@pytest.fixture
def forgetful_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server whose episodes expire a second after their last use."""
    monkeypatch.setenv("OPENENV_KIT_EPISODE_TTL_S", str(TTL_S))
    monkeypatch.setenv("OPENENV_KIT_EPISODE_STORE", str(tmp_path / "s.db"))
    with served() as url:
        yield url


@pytest.mark.slow
def test_episode_of_a_killed_trainer_expires(forgetful_server: str, tmp_path: Path) -> None:
    assert run_trainer(tmp_path, forgetful_server, "rollout") == KILLED
    abandoned = read_started_episodes(tmp_path)[-1].episode_id
    deadline = time.monotonic() + EXPIRY_TIMEOUT_S
    while _is_stored(forgetful_server, abandoned):
        assert time.monotonic() < deadline, "the abandoned episode is still stored"
        time.sleep(2 * TTL_S)  # asking for an episode does not count as using it


def _is_stored(base_url: str, episode_id: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base_url}/state?episode_id={episode_id}"):
            return True
    except urllib.error.HTTPError as error:
        return error.code != 404


def test_write_curriculum_file_is_read_back(tmp_path: Path) -> None:
    curriculum = Curriculum([{"difficulty": "easy"}, {"difficulty": "hard"}], window=1)
    curriculum.record_group_rewards([1.0, 0.0])
    path = write_curriculum_file(curriculum, tmp_path / "checkpoint-7")
    assert json.loads(path.read_text()) == curriculum.state_dict()
    assert [found.name for found in path.parent.iterdir()] == ["curriculum.json"]
    other = Curriculum([{"difficulty": "easy"}, {"difficulty": "hard"}], window=1)
    assert read_curriculum_file(other, path.parent)
    assert other.state_dict() == curriculum.state_dict()


def test_read_curriculum_file_missing_leaves_the_curriculum(tmp_path: Path) -> None:
    curriculum = Curriculum([{"difficulty": "easy"}], first_seed=5)
    assert not read_curriculum_file(curriculum, tmp_path)
    assert curriculum.take_next_reset_arguments() == {"difficulty": "easy", "seed": 5}
