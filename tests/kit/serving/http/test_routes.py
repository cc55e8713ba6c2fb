"""Routes of the HTTP interface."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from metric_tracker_rl.engine.configuration.splits import SEALED_SPLIT, SPLITS
from openenv_kit.sealed_split import SALT_VARIABLE
from openenv_kit.serving.app import build_app
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from openenv_kit.serving.settings import Settings
from support.paths import ROOT

SALT = "a salt that nobody knows, of some length"


PUBLIC = ("train", "validation", "test")


@pytest.fixture
def salted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SALT_VARIABLE, SALT)


def test_task_range_is_returned_in_pages() -> None:
    with TestClient(build_app(Settings(episode_store="memory"))) as client:

        def asked(**bounds: int) -> list[Any]:
            body = {"split": "train", **bounds}
            reply = client.post("/metric_tracker_rl/task_range", json=body).json()
            return list(reply if isinstance(reply, list) else reply["tasks"])

        whole, second = asked(), asked(start=100)
        assert [len(whole), len(second)] == [100, 100]
        assert (whole[0]["index"], second[0]["index"]) == (0, 100)
        assert [task["index"] for task in asked(start=150, stop=153)] == [150, 151, 152]


def test_the_task_api_serves_the_splits_and_the_manifest_declares_their_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    env = OpenEnvAdapter()
    capabilities = yaml.safe_load((ROOT / "openenv.yaml").read_text())["validation"]["capabilities"]
    assert capabilities["task_api"] is True
    assert capabilities["declared_task_count"] == {
        split["name"]: env.num_tasks(split["name"]) for split in env.list_splits()
    }
    assert len(env.list_tasks("train")) == 100
    assert env.get_task_range("test", 2, 4) == [env.get_task("test", 2), env.get_task("test", 3)]
    assert env.get_task_range("test", -1) == [env.get_task("test", 2303)]
    for wrong in (("nowhere", 0), ("test", 5000), (SEALED_SPLIT, 0)):
        with pytest.raises(IndexError):
            env.get_task(*wrong)


def test_task_descriptor_contains_neither_seed_nor_family(salted: None) -> None:
    env = OpenEnvAdapter()
    for split in (*PUBLIC, SEALED_SPLIT):
        task = env.get_task(split, 5)
        assert "seed" not in task
        assert str(SPLITS.task(split, 5).config.seed) not in repr(task)
        assert set(task) == {"id", "split", "index", "difficulty", "reset"}
        assert env.reset(**task["reset"]).status == "ready"
