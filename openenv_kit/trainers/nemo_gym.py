"""NeMo Gym: a resources server with one endpoint for each tool.

`examples/nemo_gym/` is a folder in NeMo Gym's format: `app.py`, a configuration and example data.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse
from pydantic import ConfigDict, PrivateAttr

from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError, ServerError
from openenv_kit.trainers import explain_missing_package
from openenv_kit.trainers.nemo_gym_data import format_tools_for_responses_api
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.truncation import TRUNCATED_METRIC, is_response_cut_off

with explain_missing_package("nemo-gym>=0.7,<0.8"):
    from nemo_gym.base_resources_server import (
        BaseResourcesServerConfig,
        BaseSeedSessionRequest,
        BaseSeedSessionResponse,
        BaseVerifyRequest,
        BaseVerifyResponse,
        SimpleResourcesServer,
    )
    from nemo_gym.server_utils import SESSION_ID_KEY

MAX_VERIFIED_SESSIONS = 4096
"""Largest number of sessions whose result is stored for repeated calls of `verify`."""
SessionResult: TypeAlias = dict[str, Any]
"""Reward, final information and metrics of a session's episode."""


class EpisodeServerConfig(BaseResourcesServerConfig):
    """Settings in the YAML file: environment, address of its server, and folder for recordings."""

    environment: str | None = None
    base_url: str | None = None
    record: str | None = None


class SeedRequest(BaseSeedSessionRequest):
    """A data row. `reset` contains the reset arguments; if it is missing, a task is sampled."""

    model_config = ConfigDict(extra="allow")

    reset: Any = None


class SeedResponse(BaseSeedSessionResponse):
    """System prompt, first user message and tools, for agents whose data row has no messages."""

    instructions: str
    tools: list[dict[str, Any]]


class VerifyRequest(BaseVerifyRequest):
    """A data row with the model's response; other columns are passed through."""

    model_config = ConfigDict(extra="allow")


class VerifyResponse(BaseVerifyResponse):
    """The reward, in addition to the row's columns."""

    model_config = ConfigDict(extra="allow")

    submitted: bool
    tool_calls: int


class EpisodeServer(SimpleResourcesServer):
    """Resources server that plays one episode per session through tool calls."""

    ray_enabled = False
    config: EpisodeServerConfig
    _episodes: dict[str, ToolEpisode] = PrivateAttr(default_factory=dict)
    _results: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)

    def setup_webserver(self) -> FastAPI:
        """Return the app with the framework's endpoints and one endpoint for each tool."""
        app: FastAPI = super().setup_webserver()
        for name in get_environment(self.config.environment).tools.tool_names:
            self._add_tool_route(app, name)
        return app

    async def seed_session(self, request: Request, body: SeedRequest) -> SeedResponse:
        """Start the episode of a data row, and close an earlier episode of the session.

        A row without reset arguments starts a different task of the train split each time.
        """
        session_id = request.session[SESSION_ID_KEY]
        self._pop_and_close_episode(session_id)
        self._results.pop(session_id, None)
        episode = ToolEpisode(
            self.config.base_url, self.config.environment, record=self.config.record
        )
        row = body.model_dump()
        offered_tools = (row.get("responses_create_params") or {}).get("tools") or ()
        try:
            first_user_message = episode.reset(row, [tool["name"] for tool in offered_tools])
        except ServerError as problem:
            raise HTTPException(502, str(problem)) from None
        except ConfigurationError as problem:
            raise HTTPException(422, str(problem)) from None
        self._episodes[session_id] = episode
        return SeedResponse(
            instructions=f"{episode.system_prompt}\n\n{first_user_message}",
            tools=format_tools_for_responses_api(episode.tools),
        )

    async def verify(self, request: Request, body: VerifyRequest) -> VerifyResponse:
        """Return the environment's score, which is 0 if nothing was submitted."""
        session_id = request.session[SESSION_ID_KEY]
        result = self._results.get(session_id) or self._close_episode_and_store_result(session_id)
        if result is None:  # a missing score must not be trained on as a score of 0
            result = {
                "reward": 0.0,
                "submitted": False,
                "tool_calls": 0,
                "mask_sample": True,
                "failure_reason": "the session was never seeded, or its environment server was "
                "lost",
            }
        columns = body.model_dump()
        is_truncated = not result["submitted"] and is_response_cut_off(
            columns.get("response") or {}
        )
        return VerifyResponse(**{**columns, **result, TRUNCATED_METRIC: float(is_truncated)})

    def _add_tool_route(self, app: FastAPI, tool_name: str) -> None:
        async def call_tool(request: Request) -> PlainTextResponse:
            session_id = request.session[SESSION_ID_KEY]
            episode = self._episodes.get(session_id)
            if episode is None:
                return PlainTextResponse('{"status":"error","message":"Call seed_session first."}')
            body = await request.body()
            try:
                return PlainTextResponse(episode.call_tool(tool_name, json.loads(body or b"{}")))
            except ServerError as problem:
                # Without an episode, `verify` masks the rollout, which has no score.
                self._pop_and_close_episode(session_id)
                raise HTTPException(502, str(problem)) from None

        app.post(f"/{tool_name}")(call_tool)

    def _close_episode_and_store_result(self, session_id: str) -> SessionResult | None:
        """Close the session's episode; store and return its result, or None if there is none."""
        episode = self._pop_and_close_episode(session_id)
        if episode is None:
            return None
        result = {"reward": episode.reward, **episode.info, **episode.metrics}
        self._results[session_id] = result
        while len(self._results) > MAX_VERIFIED_SESSIONS:
            del self._results[next(iter(self._results))]
        return result

    def _pop_and_close_episode(self, session_id: str) -> ToolEpisode | None:
        episode = self._episodes.pop(session_id, None)
        if episode is not None:
            episode.close()
        return episode
