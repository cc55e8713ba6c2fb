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

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import InvalidValueError, RefusedResetError
from openenv_kit.reply import ReplyStatus
from openenv_kit.serving import messages
from openenv_kit.serving.episodes.live_episode import LiveEpisode
from openenv_kit.serving.episodes.trainer_record import build_record_model, build_trainer_record
from openenv_kit.serving.episodes.worker_threads import step_live_episode
from openenv_kit.serving.http.middleware import RequestMiddleware
from openenv_kit.serving.mcp import dispatch
from openenv_kit.serving.mcp.dispatch import RpcResponse
from openenv_kit.serving.mcp.routes import McpEndpoint
from openenv_kit.serving.settings import Settings, load_settings
from openenv_kit.serving.store.interface import EndStatus


class SingleTaskServer(McpEndpoint):
    """The endpoint of one episode, which every client plays.

    Args:
        environment: what is played.
        task: `reset`, the arguments of the episode's reset, and `versions`, under which the task
            was written.
        outcome_path: file that always holds the trainer's view of the episode, as JSON.
        settings: settings of the server.

    Raises:
        InvalidValueError: the reset is refused, or this release has other versions.
    """

    def __init__(
        self,
        environment: Environment,
        task: Mapping[str, Any],
        outcome_path: Path,
        settings: Settings,
    ) -> None:
        reset, written = dict(task["reset"]), dict(task["versions"])
        here = dict(environment.versions)
        if written != here:
            raise InvalidValueError("versions", written, f"those of this release, {here}")
        self._play = LiveEpisode("mcp", environment=environment, settings=settings)
        reply = self._play.reset(reset)
        if reply.status == ReplyStatus.ERROR:
            raise RefusedResetError(reset, reply.message)
        self._record = build_record_model(environment.wire_models.state)
        self._outcome = outcome_path
        self._dispatch = dispatch.create_dispatcher(environment, self._step, self._get_state)
        self._one_at_a_time = asyncio.Lock()
        self._write_outcome()

    def build_app(self, settings: Settings) -> RequestMiddleware:
        """The ASGI app: `/mcp` and `/health`, behind the limits that every server has."""
        return RequestMiddleware(
            Starlette(
                routes=[
                    Route("/mcp", self.post, methods=["POST"]),
                    Route("/health", self._answer_health_check, methods=["GET"]),
                ]
            ),
            settings,
        )

    async def answer_message(self, request: Request, message: Any) -> RpcResponse:
        """See `McpEndpoint`; there is no session, so a client that leaves ends nothing."""
        return await dispatch.answer_rpc_message(message, self._dispatch)

    async def _answer_health_check(self, request: Request) -> Response:
        return messages.json_response({"status": "healthy"})

    async def _step(self, action: dict[str, Any]) -> dict[str, Any]:
        async with self._one_at_a_time:
            data = await step_live_episode(self._play, action)
            self._write_outcome()
        return data

    async def _get_state(self) -> Mapping[str, Any]:
        return self._play.get_state()

    def _write_outcome(self) -> None:
        """Write the outcome; a reader never sees half of it."""
        whole = self._outcome.with_suffix(".new")
        record = build_trainer_record(self._record, self._play, EndStatus.NOT_ENDED, 1)
        whole.write_text(record.model_dump_json() + "\n")
        whole.replace(self._outcome)


def main() -> None:
    """Serve a task until SIGTERM; HOST and PORT say where, ENVIRONMENT whose it is."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m openenv_kit.serving.one_task")
    parser.add_argument("task", type=json.loads, help='JSON: {"reset": …, "versions": …}')
    parser.add_argument("--outcome", type=Path, required=True, help="file for the outcome")
    given = parser.parse_args()
    limits = load_settings()
    app = SingleTaskServer(get_environment(), given.task, given.outcome, limits).build_app(limits)
    uvicorn.run(app, host=limits.host, port=limits.port, ws="none", log_level=limits.log_level)


if __name__ == "__main__":
    main()
