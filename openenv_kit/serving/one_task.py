"""Server for a single episode, which serves its tools at `/mcp` and writes its result to a file.

Task folders written by `metric-tracker export --layout harbor` run this server next to an agent's
container. The server has no reset, plays no second episode and requires no token. All clients of
`/mcp` play the same episode, even after they reconnect. The result file contains the record that
GET /state of a normal server returns to a trainer. No route serves the file.
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
from openenv_kit.serving.episodes.trainer_record import (
    build_trainer_record,
    build_trainer_record_model,
)
from openenv_kit.serving.episodes.worker_threads import step_with_queued_slow_call
from openenv_kit.serving.http.middleware import RequestMiddleware
from openenv_kit.serving.mcp.dispatch import RpcResponse, create_rpc_dispatcher, handle_rpc_message
from openenv_kit.serving.mcp.routes import McpEndpoint
from openenv_kit.serving.messages import JsonObject, WireReply
from openenv_kit.serving.settings import Settings, load_settings
from openenv_kit.serving.store.interface import EndStatus
from openenv_kit.serving.transports import Transport


class SingleTaskServer(McpEndpoint):
    """MCP endpoint of a single episode, which all clients play together.

    Args:
        environment: environment of the episode.
        task: mapping with `reset`, the arguments of the episode's reset, and `versions`, the
            versions of the environment when the task was written.
        outcome_path: file to which the trainer's record of the episode is written as JSON, after
            every step.
        settings: settings of the server.

    Raises:
        InvalidValueError: the task was written for versions of the environment that differ from the
            installed ones.
        RefusedResetError: the reset was rejected.
    """

    def __init__(
        self,
        environment: Environment,
        task: Mapping[str, Any],
        outcome_path: Path,
        settings: Settings,
    ) -> None:
        reset_arguments, task_versions = dict(task["reset"]), dict(task["versions"])
        versions = dict(environment.versions)
        if task_versions != versions:
            allowed = f"those of this release, {versions}"
            raise InvalidValueError("versions", task_versions, allowed)
        self._live_episode = LiveEpisode(Transport.MCP, environment=environment, settings=settings)
        reply = self._live_episode.reset(reset_arguments)
        if reply.status == ReplyStatus.ERROR:
            raise RefusedResetError(reset_arguments, reply.message)
        self._record_model = build_trainer_record_model(environment.wire_models.state)
        self._outcome_path = outcome_path
        self._dispatch = create_rpc_dispatcher(
            environment, self._step_and_replace_outcome_file, self._get_tool_selection_fields
        )
        self._step_lock = asyncio.Lock()
        self._replace_outcome_file()

    def build_app(self, settings: Settings) -> RequestMiddleware:
        """Return the ASGI app with `/mcp` and `/health`, wrapped in the request middleware."""
        return RequestMiddleware(
            Starlette(
                routes=[
                    Route("/mcp", self.post, methods=["POST"]),
                    Route("/health", self._get_health, methods=["GET"]),
                ]
            ),
            settings,
        )

    async def respond_to_rpc_message(self, request: Request, message: object) -> RpcResponse:
        """Return the response to one JSON-RPC message. Session ids are ignored."""
        return await handle_rpc_message(message, self._dispatch)

    async def _get_health(self, request: Request) -> Response:
        return messages.build_json_response({"status": "healthy"})

    async def _step_and_replace_outcome_file(self, action: JsonObject) -> WireReply:
        async with self._step_lock:
            reply = await step_with_queued_slow_call(self._live_episode, action)
            self._replace_outcome_file()
        return reply

    async def _get_tool_selection_fields(self) -> Mapping[str, Any]:
        return self._live_episode.get_tool_selection_fields()

    def _replace_outcome_file(self) -> None:
        """Replace the outcome file atomically, so that a reader never sees an incomplete one."""
        new_path = self._outcome_path.with_suffix(".new")
        record = build_trainer_record(
            self._record_model, self._live_episode, EndStatus.NOT_ENDED, 1
        )
        new_path.write_text(record.model_dump_json() + "\n")
        new_path.replace(self._outcome_path)


def main() -> None:
    """Serve one task until SIGTERM. The server's environment variables, such as PORT, apply."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m openenv_kit.serving.one_task")
    parser.add_argument("task", type=json.loads, help='JSON: {"reset": …, "versions": …}')
    parser.add_argument("--outcome", type=Path, required=True, help="file to write the outcome to")
    options = parser.parse_args()
    settings = load_settings()
    server = SingleTaskServer(get_environment(), options.task, options.outcome, settings)
    uvicorn.run(
        server.build_app(settings),
        host=settings.host,
        port=settings.port,
        ws="none",
        log_level=settings.log_level,
    )


if __name__ == "__main__":
    main()
