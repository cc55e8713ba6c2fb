"""The server with two further routes, for tests that compare the debugger with the server.

`/observed/steps` returns the number of steps of each running and each ended episode, by
environment. `/observed/cut` ends every WebSocket on which the debugger plays.
"""

from __future__ import annotations

import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from openenv_kit.episode_clients import websocket
from openenv_kit.serving import app as serving
from openenv_kit.serving.episodes.running_episodes import RUNNING_EPISODES, logger

CLIENTS: list[Any] = []
ENDED: list[tuple[str, int]] = []
"""Environment and number of steps of each ended episode."""


class EndedEpisodes(logging.Handler):
    """Collects the steps that the server logs when an episode ends."""

    def emit(self, record: logging.LogRecord) -> None:
        """Add an ended episode."""
        if record.getMessage() == "episode ended":
            fields = vars(record)
            ENDED.append((fields["environment"], fields["steps"]))


async def count_steps(_: Request) -> JSONResponse:
    """Return the environment and the number of steps of all episodes of this server."""
    running = [(episode.key.environment, episode.step_count) for episode in RUNNING_EPISODES]
    return JSONResponse({"running": running, "ended": ENDED})


async def cut_websockets(_: Request) -> JSONResponse:
    """End all WebSockets of the debugger without a closing handshake."""
    connections = [client._ws for client in CLIENTS if client._ws is not None]
    CLIENTS.clear()
    loop = websocket._get_or_start_background_loop()
    for connection in connections:
        loop.call_soon_threadsafe(connection.transport.abort)
    return JSONResponse({"cut": len(connections)})


def main() -> None:
    """Run the command `server` with the further routes."""
    create_client = websocket._build_typed_client_class

    def create_recorded_client_class(environment: Any) -> Any:
        client_class = create_client(environment)

        def create(*arguments: Any, **options: Any) -> Any:
            CLIENTS.append(client_class(*arguments, **options))
            return CLIENTS[-1]

        return create

    vars(websocket)["_build_typed_client_class"] = create_recorded_client_class
    build_app = serving.build_app

    def build_observed_app(*arguments: Any) -> Any:
        app = build_app(*arguments)
        app.router.routes[:0] = [
            Route("/observed/steps", count_steps),
            Route("/observed/cut", cut_websockets, methods=["POST"]),
        ]
        logger.addHandler(EndedEpisodes())
        return app

    vars(serving)["build_app"] = build_observed_app
    serving.main()


if __name__ == "__main__":
    main()
