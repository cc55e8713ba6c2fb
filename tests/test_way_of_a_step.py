"""Laws 2 and 6: a step goes straight from the socket to its session, and back."""

from __future__ import annotations

import asyncio
import json
import sys
from types import FrameType
from typing import Any

import httpx

from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings

MOST = 13
"""Functions that a step message may pass, from where it is received to where the reply is sent."""

MOST_OF_A_RESET = 130
"""Functions with a name and a text that an HTTP reset calls, its episode's making included."""

STEP = {"analysis_method": "rows_for_date", "analysis_args": {"date": "2022-05-13"}}


class Way:
    """Notes the functions of ours that are called inside a `with` block.

    Attributes:
        passed: those of the kit and those of the environment that the kit calls, each once. What
            `Session.step` calls in its turn is the environment's own business.
        called: every call, the environment's own included.
        written: names of those whose text is in a file; a dataclass has functions that are not.
    """

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.called: list[str] = []
        self.written: set[str] = set()

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
            self.called.append(name)
            if frame.f_code.co_filename != "<string>":
                self.written.add(name)
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


async def test_a_step_passes_few_functions_between_the_socket_and_the_tool() -> None:
    reset, step = {"type": "reset", "data": {}}, {"type": "step", "data": STEP}
    way = await way_of(reset, step, step)
    assert "openenv_kit.session.Session.step" in way.passed
    assert "metric_tracker_rl.analysis_tools.registry.kept.<locals>.answer" in way.called
    assert len(way.passed) <= MOST, way.passed


async def test_nothing_stands_between_the_play_and_its_session() -> None:
    way = await way_of({"type": "reset", "data": {}}, {"type": "step", "data": STEP})
    step = way.passed.index("openenv_kit.session.Session.step")
    assert way.passed[step - 1] == "openenv_kit.serving.play.Play.step"


async def test_a_reset_over_http_passes_few_functions() -> None:
    transport = httpx.ASGITransport(build_app(Settings(episode_store="memory")))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.post("/reset", json={"seed": 1})
        with Way() as way:
            answer = await client.post("/reset", json={"seed": 2})
    assert answer.json()["observation"]["status"] == "ready"
    named = {each for each in way.written if not each.endswith(">")}
    assert "openenv_kit.session.Session.reset" in named
    assert len(named) <= MOST_OF_A_RESET, sorted(named)
