"""NeMo Gym: a resources server with one endpoint for each tool, and its example data.

`examples/nemo_gym/` holds the folder that NeMo Gym wants: `app.py`, a configuration and data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse
from pydantic import ConfigDict, PrivateAttr

from openenv_kit.catalogue import Catalogue
from openenv_kit.datasets.split_rows import DEFAULT_SPLIT, list_task_rows, reset_arguments_from_row
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError, ServerError
from openenv_kit.trainers import require_package
from openenv_kit.trainers.tool_episode import ToolEpisode

with require_package("nemo-gym>=0.7,<0.8"):
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
"""Verified sessions whose result is kept, so that verifying again returns the same."""


class EpisodeServerConfig(BaseResourcesServerConfig):
    """Settings in the YAML file: what is played, and on which environment server."""

    environment: str | None = None
    base_url: str | None = None


class SeedRequest(BaseSeedSessionRequest):
    """A data row; `reset` holds the arguments of its reset, without which a task is drawn."""

    model_config = ConfigDict(extra="allow")

    reset: Any = None


class SeedResponse(BaseSeedSessionResponse):
    """What a model needs to know of the episode, for an agent whose row has no messages."""

    instructions: str
    tools: list[dict[str, Any]]


class VerifyRequest(BaseVerifyRequest):
    """A data row with the model's response; other columns are passed through."""

    model_config = ConfigDict(extra="allow")


class VerifyResponse(BaseVerifyResponse):
    """The reward, beside the row's own columns."""

    model_config = ConfigDict(extra="allow")

    submitted: bool
    tool_calls: int


class EpisodeServer(SimpleResourcesServer):
    """Holds an episode for each session and answers its tool calls."""

    ray_enabled = False
    config: EpisodeServerConfig
    _episodes: dict[str, ToolEpisode] = PrivateAttr(default_factory=dict)
    _results: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)

    def setup_webserver(self) -> FastAPI:
        """The framework's endpoints, and one for each tool."""
        app: FastAPI = super().setup_webserver()
        for name in get_environment(self.config.environment).tools.tool_names:
            self._add_tool_route(app, name)
        return app

    async def seed_session(self, request: Request, body: SeedRequest) -> SeedResponse:
        """Start the row's episode; a session that starts again gets a new one.

        A row without a reset starts another task of the train split each time.
        """
        key = request.session[SESSION_ID_KEY]
        self._close_episode(key)
        self._results.pop(key, None)
        episode = ToolEpisode(self.config.base_url, self.config.environment)
        row = body.model_dump()
        offered = (row.get("responses_create_params") or {}).get("tools") or ()
        try:
            opening = episode.reset(row, [tool["name"] for tool in offered])
        except ServerError as problem:
            raise HTTPException(502, str(problem)) from None
        except ConfigurationError as problem:
            raise HTTPException(422, str(problem)) from None
        self._episodes[key] = episode
        return SeedResponse(
            instructions=f"{episode.system_prompt}\n\n{opening}",
            tools=_format_response_tools(episode.tools),
        )

    async def verify(self, request: Request, body: VerifyRequest) -> VerifyResponse:
        """The environment's own score, 0 if nothing was submitted."""
        key = request.session[SESSION_ID_KEY]
        result = self._results.get(key) or self._finish_session(key)
        if result is None:
            # Nothing was measured, which is not the same as a score of 0.
            reason = "the session was never seeded, or its environment server was lost"
            result = {"reward": 0.0, "submitted": False, "tool_calls": 0}
            result |= {"mask_sample": True, "failure_reason": reason}
        return VerifyResponse(**{**body.model_dump(), **result})

    def _add_tool_route(self, app: FastAPI, tool_name: str) -> None:
        async def answer(request: Request) -> PlainTextResponse:
            key = request.session[SESSION_ID_KEY]
            episode = self._episodes.get(key)
            if episode is None:
                return PlainTextResponse('{"status":"error","message":"Call seed_session first."}')
            raw = await request.body()
            try:
                return PlainTextResponse(episode.call_tool(tool_name, json.loads(raw or b"{}")))
            except ServerError as problem:
                # Without its episode the rollout is masked: nothing was measured.
                self._close_episode(key)
                raise HTTPException(502, str(problem)) from None

        app.post(f"/{tool_name}")(answer)

    def _finish_session(self, session_id: str) -> dict[str, Any] | None:
        """End the session's episode and keep its result; None if there is no episode."""
        episode = self._close_episode(session_id)
        if episode is None:
            return None
        result = {"reward": episode.reward, **episode.info, **episode.metrics}
        self._results[session_id] = result
        while len(self._results) > MAX_VERIFIED_SESSIONS:
            del self._results[next(iter(self._results))]
        return result

    def _close_episode(self, session_id: str) -> ToolEpisode | None:
        episode = self._episodes.pop(session_id, None)
        if episode is not None:
            episode.close()
        return episode


def iter_data_rows(
    split: str | None = DEFAULT_SPLIT,
    first: int | None = 0,
    count: int | None = None,
    environment: str | None = None,
    reset: Mapping[str, Any] | None = None,
    level: str | None = None,
) -> Iterator[dict[str, Any]]:
    """NeMo Gym's data rows: the first messages, the tools, and the reset; see `list_task_rows`.

    `openenv_kit.datasets.split_rows.write_rows` writes them as NeMo Gym reads them.
    """
    episode = ToolEpisode(environment=environment)
    for row in list_task_rows(split, first, count, environment, reset, level):
        opening = episode.reset(row)
        messages = [
            {"role": "developer", "content": episode.system_prompt},
            {"role": "user", "content": opening},
        ]
        yield {
            "responses_create_params": {
                "input": messages,
                "tools": _format_response_tools(episode.tools),
            },
            "environment": row["environment"],
            "task": row["task"],
            "reset": reset_arguments_from_row(row, environment),
        }


def _format_response_tools(tools: Catalogue) -> list[dict[str, Any]]:
    """Return tools as the Responses interface takes them."""
    # Strict schemas know no optional arguments.
    return [{"type": "function", **tool["function"], "strict": False} for tool in tools.chat_tools]
