"""Laws 2 and 6: a step goes straight from the socket to its session, and back."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from types import FrameType
from typing import Any

import httpx
import pytest

from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings

MOST = 16
"""Functions that a step message may pass, from where it is received to where the reply is sent."""

MOST_OF_A_RESET = 130
"""Functions with a name and a text that an HTTP reset calls, its episode's making included."""

MOST_SWITCHES_OF_A_RESET = 150
"""How often a call of an HTTP reset is in another file than the call before it."""

MOST_SWITCHES_OF_A_STEP = 36
"""The same of an HTTP step."""

STEP = {"analysis_method": "rows_for_date", "analysis_args": {"date": "2022-05-13"}}


class Way:
    """Notes the functions of ours that are called inside a `with` block.

    Attributes:
        passed: those of the kit and those of the environment that the kit calls, each once. What
            `Session.step` calls in its turn is the environment's own business.
        called: every call, the environment's own included.
        written: names of those whose text is in a file; a dataclass has functions that are not.
        switches: how many calls of these are in another file than the one before.
    """

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.called: list[str] = []
        self.written: set[str] = set()
        self.switches = 0
        self._file = ""

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
            if (file := frame.f_code.co_filename) != "<string>":
                self.written.add(name)
                self.switches += file != (self._file or file)
                self._file = file
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
    assert "metric_tracker_rl.analysis_tools.registry.cache_result.<locals>.answer" in way.called
    assert len(way.passed) <= MOST, way.passed


async def test_nothing_stands_between_the_play_and_its_session() -> None:
    way = await way_of({"type": "reset", "data": {}}, {"type": "step", "data": STEP})
    step = way.passed.index("openenv_kit.session.Session.step")
    assert way.passed[step - 1] == "openenv_kit.serving.episodes.live_episode.LiveEpisode.step"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that has played an episode before."""
    transport = httpx.ASGITransport(build_app(Settings(episode_store="memory")))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.post("/reset", json={"seed": 1})
        yield client


async def test_a_reset_over_http_passes_few_functions_and_files(http: httpx.AsyncClient) -> None:
    with Way() as way:
        answer = await http.post("/reset", json={})
    assert answer.json()["observation"]["status"] == "ready"
    named = {each for each in way.written if not each.endswith(">")}
    assert "openenv_kit.session.Session.reset" in named
    assert len(named) <= MOST_OF_A_RESET, sorted(named)
    assert way.switches <= MOST_SWITCHES_OF_A_RESET


async def test_a_step_over_http_goes_from_file_to_file_as_seldom(http: httpx.AsyncClient) -> None:
    body = {"episode_id": (await http.post("/reset", json={})).json()["episode_id"], "action": STEP}
    await http.post("/step", json=body)
    with Way() as way:
        answer = await http.post("/step", json=body)
    assert answer.json()["observation"]["status"] == "analyzed"
    assert "openenv_kit.serving.episodes.service.EpisodeService.step" in way.written
    assert way.switches <= MOST_SWITCHES_OF_A_STEP
