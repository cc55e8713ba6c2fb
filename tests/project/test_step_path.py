"""Rule 2 of the architecture: a live episode hands a step directly to its session."""

from __future__ import annotations

import asyncio
import json
import sys
from types import FrameType
from typing import Any

from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings

STEP = {"analysis_method": "rows_for_date", "analysis_args": {"date": "2022-05-13"}}


class KitCalls:
    """Records the functions of the kit that are called inside a `with` block, each once."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __enter__(self) -> KitCalls:
        sys.setprofile(self._record)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _record(self, frame: FrameType, event: str, _: Any) -> None:
        module = str(frame.f_globals.get("__name__", ""))
        name = f"{module}.{frame.f_code.co_qualname}"
        if event == "call" and module.startswith("openenv_kit.") and name not in self.names:
            self.names.append(name)


async def test_websocket_step_goes_from_live_episode_directly_to_session() -> None:
    app = build_app(Settings(episode_store="memory"))
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    outbox: asyncio.Queue[Any] = asyncio.Queue()
    headers = [(b"host", b"localhost")]
    scope = {"type": "websocket", "path": "/ws", "query_string": b"", "headers": headers}
    connection = asyncio.create_task(app(scope, inbox.get, outbox.put))
    await inbox.put({"type": "websocket.connect"})
    assert (await outbox.get())["type"] == "websocket.accept"

    async def request(message_type: str, data: dict[str, Any]) -> Any:
        text = json.dumps({"type": message_type, "data": data})
        await inbox.put({"type": "websocket.receive", "text": text})
        return json.loads((await outbox.get())["text"])

    await request("reset", {})
    with KitCalls() as calls:
        reply = await request("step", STEP)
    assert reply["data"]["observation"]["status"] == "analyzed"
    position = calls.names.index("openenv_kit.session.Session.step")
    live_episode_step = "openenv_kit.serving.episodes.live_episode.LiveEpisode.step"
    assert calls.names[position - 1] == live_episode_step
    await inbox.put({"type": "websocket.disconnect", "code": 1000})
    await connection
