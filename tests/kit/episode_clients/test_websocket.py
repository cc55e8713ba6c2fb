"""An episode over WebSocket ends with its connection."""

from __future__ import annotations

import pytest

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.episode_clients.in_process import InProcessEpisode
from openenv_kit.episode_clients.websocket import WebSocketEpisode, _run_in_background_loop
from openenv_kit.errors import ServerError


def test_step_after_lost_connection_is_an_error_until_the_next_reset(server_url: str) -> None:
    action, reset = ENVIRONMENT.tools.build_action("list_dates", {}), {"seed": 3}
    in_process = InProcessEpisode(ENVIRONMENT)
    in_process.reset(reset)
    reply = in_process.step(action)
    episode = WebSocketEpisode(ENVIRONMENT, server_url, {})
    try:
        episode.reset(reset)
        assert episode.step(action)["analysis_result"] == reply["analysis_result"]
        connection = episode._client._ws

        async def abort() -> None:
            connection.transport.abort()
            await connection.wait_closed()

        _run_in_background_loop(abort)
        # The framework's client would connect to a new session, which has no episode.
        for _ in range(2):
            with pytest.raises(ServerError, match="connection of the episode was closed"):
                episode.step(action)
        episode.reset(reset)
        assert episode.step(action)["analysis_result"] == reply["analysis_result"]
    finally:
        episode.close()
