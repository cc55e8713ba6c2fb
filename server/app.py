"""The ASGI app, and the `server` command that serves it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import uvicorn
from openenv.core.env_server import create_app

from metric_tracker_rl.errors import ConfigurationError
from metric_tracker_rl.models import MetricTrackerRlObservation, MetricTrackerRlState
from server.environment import ENV_NAME, MetricTrackerRlEnvironment
from server.settings import load_settings
from server.wire import WireAction

PING_INTERVAL_S = 30.0
PING_TIMEOUT_S = 900.0
"""A client that thinks for minutes may answer no ping; only one gone for good is dropped."""

app = create_app(
    MetricTrackerRlEnvironment,
    WireAction,
    MetricTrackerRlObservation,
    env_name=ENV_NAME,
    max_concurrent_envs=load_settings().max_sessions,
    state_cls=MetricTrackerRlState,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the environment until stopped.

    Args:
        arguments: command line; None for the process's own.
    """
    try:
        settings = load_settings()
    except ConfigurationError as problem:
        raise SystemExit(f"server: {problem}") from None
    parser = argparse.ArgumentParser(prog="server", description=main.__doc__)
    parser.add_argument("--host", default=settings.host, help="address to listen on (HOST)")
    parser.add_argument("--port", type=int, default=settings.port, help="port (PORT)")
    parser.add_argument(
        "--workers", type=int, default=settings.workers, help="worker processes (WORKERS)"
    )
    parser.add_argument("--app", default="server.app:app", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    uvicorn.run(
        chosen.app,
        host=chosen.host,
        port=chosen.port,
        workers=chosen.workers,
        access_log=False,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_TIMEOUT_S,
        ws_per_message_deflate=False,
    )


if __name__ == "__main__":
    main()
