"""One episode for the agent of one container: its tools at `/mcp`, its outcome in a file.

`metric-tracker export --layout harbor` starts it beside an agent's container. There is no reset, no
second episode and no token, and every client of `/mcp` plays the same episode, however often it
connects. The outcome is what GET /state of a server tells a trainer; nothing serves it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openenv_kit.environment import ERROR, Environment, get_environment
from openenv_kit.errors import InvalidValueError, RefusedResetError
from openenv_kit.serving import messages
from openenv_kit.serving.episodes.live_episode import Play, take_step
from openenv_kit.serving.episodes.records import record_model, record_of
from openenv_kit.serving.http.middleware import Gate
from openenv_kit.serving.mcp import dispatch
from openenv_kit.serving.mcp.dispatch import Answered
from openenv_kit.serving.mcp.routes import McpEndpoint
from openenv_kit.serving.settings import Settings, load_settings


class OneTask(McpEndpoint):
    """The endpoint of one episode, which every client plays.

    Args:
        environment: what is played.
        task: `reset`, the arguments of the episode's reset, and `versions`, under which the task
            was written.
        outcome: file that always holds the trainer's view of the episode, as JSON.
        limits: settings of the server.

    Raises:
        InvalidValueError: the reset is refused, or this release has other versions.
    """

    def __init__(
        self, environment: Environment, task: Mapping[str, Any], outcome: Path, limits: Settings
    ) -> None:
        reset, written = dict(task["reset"]), dict(task["versions"])
        here = dict(environment.versions)
        if written != here:
            raise InvalidValueError("versions", written, f"those of this release, {here}")
        self._play = Play("mcp", environment=environment, limits=limits)
        reply = self._play.reset(reset)
        if reply.status == ERROR:
            raise RefusedResetError(reset, reply.message)
        self._record = record_model(environment.models.state)
        self._outcome = outcome
        self._dispatch = dispatch.dispatcher(environment, self._step, self._played)
        self._one_at_a_time = asyncio.Lock()
        self._write()

    def app(self, limits: Settings) -> Gate:
        """The ASGI app: `/mcp` and `/health`, behind the limits that every server has."""
        return Gate(
            Starlette(
                routes=[
                    Route("/mcp", self.post, methods=["POST"]),
                    Route("/health", self._health, methods=["GET"]),
                ]
            ),
            limits,
        )

    async def answer(self, request: Request, message: Any) -> Answered:
        """See `McpEndpoint`; there is no session, so a client that leaves ends nothing."""
        return await dispatch.answer(message, self._dispatch)

    async def _health(self, request: Request) -> Response:
        return messages.response({"status": "healthy"})

    async def _step(self, action: dict[str, Any]) -> dict[str, Any]:
        async with self._one_at_a_time:
            data = await take_step(self._play, action)
            self._write()
        return data

    async def _played(self) -> Mapping[str, Any]:
        return self._play.state()

    def _write(self) -> None:
        """Write the outcome; a reader never sees half of it."""
        whole = self._outcome.with_suffix(".new")
        whole.write_text(record_of(self._record, self._play, "", 1).model_dump_json() + "\n")
        whole.replace(self._outcome)


def main() -> None:
    """Serve a task until SIGTERM; HOST and PORT say where, ENVIRONMENT whose it is."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m openenv_kit.serving.one_task")
    parser.add_argument("task", type=json.loads, help='JSON: {"reset": …, "versions": …}')
    parser.add_argument("--outcome", type=Path, required=True, help="file for the outcome")
    given = parser.parse_args()
    limits = load_settings()
    app = OneTask(get_environment(), given.task, given.outcome, limits).app(limits)
    uvicorn.run(app, host=limits.host, port=limits.port, ws="none", log_level=limits.log_level)


if __name__ == "__main__":
    main()
