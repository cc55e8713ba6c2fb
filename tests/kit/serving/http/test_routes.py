"""Routes of the HTTP interface."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings


def test_a_range_of_tasks_is_told_by_pages() -> None:
    with TestClient(build_app(Settings(episode_store="memory"))) as client:

        def asked(**bounds: int) -> list[Any]:
            body = {"split": "train", **bounds}
            reply = client.post("/metric_tracker_rl/task_range", json=body).json()
            return list(reply if isinstance(reply, list) else reply["tasks"])

        whole, second = asked(), asked(start=100)
        assert [len(whole), len(second)] == [100, 100]
        assert (whole[0]["index"], second[0]["index"]) == (0, 100)
        assert [task["index"] for task in asked(start=150, stop=153)] == [150, 151, 152]
