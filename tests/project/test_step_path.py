"""Laws 2 and 6: a step goes straight from the socket to its session, and back."""

from __future__ import annotations

import asyncio
import json
import sys
from types import FrameType
from typing import Any

from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings

STEP = {"analysis_method": "rows_for_date", "analysis_args": {"date": "2022-05-13"}}


class Way:
    """Notes the functions of ours that are called inside a `with` block.

    Attributes:
        passed: those of the kit and those of the environment that the kit calls, each once. What
            `Session.step` calls in its turn is the environment's own business.
    """

    def __init__(self) -> None:
        self.passed: list[str] = []

    def __enter__(self) -> Way:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        package = _package(frame)
        if package in ("openenv_kit", "metric_tracker_rl"):
            name = f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}"
            within = _below_environment(frame)
            if not within and name not in self.passed:
                self.passed.append(name)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _below_environment(frame: FrameType) -> bool:
    """Whether an environment's function called this one, directly or not."""
    caller = frame.f_back
    while caller is not None:
        if _package(caller) == "metric_tracker_rl":
            return True
        caller = caller.f_back
    return False


async def way_of(*messages: dict[str, Any]) -> Way:
    """The way of the last of some messages on one WebSocket."""
    app = build_app(Settings(episode_store="memory"))
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    outbox: asyncio.Queue[Any] = asyncio.Queue()
    scope = {"type": "websocket", "path": "/ws", "query_string": b"", "headers": []}
    scope["headers"] = [(b"host", b"localhost")]
    serving = asyncio.create_task(app(scope, inbox.get, outbox.put))
    await inbox.put({"type": "websocket.connect"})
    assert (await outbox.get())["type"] == "websocket.accept"

    async def ask(message: dict[str, Any]) -> Any:
        await inbox.put({"type": "websocket.receive", "text": json.dumps(message)})
        return json.loads((await outbox.get())["text"])

    *before, last = messages
    for message in before:
        await ask(message)
    with Way() as way:
        answer = await ask(last)
    assert answer["data"]["observation"]["status"] == "analyzed"
    await inbox.put({"type": "websocket.disconnect", "code": 1000})
    await serving
    return way


async def test_nothing_stands_between_the_play_and_its_session() -> None:
    way = await way_of({"type": "reset", "data": {}}, {"type": "step", "data": STEP})
    step = way.passed.index("openenv_kit.session.Session.step")
    assert way.passed[step - 1] == "openenv_kit.serving.episodes.live_episode.LiveEpisode.step"
